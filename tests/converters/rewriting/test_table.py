"""The table of rewrites: a new one is one row, and none is kept that does not pass its proof on the model at hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.rewriting import FLOAT_FILE, INT8_FILE, REWRITES, Rewrite, rewrite_graph, rows_for
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.graphs.tflite.proof import TOLERANCE, largest_difference

SHAPE = [1, 4, 4, 3]


def names(content: bytes) -> list[str]:
    return [operator.name for operator in read_tflite(content).main.operators]


def chain(*operators: str) -> bytes:
    """Operators of one operand, one after the other."""
    graph = GraphBuilder()
    tensor = graph.input(SHAPE, "float32")
    for name in operators:
        result = graph.tensor(SHAPE, "float32")
        graph.operator(name, [tensor], [result])
        tensor = result
    return graph.content(tensor)


def doubled_square_root(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """RELU(x) as RELU(RELU(x)): a toy."""
    inner = graph.like(operator.result, "inner")
    return [graph.operator("RELU", [operator.source], [inner]), graph.operator("RELU", [inner], [operator.result])]


TOY = Rewrite(
    "toy", ("RELU",), "safe", doubled_square_root, "ReLU twice", "relu(relu(x)) = relu(x)", frozenset({FLOAT_FILE})
)


def test_a_toy_rewrite_is_one_row() -> None:
    before = chain("TANH", "RELU")
    result = rewrite_graph(before, [TOY])
    assert names(result.content) == ["TANH", "RELU", "RELU"]
    assert [(row.name, row.operators, row.max_abs_error) for row in result.applied] == [("toy", 1, 0.0)]
    assert result.notes() == ("rewrote 1: ReLU twice (float difference 0)",)


def test_a_rewrite_that_changes_the_function_is_left_out_and_says_why() -> None:
    def negated(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode]:
        return [graph.operator("RELU6", [operator.source], [operator.result])]

    graph = GraphBuilder()
    source, doubled, result = (graph.input(SHAPE, "float32"), *(graph.tensor(SHAPE, "float32") for _ in range(2)))
    ten = graph.tensor([], "float32", data=np.array(10, np.float32))
    graph.operator("MUL", [source, ten], [doubled], "MulOptions")
    graph.operator("RELU", [doubled], [result])
    before = graph.content(result)
    wrong = rewrite_graph(before, [replace(TOY, apply=negated, what="ReLU6 for ReLU")])
    assert wrong.content == before
    assert wrong.applied == ()
    assert "left out 1: ReLU6 for ReLU: outputs differ by" in wrong.notes()[0]
    assert "in float64" in wrong.notes()[0]
    asked_for = rewrite_graph(before, [replace(TOY, apply=negated, level="all")])
    assert asked_for.applied[0].max_abs_error > TOLERANCE


def test_a_difference_of_rounding_alone_is_told_by_float64() -> None:
    """(x + 1e6) - 1e6 keeps two digits of x in float32; a rewrite of a part of it may round differently."""

    def reordered(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
        large = operator.constant(1)
        if large is None or large.size != 1:
            return None
        half = graph.new_constant(large / 2 + np.float32(0.03125), operator.result, "half")
        rest = graph.new_constant(large / 2 - np.float32(0.03125), operator.result, "rest")
        inner = graph.like(operator.result, "inner")
        return [graph.plus(operator.source, half, inner), graph.plus(inner, rest, operator.result)]

    graph = GraphBuilder()
    source, sum_, result = (graph.input(SHAPE, "float32"), *(graph.tensor(SHAPE, "float32") for _ in range(2)))
    large = graph.tensor([], "float32", data=np.array(1e6, np.float32))
    graph.operator("ADD", [source, large], [sum_], "AddOptions")
    graph.operator("SUB", [sum_, large], [result], "SubOptions")
    before = graph.content(result)
    row = Rewrite("toy", ("ADD",), "safe", reordered, "an addition in two", "associativity", frozenset({FLOAT_FILE}))
    done = rewrite_graph(before, [row])
    assert largest_difference(before, done.content) > TOLERANCE
    assert [(item.arithmetic, item.max_abs_error <= TOLERANCE) for item in done.applied] == [("float64", True)]


def test_a_rewrite_of_a_file_that_cannot_be_run_here_is_proven_in_float64() -> None:
    graph = GraphBuilder()
    source, odd, result = (graph.input(SHAPE, "float32"), *(graph.tensor(SHAPE, "float32") for _ in range(2)))
    graph.operator("FlexOdd", [source], [odd])
    graph.operator("RELU", [odd], [result])
    done = rewrite_graph(graph.content(result), [TOY])
    assert names(done.content) == ["FlexOdd", "RELU", "RELU"]
    assert done.applied[0].arithmetic == "float64"


def test_real_samples_show_what_random_inputs_do_not() -> None:
    def clipped(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode]:
        return [graph.operator("RELU6", [operator.source], [operator.result])]

    row, before = replace(TOY, apply=clipped), chain("RELU")
    large = np.full(SHAPE, 7, np.float32)
    assert rewrite_graph(before, [row]).applied, "normal values hardly exceed 6"
    assert rewrite_graph(before, [row], samples=[[large]]).dropped


def test_operators_that_the_user_keeps_are_not_rewritten() -> None:
    before = chain("RELU")
    assert rewrite_graph(before, [TOY], except_for=["t1"]).content == before


@pytest.mark.parametrize("row", REWRITES, ids=lambda row: f"{row.name} for {min(row.uses)}")
def test_every_row_says_what_it_does_and_where_that_is_from(row: Any) -> None:
    assert row.what
    assert row.source
    assert row.apply.__doc__
    assert row.stage == "integer" or row.steps == 0


def pooled() -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor([1, 1, 1, 3], "float32")
    form = {"filterHeight": 4, "filterWidth": 4, "strideH": 4, "strideW": 4, "padding": 1}
    graph.operator("AVERAGE_POOL_2D", [source], [result], "Pool2DOptions", **form)
    return graph.content(result)


def flattened() -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor([1, 48], "float32")
    graph.operator("RESHAPE", [source, graph.integers([1, 48])], [result], "ReshapeOptions")
    return graph.content(result)


def split() -> bytes:
    graph = GraphBuilder()
    source = graph.input(SHAPE, "float32")
    parts = [graph.tensor([1, 2, 4, 3], "float32") for _ in range(2)]
    graph.operator("SPLIT", [graph.integers(1), source], parts, "SplitOptions", numSplits=2)
    return graph.content(parts[1])


def constant() -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor(SHAPE, "float32")
    zeros, halves = graph.tensor(SHAPE, "float32", data=np.zeros(SHAPE, np.float32)), graph.tensor(SHAPE, "float32")
    graph.operator("LOGISTIC", [zeros], [halves])
    graph.operator("ADD", [source, halves], [result], "AddOptions")
    return graph.content(result)


def upsampled(*, twice: bool = False) -> bytes:
    """As Keras 3 writes UpSampling2D((2, 3)), and (2, 1) after it where it is done twice."""
    graph = GraphBuilder()
    tensor = graph.input(SHAPE, "float32")
    again: list[tuple[list[int], list[int] | None]] = [
        ([1, 8, 1, 12, 3], None),
        ([1, 8, 2, 12, 3], [1, 1, 2, 1, 1]),
        ([1, 16, 12, 1, 3], None),
        ([1, 16, 12, 1, 3], [1, 1, 1, 1, 1]),
        ([1, 16, 12, 3], None),
    ]
    steps: list[tuple[list[int], list[int] | None]] = [
        ([1, 4, 1, 4, 3], None),
        ([1, 4, 2, 4, 3], [1, 1, 2, 1, 1]),
        ([1, 8, 4, 1, 3], None),
        ([1, 8, 4, 3, 3], [1, 1, 1, 3, 1]),
        ([1, 8, 12, 3], None),
    ]
    for shape, times in [*steps[:-1], *again] if twice else steps:
        result = graph.tensor(shape, "float32")
        if times is None:
            graph.operator("RESHAPE", [tensor, graph.integers(shape)], [result], "ReshapeOptions")
        else:
            graph.operator("TILE", [tensor, graph.integers(times)], [result], "TileOptions")
        tensor = result
    return graph.content(tensor)


def broadcast(*, swapped: bool = False) -> bytes:
    """Repeated by broadcasting in six dimensions; swapped, the whole image is repeated instead of its pixels."""
    graph = GraphBuilder()
    source = graph.input(SHAPE, "float32")
    narrow, wide = ([1, 1, 4, 1, 4, 3], [1, 2, 4, 2, 4, 3]) if swapped else ([1, 4, 1, 4, 1, 3], [1, 4, 2, 4, 2, 3])
    first, second, result = (graph.tensor(shape, "float32") for shape in (narrow, wide, [1, 8, 8, 3]))
    graph.operator("RESHAPE", [source, graph.integers(narrow)], [first], "ReshapeOptions")
    graph.operator("BROADCAST_TO", [first, graph.integers(wide)], [second], "BroadcastToOptions", version=2)
    graph.operator("RESHAPE", [second, graph.integers([1, 8, 8, 3])], [result], "ReshapeOptions")
    return graph.content(result)


def maximum(slope: float = 0.1) -> bytes:
    graph = GraphBuilder()
    source, scaled, result = (graph.input(SHAPE, "float32"), *(graph.tensor(SHAPE, "float32") for _ in range(2)))
    alpha = graph.tensor([], "float32", data=np.array(slope, np.float32))
    graph.operator("MUL", [alpha, source], [scaled], "MulOptions")
    graph.operator("MAXIMUM", [scaled, source], [result], "MaximumMinimumOptions")
    return graph.content(result)


def padded(sides: tuple[int, int] = (0, 1), name: str = "CONV_2D") -> bytes:
    """A 3x3 convolution of stride 2 on a 4x4 map with rows and columns of zeros around it."""
    graph = GraphBuilder()
    size = 4 + sum(sides)
    source, wide = graph.input(SHAPE, "float32"), graph.tensor([1, size, size, 3], "float32")
    paddings = graph.integers([[0, 0], list(sides), list(sides), [0, 0]])
    graph.operator("PAD", [source, paddings], [wide], "PadOptions")
    shape = [3, 3, 3, 3] if name == "CONV_2D" else [1, 3, 3, 3]
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    weights, bias = graph.tensor(shape, "float32", data=values), graph.tensor([3], "float32", data=values.ravel()[:3])
    after = (size - 3) // 2 + 1
    result = graph.tensor([1, after, after, 3], "float32")
    form = {"padding": 1, "strideH": 2, "strideW": 2, "dilationHFactor": 1, "dilationWFactor": 1}
    form |= {} if name == "CONV_2D" else {"depthMultiplier": 1}
    kind = "Conv2DOptions" if name == "CONV_2D" else "DepthwiseConv2DOptions"
    graph.operator(name, [wide, weights, bias], [result], kind, **form)
    return graph.content(result)


def grouped(per_channel: int = 2, dilation: int = 1) -> bytes:
    """A convolution with a group for each of three channels, as Keras 3 writes DepthwiseConv2D and groups=3."""
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor([1, 2, 2, 3 * per_channel], "float32")
    values = np.random.default_rng(0).normal(size=(3 * per_channel, 3, 3, 1)).astype(np.float32)
    weights = graph.tensor(values.shape, "float32", data=values)
    bias = graph.tensor([3 * per_channel], "float32", data=values[:, 0, 0, 0])
    form = {"strideH": 2, "strideW": 2, "fusedActivationFunction": 3}
    form |= {"dilationHFactor": dilation, "dilationWFactor": dilation}
    graph.operator("CONV_2D", [source, weights, bias], [result], "Conv2DOptions", **form)
    return graph.content(result)


def running_sum(axis: int = -1, *, exclusive: bool = False, reverse: bool = False) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor(SHAPE, "float32")
    how = {"exclusive": exclusive, "reverse": reverse}
    graph.operator("CUMSUM", [source, graph.integers(axis)], [result], "CumsumOptions", **how)
    return graph.content(result)


def reversal() -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 2, 4, 3], "float32"), graph.tensor([1, 2, 4, 3], "float32")
    graph.operator("REVERSE_V2", [source, graph.integers([1])], [result], "ReverseV2Options")
    return graph.content(result)


def shares_of_logarithms(axis: int = 3) -> bytes:
    """exp(x - (log(sum(exp(x - 3))) + 3)) along an axis."""
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor(SHAPE, "float32")
    less, powers, difference = (graph.tensor(SHAPE, "float32") for _ in range(3))
    reduced = [1 if place == axis else size for place, size in enumerate(SHAPE)]
    total, logarithm, sum_ = (graph.tensor(reduced, "float32") for _ in range(3))
    shift = graph.tensor([], "float32", data=np.array(3, np.float32))
    graph.operator("SUB", [source, shift], [less], "SubOptions")
    graph.operator("EXP", [less], [powers])
    graph.operator("SUM", [powers, graph.integers([axis])], [total], "ReducerOptions", keepDims=True)
    graph.operator("LOG", [total], [logarithm])
    graph.operator("ADD", [logarithm, shift], [sum_], "AddOptions")
    graph.operator("SUB", [source, sum_], [difference], "SubOptions")
    graph.operator("EXP", [difference], [result])
    return graph.content(result)


EXAMPLES: dict[str, tuple[Any, list[str]]] = {
    "constants": (constant, ["ADD"]),
    "slices": (split, ["SLICE"]),
    "reverse": (reversal, ["RESHAPE", "STRIDED_SLICE", "STRIDED_SLICE", "CONCATENATION", "RESHAPE"]),
    "whole_map_mean": (pooled, ["MEAN"]),
    "same_padding": (padded, ["CONV_2D"]),
    "depthwise": (grouped, ["DEPTHWISE_CONV_2D"]),
    "nearest_resize": (upsampled, ["RESIZE_NEAREST_NEIGHBOR"]),
    "two_slopes": (maximum, ["LEAKY_RELU"]),
    "own_range": (lambda: maximum(-0.1), ["MUL", "MUL", "MAXIMUM"]),
    "softmax_of_logarithms": (shares_of_logarithms, ["SOFTMAX"]),
    "open_batch": (flattened, ["RESHAPE"]),
    "negation": (lambda: chain("NEG"), ["MUL"]),
    "square": (lambda: chain("SQUARE"), ["MUL"]),
    "cumulative_sum": (running_sum, ["FULLY_CONNECTED"]),
}


def test_every_row_for_float_files_has_an_example_here() -> None:
    assert list(EXAMPLES) == [row.name for row in rows_for(FLOAT_FILE)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rewrite_of_every_float_file_is_proven(name: str) -> None:
    make, after = EXAMPLES[name]
    before = make()
    result = rewrite_graph(before, rows_for(FLOAT_FILE))
    rows = [row.name for row in result.applied]
    assert rows[0] == name
    assert set(rows) <= {name, "open_batch"}  # which sees to the reshapes that other rows write
    assert names(result.content) == after
    assert result.applied[0].max_abs_error <= TOLERANCE
    assert largest_difference(before, result.content, seed=1) <= TOLERANCE


def test_shares_of_logarithms_along_other_axes_or_of_other_sums_stay() -> None:
    before = shares_of_logarithms(axis=2)
    assert rewrite_graph(before, rows_for(FLOAT_FILE)).content == before
    assert names(rewrite_graph(chain("LOG_SOFTMAX", "EXP"), rows_for(FLOAT_FILE)).content) == ["SOFTMAX"]
    assert names(rewrite_graph(chain("LOG", "EXP"), rows_for(FLOAT_FILE)).content) == ["LOG", "EXP"]


@pytest.mark.parametrize("how", [(1, 1), (3, 1)])
def test_a_convolution_with_a_group_for_each_channel_is_depthwise(how: tuple[int, int]) -> None:
    before = grouped(*how)
    result = rewrite_graph(before, rows_for(FLOAT_FILE))
    assert names(result.content) == ["DEPTHWISE_CONV_2D"]
    assert largest_difference(before, result.content, seed=1) <= TOLERANCE


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
def test_a_running_sum_is_a_product_in_either_direction(exclusive: bool, reverse: bool) -> None:
    before = running_sum(3, exclusive=exclusive, reverse=reverse)
    result = rewrite_graph(before, rows_for(FLOAT_FILE))
    assert names(result.content) == ["FULLY_CONNECTED"]
    assert largest_difference(before, result.content, seed=1) <= TOLERANCE


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_running_sum_along_another_axis_is_a_product_too(axis: int) -> None:
    before = running_sum(axis)
    after = rewrite_graph(before, rows_for(FLOAT_FILE)).content
    assert "CUMSUM" not in names(after)
    assert largest_difference(before, after, seed=1) <= TOLERANCE


def test_a_depthwise_convolution_pads_by_itself_too() -> None:
    done = rewrite_graph(padded(name="DEPTHWISE_CONV_2D"), rows_for(FLOAT_FILE))
    assert names(done.content) == ["DEPTHWISE_CONV_2D"]


@pytest.mark.parametrize("sides", [(1, 0), (1, 1), (2, 2)])
def test_padding_by_more_or_elsewhere_than_same_does_stays(sides: tuple[int, int]) -> None:
    assert names(rewrite_graph(padded(sides), rows_for(FLOAT_FILE)).content) == ["PAD", "CONV_2D"]


def test_pixels_that_are_repeated_by_broadcasting_are_resized_too() -> None:
    assert names(rewrite_graph(broadcast(), rows_for(FLOAT_FILE)).content) == ["RESIZE_NEAREST_NEIGHBOR"]


def test_two_upsamplings_in_a_row_are_one_resize() -> None:
    assert names(rewrite_graph(upsampled(twice=True), rows_for(FLOAT_FILE)).content) == ["RESIZE_NEAREST_NEIGHBOR"]


def test_an_image_that_is_repeated_whole_is_no_resize() -> None:
    before = broadcast(swapped=True)
    assert names(rewrite_graph(before, rows_for(FLOAT_FILE)).content) == names(before)


@pytest.mark.parametrize("slope", [1.5, -0.1, 1.0])
def test_a_maximum_with_another_slope_is_no_leaky_relu(slope: float) -> None:
    assert names(rewrite_graph(maximum(slope), rows_for(FLOAT_FILE)).content) == ["MUL", "MUL", "MAXIMUM"]


def test_a_rewritten_file_that_cannot_be_run_is_left_out() -> None:
    def broken(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode]:
        return [graph.multiply(operator.source, graph.new_constant(1, operator.source, "one"), operator.result)]

    before = chain("RELU")
    row = replace(TOY, operators=("RELU",), apply=broken)
    result = rewrite_graph(before, [row])
    assert result.content == before
    assert result.dropped[0].reason == "LiteRT can run the file before it, and not after it"


def between_conversions(name: str) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 256], scale=0.03), graph.tensor([1, 256], scale=0.05)
    real, changed = (graph.tensor([1, 256], "float32") for _ in range(2))
    graph.operator("DEQUANTIZE", [source], [real], "DequantizeOptions", version=2)
    graph.operator(name, [real], [changed])
    graph.operator("QUANTIZE", [changed], [result], "QuantizeOptions")
    return graph.content(result)


@pytest.mark.parametrize("name", ["ELU", "EXP", "ABS"])
def test_a_function_between_conversions_is_one_int8_operator(name: str) -> None:
    result = rewrite_graph(between_conversions(name), rows_for(INT8_FILE))
    assert names(result.content) == [name]
    assert result.applied[0].max_abs_error <= 1


def numbers(dtype: str, scale: float, zero_point: int = 0) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 256], dtype), graph.tensor([1, 256], scale=scale)
    graph.graph.tensors[source].quantization = None  # the numbers stand for themselves
    graph.graph.tensors[result].quantization.zeroPoint = [zero_point]
    real = graph.tensor([1, 256], "float32")
    graph.operator("CAST", [source], [real], "CastOptions")
    graph.operator("QUANTIZE", [real], [result], "QuantizeOptions")
    return graph.content(result)


@pytest.mark.parametrize(
    ("dtype", "operators"), [("int32", ["MAXIMUM", "MINIMUM", "CAST", "QUANTIZE"]), ("bool", ["CAST", "QUANTIZE"])]
)
def test_whole_numbers_and_truth_values_become_8_bits_without_float(dtype: str, operators: list[str]) -> None:
    before = numbers(dtype, 0.05)
    result = rewrite_graph(before, rows_for(INT8_FILE))
    assert names(result.content) == operators
    graph = read_tflite(result.content).main
    used = {index for operator in graph.operators for index in (*operator.inputs, *operator.outputs)}
    assert "float32" not in {graph.tensors[index].dtype for index in used}
    far = (np.linspace(-2000, 2000, 256).round() * (np.arange(256) % 2)).astype(dtype)[None]
    (truth,), (value,) = (run(new_interpreter(content), [far]) for content in (before, result.content))
    assert len(np.unique(truth)) > 1
    np.testing.assert_array_equal(value, truth)


def test_numbers_beyond_8_bits_stay_floats() -> None:
    before = numbers("int32", 2.0)
    assert names(rewrite_graph(before, rows_for(INT8_FILE)).content) == ["CAST", "QUANTIZE"]


@pytest.mark.parametrize(
    ("dtype", "operators"), [("uint8", ["QUANTIZE"]), ("int32", ["MAXIMUM", "MINIMUM", "CAST", "QUANTIZE"])]
)
def test_pixels_as_they_are_stored_are_quantized_without_float(dtype: str, operators: list[str]) -> None:
    before = numbers(dtype, 1.0, zero_point=-128)
    result = rewrite_graph(before, rows_for(INT8_FILE))
    assert names(result.content) == operators
    pixels = np.arange(256).astype(dtype)[None]
    (truth,), (value,) = (run(new_interpreter(content), [pixels]) for content in (before, result.content))
    assert len(np.unique(truth)) == 256
    np.testing.assert_array_equal(value, truth)


def test_an_int8_form_that_is_more_than_its_steps_off_is_left_out() -> None:
    def other(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode]:
        return [graph.operator("TANH", operator.inputs, operator.outputs)]

    graph = GraphBuilder()
    source, result = graph.input([1, 256], scale=1 / 128), graph.tensor([1, 256], scale=1 / 128)
    graph.operator("RELU", [source], [result], version=2)
    row = replace(TOY, apply=other, stage="integer", steps=1)
    done = rewrite_graph(graph.content(result), [row])
    assert done.applied == ()
    assert "steps off" in done.dropped[0].reason
