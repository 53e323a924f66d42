"""One table says of every operator where its kernel is, which axis has the channels, and what it multiplies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.litert import to_float_tflite
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.operators import TRAITS, kernel_of, macs, named, traits
from tfcompress.load import float_model_from_keras
from tfcompress.load.inspection import model_macs
from tfcompress.runtime import tf_keras

layers = tf_keras.layers


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Conv2D(5, 3, strides=2, padding="same"), (9, 8, 3)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (7, 6, 3)),
        (layers.Dense(4), (6,)),
        (layers.Conv2DTranspose(5, 3, strides=2), (4, 5, 3)),
        (layers.Conv3D(2, 2), (4, 5, 6, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_multiplications_are_those_of_the_keras_layer(layer: Any, shape: tuple[int, ...]) -> None:
    model = float_model_from_keras(tf_keras.Sequential([tf_keras.Input(shape), layer]))
    graph = read_tflite(to_float_tflite(model)).main
    assert sum(macs(operator, graph) for operator in graph.operators) == model_macs(model)


def test_a_batched_product_multiplies_every_pair() -> None:
    graph = GraphBuilder()
    first, second = graph.input([2, 3, 4], "float32"), graph.input([2, 4, 5], "float32")
    result = graph.tensor([2, 3, 5], "float32")
    graph.operator("BATCH_MATMUL", [first, second], [result], "BatchMatMulOptions")
    main = read_tflite(graph.content(result)).main
    assert macs(main.operators[0], main) == 2 * 3 * 4 * 5
    assert kernel_of(main.operators[0], main) is None, "both factors are computed"


@pytest.mark.parametrize("name", sorted(named(lambda row: row.kernel is not None)))
def test_a_kernel_has_an_axis_of_channels_and_a_kind(name: str) -> None:
    row = traits(name)
    assert row.channel_axis is not None
    assert row.kind is not None
    assert row.multiplies == (row.count is not None)


def test_the_axis_of_channels_has_as_many_as_the_result() -> None:
    model = float_model_from_keras(
        tf_keras.Sequential(
            [
                tf_keras.Input((8, 8, 3)),
                layers.Conv2D(5, 3),
                layers.DepthwiseConv2D(3),
                layers.Flatten(),
                layers.Dense(7),
            ]
        )
    )
    graph = read_tflite(to_float_tflite(model)).main
    for operator in graph.operators:
        kernel = kernel_of(operator, graph)
        if kernel is not None:
            axis = traits(operator.name).channel_axis
            assert axis is not None
            assert kernel.shape[axis] == graph.tensors[operator.outputs[0]].shape[-1]


def test_limits_hold_for_the_functions_they_are_of() -> None:
    values = np.linspace(-20, 20, 401)
    functions = {"LOGISTIC": 1 / (1 + np.exp(-values)), "TANH": np.tanh(values), "RELU6": np.clip(values, 0, 6)}
    for name, results in functions.items():
        low, high = TRAITS[name].limits or (math.nan, math.nan)
        assert low <= results.min() <= results.max() <= high
    assert TRAITS["RELU6"].limits != (0.0, 5.0)


def test_an_operator_that_is_not_in_the_table_has_no_kernel_and_a_scale_of_its_own() -> None:
    assert (traits("MUL").kernel, traits("MUL").scale, traits("MUL").multiplies) == (None, "own", False)
