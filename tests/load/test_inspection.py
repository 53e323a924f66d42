"""What `inspect_model` counts, against figures worked out by hand and published ones."""

from __future__ import annotations

from typing import Any

import pytest

from tfcompress.load import inspect_model, load_model
from tfcompress.runtime import keras, tf_keras


def rows_of(model: Any) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in inspect_model(load_model(model))["layers"]}


@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_macs_and_parameters_by_hand(library: Any) -> None:
    layers = library.layers
    x = library.Input((8, 8, 4))
    y = layers.Conv2D(6, 3, strides=2, padding="same", groups=2, name="conv")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = layers.SeparableConv2D(5, 3, padding="same", name="separable")(layers.BatchNormalization(name="bn")(y))
    y = layers.Conv2DTranspose(2, 2, strides=2, name="transposed")(y)
    y = layers.Reshape((8, 16), name="reshape")(y)
    model = library.Model(x, layers.Dense(3, name="dense")(layers.LSTM(4, name="lstm")(y)))
    rows = rows_of(model)
    assert rows["conv"]["macs"] == 4 * 4 * (3 * 3 * 2 * 6)
    assert rows["depthwise"]["macs"] == 4 * 4 * (3 * 3 * 6)
    assert rows["separable"]["macs"] == 4 * 4 * (3 * 3 * 6 + 6 * 5)
    assert rows["transposed"]["macs"] == 4 * 4 * (2 * 2 * 2 * 5)
    assert rows["lstm"]["macs"] == 8 * (16 * 16 + 4 * 16)
    assert rows["dense"]["macs"] == 12
    assert rows["bn"]["macs"] == rows["reshape"]["macs"] == 0
    assert rows["conv"]["parameters"] == 3 * 3 * 2 * 6 + 6
    assert rows["conv"]["output_shape"] == [None, 4, 4, 6]
    report = inspect_model(load_model(model))["model"]
    assert report["macs"] == sum(row["macs"] for row in rows.values())
    assert report["parameters"] == model.count_params()
    assert report["float_bytes"] == 4 * model.count_params()


def test_shared_layer_counts_for_each_call() -> None:
    x, y = keras.Input((4,)), keras.Input((4,))
    shared = keras.layers.Dense(3, name="shared")
    model = keras.Model([x, y], keras.layers.Add()([shared(x), shared(y)]))
    row = rows_of(model)["shared"]
    assert (row["calls"], row["macs"], row["parameters"]) == (2, 24, 15)


def test_nested_layers_are_listed_with_their_path() -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="d")], name="inner")
    x = keras.Input((4,))
    assert rows_of(keras.Model(x, inner(x)))["inner/d"]["macs"] == 8


def test_unknown_macs_are_none_and_not_zero() -> None:
    x = keras.Input((3, 4))
    model = keras.Model(x, keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1))))
    report = inspect_model(load_model(model))
    assert report["model"]["macs"] is None


def test_open_size_has_unknown_macs() -> None:
    x = keras.Input((None, None, 3))
    assert inspect_model(load_model(keras.Model(x, keras.layers.Conv2D(2, 3)(x))))["model"]["macs"] is None


def test_mobilenetv2_has_its_published_cost() -> None:
    """Sandler et al., "MobileNetV2", table 4: 300M multiply-adds and 3.4M parameters at 224 x 224."""
    model = keras.applications.MobileNetV2(weights=None)
    report = inspect_model(load_model(model))["model"]
    assert report["macs"] == pytest.approx(300e6, rel=0.01)
    assert report["parameters"] == pytest.approx(3.5e6, rel=0.02)
