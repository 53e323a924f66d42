"""The rules by which LiteRT's GPU delegate takes an operator, as data.

Sources, in google-ai-edge/LiteRT at commit 34ec5ba: tflite/delegates/gpu/common/model_builder.cc (`NewOperationParser`,
each parser's `IsSupported` with the newest version, `GetOpsToReplace` with the types) and
tflite/tools/versioning/gpu_compatibility.cc (`CheckGpuDelegateCompatibility`).  Reasons are the delegate's own words
where it has some.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tfcompress.converters.phone.gpu import conditions as gpu
from tfcompress.graphs.tflite import Operator, Subgraph

__all__ = ["MOST_DIMENSIONS", "RULES", "Rule", "reason_against"]

MOST_DIMENSIONS = 4
_DATA = frozenset({"float32", "float16", "int8", "uint8"})
_UNTYPED = "OP is supported, but tensor type/shape isn't compatible."
# (operator, graph) -> why it is not taken; None where it is
Check = Callable[[Operator, Subgraph], str | None]


@dataclass(frozen=True)
class Rule:
    """What the delegate wants of one operator.

    Attributes:
        newest_version: of the operator; None sets no limit.
        checks: all of which have to find nothing.
        inputs: types of computed inputs, beside float and 8 bits.
        results: types of results, beside float and 8 bits.
    """

    newest_version: int | None = None
    checks: tuple[Check, ...] = ()
    inputs: frozenset[str] = frozenset()
    results: frozenset[str] = frozenset()


_BOOL, _INT32 = frozenset({"bool"}), frozenset({"int32"})
_ONE = gpu.data_inputs(1, 0)
_UNARY = Rule(2, (_ONE,))
_BINARY = Rule(2, (gpu.one_or_two_inputs,))
_COMPARISON = Rule(2, (gpu.feeds_a_choice,), results=_BOOL)
_CLAMP = Rule(2)
_POOL = Rule(2, (gpu.data_inputs(1), gpu.activation))
_REDUCTION = Rule(None, (gpu.data_inputs(1), gpu.constant_axes))
_PADDING = Rule(2, (gpu.data_inputs(1), gpu.padded_picture))
_ANY = Rule()
_NAMES: tuple[tuple[str, Rule], ...] = (
    ("ABS COS ELU EXP FLOOR GELU LOG LOGISTIC NEG RSQRT SIGN SIN SQRT SQUARE TANH", _UNARY),
    ("FLOOR_DIV FLOOR_MOD MAXIMUM MINIMUM POW SQUARED_DIFFERENCE", _BINARY),
    ("DIV SUB", Rule(2, (gpu.one_or_two_inputs, gpu.activation))),
    ("LOGICAL_AND", Rule(2, (gpu.one_or_two_inputs,), inputs=_BOOL, results=_BOOL)),
    ("EQUAL GREATER GREATER_EQUAL LESS LESS_EQUAL NOT_EQUAL", _COMPARISON),
    ("RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 LEAKY_RELU", _CLAMP),
    ("AVERAGE_POOL_2D MAX_POOL_2D", _POOL),
    ("REDUCE_MAX REDUCE_MIN REDUCE_PROD SUM MEAN", _REDUCTION),
    ("PAD PADV2", _PADDING),
    ("MIRROR_PAD", Rule(2, (*_PADDING.checks, gpu.reflecting))),
    ("PACK SPLIT SPLIT_V UNPACK", _ANY),
    ("HARD_SWISH", Rule(None, (gpu.data_inputs(1),))),
    ("TILE", Rule(None, (gpu.data_inputs(1),))),
    ("TRANSPOSE", Rule(4, (gpu.data_inputs(1),))),
    ("RESHAPE", Rule(1, (gpu.data_inputs(1),))),
    ("RESIZE_NEAREST_NEIGHBOR", Rule(3, (gpu.data_inputs(1),))),
    ("RESIZE_BILINEAR", Rule(3, (gpu.data_inputs(1), gpu.one_kind_of_centres))),
    ("QUANTIZE", Rule(2, (gpu.data_inputs(1),))),
    ("DEQUANTIZE", Rule(3)),
    ("PRELU", Rule(1)),
    ("ADD", Rule(2, (gpu.two_operands, gpu.broadcast))),
    ("ADD_N", Rule(2, (gpu.two_operands,))),
    ("MUL", Rule(3, (gpu.two_operands, gpu.product, gpu.activation))),
    ("BATCH_MATMUL", Rule(None, (gpu.two_operands, gpu.flat_second_matrix))),
    ("CONCATENATION", Rule(2)),
    ("CONV_2D", Rule(6, (gpu.convolution, gpu.activation))),
    ("DEPTHWISE_CONV_2D", Rule(6, (gpu.convolution, gpu.activation, gpu.depthwise))),
    ("TRANSPOSE_CONV", Rule(3, (gpu.convolution,))),
    ("FULLY_CONNECTED", Rule(9, (gpu.dense,))),
    ("SOFTMAX", Rule(2, (gpu.unit_beta,))),
    ("CUMSUM", Rule(1, (gpu.float_sum,))),
    ("DENSIFY", Rule(1)),
    ("DEPTH_TO_SPACE", Rule(None, (gpu.data_inputs(1), gpu.real_block))),
    ("SPACE_TO_DEPTH", Rule(2, (gpu.data_inputs(1), gpu.real_block))),
    ("GATHER", Rule(1, (gpu.gathered,), inputs=_INT32)),
    ("ONE_HOT", Rule(1, (gpu.one_hot,), inputs=_INT32)),
    ("SELECT SELECT_V2", Rule(1, (gpu.choice,), inputs=_BOOL)),
    ("SLICE", Rule(2, (gpu.three_or_four_dimensions,))),
    ("STRIDED_SLICE", Rule(4, (gpu.unmasked, gpu.three_or_four_dimensions))),
    ("CAST", Rule(None, (gpu.cast,), inputs=_BOOL | _INT32, results=_BOOL | _INT32)),
)
RULES: dict[str, Rule] = {name: rule for names, rule in _NAMES for name in names.split()}


def reason_against(operator: Operator, graph: Subgraph) -> str | None:
    """Why the delegate leaves an operator to the CPU; None where no rule is against it.

    Args:
        operator: of the main graph.
        graph: that graph.
    """
    rule = None if operator.custom else RULES.get(operator.name)
    if rule is None:
        return "Operation is not supported."
    if rule.newest_version is not None and operator.version > rule.newest_version:
        return f"Max version supported: {rule.newest_version}. Requested version {operator.version}."
    said = next((reason for check in rule.checks if (reason := check(operator, graph)) is not None), None)
    return said or _against_types(operator, graph, rule)


def _against_types(operator: Operator, graph: Subgraph, rule: Rule) -> str | None:
    for indices, more in ((operator.inputs, rule.inputs), (operator.outputs, rule.results)):
        for tensor in (graph.tensors[index] for index in indices if index >= 0):
            if len(tensor.shape) > MOST_DIMENSIONS or (tensor.data is None and tensor.dtype not in _DATA | more):
                shape = ", ".join(map(str, tensor.shape))
                return f"{_UNTYPED} ({tensor.dtype}[{shape}])"
    return None
