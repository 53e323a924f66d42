"""Hand-made graphs, one a rule: the forecast says what the rule says, and as surely."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.converters.edgetpu.graphs import GraphBuilder, single
from tfcompress.converters.edgetpu import RULES, Mapping, Status, forecast
from tfcompress.converters.edgetpu.operators import SUPPORTED
from tfcompress.converters.edgetpu.rules import broken_rule
from tfcompress.converters.edgetpu.versions import NEWEST
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.graphs.tflite import read_tflite


def mapping_of(content: bytes) -> Mapping:
    return forecast(read_tflite(content))


def rule_of(content: bytes) -> str:
    """The rule that the last operator breaks, or ``mapped``."""
    graph = read_tflite(content).main
    broken = broken_rule(OperatorView(graph, graph.operators[-1]))
    return "mapped" if broken is None else broken[0].name


def test_each_rule_has_a_name_of_its_own_a_source_and_a_fix() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.why
        assert rule.fix
        assert rule.source


MAPS: dict[str, bytes] = {
    "EXPAND_DIMS": single("EXPAND_DIMS", [1, 8, 4], [1, 1, 8, 4], 1, options="ExpandDimsOptions"),
    "L2_NORMALIZATION": single("L2_NORMALIZATION", [1, 64], [1, 64], options="L2NormOptions", version=2),
    "SLICE": single("SLICE", [1, 8, 8, 4], [1, 4, 4, 4], [0, 0, 0, 0], [1, 4, 4, 4], options="SliceOptions"),
    "SPACE_TO_DEPTH": single("SPACE_TO_DEPTH", [1, 8, 8, 4], [1, 4, 4, 16], options="SpaceToDepthOptions", blockSize=2),
    "SQUEEZE": single("SQUEEZE", [1, 1, 10], [10], options="SqueezeOptions", squeezeDims=[0, 1]),
    "SUM": single("SUM", [1, 8, 8, 4], [1, 1, 1, 4], [1, 2], options="ReducerOptions", keepDims=True),
    "REDUCE_MIN": single("REDUCE_MIN", [1, 8, 8, 4], [1, 1, 1, 4], [1, 2], options="ReducerOptions", version=2),
    "RELU6": single("RELU6", [1, 8, 8, 4], [1, 8, 8, 4], version=2),
}


@pytest.mark.parametrize("name", MAPS)
def test_operators_that_no_pair_covers_map_as_documented(name: str) -> None:
    (row,) = mapping_of(MAPS[name]).operators
    assert row.mapped
    assert row.status == "Mapped to Edge TPU"
    assert row.certainty == SUPPORTED[name].certainty


def test_minimum_of_two_activations_maps() -> None:
    graph = GraphBuilder()
    left, right, result = graph.input([1, 8, 8, 4]), graph.input([1, 8, 8, 4]), graph.tensor([1, 8, 8, 4])
    graph.operator("MINIMUM", [left, right], [result], "MaximumMinimumOptions", version=2)
    (row,) = mapping_of(graph.content(result)).operators
    assert row.mapped
    assert row.certainty == "observed"


def transposed_convolution(version: int) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 8, 8, 4]), graph.tensor([1, 16, 16, 4])
    inputs = [graph.integers([1, 16, 16, 4]), graph.weights([4, 2, 2, 4]), source]
    graph.operator("TRANSPOSE_CONV", inputs, [result], "TransposeConvOptions", strideH=2, strideW=2, version=version)
    return graph.content(result)


def test_transposed_convolution_maps_up_to_version_three() -> None:
    assert rule_of(transposed_convolution(3)) == "mapped"
    assert rule_of(transposed_convolution(4)) == "version"


REFUSED: dict[str, tuple[bytes, Status]] = {
    "rank": (single("RELU", [4, 8, 8, 4], [4, 8, 8, 4]), Status.RANK),
    "float_input": (
        single("QUANTIZE", [1, 8], [1, 8], dtype="float32", result_dtype="int8"),
        Status.UNSPECIFIED,
    ),
    "data_type": (single("DEQUANTIZE", [1, 8], [1, 8], result_dtype="float32"), Status.DATA_TYPE),
    "operator": (single("HARD_SWISH", [1, 8], [1, 8]), Status.NOT_SUPPORTED),
    "version": (single("ADD", [1, 8], [1, 8], options="AddOptions", version=4), Status.VERSION),
    "fused_activation": (
        single("MAX_POOL_2D", [1, 8, 8, 4], [1, 4, 4, 4], options="Pool2DOptions", fusedActivationFunction=3),
        Status.UNSPECIFIED,
    ),
    "large_logistic": (single("LOGISTIC", [1, 80, 8400], [1, 80, 8400], version=2), Status.UNSPECIFIED),
    "large_softmax": (single("SOFTMAX", [1, 65857], [1, 65857], version=2), Status.UNSPECIFIED),
    "large_transpose": (
        single("TRANSPOSE", [1, 40, 40, 65], [1, 65, 40, 40], [0, 3, 1, 2], options="TransposeOptions"),
        Status.UNSPECIFIED,
    ),
    "transpose_rank": (
        single("TRANSPOSE", [1, 1, 4, 4, 4], [1, 1, 4, 4, 4], [0, 1, 4, 2, 3], options="TransposeOptions"),
        Status.UNSPECIFIED,
    ),
    "reduced_depth": (
        single("MEAN", [1, 8, 8, 6], [1, 8, 8, 1], [3], options="ReducerOptions", keepDims=True),
        Status.UNSPECIFIED,
    ),
    "reduced_batch": (
        single("SUM", [1, 8, 8, 4], [1, 8, 8, 4], [0], options="ReducerOptions", keepDims=True),
        Status.UNSPECIFIED,
    ),
    "large_mean": (
        single("MEAN", [1, 256, 128, 3], [1, 3], [1, 2], options="ReducerOptions"),
        Status.UNSPECIFIED,
    ),
    "bilinear_size": (
        single("RESIZE_BILINEAR", [1, 1, 1, 8], [1, 33, 33, 8], [33, 33], options="ResizeBilinearOptions"),
        Status.UNSPECIFIED,
    ),
    "resize_bytes": (
        single(
            "RESIZE_NEAREST_NEIGHBOR",
            [1, 128, 128, 64],
            [1, 256, 256, 64],
            [256, 256],
            options="ResizeNearestNeighborOptions",
        ),
        Status.UNSPECIFIED,
    ),
    "slice_strides": (
        single(
            "STRIDED_SLICE",
            [1, 8, 8, 4],
            [1, 4, 4, 4],
            [0, 0, 0, 0],
            [1, 8, 8, 4],
            [1, 2, 2, 1],
            options="StridedSliceOptions",
        ),
        Status.STRIDES,
    ),
    "slice_masks": (
        single(
            "STRIDED_SLICE",
            [1, 8, 8],
            [1, 1, 8, 8],
            [0, 0, 0],
            [0, 0, 0],
            [1, 1, 1],
            options="StridedSliceOptions",
            newAxisMask=2,
        ),
        Status.UNSPECIFIED,
    ),
    "squeezed_axis": (
        single("SQUEEZE", [5, 1, 10], [5, 10], options="SqueezeOptions", squeezeDims=[1]),
        Status.UNSPECIFIED,
    ),
}


def joined(sizes: list[int]) -> bytes:
    graph = GraphBuilder()
    inputs = [graph.input([1, size, 8400]) for size in sizes]
    result = graph.tensor([1, sum(sizes), 8400])
    graph.operator("CONCATENATION", inputs, [result], "ConcatenationOptions", axis=1, version=2)
    return graph.content(result)


def dense(outputs: int, *, weights_format: int = 0) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 4]), graph.tensor([1, outputs])
    inputs = [source, graph.weights([outputs, 4]), -1]
    graph.operator("FULLY_CONNECTED", inputs, [result], "FullyConnectedOptions", weightsFormat=weights_format)
    return graph.content(result)


def biased(*, constant: bool) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 4]), graph.tensor([1, 8])
    bias = graph.tensor([8], "int32", data=np.zeros(8, np.int32)) if constant else graph.input([8])
    graph.operator("FULLY_CONNECTED", [source, graph.weights([8, 4]), bias], [result], "FullyConnectedOptions")
    return graph.content(result)


REFUSED |= {
    "large_concatenation": (joined([64, 80]), Status.UNSPECIFIED),
    "many_outputs": (dense(100_000), Status.UNSPECIFIED),
    "weights_format": (dense(8, weights_format=1), Status.UNSPECIFIED),
    "constant_parameters": (biased(constant=False), Status.NOT_CONSTANT),
    "custom_operator": (single("MyOperator", [1, 8], [1, 8]), Status.DATA_TYPE),
}
# Have tests of their own below, which show both sides.
SHOWN_BELOW = {"alpha_shape", "constant_concatenation", "dilation", "packed_batch", "split_axis"}


def test_every_rule_is_broken_by_a_graph_here() -> None:
    newest = {rule.name for rule in RULES if rule.last_compiler == NEWEST}  # the others: test_versions
    assert {*REFUSED} | SHOWN_BELOW == newest
    assert SHOWN_BELOW.isdisjoint(REFUSED)


@pytest.mark.parametrize("content", [joined([64, 79]), dense(99_999), biased(constant=True)])
def test_the_same_graph_on_the_other_side_of_the_rule_maps(content: bytes) -> None:
    assert rule_of(content) == "mapped"


@pytest.mark.parametrize("name", REFUSED)
def test_a_broken_rule_is_named_with_the_compiler_s_words_and_its_certainty(name: str) -> None:
    content, status = REFUSED[name]
    (row,) = mapping_of(content).operators
    rule = next(rule for rule in RULES if rule.name == name)
    assert (row.mapped, row.rule, row.status, row.certainty) == (False, name, status.value, rule.certainty)
    assert row.tensor in ("t0", "t1", "t2", "t3", "t4")


def flat(name: str, elements: int, **how: Any) -> bytes:
    return single(name, [1, elements], [1, elements], version=2, **how)


@pytest.mark.parametrize(
    ("accepted", "refused"),
    [
        (single("LOGISTIC", [1, 80, 2100], [1, 80, 2100]), single("LOGISTIC", [1, 80, 8400], [1, 80, 8400])),
        (flat("SOFTMAX", 65856), flat("SOFTMAX", 65857)),
        (
            single("TRANSPOSE", [1, 22, 22, 144], [1, 144, 22, 22], [0, 3, 1, 2]),
            single("TRANSPOSE", [1, 40, 40, 65], [1, 65, 40, 40], [0, 3, 1, 2]),
        ),
        (
            single("RESIZE_NEAREST_NEIGHBOR", [1, 64, 64, 128], [1, 128, 128, 128], [128, 128]),
            single("RESIZE_NEAREST_NEIGHBOR", [1, 128, 128, 64], [1, 256, 256, 64], [256, 256]),
        ),
        (
            single("RESIZE_BILINEAR", [1, 24, 24, 24], [1, 48, 48, 24], [48, 48]),
            single("RESIZE_BILINEAR", [1, 33, 33, 21], [1, 513, 513, 21], [513, 513]),
        ),
        (
            single("MEAN", [1, 64, 128, 3], [1, 3], [1, 2]),
            single("MEAN", [1, 256, 128, 3], [1, 3], [1, 2]),
        ),
        (single("MEAN", [1, 8, 8, 8], [1, 8, 8], [3]), single("MEAN", [1, 8, 8, 9], [1, 8, 8], [3])),
        (
            single("SQUEEZE", [1, 5, 10], [5, 10], options="SqueezeOptions"),
            single("SQUEEZE", [5, 1, 10], [5, 10], options="SqueezeOptions"),
        ),
        (single("RESHAPE", [1, 8, 8], [1, 1, 4, 16], [1, 1, 4, 16]), single("RESHAPE", [1, 8, 8], [1, 2, 2, 4, 4], 5)),
    ],
    ids=["LOGISTIC", "SOFTMAX", "TRANSPOSE", "NEAREST", "BILINEAR", "MEAN", "MEAN_depth", "SQUEEZE", "RESHAPE"],
)
def test_both_sides_of_a_limit(accepted: bytes, refused: bytes) -> None:
    assert rule_of(accepted) == "mapped"
    assert rule_of(refused) != "mapped"


def convolution(
    *, dilation: tuple[int, int] = (1, 1), kernel: tuple[int, int] = (3, 3), constant: bool = True
) -> bytes:
    graph = GraphBuilder()
    source, result = graph.input([1, 16, 16, 4]), graph.tensor([1, 16, 16, 8])
    shape = [8, *kernel, 4]
    weights = graph.weights(shape) if constant else graph.input(shape)
    bias = graph.tensor([8], "int32", data=np.zeros(8, np.int32))
    graph.operator(
        "CONV_2D",
        [source, weights, bias],
        [result],
        "Conv2DOptions",
        dilationHFactor=dilation[0],
        dilationWFactor=dilation[1],
        version=3,
    )
    return graph.content(result)


def test_dilation_must_be_equal_unless_the_kernel_is_one_wide() -> None:
    assert rule_of(convolution(dilation=(2, 2))) == "mapped"
    assert rule_of(convolution(dilation=(1, 2))) == "dilation"
    assert rule_of(convolution(dilation=(1, 2), kernel=(1, 3))) == "mapped"


def test_a_computed_filter_is_refused_but_computed_dense_weights_map() -> None:
    assert rule_of(convolution(constant=False)) in ("constant_parameters", "rank")
    graph = GraphBuilder()
    source, weights, result = graph.input([49, 32]), graph.input([512, 32]), graph.tensor([49, 512])
    graph.operator("FULLY_CONNECTED", [source, weights, -1], [result], "FullyConnectedOptions", version=4)
    assert rule_of(graph.content(result)) == "mapped"


def concatenation(parts: int, constant: np.ndarray | None) -> bytes:
    graph = GraphBuilder()
    inputs = [graph.input([1, 8, 8, 4]) for _ in range(parts)]
    if constant is not None:
        inputs.append(graph.tensor([1, 8, 8, 4], data=constant))
    result = graph.tensor([1, 8, 8, 4 * len(inputs)])
    graph.operator("CONCATENATION", inputs, [result], "ConcatenationOptions", axis=3, version=2)
    return graph.content(result)


def test_only_two_inputs_may_have_a_constant_and_it_must_be_zero() -> None:
    zeros, ones = np.zeros([1, 8, 8, 4], np.int8), np.ones([1, 8, 8, 4], np.int8)
    assert rule_of(concatenation(2, None)) == "mapped"
    assert rule_of(concatenation(1, zeros)) == "mapped"
    assert rule_of(concatenation(1, ones)) == "constant_concatenation"
    assert rule_of(concatenation(2, zeros)) == "constant_concatenation"


def split(axis: int, shape: list[int], parts: int) -> bytes:
    graph = GraphBuilder()
    axis_tensor = graph.integers(axis)
    source = graph.input(shape)
    sizes = [size // parts if dimension == axis else size for dimension, size in enumerate(shape)]
    outputs = [graph.tensor(sizes) for _ in range(parts)]
    graph.operator("SPLIT", [axis_tensor, source], outputs, "SplitOptions", numSplits=parts, version=2)
    return graph.content(*outputs)


def test_a_split_along_the_first_axis_is_refused_unless_it_has_one_part() -> None:
    assert rule_of(split(2, [4, 49, 32], 2)) == "mapped"
    assert rule_of(split(0, [4, 49, 32], 4)) == "split_axis"
    assert rule_of(split(0, [1, 96, 64, 1], 1)) == "mapped"


def test_packing_is_refused_along_the_batch_dimension_only() -> None:
    def pack(result: list[int], axis: int) -> bytes:
        graph = GraphBuilder()
        inputs = [graph.input([49, 49]) for _ in range(4)]
        output = graph.tensor(result)
        graph.operator("PACK", inputs, [output], "PackOptions", axis=axis, valuesCount=4, version=2)
        return graph.content(output)

    assert rule_of(pack([4, 49, 49], 0)) == "mapped"
    assert rule_of(pack([1, 1, 49, 49], 0)) == "packed_batch"


def test_prelu_slopes_must_differ_by_channel_only() -> None:
    def prelu(alpha: list[int]) -> bytes:
        graph = GraphBuilder()
        source, result = graph.input([1, 8, 8, 4]), graph.tensor([1, 8, 8, 4])
        graph.operator("PRELU", [source, graph.weights(alpha)], [result])
        return graph.content(result)

    assert rule_of(prelu([1, 1, 4])) == "mapped"
    assert rule_of(prelu([8, 8, 4])) == "alpha_shape"


def test_one_lifted_version_refuses_its_siblings_and_strands_the_rest() -> None:
    graph = GraphBuilder()
    source = graph.input([1, 8, 8, 4])
    first, second, third = (graph.tensor([1, 8, 8, 4]) for _ in range(3))
    graph.operator("RELU", [source], [first], version=2)
    graph.operator("ADD", [first, source], [second], "AddOptions", version=4)
    graph.operator("RELU", [second], [third], version=2)
    rows = mapping_of(graph.content(third)).operators
    assert [row.rule for row in rows] == ["mapped", "version", "partition"]
    assert "operator 1 ADD" in rows[2].explanation


def test_the_partition_follows_data_not_order() -> None:
    graph = GraphBuilder()
    source = graph.input([1, 8, 8, 4])
    refused, after, beside = (graph.tensor([1, 8, 8, 4]) for _ in range(3))
    graph.operator("HARD_SWISH", [source], [refused])
    graph.operator("RELU", [source], [beside], version=2)
    graph.operator("RELU", [refused], [after], version=2)
    mapping = mapping_of(graph.content(after, beside))
    # The first subset is the CPU's; the Edge TPU's first one then has all that is ready.
    assert [row.mapped for row in mapping.operators] == [False, True, True]
    graph.operator("HARD_SWISH", [after], [last := graph.tensor([1, 8, 8, 4])])
    graph.operator("RELU", [last], [end := graph.tensor([1, 8, 8, 4])], version=2)
    assert [row.mapped for row in mapping_of(graph.content(end, beside)).operators] == [False, True, True, False, False]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_a_custom_operator_is_said_to_work_on_an_unsupported_data_type(dtype: str) -> None:
    (row,) = mapping_of(single("MyOperator", [1, 8], [1, 8], result_dtype=dtype)).operators
    assert (row.operator, row.mapped, row.status) == ("MyOperator", False, Status.DATA_TYPE.value)


def test_a_float_model_maps_nothing_and_does_not_fail() -> None:
    mapping = mapping_of(single("RELU", [1, 8], [1, 8], dtype="float32"))
    assert (mapping.mapped_ops, mapping.subgraphs, mapping.min_runtime, mapping.failure) == (0, 0, None, None)


def test_an_open_input_size_aborts_the_compiler() -> None:
    graph = GraphBuilder()
    source = graph.input([1, 1, 1, 3], signature=[-1, -1, -1, 3])
    result = graph.tensor([1, 1, 1, 3])
    graph.operator("RELU", [source], [result], version=2)
    mapping = mapping_of(graph.content(result))
    assert mapping.failure is not None
    assert "static-sized" in mapping.failure.message
    assert mapping.failure.certainty == "documented"
    assert [row.mapped for row in mapping.operators] == [False]


def test_an_open_batch_alone_does_not_abort() -> None:
    graph = GraphBuilder()
    source = graph.input([1, 8, 8, 3], signature=[-1, 8, 8, 3])
    result = graph.tensor([1, 8, 8, 3])
    graph.operator("RELU", [source], [result], version=2)
    assert mapping_of(graph.content(result)).failure is None


def test_an_open_size_that_was_set_since_does_not_abort() -> None:
    graph = GraphBuilder()
    source = graph.input([1, 8, 8, 3], signature=[-1, -1, -1, 3])
    result = graph.tensor([1, 8, 8, 3])
    graph.operator("RELU", [source], [result], version=2)
    assert mapping_of(graph.content(result)).failure is None


def test_a_computed_shape_aborts_the_compiler() -> None:
    graph = GraphBuilder()
    source, shape = graph.input([1, 64]), graph.input([2], "int32")
    result = graph.tensor([8, 8])
    graph.operator("RELU", [source], [middle := graph.tensor([1, 64])], version=2)
    graph.operator("RESHAPE", [middle, shape], [result])
    failure = mapping_of(graph.content(result)).failure
    assert failure is not None
    assert "RESHAPE" in failure.explanation


def test_huge_activations_abort_and_large_ones_warn() -> None:
    def relu(size: int) -> Mapping:
        return mapping_of(single("RELU", [1, size, size, 16], [1, size, size, 16], version=2))

    assert relu(512).failure is None
    assert relu(512).warnings == ()
    assert len(relu(600).warnings) == 1
    failure = relu(1100).failure
    assert failure is not None
    assert (failure.certainty, "large activation tensors" in failure.message) == ("inferred", True)


def test_a_wide_lstm_fails_without_a_reason() -> None:
    def lstm(width: int) -> Mapping:
        graph = GraphBuilder()
        source, result = graph.input([1, 10, width]), graph.tensor([1, 10, 8])
        graph.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", [source, graph.weights([8, width])], [result])
        return mapping_of(graph.content(result))

    assert lstm(100).failure is None
    failure = lstm(1000).failure
    assert failure is not None
    assert failure.certainty == "observed"


def test_an_infinite_scale_crashes_the_compiler() -> None:
    graph = GraphBuilder()
    source = graph.input([1, 8], scale=float("inf"))
    result = graph.tensor([1, 8])
    graph.operator("RELU", [source], [result], version=2)
    assert mapping_of(graph.content(result)).failure is not None


def test_the_report_has_every_key_of_the_contract() -> None:
    section: dict[str, Any] = mapping_of(REFUSED["operator"][0]).to_json()
    assert {"mapped_ops", "cpu_ops", "subgraphs", "on_chip_bytes", "off_chip_bytes", "ops"} <= set(section)
    row = section["ops"][0]
    assert {"index", "op", "mapped", "reason", "tensor", "keras_layer", "fix"} <= set(row)
