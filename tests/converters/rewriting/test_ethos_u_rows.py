"""Rows for Ethos-U: what Vela left out maps, and the integers are the same as before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.ethos_u import compile_for, vela_version
from tfcompress.converters.ethos_u.conversion import npu_of
from tfcompress.converters.npu.quantization import rewritten_file
from tfcompress.converters.rewriting import ETHOS_U, ETHOS_U_FILE, FLOAT_FILE, rewrite_graph, rows_for
from tfcompress.errors import MissingExtraError
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.runtime import keras, tf

CONFIG = "ethos-u55-128"
TOLERANCE = 1e-5  # of the largest value, in float32
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID
STEPS = {"strideH", "strideW"}


def _int8(shape: list[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, shape, np.int8)


def mean(shape: list[int], axes: list[int]) -> bytes:
    graph = GraphBuilder()
    after = [1 if axis in axes else size for axis, size in enumerate(shape)]
    source, result = graph.input(shape), graph.tensor(after, scale=0.07)
    graph.operator("MEAN", [source, graph.integers(axes)], [result], "ReducerOptions", version=2, keepDims=True)
    return graph.content(result)


def convolution(kind: str, window: int, stride: int, padding: int, side: int = 15) -> bytes:
    graph, depthwise = GraphBuilder(), kind == "DEPTHWISE_CONV_2D"
    after = -(-side // stride) if padding == SAME else (side - window) // stride + 1
    shape = [1, window, window, 4] if depthwise else [6, window, window, 4]
    count = 4 if depthwise else 6
    source = graph.input([1, side, side, 4])
    weights = graph.tensor(shape, data=_int8(shape), scale=[0.01 * (n + 1) for n in range(count)])
    graph.graph.tensors[weights].quantization.quantizedDimension = 3 if depthwise else 0
    bias = graph.tensor([count], "int32", data=np.arange(-count, count, 2, dtype=np.int32) * 100)
    result = graph.tensor([1, after, after, count], scale=3.0)
    form: dict[str, Any] = dict.fromkeys(STEPS, stride) | {"padding": padding}
    form |= {"dilationHFactor": 1, "dilationWFactor": 1} | ({"depthMultiplier": 1} if depthwise else {})
    options = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    graph.operator(kind, [source, weights, bias], [result], options, version=3, **form)
    return graph.content(result)


def transposed(window: int, stride: int, padding: int, side: int = 5, *, biased: bool = False) -> bytes:
    graph = GraphBuilder()
    after = side * stride if padding == SAME else (side - 1) * stride + window
    shape = [3, window, window, 4]
    source = graph.input([1, side, side, 4])
    weights = graph.tensor(shape, data=_int8(shape), scale=[0.01, 0.02, 0.03])
    more = [graph.tensor([3], "int32", data=np.array([500, -900, 7], np.int32))] if biased else []
    result = graph.tensor([1, after, after, 3], scale=2.0)
    form = dict.fromkeys(STEPS, stride) | {"padding": padding}
    size = graph.integers([1, after, after, 3])
    graph.operator(
        "TRANSPOSE_CONV", [size, weights, source, *more], [result], "TransposeConvOptions", version=3, **form
    )
    return graph.content(result)


def gather(positions: list[int], axis: int) -> bytes:
    graph, shape = GraphBuilder(), [1, 6, 5]
    after = [len(positions) if each == axis else size for each, size in enumerate(shape)]
    source, result = graph.input(shape), graph.tensor(after)
    graph.operator("GATHER", [source, graph.integers(positions)], [result], "GatherOptions", version=2, axis=axis)
    return graph.content(result)


def nearest(rows: int, columns: int, **how: bool) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 5, 7, 4]), graph.tensor([1, rows, columns, 4])
    size = graph.integers([rows, columns])
    options = "ResizeNearestNeighborOptions"
    graph.operator("RESIZE_NEAREST_NEIGHBOR", [source, size], [result], options, version=3, **how)
    return graph.content(result)


def moved(kind: str, before: list[int], after: list[int], block: int) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(before), graph.tensor(after)
    options = {"DEPTH_TO_SPACE": "DepthToSpaceOptions", "SPACE_TO_DEPTH": "SpaceToDepthOptions"}[kind]
    graph.operator(kind, [source], [result], options, version=2, blockSize=block)
    return graph.content(result)


EXAMPLES: dict[str, dict[str, bytes]] = {
    "blocks_mean": {
        "over channels": mean([1, 6, 5, 8], [3]),
        "over rows and channels": mean([1, 6, 5, 8], [1, 3]),
        "of groups": mean([1, 6, 5, 2, 4], [1, 2, 4]),
        "of a volume": mean([1, 3, 4, 5, 6], [1, 2, 3]),
    },
    "wide_stride": {
        "with padding": convolution("CONV_2D", 7, 5, SAME),
        "without": convolution("CONV_2D", 5, 5, VALID, side=16),
        "depthwise": convolution("DEPTHWISE_CONV_2D", 4, 4, SAME),
    },
    "transposed_convolution": {
        "of equal sizes": transposed(4, 4, SAME),
        "of a smaller window": transposed(2, 3, SAME),
        "of a larger window": transposed(8, 4, SAME),
        "without padding": transposed(5, 3, VALID, biased=True),
    },
    "gather": {"of channels": gather([3, 1, 2, 0, 4, 4], 2), "of positions": gather([5, 5, 0], 1)},
    "nearest_copies": {
        "three times": nearest(15, 21, halfPixelCenters=True),
        "of odd sizes": nearest(8, 9),
        "corners": nearest(13, 7, alignCorners=True),
    },
    "depth_to_space": {"by 3": moved("DEPTH_TO_SPACE", [1, 4, 5, 18], [1, 12, 15, 2], 3)},
    "space_to_depth": {"by 2": moved("SPACE_TO_DEPTH", [1, 4, 6, 5], [1, 2, 3, 20], 2)},
}
CASES = [(name, case) for name, cases in EXAMPLES.items() for case in cases]


def answers(content: bytes) -> np.ndarray:
    interpreter = new_interpreter(content)
    shape = interpreter.get_input_details()[0]["shape"]
    return run(interpreter, [_int8(list(shape), seed=1)])[0]


def test_every_row_for_ethos_u_has_an_example_here() -> None:
    assert list(EXAMPLES) == [row.name for row in rows_for(ETHOS_U_FILE)]


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_integers_are_the_same_as_before(name: str, case: str) -> None:
    before = EXAMPLES[name][case]
    done = rewrite_graph(before, rows_for(ETHOS_U_FILE))
    assert [item.name for item in done.applied] == [name]
    assert done.applied[0].max_abs_error == 0
    assert np.array_equal(answers(before), answers(done.content))
    assert len(np.unique(answers(before))) > 1  # else anything would be the same


@pytest.mark.parametrize(("name", "case"), [(name, next(iter(cases))) for name, cases in EXAMPLES.items()])
def test_vela_takes_the_new_form_whole(name: str, case: str) -> None:
    try:
        vela_version()
    except MissingExtraError as error:
        pytest.skip(str(error))
    _, applied, left = rewritten_file(EXAMPLES[name][case], npu_of([CONFIG]))
    assert left == []
    if not applied:  # this one maps as it is, on this configuration
        assert compile_for(EXAMPLES[name][case], CONFIG).mapping.cpu_ops == 0


@pytest.mark.parametrize(
    "content", [mean([1, 6, 5, 8], [1, 2]), convolution("CONV_2D", 3, 2, SAME), transposed(3, 2, SAME)]
)
def test_what_maps_as_it_is_stays(content: bytes) -> None:
    assert rewrite_graph(content, rows_for(ETHOS_U_FILE)).content == content


def _float_file(function: Callable[[Any], Any]) -> bytes:
    x = keras.Input((6, 5, 3), batch_size=1)
    layer = keras.layers.Lambda(function)
    return bytes(tf.lite.TFLiteConverter.from_keras_model(keras.Model(x, layer(x))).convert())


FLOATS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bilinear": (ETHOS_U, lambda x: tf.image.resize(x, (9, 13))),
    "bilinear with corners": (
        ETHOS_U,
        lambda x: tf.compat.v1.image.resize_bilinear(x, (9, 4), align_corners=True),
    ),
    "plain bilinear": (ETHOS_U, lambda x: tf.compat.v1.image.resize_bilinear(x, (3, 12))),
    "cumulative sum": (ETHOS_U, lambda x: tf.cumsum(x, axis=2)),
    "exclusive cumulative sum from the end": (ETHOS_U, lambda x: tf.cumsum(x, axis=1, exclusive=True, reverse=True)),
    "reversal": (FLOAT_FILE, lambda x: tf.reverse(x, [2])),
}


@pytest.mark.parametrize("name", FLOATS)
def test_the_float_function_is_the_same_as_before(name: str) -> None:
    use, function = FLOATS[name]
    before = _float_file(function)
    done = rewrite_graph(before, rows_for(use))
    assert len(done.applied) == 1
    x = np.random.default_rng(0).normal(size=(1, 6, 5, 3)).astype(np.float32)
    wanted, got = (run(new_interpreter(content), [x])[0] for content in (before, done.content))
    assert np.abs(wanted - got).max() <= TOLERANCE * np.abs(wanted).max()
    assert np.abs(wanted - got[..., ::-1]).max() > TOLERANCE * np.abs(wanted).max()
