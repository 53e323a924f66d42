"""Rows for the int8 file that XNNPACK runs: taken where they were not, and as close to the function as before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.litert.xnnpack import delegated, reason_for_slowness
from tfcompress.converters.rewriting import PHONE_FILE, rewrite_graph, rows_for
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode
from tfcompress.graphs.tflite.interpreter import new_interpreter, run

ALL = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)
ROWS = tuple(row for row in rows_for(PHONE_FILE) if not row.by_time)  # for those see test_quicker_rows
LOST_DB = 0.7  # of the signal-to-noise ratio over all 256 values, where each counts the same


def hard_swish(scale: float = 0.05, zero: int = 0, result: float = 0.03, result_zero: int = -115) -> bytes:
    graph = GraphBuilder()
    source, given = graph.input([1, 16, 16, 1], scale=scale), graph.tensor([1, 16, 16, 1], scale=result)
    graph.graph.tensors[source].quantization.zeroPoint = [zero]
    graph.graph.tensors[given].quantization.zeroPoint = [result_zero]
    graph.operator("HARD_SWISH", [source], [given])
    return graph.content(given)


def pooled(padding: int = 1, size: int = 2, stride: int = 2, side: int = 16) -> bytes:
    graph = GraphBuilder()
    source = graph.input([1, side, side, 4], scale=0.05)
    after = (side - size) // stride + 1 if padding else -(-side // stride)
    result = graph.tensor([1, after, after, 4], scale=0.05)
    form = {"filterHeight": size, "filterWidth": size, "strideH": stride, "strideW": stride, "padding": padding}
    graph.operator("AVERAGE_POOL_2D", [source], [result], "Pool2DOptions", version=2, **form)
    return graph.content(result)


def behind_a_layer() -> bytes:
    """hard_swish of a 1x1 convolution's result."""
    graph = GraphBuilder()
    source = graph.input([1, 16, 16, 1], scale=0.05)
    values = np.array([50, -90, 127, -3], np.int8).reshape(4, 1, 1, 1)
    weights = graph.tensor([4, 1, 1, 1], data=values, scale=[0.01, 0.02, 0.015, 0.03])
    graph.graph.tensors[weights].quantization.quantizedDimension = 0
    bias = graph.tensor([4], "int32", data=np.array([100, -200, 0, 7], np.int32))
    graph.graph.tensors[bias].quantization = schema.QuantizationParametersT()
    graph.graph.tensors[bias].quantization.scale = [0.0005, 0.001, 0.00075, 0.0015]
    graph.graph.tensors[bias].quantization.zeroPoint = [0] * 4
    middle, result = (graph.tensor([1, 16, 16, 4], scale=scale) for scale in (0.08, 0.06))
    form = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    graph.operator("CONV_2D", [source, weights, bias], [middle], "Conv2DOptions", version=3, **form)
    graph.operator("HARD_SWISH", [middle], [result])
    return graph.content(result)


def clamped(name: str = "RELU", scale: float = 0.05, zero: int = -128) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 16, 16, 1], scale=0.06), graph.tensor([1, 16, 16, 1], scale=scale)
    graph.graph.tensors[result].quantization.zeroPoint = [zero]
    graph.operator(name, [source], [result], version=2)
    return graph.content(result)


def sloped(slope: float = 0.5, result_zero: int = -60) -> bytes:
    """PReLU with slopes of 4 channels, at most `slope`."""
    graph = GraphBuilder()
    source, result = graph.input([1, 8, 8, 4], scale=0.06), graph.tensor([1, 8, 8, 4], scale=0.05)
    graph.graph.tensors[source].quantization.zeroPoint = [-20]
    graph.graph.tensors[result].quantization.zeroPoint = [result_zero]
    factors = graph.tensor([4], data=np.array([127, 40, -90, 0], np.int8), scale=slope / 127)
    graph.operator("PRELU", [source, factors], [result])
    return graph.content(result)


def part_of(sizes: tuple[int, ...] = (-1, 3, -1)) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([2, 8, 4]), graph.tensor([2, 3, 4])
    places = [source, graph.integers([0, 2, 0]), graph.integers(list(sizes))]
    graph.operator("SLICE", places, [result], "SliceOptions", version=2)
    return graph.content(result)


def squared() -> bytes:
    graph = GraphBuilder()
    first, second = graph.input([1, 16, 16, 1], scale=0.02), graph.input([1, 16, 16, 1], scale=0.03)
    result = graph.tensor([1, 16, 16, 1], scale=0.1)
    graph.graph.tensors[result].quantization.zeroPoint = [-128]
    graph.operator("SQUARED_DIFFERENCE", [first, second], [result], version=2)
    return graph.content(result)


def nearly_nothing(name: str = "ADD", small: float = 1e-6, *, first: bool = False, constant: bool = False) -> bytes:
    """A sum with an operand of the scale `small`; the other's and the result's are 0.06 and 0.05."""
    graph = GraphBuilder()
    shape = [1, 16, 16, 1]
    source, result = graph.input(shape, scale=0.06), graph.tensor(shape, scale=0.05)
    other = graph.weights([], scale=small) if constant else graph.input(shape, scale=small)
    operands = [other, source] if first else [source, other]
    graph.operator(name, operands, [result], f"{name.title()}Options", version=2)
    return graph.content(result)


def wide(rows: int = 7, columns: int = 7, dtype: str = "int8") -> bytes:
    """A depthwise convolution of four channels, quantized as the converters do."""
    graph = GraphBuilder()
    source, result = graph.input([1, 12, 12, 4], dtype, scale=0.05), graph.tensor([1, 12, 12, 4], dtype, scale=0.1)
    values = np.random.default_rng(0).integers(-127, 128, (1, rows, columns, 4)).astype(dtype)
    scales = [0.01, 0.02, 0.005, 0.03]
    weights = graph.tensor(values.shape, dtype, data=values, scale=scales)
    kind = "int32" if dtype == "int8" else dtype
    bias = graph.tensor([4], kind, data=np.array([100, -200, 0, 7], kind))
    if dtype == "int8":
        graph.graph.tensors[weights].quantization.quantizedDimension = 3
        graph.graph.tensors[bias].quantization = schema.QuantizationParametersT()
        graph.graph.tensors[bias].quantization.scale = [0.05 * scale for scale in scales]
        graph.graph.tensors[bias].quantization.zeroPoint = [0] * 4
    form = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1, "depthMultiplier": 1}
    graph.operator("DEPTHWISE_CONV_2D", [source, weights, bias], [result], "DepthwiseConv2DOptions", version=3, **form)
    return graph.content(result)


EXAMPLES: dict[str, tuple[Any, list[str]]] = {
    "hard_swish": (hard_swish, ["ADD", "MUL", "MUL"]),
    "average_pool": (pooled, ["DEPTHWISE_CONV_2D"]),
    "clamp": (clamped, ["QUANTIZE"]),
    "open_slice": (part_of, ["STRIDED_SLICE"]),
    "prelu": (sloped, ["QUANTIZE", "QUANTIZE", "MUL", "ADD"]),
    "squared_difference": (squared, ["SUB", "MUL"]),
    "unseen_addend": (nearly_nothing, ["QUANTIZE"]),
}


def names(content: bytes) -> list[str]:
    return [operator.name for operator in read_tflite(content).main.operators]


def test_slopes_next_to_zero_are_none() -> None:
    before = sloped(result_zero=-128, slope=1e-9)
    assert names(rewrite_graph(before, ROWS).content) == ["QUANTIZE"]


def test_a_slice_of_given_sizes_stays() -> None:
    before = part_of((2, 3, 4))
    assert rewrite_graph(before, ROWS).content == before


def test_every_row_for_phones_has_an_example_here() -> None:
    others = ["wide_depthwise", "few_channels", "few_depthwise", "turned_operand"]
    assert [*EXAMPLES, *others] == [row.name for row in rows_for(PHONE_FILE)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_xnnpack_left_is_all_taken(name: str) -> None:
    make, after = EXAMPLES[name]
    before = make()
    done = rewrite_graph(before, ROWS)
    assert names(done.content) == after
    assert delegated(before) == frozenset()
    assert delegated(done.content) == frozenset(range(len(after)))
    assert done.applied[0].max_abs_error <= next(row.steps for row in rows_for(PHONE_FILE) if row.name == name)


def noise(content: bytes, scale: float, zero: int, result: float, result_zero: int) -> float:
    """Mean squared error over all inputs, against the function in float64, clipped to what the result can hold."""
    x = scale * (ALL.astype(np.float64) - zero)
    truth = x * np.clip(x + 3, 0, 6) / 6
    truth = np.clip(truth, result * (-128 - result_zero), result * (127 - result_zero))
    value = run(new_interpreter(content), [ALL])[0].astype(np.float64)
    return float(np.mean((result * (value - result_zero) - truth) ** 2))


@pytest.mark.parametrize(
    "grid", [(0.05, 0, 0.03, -115), (0.1, 20, 0.05, -120), (0.02, -60, 0.016, -104), (0.3, 0, 0.15, -125)]
)
def test_hard_swish_is_as_close_to_the_function_as_litert_s_own_kernel(grid: tuple[float, int, float, int]) -> None:
    before = hard_swish(*grid)
    after = rewrite_graph(before, ROWS).content
    assert after != before
    lost = 10 * np.log10(noise(after, *grid) / noise(before, *grid))
    assert lost <= LOST_DB


def test_a_gate_of_another_height_is_found_out_by_the_proof() -> None:
    row = next(row for row in rows_for(PHONE_FILE) if row.name == "hard_swish")

    def lower(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
        operators = row.apply(graph, operator)
        assert operators is not None
        operators[0].result.quantize(5.5 / 255, -128)
        return operators

    done = rewrite_graph(hard_swish(), [replace(row, apply=lower)])
    assert done.applied == ()
    assert "steps off" in done.dropped[0].reason


def test_a_float_hard_swish_stays() -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 4], "float32"), graph.tensor([1, 4], "float32")
    graph.operator("HARD_SWISH", [source], [result])
    before = graph.content(result)
    assert rewrite_graph(before, ROWS).content == before


def test_a_padded_pooling_whose_windows_all_lie_on_the_map_is_one_too() -> None:
    assert names(rewrite_graph(pooled(padding=0), ROWS).content) == ["DEPTHWISE_CONV_2D"]


@pytest.mark.parametrize("how", [(0, 3, 1, 16), (0, 2, 2, 15)])
def test_a_pooling_that_reaches_beyond_the_map_stays(how: tuple[int, int, int, int]) -> None:
    before = pooled(*how)
    assert rewrite_graph(before, ROWS).content == before


def test_a_layer_before_hard_swish_takes_its_factor_and_keeps_its_integers() -> None:
    before = behind_a_layer()
    done = rewrite_graph(before, ROWS)
    assert names(done.content) == ["CONV_2D", "ADD", "MUL"]
    assert delegated(done.content) == frozenset(range(3))
    assert done.applied[0].max_abs_error <= 2
    first, second = (run(new_interpreter(content), [ALL])[0].astype(int) for content in (before, done.content))
    assert np.abs(first - second).max() <= 2
    assert np.ptp(first) > 100


@pytest.mark.parametrize("how", [{"name": "SUB"}, {"first": True}, {"constant": True}])
def test_an_operand_that_is_never_seen_is_left_out_wherever_it_stands(how: dict[str, Any]) -> None:
    done = rewrite_graph(nearly_nothing(**how), rows_for(PHONE_FILE))
    assert names(done.content) == ["QUANTIZE"]
    assert delegated(done.content) == frozenset({0})


@pytest.mark.parametrize("how", [{"small": 1e-4}, {"name": "SUB", "first": True}])
def test_an_operand_that_is_seen_or_negates_the_other_stays(how: dict[str, Any]) -> None:
    before = nearly_nothing(**how)
    assert rewrite_graph(before, ROWS).content == before


def test_a_difference_of_scales_too_far_apart_for_xnnpack_stays_squared() -> None:
    graph = GraphBuilder()
    first, second = graph.input([1, 16, 16, 1], scale=2.0), graph.input([1, 16, 16, 1], scale=2.0)
    result = graph.tensor([1, 16, 16, 1], scale=1e-6)
    graph.operator("SQUARED_DIFFERENCE", [first, second], [result], version=2)
    before = graph.content(result)
    assert rewrite_graph(before, ROWS).content == before


def test_a_wide_depthwise_window_is_left_to_litert_and_computes_the_same() -> None:
    before = wide()
    done = rewrite_graph(before, ROWS)
    assert [row.name for row in done.applied] == ["wide_depthwise"]
    assert (delegated(before), delegated(done.content)) == (frozenset({0}), frozenset())
    graph = read_tflite(before).main
    assert reason_for_slowness(graph.operators[0], graph)
    values = np.random.default_rng(1).integers(-128, 128, (1, 12, 12, 4)).astype(np.int8)
    first, second = (run(new_interpreter(content), [values])[0].astype(int) for content in (before, done.content))
    assert np.abs(first - second).max() <= 1
    assert np.ptp(first) > 100


@pytest.mark.parametrize("how", [(5, 5), (1, 25), (7, 7, "float32")])
def test_windows_that_xnnpack_has_a_kernel_for_and_float_ones_stay(how: Any) -> None:
    before = wide(*how)
    assert rewrite_graph(before, ROWS).content == before


def test_an_average_over_a_window_too_wide_for_a_depthwise_kernel_stays() -> None:
    before = pooled(size=8, stride=8)
    assert rewrite_graph(before, ROWS).content == before


def test_relu6_whose_result_ends_at_six_is_a_change_of_scale() -> None:
    assert names(rewrite_graph(clamped("RELU6", 6 / 255), ROWS).content) == ["QUANTIZE"]


@pytest.mark.parametrize("how", [("RELU", 0.05, 0), ("RELU6", 0.05, -128), ("RELU_N1_TO_1", 2 / 255, -128)])
def test_a_clamp_within_what_the_result_can_hold_stays(how: tuple[str, float, int]) -> None:
    before = clamped(*how)
    assert rewrite_graph(before, ROWS).content == before
