"""Strides of 1x1 convolutions moved back: the same result from fewer pixels, and only where nobody else reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.graphs.tensorflow.folding import fold_batch_norms, fold_constants
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph, trace
from tfcompress.graphs.tensorflow.strides import move_strides_back
from tfcompress.model import FloatModel

FLOAT32_TOLERANCE = 1e-5
ODD_SIZED = (17, 14, 8)


def net_of(body: Callable[[Any, Any], Any], flavor: str = "keras3") -> FloatModel:
    """`body(layers, picture)` as a model of an odd-sized picture."""
    library = models.FLAVORS[flavor]
    library.utils.set_random_seed(5)
    picture = library.layers.Input(ODD_SIZED, name="picture")
    return models.float_model_from_keras(library.Model(picture, body(library.layers, picture)))


def residual_stage(layers: Any, x: Any) -> Any:
    """A residual block, and the first two 1x1 convolutions of a stage that begins with stride 2."""
    x = layers.Conv2D(8, 1, name="first")(x)
    inner = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 1, name="reduce")(x)))
    inner = layers.ReLU()(layers.Conv2D(6, 3, padding="same", name="spatial")(inner))
    inner = layers.DepthwiseConv2D(5, padding="same", name="depthwise")(inner)
    x = layers.ReLU()(layers.Add()([layers.Conv2D(8, 1, name="expand")(inner), x]))
    return layers.Add()([layers.Conv2D(4, 1, strides=2, name="left")(x), layers.Conv2D(4, 1, 2, name="right")(x)])


def both(model: FloatModel) -> tuple[InferenceGraph, InferenceGraph]:
    before = fold_batch_norms(fold_constants(trace(model, 2)))
    return before, move_strides_back(before)


def relative_error(model: FloatModel, before: InferenceGraph, after: InferenceGraph) -> float:
    inputs = models.random_inputs(model, 2)
    (expected,), (got,) = models.run_graph(before, inputs).values(), models.run_graph(after, inputs).values()
    assert expected.shape == got.shape
    return float(np.abs(expected - got).max() / np.abs(expected).max())


def pixels(graph: InferenceGraph) -> dict[str, tuple[int, ...]]:
    """{layer: rows and columns that its convolution computes}."""
    return {
        op.name.split("/")[-2].rstrip("_123456789"): tuple(op.outputs[0].shape[1:3])
        for op in graph.operations()
        if "Conv" in op.type or op.type.startswith("Depthwise")
    }


@pytest.mark.parametrize("flavor", ["keras3", "tf_keras"])
def test_a_block_before_a_strided_stage_computes_a_quarter_of_the_pixels(flavor: str) -> None:
    model = net_of(residual_stage, flavor)
    before, after = both(model)
    whole, quarter = (17, 14), (9, 7)
    assert pixels(before)["spatial"] == pixels(before)["depthwise"] == pixels(before)["expand"] == whole
    assert pixels(after) == {
        "first": whole, "reduce": whole, "spatial": whole,
        "depthwise": quarter, "expand": quarter, "left": quarter, "right": quarter,
    }  # fmt: skip
    assert relative_error(model, before, after) <= FLOAT32_TOLERANCE


def test_the_tolerance_would_catch_neighbouring_pixels() -> None:
    model = net_of(residual_stage)
    before, after = both(model)
    for node in after.graph_def.node:
        if node.name.endswith("depthwise") and node.op.startswith("Depthwise"):
            node.attr["explicit_paddings"].list.i[2:4] = [1, 3]
    assert relative_error(model, before, after) > FLOAT32_TOLERANCE


def strided_twice(layers: Any, x: Any) -> Any:
    x = layers.Conv2D(6, 3, strides=2, padding="valid", name="spatial")(x)
    return layers.Conv2D(4, 1, strides=2, name="second")(layers.Conv2D(5, 1, strides=2, name="first")(x))


def test_strides_multiply() -> None:
    model = net_of(strided_twice)
    before, after = both(model)
    assert pixels(after) == {"spatial": (2, 2), "first": (2, 2), "second": (2, 2)}
    assert relative_error(model, before, after) <= FLOAT32_TOLERANCE


def read_by_two(layers: Any, x: Any) -> Any:
    x = layers.Conv2D(6, 3, name="spatial")(x)
    strided = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, strides=2, name="strided")(x))
    return layers.Concatenate()([strided, layers.GlobalAveragePooling2D()(x)])


def differently_strided(layers: Any, x: Any) -> Any:
    x = layers.Conv2D(6, 3, name="spatial")(x)
    pooled = [layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, strides=step)(x)) for step in (2, 3)]
    return layers.Concatenate()(pooled)


def pooled_between(layers: Any, x: Any) -> Any:
    x = layers.MaxPooling2D(3, strides=1)(layers.Conv2D(6, 3, name="spatial")(x))
    return layers.Conv2D(4, 1, strides=2, name="strided")(x)


def dilated(layers: Any, x: Any) -> Any:
    return layers.Conv2D(4, 1, strides=2)(layers.Conv2D(6, 3, dilation_rate=2, name="spatial")(x))


@pytest.mark.parametrize("body", [read_by_two, differently_strided, pooled_between, dilated])
def test_pixels_that_anybody_else_may_read_are_computed(body: Callable[[Any, Any], Any]) -> None:
    before, after = both(net_of(body))
    assert pixels(after)["spatial"] == pixels(before)["spatial"]


def test_a_result_of_the_model_keeps_its_size() -> None:
    def two_results(layers: Any, x: Any) -> Any:
        x = layers.Conv2D(6, 3, name="spatial")(x)
        return [x, layers.Conv2D(4, 1, strides=2, name="strided")(x)]

    before, after = both(net_of(two_results))
    assert pixels(after) == pixels(before)


def excited(layers: Any, x: Any) -> Any:
    """A channel-wise factor of one pixel, as squeeze-and-excitation makes, before a strided 1x1 convolution."""
    x = layers.Conv2D(6, 3, name="spatial")(x)
    factor = layers.Conv2D(6, 1, activation="sigmoid", name="factor")(layers.AveragePooling2D((15, 12))(x))
    scaled = layers.Multiply()([layers.Conv2D(6, 3, name="again")(x), factor])
    return layers.Conv2D(4, 1, strides=2, name="strided")(scaled)


def test_a_factor_a_channel_is_not_sliced() -> None:
    model = net_of(excited)
    before, after = both(model)
    assert pixels(after) | {"again": (13, 10)} == pixels(before) | {"again": (13, 10)}
    assert pixels(after)["again"] == (7, 5)
    assert relative_error(model, before, after) <= FLOAT32_TOLERANCE
