"""The rules of XNNPACK say of every operator what the installed runtime does with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.litert.xnnpack import RULES, delegated, reason_against
from tfcompress.graphs.tflite import read_tflite

SHAPE = [1, 8, 8, 4]
DTYPES = ("float32", "int8", "uint8", "int16")
UNARY = (
    "ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LOG", "LOGISTIC", "NEG", "RELU", "RELU6",
    "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE", "TANH",
)  # fmt: skip
BINARY = {
    "ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions",
    "MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions", "SQUARED_DIFFERENCE": None, "PRELU": None,
}  # fmt: skip
# name, result, constants, options, fields
SHAPED: tuple[tuple[str, list[int], tuple[Any, ...], str, dict[str, Any]], ...] = (
    ("MEAN", [1, 4], ([1, 2],), "ReducerOptions", {}),
    ("MEAN", [1, 1, 1, 4], ([1, 2],), "ReducerOptions", {"keepDims": True}),
    ("MEAN", [1, 8, 8, 1], ([3],), "ReducerOptions", {"keepDims": True}),
    ("SUM", [1, 1, 1, 4], ([1, 2],), "ReducerOptions", {"keepDims": True}),
    ("REDUCE_MAX", [1, 1, 1, 4], ([1, 2],), "ReducerOptions", {"keepDims": True}),
    ("RESHAPE", [1, 256], ([1, 256],), "ReshapeOptions", {}),
    ("TRANSPOSE", [1, 8, 4, 8], ([0, 1, 3, 2],), "TransposeOptions", {}),
    ("PAD", [1, 10, 10, 4], ([[0, 0], [1, 1], [1, 1], [0, 0]],), "PadOptions", {}),
    ("SLICE", [1, 4, 8, 4], ([0, 0, 0, 0], [1, 4, 8, 4]), "SliceOptions", {}),
    ("STRIDED_SLICE", [1, 4, 8, 4], ([0] * 4, [1, 4, 8, 4], [1] * 4), "StridedSliceOptions", {}),
    ("STRIDED_SLICE", [1, 4, 8, 4], ([0] * 4, [1, 8, 8, 4], [1, 2, 1, 1]), "StridedSliceOptions", {}),
    ("TILE", [1, 16, 8, 4], ([1, 2, 1, 1],), "TileOptions", {}),
    ("GATHER", [1, 2, 8, 4], ([0, 1],), "GatherOptions", {"axis": 1}),
    ("RESIZE_BILINEAR", [1, 16, 16, 4], ([16, 16],), "ResizeBilinearOptions", {"halfPixelCenters": True}),
    ("RESIZE_BILINEAR", [1, 16, 16, 4], ([16, 16],), "ResizeBilinearOptions", {"alignCorners": True}),
    ("RESIZE_NEAREST_NEIGHBOR", [1, 16, 16, 4], ([16, 16],), "ResizeNearestNeighborOptions", {}),
    ("DEPTH_TO_SPACE", [1, 16, 16, 1], (), "DepthToSpaceOptions", {"blockSize": 2}),
    ("SPACE_TO_DEPTH", [1, 4, 4, 16], (), "SpaceToDepthOptions", {"blockSize": 2}),
    ("SQUEEZE", [8, 8, 4], (), "SqueezeOptions", {"squeezeDims": [0]}),
    ("SLICE", [1, 4, 8, 4], ([0, 4, 0, 0], [1, -1, 8, 4]), "SliceOptions", {}),
    ("CAST", SHAPE, (), "CastOptions", {}),
    *(("LEAKY_RELU", SHAPE, (), "LeakyReluOptions", {"alpha": alpha}) for alpha in (0.2, 0.01, -0.3, 0.0)),
    *(("SOFTMAX", SHAPE, (), "SoftmaxOptions", {"beta": beta}) for beta in (1.0, 2.0)),
    *(
        (name, [1, 8 // stride, 8 // stride, 4], (), "Pool2DOptions",
         {"filterHeight": size, "filterWidth": size, "strideH": stride, "strideW": stride,
          "fusedActivationFunction": fused})
        for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D")
        for size, stride in ((2, 2), (1, 1), (1, 2), (2, 4))
        for fused in (0, 1, 4)
    ),
)  # fmt: skip
STRIDES = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
# {name: (options, shape of its weights, fields)}
WEIGHTED: dict[str, tuple[str, list[int], dict[str, Any]]] = {
    "CONV_2D": ("Conv2DOptions", [4, 3, 3, 4], STRIDES),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", [1, 3, 3, 4], {**STRIDES, "depthMultiplier": 1}),
    "FULLY_CONNECTED": ("FullyConnectedOptions", [4, 8], {}),
    "TRANSPOSE_CONV": ("TransposeConvOptions", [4, 3, 3, 4], {"strideH": 2, "strideW": 2}),
}
SCALES = (0.1, 0.003)
FUSED = range(6)


def file_of(
    name: str,
    inputs: Sequence[Any],
    shape: Sequence[int],
    dtype: str,
    scale: float,
    version: int,
    options: str | None,
    **fields: Any,
) -> bytes:
    """A file of one operator; an input is (shape, constant?), or integers that are a constant."""
    graph = GraphBuilder()
    places = []
    for given in inputs:
        if not isinstance(given, tuple):
            places.append(graph.integers(given))
        elif given[1]:
            values = np.ones(given[0], dtype)
            places.append(graph.tensor(given[0], dtype, data=values, scale=0.1))
        else:
            places.append(graph.input(given[0], dtype, scale=0.1))
    result = graph.tensor(shape, dtype, scale=scale)
    graph.operator(name, places, [result], options, version=version, **fields)
    return graph.content(result)


def files() -> Iterator[bytes]:
    """Hundreds of files of one operator each; LiteRT cannot run them all."""
    for name, dtype, scale, version in product(UNARY, DTYPES, SCALES, (1, 2)):
        yield file_of(name, [(SHAPE, False)], SHAPE, dtype, scale, version, None)
    others: tuple[tuple[list[int], bool], ...] = (
        (SHAPE, False),
        (SHAPE, True),
        ([], True),
        ([4], True),
        ([1, 1, 1, 4], False),
    )
    for (name, options), dtype, scale, other in product(BINARY.items(), DTYPES, (*SCALES, 1e-5), others):
        yield file_of(name, [(SHAPE, False), other], SHAPE, dtype, scale, 1 if dtype == "float32" else 2, options)
    for name, dtype, fused in product(("ADD", "SUB", "MUL"), DTYPES, FUSED):
        inputs = [(SHAPE, False)] * 2
        version = 1 if dtype == "float32" else 2
        yield file_of(name, inputs, SHAPE, dtype, 0.1, version, BINARY[name], fusedActivationFunction=fused)
    for (name, result, constants, options, fields), dtype, version in product(SHAPED, DTYPES, (1, 2)):
        yield file_of(name, [(SHAPE, False), *constants], result, dtype, 0.1, version, options, **fields)
    for name, rank, dtype in product(("ADD", "MUL", "ABS", "LOGISTIC"), (6, 7), DTYPES[:2]):
        shape, form = [1, 2, 1, 3, 1, 2, 2][:rank], BINARY.get(name)
        yield file_of(name, [(shape, False)] * (2 if form else 1), shape, dtype, 0.1, 2, form)
    for dtype, parts in product(DTYPES, (2, 4, 8)):
        yield split(dtype, parts)
    yield from (conversion(*pair, name) for pair in product(DTYPES, DTYPES) for name in ("Quantize", "Dequantize"))
    yield from layers_and_joins()
    yield from (mixed_kinds(*how) for how in product(WEIGHTED, DTYPES[:3], DTYPES[:3], (0, 3), (True, False)))
    yield from (windowed(*how) for how in product(DTYPES[:3], (1, 2, 3), (1, 2, 3), (0, 1)))
    yield from (sloped(*how) for how in product(DTYPES[:3], (100.0, -100.0, 1.5), (0.1, 0.5, 1.0, 2.0)))
    yield from (weighted(*how) for how in product(("CONV_2D", "DEPTHWISE_CONV_2D"), DTYPES[:3], FUSED, (True, False)))


def dense(dtype: str, shape: list[int], *, constant: bool = True, bias: bool = True, fused: int = 0) -> bytes:
    """FULLY_CONNECTED of as many channels as it reads, with or without biases and dimensions kept."""
    graph = GraphBuilder()
    source, sizes = graph.input(shape, dtype), [shape[-1], shape[-1]]
    weights = graph.weights(sizes, dtype) if constant else graph.input(sizes, dtype)
    kind = "float32" if dtype == "float32" else "int32"
    places = [source, weights] + ([_scaled(graph, graph.weights([shape[-1]], kind))] if bias else [])
    result = graph.tensor(shape, dtype)
    form = {"fusedActivationFunction": fused, "keepNumDims": len(shape) != 2}
    graph.operator("FULLY_CONNECTED", places, [result], "FullyConnectedOptions", version=5, **form)
    return graph.content(result)


def _scaled(graph: GraphBuilder, bias: int) -> int:
    """A bias with the scale that the converters write beside int8 ones."""
    record = graph.graph.tensors[bias]
    if record.type == schema.TensorType.INT32:
        record.quantization = schema.QuantizationParametersT()
        record.quantization.scale, record.quantization.zeroPoint = [0.01], [0]
    return bias


def product_of(
    dtype: str,
    *,
    constant: bool = False,
    turned: tuple[bool, bool] = (False, False),
    zeros: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    """A BATCH_MATMUL; `zeros` are the zero points of its operands and result."""
    graph = GraphBuilder()
    shapes = [[1, 2, 5, 4] if turned[0] else [1, 2, 4, 5], [1, 2, 3, 5] if turned[1] else [1, 2, 5, 3]]
    left = graph.input(shapes[0], dtype)
    right = graph.weights(shapes[1], dtype) if constant else graph.input(shapes[1], dtype)
    result = graph.tensor([1, 2, 4, 3], dtype)
    for place, zero in zip((left, right, result), zeros, strict=True):
        if dtype != "float32":
            graph.graph.tensors[place].quantization.zeroPoint = [zero]
    form = {"adjX": turned[0], "adjY": turned[1]}
    graph.operator("BATCH_MATMUL", [left, right], [result], "BatchMatMulOptions", version=2, **form)
    return graph.content(result)


def joined(dtype: str, parts: int, scale: float) -> bytes:
    graph = GraphBuilder()
    places = [graph.input([1, 4, 4, 2], dtype, scale=scale if number else 0.1) for number in range(parts)]
    result = graph.tensor([1, 4, 4, 2 * parts], dtype)
    graph.operator("CONCATENATION", places, [result], "ConcatenationOptions", version=2, axis=3)
    return graph.content(result)


def rescaled(name: str, source: float, result: float, dtype: str) -> bytes:
    graph = GraphBuilder()
    given, after = graph.input(SHAPE, dtype, scale=source), graph.tensor([1, 256], dtype, scale=result)
    if name == "RESHAPE":
        graph.operator(name, [given, graph.integers([1, 256])], [after], "ReshapeOptions")
        return graph.content(after)
    same = graph.tensor(SHAPE, dtype, scale=result)
    graph.operator(name, [given], [same], "QuantizeOptions", version=2)
    return graph.content(same)


def without_biases(name: str, dtype: str) -> bytes:
    graph = GraphBuilder()
    source, shape = graph.input(SHAPE, dtype), [4, 3, 3, 4] if name == "CONV_2D" else [1, 3, 3, 4]
    weights, result = graph.weights(shape, dtype), graph.tensor(SHAPE, dtype)
    kind = "Conv2DOptions" if name == "CONV_2D" else "DepthwiseConv2DOptions"
    form = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    form |= {} if name == "CONV_2D" else {"depthMultiplier": 1}
    graph.operator(name, [source, weights], [result], kind, version=3, **form)
    return graph.content(result)


def upscaled(dtype: str, *, bias: bool, constant: bool, padding: int) -> bytes:
    graph = GraphBuilder()
    size = 16 if padding == 0 else 17
    shape, weights = graph.integers([1, size, size, 4]), [4, 3, 3, 4]
    kernel = graph.weights(weights, dtype) if constant else graph.input(weights, dtype)
    kind = "float32" if dtype == "float32" else "int32"
    places = [shape, kernel, graph.input(SHAPE, dtype)]
    places += [_scaled(graph, graph.weights([4], kind))] if bias else []
    result = graph.tensor([1, size, size, 4], dtype)
    form = {"strideH": 2, "strideW": 2, "padding": padding}
    graph.operator("TRANSPOSE_CONV", places, [result], "TransposeConvOptions", version=3, **form)
    return graph.content(result)


def layers_and_joins() -> Iterator[bytes]:
    """Layers with weights, products of two operands, joins, and changes of scale."""
    kinds = DTYPES[:3]
    for dtype, shape, constant, bias, fused in product(
        kinds, ([1, 8], [1, 3, 8]), (True, False), (True, False), (0, 1, 4)
    ):
        yield dense(dtype, shape, constant=constant, bias=bias, fused=fused)
    for dtype, constant, first, second in product(kinds, (True, False), (True, False), (True, False)):
        yield product_of(dtype, constant=constant, turned=(first, second))
    yield from (product_of("int8", zeros=zeros) for zeros in ((3, 0, 0), (0, 3, 0), (0, 0, 3), (-128, 0, 5)))
    yield from (joined(*how) for how in product(kinds, (1, 2, 5, 6), (0.1, 0.2)))
    grids = ((0.1, 0.1), (0.1, 0.2), (0.1, 0.1 / 200), (0.1, 0.1 / 129), (0.1 / 250, 0.1), (0.1 / 300, 0.1))
    yield from (rescaled(name, *grid, dtype) for name in ("QUANTIZE", "RESHAPE") for grid in grids for dtype in kinds)
    yield from (without_biases(name, dtype) for name in ("CONV_2D", "DEPTHWISE_CONV_2D") for dtype in kinds)
    for dtype, bias, constant, padding in product(kinds, (True, False), (True, False), (0, 1)):
        yield upscaled(dtype, bias=bias, constant=constant, padding=padding)


def mixed_kinds(name: str, values: str, weights: str, zero: int, scaled: bool) -> bytes:
    """A layer whose weights may be of another dtype, with a zero point, and whose biases may lack their scale."""
    graph = GraphBuilder()
    options, shape, form = WEIGHTED[name]
    source, kernel = graph.input([1, 8] if name == "FULLY_CONNECTED" else SHAPE, values), graph.weights(shape, weights)
    if weights != "float32":
        graph.graph.tensors[kernel].quantization.zeroPoint = [zero]
    bias = graph.weights([4], "float32" if values == "float32" else "int32")
    places = [source, kernel, _scaled(graph, bias) if scaled else bias]
    size = [1, 4] if name == "FULLY_CONNECTED" else SHAPE
    if name == "TRANSPOSE_CONV":
        places, size = [graph.integers([1, 16, 16, 4]), kernel, source, places[2]], [1, 16, 16, 4]
    result = graph.tensor(size, values)
    graph.operator(name, places, [result], options, version=5 if name == "FULLY_CONNECTED" else 3, **form)
    return graph.content(result)


def windowed(dtype: str, window: int, stride: int, padding: int) -> bytes:
    """A TRANSPOSE_CONV without biases; its window may be smaller than its stride."""
    graph = GraphBuilder()
    size = 8 * stride if padding == 0 else 7 * stride + window
    kernel, source = graph.weights([4, window, window, 4], dtype), graph.input(SHAPE, dtype)
    result = graph.tensor([1, size, size, 4], dtype)
    form = {"strideH": stride, "strideW": stride, "padding": padding}
    places = [graph.integers([1, size, size, 4]), kernel, source]
    graph.operator("TRANSPOSE_CONV", places, [result], "TransposeConvOptions", version=3, **form)
    return graph.content(result)


def sloped(dtype: str, alpha: float, scale: float) -> bytes:
    """A LEAKY_RELU; the slope over the scales is 0.1 alpha / `scale`."""
    return file_of("LEAKY_RELU", [(SHAPE, False)], SHAPE, dtype, 0.1 / scale, 2, "LeakyReluOptions", alpha=alpha)


def split(dtype: str, parts: int) -> bytes:
    graph = GraphBuilder()
    source = graph.input([1, 8, 8, 8], dtype)
    results = [graph.tensor([1, 8, 8, 8 // parts], dtype) for _ in range(parts)]
    graph.operator("SPLIT", [graph.integers(3), source], results, "SplitOptions", version=2, numSplits=parts)
    return graph.content(*results)


def conversion(source: str, target: str, name: str) -> bytes:
    graph = GraphBuilder()
    given, result = graph.input(SHAPE, source), graph.tensor(SHAPE, target)
    graph.operator(name.upper(), [given], [result], f"{name}Options", version=2)
    return graph.content(result)


def weighted(name: str, dtype: str, fused: int, constant: bool) -> bytes:
    graph = GraphBuilder()
    source, shape = graph.input(SHAPE, dtype), [4, 3, 3, 4] if name == "CONV_2D" else [1, 3, 3, 4]
    values, biases = np.ones(shape, dtype), np.ones(4, "float32" if dtype == "float32" else "int32")
    weights = graph.tensor(shape, dtype, data=values) if constant else graph.input(shape, dtype)
    bias, result = graph.tensor([4], biases.dtype.name, data=biases), graph.tensor(SHAPE, dtype)
    kind = "Conv2DOptions" if name == "CONV_2D" else "DepthwiseConv2DOptions"
    form = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": fused}
    form |= {} if name == "CONV_2D" else {"depthMultiplier": 1}
    graph.operator(name, [source, weights, bias], [result], kind, version=1 if dtype == "float32" else 3, **form)
    return graph.content(result)


def wrong(content: bytes) -> list[str]:
    """The operators of which the rules say another thing than the runtime; None where it cannot run the file."""
    taken = delegated(content)
    if taken is None:
        return []
    graph = read_tflite(content).main
    return [
        f"{operator.name} of {[graph.tensors[i].dtype for i in operator.inputs]}: {reason or 'is taken'}"
        for operator in graph.operators
        if ((reason := reason_against(operator, graph)) is None) != (operator.index in taken)
    ]


@pytest.mark.slow
def test_the_rules_predict_every_file_of_one_operator() -> None:
    contents = [content for content in files() if delegated(content) is not None]
    assert len(contents) > 500
    assert [line for content in contents for line in wrong(content)] == []


@pytest.mark.parametrize(
    "content",
    [conversion("uint8", "int8", "Quantize"), split("int8", 8), weighted("CONV_2D", "int8", 4, True),
     file_of("MUL", [(SHAPE, False)] * 2, SHAPE, "int8", 1e-5, 2, "MulOptions"),
     file_of("MAXIMUM", [(SHAPE, False)] * 2, SHAPE, "int8", 0.1, 2, "MaximumMinimumOptions"),
     file_of("SOFTMAX", [(SHAPE, False)], SHAPE, "float32", 0.1, 1, "SoftmaxOptions", beta=2.0)],
    ids=["conversion", "split", "activation", "scales", "dtype", "beta"],
)  # fmt: skip
def test_what_xnnpack_leaves_has_a_reason(content: bytes) -> None:
    graph = read_tflite(content).main
    assert delegated(content) == frozenset()
    assert reason_against(graph.operators[0], graph)


@pytest.mark.parametrize(
    ("left", "taken", "reason"),
    [(windowed("float32", 2, 3, 0), windowed("float32", 3, 3, 0), "window"),
     (windowed("int8", 2, 3, 0), windowed("int8", 2, 3, 1), "window"),
     (mixed_kinds("TRANSPOSE_CONV", "int8", "int8", 0, False),
      mixed_kinds("TRANSPOSE_CONV", "int8", "int8", 0, True), "scale beside"),
     (mixed_kinds("FULLY_CONNECTED", "uint8", "int8", 0, True),
      mixed_kinds("FULLY_CONNECTED", "uint8", "uint8", 0, True), "of its own dtype"),
     (mixed_kinds("FULLY_CONNECTED", "int8", "int8", 3, True),
      mixed_kinds("FULLY_CONNECTED", "uint8", "uint8", 3, True), "zero point"),
     (mixed_kinds("DEPTHWISE_CONV_2D", "float32", "int8", 0, True),
      mixed_kinds("CONV_2D", "float32", "int8", 0, True), "of its own dtype"),
     (sloped("int8", 100.0, 2.0), sloped("int8", 100.0, 1.0), "slopes"),
     (sloped("uint8", -100.0, 2.0), sloped("uint8", -100.0, 1.0), "slopes")],
    ids=["stride above window", "padding", "biases upscaling", "uint8 with int8", "zero point",
         "float depthwise", "steep", "steep downwards"],
)  # fmt: skip
def test_xnnpack_leaves_one_of_two_layers_that_look_alike(left: bytes, taken: bytes, reason: str) -> None:
    graphs = [read_tflite(content).main for content in (left, taken)]
    assert [delegated(content) for content in (left, taken)] == [frozenset(), frozenset({0})]
    assert reason in str(reason_against(graphs[0].operators[0], graphs[0]))
    assert reason_against(graphs[1].operators[0], graphs[1]) is None


def test_the_rules_predict_real_files(shared: Path) -> None:
    names = ("mlperf_ic_resnet8", "mlperf_vww_mobilenetv1_025", "mltk_kws_mobilenetv2", "tflm_tflite")
    paths = [path for name in names for path in sorted((shared / "models" / name).glob("*.tflite"))]
    assert [f"{path.name}: {line}" for path in paths for line in wrong(path.read_bytes())] == []


def test_every_rule_is_of_a_builtin_operator() -> None:
    from tfcompress.graphs.tflite.names import OPERATOR_CODES

    assert set(RULES) <= set(OPERATOR_CODES)
