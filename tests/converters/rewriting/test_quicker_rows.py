"""Rows for XNNPACK's speed alone: the same integers from operators that its kernels are quicker at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.litert.xnnpack import delegated
from tfcompress.converters.rewriting import PHONE_FILE, rewrite_graph, rows_for
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter, run

SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


def convolution(
    picture: Sequence[int], window: Sequence[int], stride: int = 1, padding: int = SAME, outputs: int = 8
) -> bytes:
    """A layer with a zero point, a scale an output and a ReLU6; `picture` is rows, columns and channels."""
    random = np.random.default_rng(0)
    graph = GraphBuilder()
    source = graph.input([1, *picture], scale=0.05)
    graph.graph.tensors[source].quantization.zeroPoint = [-7]
    scales = list(map(float, random.uniform(0.005, 0.02, outputs)))
    values = random.integers(-127, 128, (outputs, *window, picture[2])).astype(np.int8)
    weights = graph.tensor(values.shape, data=values, scale=scales)
    graph.graph.tensors[weights].quantization.quantizedDimension = 0
    bias = graph.tensor([outputs], "int32", data=random.integers(-900, 900, outputs).astype(np.int32))
    graph.graph.tensors[bias].quantization = schema.QuantizationParametersT()
    graph.graph.tensors[bias].quantization.scale = [0.05 * scale for scale in scales]
    graph.graph.tensors[bias].quantization.zeroPoint = [0] * outputs
    after = [
        -(-size // stride) if padding == SAME else (size - width) // stride + 1
        for size, width in zip(picture[:2], window, strict=True)
    ]
    result = graph.tensor([1, *after, outputs], scale=0.03)
    form = {"strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1, "padding": padding}
    form["fusedActivationFunction"] = schema.ActivationFunctionType.RELU6
    graph.operator("CONV_2D", [source, weights, bias], [result], "Conv2DOptions", version=3, **form)
    return graph.content(result)


def depthwise(picture: Sequence[int], stride: int = 1, padding: int = SAME, width: int = 3) -> bytes:
    """A depthwise layer with a zero point, a scale a channel and a ReLU."""
    random, channels = np.random.default_rng(0), picture[2]
    graph = GraphBuilder()
    source = graph.input([1, *picture], scale=0.05)
    graph.graph.tensors[source].quantization.zeroPoint = [-7]
    values = random.integers(-127, 128, (1, width, width, channels)).astype(np.int8)
    weights = graph.tensor(values.shape, data=values, scale=list(map(float, random.uniform(0.005, 0.02, channels))))
    graph.graph.tensors[weights].quantization.quantizedDimension = 3
    bias = graph.tensor([channels], "int32", data=random.integers(-900, 900, channels).astype(np.int32))
    scales = graph.graph.tensors[weights].quantization.scale
    graph.graph.tensors[bias].quantization = schema.QuantizationParametersT()
    graph.graph.tensors[bias].quantization.scale = [0.05 * scale for scale in scales]
    graph.graph.tensors[bias].quantization.zeroPoint = [0] * channels
    after = [-(-size // stride) if padding == SAME else (size - width) // stride + 1 for size in picture[:2]]
    result = graph.tensor([1, *after, channels], scale=0.03)
    form = {"strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1, "padding": padding}
    form |= {"depthMultiplier": 1, "fusedActivationFunction": schema.ActivationFunctionType.RELU}
    graph.operator("DEPTHWISE_CONV_2D", [source, weights, bias], [result], "DepthwiseConv2DOptions", version=3, **form)
    return graph.content(result)


def product(order: Sequence[int], shape: Sequence[int]) -> bytes:
    """A product whose second operand is transposed before."""
    graph = GraphBuilder()
    turned = [shape[axis] for axis in order]
    first, second = graph.input([1, 2, 5, turned[-2]], scale=0.04), graph.input(shape, scale=0.03)
    middle, result = graph.tensor(turned, scale=0.03), graph.tensor([1, 2, 5, turned[-1]], scale=0.2)
    graph.operator("TRANSPOSE", [second, graph.integers(list(order))], [middle], "TransposeOptions", version=2)
    graph.operator("BATCH_MATMUL", [first, middle], [result], "BatchMatMulOptions", version=2)
    return graph.content(result)


def rewritten(content: bytes) -> bytes:
    return rewrite_graph(content, rows_for(PHONE_FILE)).content


def names(content: bytes) -> list[str]:
    return [operator.name for operator in read_tflite(content).main.operators]


def answers(content: bytes) -> np.ndarray:
    interpreter, random = new_interpreter(content), np.random.default_rng(1)
    values = [random.integers(-128, 128, detail["shape"]).astype(np.int8) for detail in interpreter.get_input_details()]
    return run(interpreter, values)[0]


def assert_runs_over_blocks(content: bytes) -> None:
    after = rewritten(content)
    assert names(after) == ["RESHAPE", "CONV_2D", "RESHAPE"]
    assert delegated(after) == frozenset(range(3))
    assert np.array_equal(answers(after), answers(content))


@pytest.mark.parametrize(
    "content",
    [
        convolution([1, 64, 1], [1, 4]),
        convolution([1, 64, 1], [1, 5], padding=VALID, outputs=4),
        convolution([12, 32, 1], [3, 3], stride=2),
        convolution([16, 24, 1], [7, 5], stride=2),
        convolution([16, 32, 3], [4, 4], stride=4, padding=VALID),
        convolution([8, 16, 2], [2, 2], stride=2),
        convolution([12, 32, 3], [3, 3]),
        convolution([12, 32, 3], [3, 3], stride=2),
    ],
    ids=["series", "valid series", "stride 2", "wide", "patches", "two channels", "colours", "colours, stride 2"],
)
def test_a_convolution_of_few_channels_keeps_its_integers(content: bytes) -> None:
    assert_runs_over_blocks(content)


@pytest.mark.parametrize(
    "content",
    [
        convolution([12, 32, 16], [3, 3]),
        convolution([12, 31, 1], [3, 3], stride=2),
        convolution([12, 32, 3], [3, 3], outputs=24),
    ],
    ids=["many channels", "columns that make no blocks", "nothing saved"],
)
def test_where_blocks_save_nothing_a_convolution_stays(content: bytes) -> None:
    assert rewritten(content) == content


@pytest.mark.parametrize(
    "content",
    [depthwise([9, 12, 8]), depthwise([9, 12, 5]), depthwise([7, 16, 4], padding=VALID, width=5), depthwise([6, 8, 2])],
    ids=["8 channels", "5 channels", "valid", "2 channels"],
)
def test_a_depthwise_convolution_of_few_channels_keeps_its_integers(content: bytes) -> None:
    assert_runs_over_blocks(content)


@pytest.mark.parametrize(
    "content",
    [depthwise([9, 12, 16]), depthwise([9, 13, 8]), depthwise([9, 12, 8], stride=2)],
    ids=["many channels", "columns that make no blocks", "stride 2"],
)
def test_other_depthwise_convolutions_stay(content: bytes) -> None:
    assert rewritten(content) == content


@pytest.mark.parametrize(
    ("order", "shape", "after"),
    [
        ((0, 1, 3, 2), (1, 2, 3, 6), ["BATCH_MATMUL"]),
        ((0, 2, 1, 3), (1, 6, 2, 3), ["TRANSPOSE", "BATCH_MATMUL"]),
        ((0, 2, 3, 1), (1, 3, 2, 6), ["TRANSPOSE", "BATCH_MATMUL"]),
    ],
)
def test_a_product_reads_rows_as_columns_and_keeps_its_integers(
    order: Sequence[int], shape: Sequence[int], after: list[str]
) -> None:
    before = product(order, shape)
    changed = rewritten(before)
    assert names(changed) == after
    assert read_tflite(changed).main.operators[-1].options.AdjY()
    assert np.array_equal(answers(changed), answers(before))
