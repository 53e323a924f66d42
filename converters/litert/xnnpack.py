"""Which operators XNNPACK takes from LiteRT's own, slower kernels: its rules as data.

The rules are those of LiteRT's XNNPACK delegate (tensorflow/lite/delegates/xnnpack/xnnpack_delegate.cc, the functions
`Visit...Node` and `Check...`), as far as files of ours come near them; `tests/converters/litert/test_xnnpack.py`
compares them with what the installed runtime delegates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.rewriting.delegation import MOST_TAPS
from tfcompress.graphs.tflite import Operator, Subgraph, Tensor
from tfcompress.graphs.tflite.interpreter import CANNOT_RUN, executed, new_interpreter

__all__ = ["RULES", "Rule", "delegated", "reason_against", "reason_for_slowness"]

_DELEGATE = "DELEGATE"
_MOST_DIMENSIONS = 6  # XNN_MAX_TENSOR_DIMS
_LEAST_SLOPE = -127.99609375  # of a leaky ReLU, over the scales: -(2^7 - 2^-8)
_FLOAT = frozenset({"float32"})
_ANY = frozenset({"float32", "int8", "uint8"})
# Where the data is not the first input, and biases not the second behind it.
_DATA = {"TRANSPOSE_CONV": 2, "SPLIT": 1}
_BIAS_BEHIND_DATA = {"TRANSPOSE_CONV": 1}
_CLAMPS = frozenset(
    {
        schema.ActivationFunctionType.NONE,
        schema.ActivationFunctionType.RELU,
        schema.ActivationFunctionType.RELU_N1_TO_1,
        schema.ActivationFunctionType.RELU6,
    }
)
# (operator, graph) -> whether a condition holds
Holds = Callable[[Operator, Subgraph], bool]


@dataclass(frozen=True)
class Condition:
    """One thing that XNNPACK wants of an operator.

    Attributes:
        what: that is wanted, for people.
        holds: whether it is so.
    """

    what: str
    holds: Holds


@dataclass(frozen=True)
class Rule:
    """What XNNPACK wants of one operator.

    Attributes:
        dtypes: of the first data input that it takes.
        conditions: all of which have to hold.
    """

    dtypes: frozenset[str]
    conditions: tuple[Condition, ...] = ()


def _input(operator: Operator, graph: Subgraph, place: int) -> Tensor | None:
    is_given = place < len(operator.inputs) and operator.inputs[place] >= 0
    return graph.tensors[operator.inputs[place]] if is_given else None


def _constant(place: int, what: str) -> Condition:
    def holds(operator: Operator, graph: Subgraph) -> bool:
        tensor = _input(operator, graph, place)
        return tensor is None or tensor.data is not None

    return Condition(f"constant {what}", holds)


def _integers(operator: Operator, graph: Subgraph, place: int) -> np.ndarray | None:
    tensor = _input(operator, graph, place)
    return None if tensor is None else tensor.array()


def _clamped(operator: Operator, graph: Subgraph) -> bool:
    del graph
    fused = getattr(operator.options, "FusedActivationFunction", None)
    return fused is None or fused() in _CLAMPS


def _scales(operator: Operator, graph: Subgraph) -> tuple[list[float], float] | None:
    """Scales of the inputs and of the result; None for a float operator."""
    tensors = [graph.tensors[index] for index in (*operator.inputs[:2], operator.outputs[0]) if index >= 0]
    if any(tensor.quantization is None for tensor in tensors):
        return None
    *inputs, result = (float(tensor.quantization.scales[0]) for tensor in tensors if tensor.quantization is not None)
    return inputs, result


def _sum_in_range(operator: Operator, graph: Subgraph) -> bool:
    """Each input's scale over the result's in [2^-10, 2^8): what the fixed-point shift of the kernel can hold."""
    scales = _scales(operator, graph)
    return scales is None or all(2**-10 <= scale / scales[1] < 2**8 for scale in scales[0])


def _product_in_range(operator: Operator, graph: Subgraph) -> bool:
    """The product of the inputs' scales over the result's in [2^-16, 2^8)."""
    scales = _scales(operator, graph)
    return scales is None or 2**-16 <= float(np.prod(scales[0])) / scales[1] < 2**8


def _leaky_in_range(operator: Operator, graph: Subgraph) -> bool:
    """Both slopes, over the scales, in what the kernel's fixed point can hold: [2^-8, 2^7] and [-127.99, 2^7]."""
    source, result = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    if source.quantization is None or result.quantization is None:
        return bool(operator.options.Alpha() != 0)
    ratio = float(source.quantization.scales[0] / result.quantization.scales[0])
    below = ratio * operator.options.Alpha()
    return 2**-8 <= ratio <= 2**7 and abs(below) >= 2**-8 and _LEAST_SLOPE <= below <= 2**7


def _same_scale(operator: Operator, graph: Subgraph) -> bool:
    places = [graph.tensors[index].quantization for index in (*operator.inputs, *operator.outputs) if index >= 0]
    grids = {(float(q.scales[0]), int(q.zero_points[0])) for q in places if q is not None and len(q.scales)}
    return len(grids) <= 1


def _scaled_bias(operator: Operator, graph: Subgraph) -> bool:
    """Integer biases, which are the last input of a layer, have a scale written beside them."""
    bias = _input(operator, graph, _DATA.get(operator.name, 0) + _BIAS_BEHIND_DATA.get(operator.name, 2))
    return bias is None or bias.dtype != "int32" or bias.quantization is not None


def _own_weights(operator: Operator, graph: Subgraph) -> bool:
    """Weights of the values' dtype, or int8 ones for floats; a depthwise layer takes no such pair."""
    source, weights = (_input(operator, graph, place) for place in (_DATA.get(operator.name, 0), 1))
    if source is None or weights is None or source.dtype == weights.dtype:
        return True
    return (source.dtype, weights.dtype) == ("float32", "int8") and operator.name != "DEPTHWISE_CONV_2D"


def _centred_weights(operator: Operator, graph: Subgraph) -> bool:
    """Weights of a layer in int8 have a zero point of 0."""
    dtypes = [graph.tensors[index].dtype for index in operator.inputs[:2]]
    return dtypes != ["int8", "int8"] or _centred_second(operator, graph)


def _wide_window(operator: Operator, graph: Subgraph) -> bool:
    """With SAME padding, a window of a transposed convolution is not smaller than its stride."""
    weights, options = graph.tensors[operator.inputs[1]], operator.options
    if options.Padding() != schema.Padding.SAME:
        return True
    return bool(options.StrideH() <= weights.shape[1] and options.StrideW() <= weights.shape[2])


def _quantized_alike(operator: Operator, graph: Subgraph) -> bool:
    """The first input and the result have one scale and zero point."""
    source, result = (graph.tensors[index].quantization for index in (operator.inputs[0], operator.outputs[0]))
    if source is None or result is None:
        return True
    return float(source.scales[0]) == float(result.scales[0]) and int(source.zero_points[0]) == int(
        result.zero_points[0]
    )


def _rescale_in_range(operator: Operator, graph: Subgraph) -> bool:
    """Of integers, the scale over the result's in [2^-8, 2^7]."""
    source, result = graph.tensors[operator.inputs[0]].quantization, graph.tensors[operator.outputs[0]].quantization
    if source is None or result is None:
        return True
    return 2**-8 <= float(source.scales[0]) / float(result.scales[0]) <= 2**7


def _centred_second(operator: Operator, graph: Subgraph) -> bool:
    """The second operand is float, or its integers have a zero point of 0, as those of weights."""
    quantization = graph.tensors[operator.inputs[1]].quantization
    return quantization is None or not np.any(quantization.zero_points)


def _unit_strides(operator: Operator, graph: Subgraph) -> bool:
    strides = _integers(operator, graph, 3)
    options = operator.options
    masks = options.EllipsisMask() or options.NewAxisMask() or options.ShrinkAxisMask()
    return strides is not None and bool(np.all(strides == 1)) and not masks


def _plain_pool(operator: Operator, graph: Subgraph) -> bool:
    """No window begins behind the end of the one before."""
    del graph
    options = operator.options
    return bool(options.StrideH() <= options.FilterHeight() and options.StrideW() <= options.FilterWidth())


def _closed_sizes(operator: Operator, graph: Subgraph) -> bool:
    """No size is -1, which stands for all that follows."""
    sizes = _integers(operator, graph, 2)
    return sizes is not None and bool(np.all(sizes >= 0))


def _few_dimensions(operator: Operator, graph: Subgraph) -> bool:
    tensors = (graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0)
    return all(len(tensor.shape) <= _MOST_DIMENSIONS for tensor in tensors)


def _unit_beta(operator: Operator, graph: Subgraph) -> bool:
    del graph
    return bool(operator.options.Beta() == 1.0)


def _result_dtype(*pairs: tuple[str, str]) -> Condition:
    def holds(operator: Operator, graph: Subgraph) -> bool:
        places = (operator.inputs[0], operator.outputs[0])
        source, result = (graph.tensors[index].dtype for index in places)
        return (source, result) in pairs

    return Condition("another pair of dtypes", holds)


_FUSED = Condition("no fused activation but a clamp", _clamped)
_OWN_WEIGHTS = Condition("weights of its own dtype", _own_weights)
_BIASES = Condition("a scale beside integer biases", _scaled_bias)
_WEIGHTS = (
    _constant(1, "weights"),
    _constant(2, "biases"),
    _BIASES,
    _OWN_WEIGHTS,
    Condition("a zero point of 0 in int8 weights", _centred_weights),
    _FUSED,
)
_DIMENSIONS = Condition(f"at most {_MOST_DIMENSIONS} dimensions", _few_dimensions)
_SUM = (_FUSED, Condition("scales of inputs and result within 2^-10 and 2^8 of each other", _sum_in_range))
_PRODUCT = (_FUSED, Condition("scales of product and result within 2^-16 and 2^8 of each other", _product_in_range))
_AXES = (_constant(1, "axes"),)
_SHAPE = (_constant(1, "shape"),)
_POOL = (_FUSED, Condition("strides no larger than its window", _plain_pool))

RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("ABS", "CEIL", "COS", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LOG", "NEG", "RELU", "RELU6"),
        Rule(_FLOAT),
    ),
    **dict.fromkeys(("RELU_N1_TO_1", "ROUND", "RSQRT", "SIN", "SQRT", "SQUARE"), Rule(_FLOAT)),
    **dict.fromkeys(("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"), Rule(_FLOAT)),
    "PRELU": Rule(_FLOAT, (_constant(1, "slopes"),)),
    "DIV": Rule(_FLOAT, (_FUSED,)),
    "SOFTMAX": Rule(_FLOAT, (Condition("beta of 1", _unit_beta),)),
    "AVERAGE_POOL_2D": Rule(_FLOAT, _POOL),
    "ELU": Rule(frozenset({"float32", "int8"})),
    **dict.fromkeys(("LOGISTIC", "TANH"), Rule(_ANY)),
    "LEAKY_RELU": Rule(_ANY, (Condition("slopes that the kernel's fixed point can hold", _leaky_in_range),)),
    "ADD": Rule(_ANY, _SUM),
    "SUB": Rule(_ANY, _SUM),
    "MUL": Rule(_ANY, _PRODUCT),
    "CONV_2D": Rule(_ANY, _WEIGHTS),
    "DEPTHWISE_CONV_2D": Rule(
        _ANY, (*_WEIGHTS, Condition("biases", lambda op, graph: _input(op, graph, 2) is not None))
    ),
    "FULLY_CONNECTED": Rule(_ANY, _WEIGHTS),
    "TRANSPOSE_CONV": Rule(
        _ANY,
        (
            _constant(0, "shape"),
            _constant(1, "weights"),
            _constant(3, "biases"),
            _BIASES,
            _OWN_WEIGHTS,
            Condition("a window no smaller than its stride, with SAME padding", _wide_window),
            _FUSED,
        ),
    ),
    "BATCH_MATMUL": Rule(
        frozenset({"float32", "int8"}), (Condition("a zero point of 0 in the second operand", _centred_second),)
    ),
    "CONCATENATION": Rule(
        _ANY,
        (
            _FUSED,
            Condition("2 to 5 parts", lambda op, _: 2 <= len(op.inputs) <= 5),
            Condition("one scale for all", _same_scale),
        ),
    ),
    "SPLIT": Rule(_ANY, (_constant(0, "axis"), Condition("2 to 4 parts", lambda op, _: 2 <= len(op.outputs) <= 4))),
    "MAX_POOL_2D": Rule(_ANY, _POOL),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), Rule(_ANY, _AXES)),
    "PAD": Rule(_ANY, (_constant(1, "padding"),)),
    "RESHAPE": Rule(_ANY, (*_SHAPE, Condition("one scale before and after", _quantized_alike))),
    "RESIZE_BILINEAR": Rule(_ANY, _SHAPE),
    "TRANSPOSE": Rule(_ANY, (_constant(1, "order"),)),
    "DEPTH_TO_SPACE": Rule(_ANY),
    "SPACE_TO_DEPTH": Rule(_ANY),
    "SLICE": Rule(
        _ANY,
        (_constant(1, "begin"), _constant(2, "size"), Condition("sizes that are not left open", _closed_sizes)),
    ),
    "STRIDED_SLICE": Rule(_ANY, (Condition("strides of 1 and no masks that change the rank", _unit_strides),)),
    "QUANTIZE": Rule(
        _ANY,
        (
            _result_dtype(
                ("float32", "int8"), ("float32", "uint8"), ("float32", "float32"), ("int8", "int8"), ("uint8", "uint8")
            ),
            Condition("a scale within 2^-8 and 2^7 of the result's", _rescale_in_range),
        ),
    ),
    "DEQUANTIZE": Rule(frozenset({"int8", "uint8"}), (_result_dtype(("int8", "float32"), ("uint8", "float32")),)),
}


def reason_against(operator: Operator, graph: Subgraph) -> str | None:
    """Why XNNPACK leaves an operator to LiteRT's own kernels, in a few words; None where it takes it.

    Args:
        operator: of a .tflite.
        graph: that holds it.
    """
    rule = RULES.get(operator.name)
    if rule is None or operator.custom:
        return "it has no such operator"
    data = _input(operator, graph, _DATA.get(operator.name, 0))
    if data is None or data.dtype not in rule.dtypes:
        return f"it has no {operator.name} of {'nothing' if data is None else data.dtype}"
    wanted = (*rule.conditions, _DIMENSIONS)
    return next((f"it wants {each.what}" for each in wanted if not each.holds(operator, graph)), None)


def reason_for_slowness(operator: Operator, graph: Subgraph) -> str | None:
    """Why XNNPACK, where it takes an operator, is slower at it than LiteRT's own kernel; None where it is not."""
    if operator.name != "DEPTHWISE_CONV_2D" or reason_against(operator, graph) is not None:
        return None
    weights = graph.tensors[operator.inputs[1]]
    if math.prod(weights.shape[1:3]) <= MOST_TAPS:
        return None
    return f"its depthwise kernels end at windows of {MOST_TAPS} elements"


def delegated(content: bytes) -> frozenset[int] | None:
    """Indices of the main graph's operators that XNNPACK takes here, as LiteRT divided the file.

    Returns:
        None where LiteRT cannot run the file.
    """
    try:
        details = executed(new_interpreter(content, threads=1))
    except CANNOT_RUN:
        return None
    nodes = [node for node in details if node["op_name"] != _DELEGATE]
    taken: set[int] = set()
    for node in details:
        if node["op_name"] == _DELEGATE:
            taken |= _behind(nodes, set(node["outputs"].tolist()), set(node["inputs"].tolist()))
    return frozenset(taken)


def _behind(nodes: list[dict[str, object]], outputs: set[int], inputs: set[int]) -> set[int]:
    """The nodes that compute `outputs` from `inputs`: those that one delegate node stands for."""
    wanted, indices = set(outputs), set()
    for node in reversed(nodes):
        results, sources = (set(np.asarray(node[key]).tolist()) for key in ("outputs", "inputs"))
        if wanted & results:
            indices.add(int(str(node["index"])))
            wanted |= sources - inputs
    return indices
