"""Bit width advice names the layers for which 8 bits are too few, and `quality=best` acts on it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from tests.converters.litert.models import converted, images, layers, samples_for, small_cnn
from tfcompress.converters.litert import LayerBits, advise
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf_keras

BEST = Recipe(post_training=PostTraining(quality="best"))


def by_layer(rows: tuple[LayerBits, ...]) -> dict[str, LayerBits]:
    return {row.layer: row for row in rows}


def spread_out(large: float) -> FloatModel:
    """A network whose layer `peaky` has one output `large` times larger than the others, which matter as much."""
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((8, 8, 3), name="image")
    wide = layers.Conv2D(32, 3, strides=2, activation="relu", padding="same", name="wide")(image)
    peaky = layers.Conv2D(8, 4, name="peaky")(wide)
    model = tf_keras.Model(image, layers.Conv2D(3, 1, name="scores")(peaky), name="spread_out")
    kernel, bias = model.get_layer("peaky").get_weights()
    kernel[..., 0] *= large
    model.get_layer("peaky").set_weights([kernel, bias])
    kernel, bias = model.get_layer("scores").get_weights()
    kernel[:, :, 0] /= large
    model.get_layer("scores").set_weights([kernel, bias])
    return float_model_from_keras(model)


def test_without_data_there_is_advice_on_the_weights_of_each_layer() -> None:
    rows = by_layer(advise(small_cnn()))
    assert list(rows) == ["first", "depthwise", "second", "scores"]
    for row in rows.values():
        four, eight, sixteen = (row.weights[bits] for bits in (4, 8, 16))
        assert four is not None
        assert eight is not None
        assert sixteen is not None
        assert four + 15 < eight < sixteen - 30
        assert row.activations == {}


def test_with_data_there_is_advice_on_the_activations_too() -> None:
    model = small_cnn()
    rows = by_layer(advise(model, samples_for(model, images())))
    eight = rows["first"].activations[8]
    assert eight is not None
    assert 25 < eight < 60
    assert set(rows) >= {"first", "depthwise", "second", "sum", "scores"}


def test_a_weight_far_larger_than_the_others_costs_its_layer_bits() -> None:
    model = small_cnn()
    layer = model.keras_model.get_layer("second")
    kernel, bias = layer.get_weights()
    kernel[..., 0, :] *= 1e-3
    kernel[0, 0, 0, :] = 30.0
    layer.set_weights([kernel, bias])
    row = by_layer(advise(model))["second"].to_json()
    plain = by_layer(advise(small_cnn()))["second"].to_json()
    assert row["weights_db"] != plain["weights_db"]
    assert plain["weights_need_bits"] == 8


def test_best_makes_the_channels_even_that_8_bits_spoil(tmp_path: Path) -> None:
    model = spread_out(300.0)
    artifact = converted(model, images(), tmp_path, BEST)
    assert artifact.facts["bit_widths"]
    assert any("brought to like ranges" in note for note in artifact.notes)
    assert not any("16-bit activations" in note for note in artifact.notes)
    plain = converted(spread_out(1.0), images(), tmp_path, BEST)
    assert not any("peaky" in note for note in plain.notes)


@pytest.mark.parametrize("quality", ["fast", "balanced"])
def test_only_best_takes_the_time_to_look(quality: Literal["fast", "balanced"], tmp_path: Path) -> None:
    recipe = Recipe(post_training=PostTraining(quality=quality))
    assert "bit_widths" not in converted(small_cnn(), images(), tmp_path, recipe).facts
