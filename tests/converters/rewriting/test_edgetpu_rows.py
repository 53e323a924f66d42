"""Rewrites of the float graph: each leaves the function as it was, and each maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.converters.edgetpu.graphs import GraphBuilder, single
from tfcompress.converters.edgetpu.operators import SUPPORTED
from tfcompress.converters.edgetpu.repairs import repair_int8_file
from tfcompress.converters.rewriting import EDGETPU, AppliedRewrite, rewrite_graph, rows_for
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.proof import TOLERANCE, largest_difference

SHAPE = [1, 8, 8, 4]


def rewritten(
    content: bytes, level: Any = "safe", *, layer_names: Sequence[str] = ()
) -> tuple[bytes, tuple[AppliedRewrite, ...]]:
    """The file, and what was done; nothing that fits may fail its proof here."""
    result = rewrite_graph(content, rows_for(EDGETPU, level), layer_names=layer_names)
    assert result.dropped == ()
    return result.content, result.applied


def floats(name: str, *constants: Any, **how: Any) -> bytes:
    return single(name, how.pop("shape", SHAPE), how.pop("result", SHAPE), *constants, dtype="float32", **how)


def with_constant(name: str, values: np.ndarray, options: str | None = None, **fields: Any) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor(SHAPE, "float32")
    constant = graph.tensor(values.shape, "float32", data=values.astype(np.float32))
    graph.operator(name, [source, constant], [result], options, **fields)
    return graph.content(result)


def split_sizes() -> bytes:
    graph = GraphBuilder()
    source = graph.input(SHAPE, "float32")
    parts = [graph.tensor([1, 8, 3, 4], "float32"), graph.tensor([1, 8, 5, 4], "float32")]
    graph.operator("SPLIT_V", [source, graph.integers([3, 5]), graph.integers(2)], parts, "SplitVOptions", numSplits=2)
    return graph.content(*parts)


def unstack() -> bytes:
    graph = GraphBuilder()
    source = graph.input([1, 3, 4], "float32")
    parts = [graph.tensor([1, 4], "float32") for _ in range(3)]
    graph.operator("UNPACK", [source], parts, "UnpackOptions", num=3, axis=1)
    return graph.content(*parts)


def padding() -> bytes:
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor([1, 10, 9, 4], "float32")
    zero = graph.tensor([], "float32", data=np.zeros([], np.float32))
    pads = graph.integers([[0, 0], [1, 1], [1, 0], [0, 0]])
    graph.operator("PADV2", [source, pads, zero], [result], "PadV2Options")
    return graph.content(result)


def dilated(kernel: str) -> bytes:
    """SpaceToBatch, convolution, BatchToSpace with block 2, for a 3x3 kernel and SAME padding of 9 rows and columns."""
    graph = GraphBuilder()
    source = graph.input([1, 9, 9, 4], "float32")
    block, pads, crops = graph.integers([2, 2]), graph.integers([[2, 3], [2, 3]]), graph.integers([[0, 1], [0, 1]])
    batched, convolved = graph.tensor([4, 7, 7, 4], "float32"), graph.tensor([4, 5, 5, 4], "float32")
    result = graph.tensor([1, 9, 9, 4], "float32")
    values = np.random.default_rng(1).normal(size=[4, 3, 3, 4] if kernel == "CONV_2D" else [1, 3, 3, 4])
    weights = graph.tensor(values.shape, "float32", data=values.astype(np.float32))
    bias = graph.tensor([4], "float32", data=np.ones(4, np.float32))
    graph.operator("SPACE_TO_BATCH_ND", [source, block, pads], [batched], "SpaceToBatchNDOptions")
    fields = {"padding": 1, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    options = "Conv2DOptions" if kernel == "CONV_2D" else "DepthwiseConv2DOptions"
    graph.operator(kernel, [batched, weights, bias], [convolved], options, **fields)
    graph.operator("BATCH_TO_SPACE_ND", [convolved, block, crops], [result], "BatchToSpaceNDOptions")
    return graph.content(result)


def mish(*, unit_first: bool = False) -> bytes:
    """tanh(log(exp(x) + 1)) x, as TFLiteConverter writes it; a user may write 1 + exp(x)."""
    graph = GraphBuilder()
    source = graph.input(SHAPE, "float32")
    unit = graph.tensor([], "float32", data=np.ones([], np.float32))
    exponential, sum_, softplus, gate, result = (graph.tensor(SHAPE, "float32") for _ in range(5))
    graph.operator("EXP", [source], [exponential], "ExpOptions")
    graph.operator("ADD", [unit, exponential] if unit_first else [exponential, unit], [sum_], "AddOptions")
    graph.operator("LOG", [sum_], [softplus])
    graph.operator("TANH", [softplus], [gate])
    graph.operator("MUL", [source, gate], [result], "MulOptions")
    return graph.content(result)


def softplus() -> bytes:
    """log(1 + exp(x)), as TFLiteConverter writes it."""
    graph = GraphBuilder()
    source, unit = graph.input(SHAPE, "float32"), graph.tensor([], "float32", data=np.ones([], np.float32))
    exponential, sum_, result = (graph.tensor(SHAPE, "float32") for _ in range(3))
    graph.operator("EXP", [source], [exponential], "ExpOptions")
    graph.operator("ADD", [exponential, unit], [sum_], "AddOptions")
    graph.operator("LOG", [sum_], [result])
    return graph.content(result)


def celu() -> bytes:
    """relu(x) + exp(minimum(x, 0)) - 1, as TFLiteConverter writes it."""
    graph = GraphBuilder()
    source = graph.input(SHAPE, "float32")
    zero, unit = (graph.tensor([], "float32", data=np.full([], value, np.float32)) for value in (0, 1))
    positive, negative, exponential, shifted, result = (graph.tensor(SHAPE, "float32") for _ in range(5))
    graph.operator("RELU", [source], [positive])
    graph.operator("MINIMUM", [source, zero], [negative], "MaximumMinimumOptions")
    graph.operator("EXP", [negative], [exponential], "ExpOptions")
    graph.operator("SUB", [exponential, unit], [shifted], "SubOptions")
    graph.operator("ADD", [positive, shifted], [result], "AddOptions")
    return graph.content(result)


def celu_with_alpha(alpha: float) -> bytes:
    """alpha expm1(minimum(x, 0) / alpha) + relu(x), as Keras writes it."""
    graph = GraphBuilder()
    source = graph.input(SHAPE, "float32")
    zero, unit, inverse, factor = (
        graph.tensor([], "float32", data=np.full([], value, np.float32)) for value in (0, 1, 1 / alpha, alpha)
    )
    positive, negative, scaled, exponential, shifted, below, result = (graph.tensor(SHAPE, "float32") for _ in range(7))
    graph.operator("RELU", [source], [positive])
    graph.operator("MINIMUM", [source, zero], [negative], "MaximumMinimumOptions")
    graph.operator("MUL", [negative, inverse], [scaled], "MulOptions")
    graph.operator("EXP", [scaled], [exponential], "ExpOptions")
    graph.operator("SUB", [exponential, unit], [shifted], "SubOptions")
    graph.operator("MUL", [shifted, factor], [below], "MulOptions")
    graph.operator("ADD", [positive, below], [result], "AddOptions")
    return graph.content(result)


def soft_shrink(middle: float = 0.0) -> bytes:
    """x - 0.5 above 0.5, x + 0.5 below -0.5, and a constant between, as TFLiteConverter writes it."""
    graph = GraphBuilder()
    source = graph.input(SHAPE, "float32")
    half, minus_half = (graph.tensor([], "float32", data=np.full([], value, np.float32)) for value in (0.5, -0.5))
    between = graph.tensor(SHAPE, "float32", data=np.full(SHAPE, middle, np.float32))
    above, below = graph.tensor(SHAPE, "bool"), graph.tensor(SHAPE, "bool")
    raised, lowered, inner, result = (graph.tensor(SHAPE, "float32") for _ in range(4))
    graph.operator("GREATER", [source, half], [above], "GreaterOptions")
    graph.operator("LESS", [source, minus_half], [below], "LessOptions")
    graph.operator("ADD", [source, half], [raised], "AddOptions")
    graph.operator("SELECT_V2", [below, raised, between], [inner], "SelectV2Options")
    graph.operator("SUB", [source, half], [lowered], "SubOptions")
    graph.operator("SELECT", [above, lowered, inner], [result], "SelectOptions")
    return graph.content(result)


def bent(above: float, between: float, below: float) -> bytes:
    """Three lines that meet at -1 and at 2, with a slope each."""
    graph = GraphBuilder()
    source = graph.input(SHAPE, "float32")

    def number(value: float) -> int:
        return graph.tensor([], "float32", data=np.full([], value, np.float32))

    def line(slope: float, start: float) -> int:
        scaled, shifted = graph.tensor(SHAPE, "float32"), graph.tensor(SHAPE, "float32")
        graph.operator("MUL", [source, number(slope)], [scaled], "MulOptions")
        graph.operator("ADD", [scaled, number(start)], [shifted], "AddOptions")
        return shifted

    high, low = graph.tensor(SHAPE, "bool"), graph.tensor(SHAPE, "bool")
    inner, result = graph.tensor(SHAPE, "float32"), graph.tensor(SHAPE, "float32")
    graph.operator("GREATER", [source, number(2)], [high], "GreaterOptions")
    graph.operator("LESS", [source, number(-1)], [low], "LessOptions")
    graph.operator("SELECT_V2", [low, line(below, below - between + 3), line(between, 3)], [inner], "SelectV2Options")
    graph.operator("SELECT_V2", [high, line(above, 2 * between - 2 * above + 3), inner], [result], "SelectV2Options")
    return graph.content(result)


def softsign() -> bytes:
    """x / (1 + |x|), as TFLiteConverter writes it."""
    graph = GraphBuilder()
    source = graph.input(SHAPE, "float32")
    unit = graph.tensor([], "float32", data=np.ones([], np.float32))
    magnitude, divisor, result = (graph.tensor(SHAPE, "float32") for _ in range(3))
    graph.operator("ABS", [source], [magnitude], "AbsOptions")
    graph.operator("ADD", [magnitude, unit], [divisor], "AddOptions")
    graph.operator("DIV", [source, divisor], [result], "DivOptions")
    return graph.content(result)


def repeated_channels(axis: int) -> bytes:
    """Four channels, each twice (axis 4) or all of them twice (axis 3), in five dimensions."""
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor([*SHAPE[:3], 8], "float32")
    wide = [*SHAPE, 1] if axis == 4 else [*SHAPE[:3], 1, 4]
    apart, tiled = (
        graph.tensor(wide, "float32"),
        graph.tensor([*SHAPE[:3], *((4, 2) if axis == 4 else (2, 4))], "float32"),
    )
    times = [2 if index == axis else 1 for index in range(5)]
    graph.operator("RESHAPE", [source, graph.integers(wide)], [apart], "ReshapeOptions")
    graph.operator("TILE", [apart, graph.integers(times)], [tiled], "TileOptions")
    graph.operator("RESHAPE", [tiled, graph.integers([*SHAPE[:3], 8])], [result], "ReshapeOptions")
    return graph.content(result)


def grouped() -> bytes:
    """A group normalization and a channel shuffle: [1, 8, 8, 8] as [1, 8, 8, 2, 4] and back."""
    graph = GraphBuilder()
    random = np.random.default_rng(3)
    source = graph.input([1, 8, 8, 8], "float32")
    wide, mean, centred, scaled = (
        graph.tensor([1, size, size, 2, last], "float32") for size, last in ((8, 4), (1, 1), (8, 4), (8, 4))
    )
    shuffled, result = graph.tensor([1, 8, 8, 4, 2], "float32"), graph.tensor([1, 8, 8, 8], "float32")
    gamma = graph.tensor([1, 1, 1, 2, 4], "float32", data=random.normal(size=[1, 1, 1, 2, 4]).astype(np.float32))
    graph.operator("RESHAPE", [source, graph.integers([1, 8, 8, 2, 4])], [wide], "ReshapeOptions")
    graph.operator("MEAN", [wide, graph.integers([1, 2, -1])], [mean], "ReducerOptions", keepDims=True)
    graph.operator("SUB", [wide, mean], [centred], "SubOptions")
    graph.operator("MUL", [centred, gamma], [scaled], "MulOptions")
    graph.operator("TRANSPOSE", [scaled, graph.integers([0, 1, 2, 4, 3])], [shuffled], "TransposeOptions")
    graph.operator("RESHAPE", [shuffled, graph.integers([1, 8, 8, 8])], [result], "ReshapeOptions")
    return graph.content(result)


def transposed_rows() -> bytes:
    """Five dimensions of which rows and columns change places."""
    graph = GraphBuilder()
    source, result = graph.input([1, 8, 6, 8], "float32"), graph.tensor([1, 6, 8, 8], "float32")
    wide, turned = graph.tensor([1, 8, 6, 2, 4], "float32"), graph.tensor([1, 6, 8, 2, 4], "float32")
    graph.operator("RESHAPE", [source, graph.integers([1, 8, 6, 2, 4])], [wide], "ReshapeOptions")
    graph.operator("TRANSPOSE", [wide, graph.integers([0, 2, 1, 3, 4])], [turned], "TransposeOptions")
    graph.operator("RESHAPE", [turned, graph.integers([1, 6, 8, 8])], [result], "ReshapeOptions")
    return graph.content(result)


def selu() -> bytes:
    """1.05 x where x > 0, else 1.76 (exp(x) - 1), as TFLiteConverter writes it."""
    graph = GraphBuilder()
    source, condition = graph.input(SHAPE, "float32"), graph.tensor(SHAPE, "bool")
    zero, unit, scale, other = (
        graph.tensor([], "float32", data=np.full([], value, np.float32)) for value in (0, 1, 1.0507, 1.7581)
    )
    above, exponential, shifted, below, result = (graph.tensor(SHAPE, "float32") for _ in range(5))
    graph.operator("GREATER", [source, zero], [condition], "GreaterOptions")
    graph.operator("MUL", [source, scale], [above], "MulOptions")
    graph.operator("EXP", [source], [exponential], "ExpOptions")
    graph.operator("SUB", [exponential, unit], [shifted], "SubOptions")
    graph.operator("MUL", [shifted, other], [below], "MulOptions")
    graph.operator("SELECT", [condition, above, below], [result], "SelectOptions")
    return graph.content(result)


def elu_with_alpha(chosen: str) -> bytes:
    """ELU with alpha 0.5, as Keras writes it; with another comparison it is another function."""
    graph = GraphBuilder()
    source, condition = graph.input(SHAPE, "float32"), graph.tensor(SHAPE, "bool")
    zero, alpha = (graph.tensor([], "float32", data=np.full([], value, np.float32)) for value in (0, 0.5))
    plain, scaled, result = (graph.tensor(SHAPE, "float32") for _ in range(3))
    graph.operator("ELU", [source], [plain])
    graph.operator("MUL", [plain, alpha], [scaled], "MulOptions")
    graph.operator(chosen, [source, zero], [condition], f"{chosen.capitalize()}Options")
    graph.operator("SELECT_V2", [condition, plain, scaled], [result], "SelectV2Options")
    return graph.content(result)


def resized_pixel() -> bytes:
    return floats(
        "RESIZE_BILINEAR",
        [5, 7],
        shape=[1, 1, 1, 4],
        result=[1, 5, 7, 4],
        options="ResizeBilinearOptions",
        halfPixelCenters=True,
    )


def resized_to_the_same() -> bytes:
    graph = GraphBuilder()
    source, middle, result = (graph.input(SHAPE, "float32"), *(graph.tensor(SHAPE, "float32") for _ in range(2)))
    graph.operator("RESIZE_BILINEAR", [source, graph.integers([8, 8])], [middle], "ResizeBilinearOptions")
    graph.operator("RELU", [middle], [result])
    return graph.content(result)


SAFE: dict[str, Callable[[], bytes]] = {
    "prelu": lambda: with_constant("PRELU", np.random.default_rng(0).normal(size=[8, 8, 4])),
    "hard_swish": lambda: floats("HARD_SWISH", options="HardSwishOptions"),
    "clip": lambda: floats("RELU_0_TO_1"),
    "absolute": lambda: floats("ABS", options="AbsOptions"),
    "elu": lambda: floats("ELU"),
    "exponential": celu,
    "bends": soft_shrink,
    "softsign": softsign,
    "repeated_channels": lambda: repeated_channels(4),
    "scaled_elu": selu,
    "merged_dimensions": grouped,
    "mish": mish,
    "gelu_tanh": lambda: floats("GELU", options="GeluOptions", approximate=True),
    "gelu_erf": lambda: floats("GELU", options="GeluOptions", approximate=False),
    "reshape": lambda: floats("SQUEEZE", shape=[5, 1, 10], result=[5, 10], options="SqueezeOptions", squeezeDims=[1]),
    "reciprocal": lambda: with_constant("DIV", np.array([3.0, -0.7, 255.0, 1e-3]), "DivOptions"),
    "negation": lambda: floats("NEG", options="NegOptions"),
    "square": lambda: floats("SQUARE", options="SquareOptions"),
    "zero_pad": padding,
    "split_sizes": split_sizes,
    "unstack": unstack,
    "strided_slice": lambda: floats(
        "STRIDED_SLICE",
        [0, 0, 0, 0],
        [1, 9, 8, 4],
        [1, 2, 3, 1],
        shape=[1, 9, 8, 4],
        result=[1, 5, 3, 4],
        options="StridedSliceOptions",
    ),
    "depth_to_space": lambda: floats(
        "DEPTH_TO_SPACE", shape=[1, 3, 4, 12], result=[1, 6, 8, 3], options="DepthToSpaceOptions", blockSize=2
    ),
    "resize_pixel": resized_pixel,
    "resize_identity": resized_to_the_same,
    "large_mean": lambda: floats(
        "MEAN", [1, 2], shape=[1, 256, 128, 3], result=[1, 3], options="ReducerOptions", keepDims=False
    ),
    "dilation": lambda: dilated("CONV_2D"),
}


def names(content: bytes) -> list[str]:
    return [operator.name for operator in read_tflite(content).main.operators]


def test_every_safe_rewrite_is_tested_here() -> None:
    assert {*SAFE, "leaky_relu", "softplus"} == {row.name for row in rows_for(EDGETPU)}


@pytest.mark.parametrize("name", SAFE)
def test_a_safe_rewrite_keeps_the_float_function_and_leaves_only_operators_that_map(name: str) -> None:
    before = SAFE[name]()
    after, applied = rewritten(before, "safe")
    assert [rewrite.name for rewrite in applied] == [name]
    assert applied[0].max_abs_error <= TOLERANCE
    assert largest_difference(before, after, seed=1) <= TOLERANCE
    assert set(names(after)) <= set(SUPPORTED)


def test_softplus_takes_no_exponential_of_large_values_though_its_logarithm_does_not_map() -> None:
    before = softplus()
    after, applied = rewritten(before, "safe")
    assert "softplus" in {rewrite.name for rewrite in applied}
    assert largest_difference(before, after, seed=1) <= TOLERANCE
    assert set(names(after)) - set(SUPPORTED) == {"LOG"}


def test_a_celu_with_an_alpha_is_one_too_and_with_a_negative_one_it_is_another_function() -> None:
    before = celu_with_alpha(0.5)
    after, applied = rewritten(before, "safe")
    assert [rewrite.name for rewrite in applied] == ["exponential"]
    assert largest_difference(before, after, seed=1) <= TOLERANCE
    assert set(names(after)) <= set(SUPPORTED)
    assert "EXP" in names(rewritten(celu_with_alpha(-0.5), "safe")[0])


@pytest.mark.parametrize("slopes", [(2.0, 0.5, 1.0), (0.0, 1.0, 0.0), (0.5, 1.0, -0.25), (3.0, 0.0, -1.0)])
def test_any_lines_that_meet_are_written_as_relus(slopes: tuple[float, float, float]) -> None:
    before = bent(*slopes)
    after, applied = rewritten(before, "safe")
    assert [rewrite.name for rewrite in applied] == ["bends"]
    assert largest_difference(before, after, seed=2) <= TOLERANCE
    assert set(names(after)) <= set(SUPPORTED)


def test_lines_that_do_not_meet_are_left_as_they_are() -> None:
    after, applied = rewritten(soft_shrink(middle=0.1), "safe")
    assert not applied
    assert "SELECT" in names(after)


def test_channels_repeated_as_a_whole_are_picked_in_that_order() -> None:
    each, whole = (rewritten(repeated_channels(axis), "safe")[0] for axis in (4, 3))
    assert names(each) == names(whole) == ["CONV_2D"]
    assert largest_difference(repeated_channels(3), whole, seed=1) == 0
    assert largest_difference(repeated_channels(3), each, seed=1) > TOLERANCE


def test_an_elu_with_an_alpha_is_told_from_other_choices() -> None:
    before = elu_with_alpha("GREATER")
    after, applied = rewritten(before, "safe")
    assert [rewrite.name for rewrite in applied] == ["scaled_elu"]
    assert set(names(after)) <= set(SUPPORTED)
    other, applied = rewritten(elu_with_alpha("LESS"), "safe")
    assert [rewrite.name for rewrite in applied] == ["elu"]
    assert "SELECT_V2" in names(other)


def test_merged_dimensions_leave_no_tensor_of_five() -> None:
    after, _ = rewritten(grouped(), "safe")
    graph = read_tflite(after).main
    used = {index for operator in graph.operators for index in (*operator.inputs, *operator.outputs)}
    assert max(len(graph.tensors[index].shape) for index in used) == 4
    assert names(after) == names(grouped())


def test_rows_and_columns_that_are_told_apart_are_not_merged() -> None:
    assert rewritten(transposed_rows(), "safe") == (transposed_rows(), ())


@pytest.mark.parametrize("kernel", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_a_dilated_convolution_is_one_operator(kernel: str) -> None:
    before = dilated(kernel)
    after, _ = rewritten(before, "safe")
    assert names(after) == ["PAD", kernel]
    assert largest_difference(before, after) <= TOLERANCE


def test_the_proof_sees_a_function_that_changes() -> None:
    slope = floats("LEAKY_RELU", options="LeakyReluOptions", alpha=0.2)
    other = floats("LEAKY_RELU", options="LeakyReluOptions", alpha=0.2001)
    assert largest_difference(slope, other) > TOLERANCE


def gelu() -> bytes:
    return floats("GELU", options="GeluOptions", approximate=False)


def test_a_leaky_relu_is_proven_in_float_and_left_for_the_quantized_file() -> None:
    before = floats("LEAKY_RELU", options="LeakyReluOptions", alpha=0.2)
    after, (applied,) = rewritten(before, "safe")
    assert after == before
    assert (applied.name, applied.operators, applied.in_int8) == ("leaky_relu", 1, True)
    assert applied.max_abs_error == 0
    assert "in int8 at most one step off" in applied.note()
    steep = floats("LEAKY_RELU", options="LeakyReluOptions", alpha=1.5)  # maximum(x, a x) would be another function
    assert rewritten(steep, "safe") == (steep, ())


@pytest.mark.parametrize("reach", [0.5, 30.0])
@pytest.mark.parametrize("name", ["elu", "scaled_elu", "exponential", "mish", "gelu_tanh", "gelu_erf"])
def test_a_smooth_activation_keeps_its_function_for_small_and_for_large_inputs(name: str, reach: float) -> None:
    before = SAFE[name]()
    after, _ = rewritten(before, "safe")
    values = np.linspace(-reach, reach, 256, dtype=np.float32).reshape(SHAPE)
    first, second = (run(content, values, kind=float) for content in (before, after))
    assert np.abs(first - second).max() <= TOLERANCE * max(1, np.abs(first).max())


def test_rewrites_that_change_the_function_are_done_only_when_asked_for() -> None:
    assert [applied.level for applied in rewritten(gelu(), "safe")[1]] == ["safe"]
    after, (applied,) = rewritten(gelu(), "all")
    assert (applied.name, applied.level) == ("gelu_sigmoid", "all")
    assert TOLERANCE < applied.max_abs_error < 0.03
    assert "fine-tune" in applied.note()
    assert set(names(after)) <= set(SUPPORTED)


def test_relu6_takes_silu_s_place_when_asked_for() -> None:
    graph = GraphBuilder()
    source, gate, result = graph.input(SHAPE, "float32"), graph.tensor(SHAPE, "float32"), graph.tensor(SHAPE, "float32")
    graph.operator("LOGISTIC", [source], [gate])
    graph.operator("MUL", [source, gate], [result], "MulOptions")
    content = graph.content(result)
    assert names(rewritten(content, "safe")[0]) == ["LOGISTIC", "MUL"]
    assert names(rewritten(content, "all")[0]) == ["RELU6"]


def test_a_large_last_softmax_is_left_to_the_caller_when_asked_for() -> None:
    def model(classes: int) -> bytes:
        graph = GraphBuilder()
        source = graph.input([1, classes], "float32")
        logits, result = (graph.tensor([1, classes], "float32") for _ in range(2))
        graph.operator("RELU", [source], [logits])
        graph.operator("SOFTMAX", [logits], [result], "SoftmaxOptions", beta=1.0)
        return graph.content(result)

    assert names(rewritten(model(70_000), "all")[0]) == ["RELU"]
    assert names(rewritten(model(60_000), "all")[0]) == ["RELU", "SOFTMAX"]


def test_none_rewrites_nothing() -> None:
    content = SAFE["hard_swish"]()
    assert rewritten(content, "none") == (content, ())


def test_rewrites_name_the_keras_layer() -> None:
    graph = GraphBuilder()
    source, result = graph.input(SHAPE, "float32"), graph.tensor(SHAPE, "float32")
    graph.graph.tensors[result].name = b"model/activation_3/HardSwish"
    graph.operator("HARD_SWISH", [source], [result], "HardSwishOptions")
    _, (applied,) = rewritten(graph.content(result), "safe", layer_names=["activation_3"])
    assert applied.keras_layers == ("activation_3",)


def dense(*, keep: bool) -> bytes:
    graph = GraphBuilder()
    source = graph.input([1, 6, 5, 8])
    result = graph.tensor([1, 6, 5, 16] if keep else [30, 16])
    values = np.random.default_rng(0).integers(-127, 127, size=[16, 8]).astype(np.int8)
    weights = graph.tensor([16, 8], data=values, scale=0.001)
    fields = {"keepNumDims": keep}
    graph.operator("FULLY_CONNECTED", [source, weights, -1], [result], "FullyConnectedOptions", version=5, **fields)
    return graph.content(result)


def test_dense_on_rank_four_becomes_version_four_bit_for_bit() -> None:
    before = dense(keep=True)
    after, notes = repair_int8_file(before)
    assert [(op.name, op.version) for op in read_tflite(after).main.operators] == [
        ("RESHAPE", 1),
        ("FULLY_CONNECTED", 4),
        ("RESHAPE", 1),
    ]
    assert largest_difference(before, after) == 0
    assert len(notes) == 2


def test_a_lifted_version_is_lowered_for_int8_operators_alone() -> None:
    graph = GraphBuilder()
    source, wide = graph.input([1, 8]), graph.input([1, 8], "int64")
    result, index = graph.tensor([1, 8]), graph.tensor([1, 8], "int64")
    graph.operator("ADD", [source, source], [result], "AddOptions", version=4)
    graph.operator("ADD", [wide, wide], [index], "AddOptions", version=4)
    before = graph.content(result, index)
    after, _ = repair_int8_file(before)
    assert [op.version for op in read_tflite(after).main.operators] == [2, 4]
    assert largest_difference(before, after) == 0


def run(content: bytes, values: np.ndarray, *, kind: type = int) -> np.ndarray:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).astype(kind)


@pytest.mark.parametrize(("scale", "zero_point"), [(0.1, 0), (0.05, -60), (0.07, 40)])
def test_an_int8_leaky_relu_is_off_by_one_step_at_most(scale: float, zero_point: int) -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 256], scale=0.1), graph.tensor([1, 256], scale=scale)
    graph.graph.tensors[result].quantization.zeroPoint = [zero_point]
    graph.operator("LEAKY_RELU", [source], [result], "LeakyReluOptions", alpha=0.3, version=2)
    before = graph.content(result)
    assert repair_int8_file(before) == (before, ())
    after, notes = repair_int8_file(before, leaky_relu=True)
    assert names(after) == ["QUANTIZE", "MUL", "MAXIMUM"]
    assert notes == ()
    values = np.arange(-128, 128, dtype=np.int8)[None]
    assert np.abs(run(before, values) - run(after, values)).max() <= 1


def test_a_file_without_need_is_left_as_it_is() -> None:
    content = single("RELU", [1, 8], [1, 8], version=2)
    assert repair_int8_file(content) == (content, ())
