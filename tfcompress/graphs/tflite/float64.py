"""Operators in float64: what remains of a difference between two graphs when rounding is taken away.

A graph of float32 operators and its rewritten form round differently, and behind many layers that difference may look
like another function.  Here the operators that rewrites replace, and those that they put there, are computed by NumPy
in double precision.  Formulas: TFLite's operator compatibility guide, and the reference kernels of the same names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode

__all__ = ["LacksFloat64Error", "evaluate"]

Arrays = list[np.ndarray]
Form = Callable[[OperatorNode, Arrays], Arrays]


class LacksFloat64Error(ValueError):
    """An operator has no form here."""


def evaluate(graph: GraphEditor, wanted: TensorNode, given: Mapping[TensorNode, np.ndarray]) -> np.ndarray:
    """The value of a tensor, from values of tensors that it is computed from.

    Args:
        graph: that has the tensor.
        wanted: the tensor.
        given: values; the operators before these are not looked at.

    Raises:
        LacksFloat64Error: an operator between has no form here, or is not reached by `given`.
    """
    values: dict[TensorNode, np.ndarray] = {tensor: _wide(value) for tensor, value in given.items()}
    for operator in _between(graph, wanted, set(values)):
        form = _FORMS.get(operator.name)
        if form is None or len(operator.operands) != len(operator.inputs):
            raise LacksFloat64Error(f"{operator.name} has no float64 form")
        results = form(operator, [_value(tensor, values) for tensor in operator.operands])
        values.update(zip(operator.outputs, map(_wide, results), strict=True))
    return _value(wanted, values)


def _wide(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def _value(tensor: TensorNode, values: Mapping[TensorNode, np.ndarray]) -> np.ndarray:
    if tensor in values:
        return values[tensor]
    constant = tensor.array()
    if constant is None:
        raise LacksFloat64Error(f"{tensor.name} is not known")
    return _wide(constant)


def _between(graph: GraphEditor, wanted: TensorNode, given: set[TensorNode]) -> list[OperatorNode]:
    """The operators that compute `wanted` from known tensors, in the order of execution."""
    needed = {wanted} - given
    operators = []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            operators.append(operator)
            needed.update(tensor for tensor in operator.computed_inputs if tensor not in given)
    return operators[::-1]


def _chosen(condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(condition, x, y)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))


_normal_distribution = np.vectorize(lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2))), otypes=[np.float64])

_FUSED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    schema.ActivationFunctionType.NONE: lambda x: x,
    schema.ActivationFunctionType.RELU: lambda x: np.maximum(x, 0),
    schema.ActivationFunctionType.RELU_N1_TO_1: lambda x: np.clip(x, -1, 1),
    schema.ActivationFunctionType.RELU6: lambda x: np.clip(x, 0, 6),
    schema.ActivationFunctionType.TANH: np.tanh,
}


def _plain(function: Callable[..., np.ndarray]) -> Form:
    """A function of the operands alone."""
    return lambda operator, operands: [function(*operands)]


def _with_activation(function: Callable[..., np.ndarray]) -> Form:
    """A function of the operands with an activation fused behind it."""

    def form(operator: OperatorNode, operands: Arrays) -> Arrays:
        fused = getattr(operator.options, "fusedActivationFunction", schema.ActivationFunctionType.NONE)
        if fused not in _FUSED:
            raise LacksFloat64Error(f"{operator.name} with activation {fused} has no float64 form")
        return [_FUSED[fused](function(*operands))]

    return form


def _reduced(function: Callable[..., np.ndarray]) -> Form:
    def form(operator: OperatorNode, operands: Arrays) -> Arrays:
        axes = tuple(int(axis) for axis in operands[1].ravel())
        return [function(operands[0], axis=axes, keepdims=bool(operator.options.keepDims))]

    return form


def _reshaped(operator: OperatorNode, operands: Arrays) -> Arrays:
    if len(operands) > 1:
        return [operands[0].reshape([int(size) for size in operands[1].ravel()])]
    return [operands[0].reshape(operator.result.shape)]


def _to_result_shape(operator: OperatorNode, operands: Arrays) -> Arrays:
    return [operands[0].reshape(operator.result.shape)]


def _whole_map_average(operator: OperatorNode, operands: Arrays) -> Arrays:
    fields, source = operator.options, operands[0]
    if (fields.filterHeight, fields.filterWidth) != source.shape[1:3] or operator.result.shape[1:3] != (1, 1):
        raise LacksFloat64Error("AVERAGE_POOL_2D over a part of the map has no float64 form")
    return _with_activation(lambda x: x.mean(axis=(1, 2), keepdims=True))(operator, [source])


def _subsampled(operator: OperatorNode, operands: Arrays) -> Arrays:
    fields = operator.options
    if (fields.filterHeight, fields.filterWidth) != (1, 1):
        raise LacksFloat64Error("MAX_POOL_2D has no float64 form")
    return _with_activation(lambda x: x[:, :: fields.strideH, :: fields.strideW])(operator, operands)


def _resized(operator: OperatorNode, operands: Arrays) -> Arrays:
    source, size = operands
    if operator.options.alignCorners:
        raise LacksFloat64Error("RESIZE_NEAREST_NEIGHBOR with aligned corners has no float64 form")
    half = int(operator.options.halfPixelCenters)
    rows, columns = (
        (2 * np.arange(new) + half) * old // (2 * new)
        for new, old in zip(size.tolist(), source.shape[1:3], strict=True)
    )
    return [source[:, rows][:, :, columns]]


def _sliced(operator: OperatorNode, operands: Arrays) -> Arrays:
    source, begin, size = operands
    ends = [
        int(b) + (int(s) if s >= 0 else full - int(b)) for b, s, full in zip(begin, size, source.shape, strict=True)
    ]
    return [source[tuple(slice(int(b), e) for b, e in zip(begin, ends, strict=True))]]


def _strided(operator: OperatorNode, operands: Arrays) -> Arrays:
    masks, (source, begin, end, strides) = operator.options, operands
    if masks.ellipsisMask or masks.newAxisMask or min(strides.ravel()) < 1:
        raise LacksFloat64Error("STRIDED_SLICE of this kind has no float64 form")
    slices: list[int | slice] = []
    for axis, (first, last, step) in enumerate(zip(begin.tolist(), end.tolist(), strides.tolist(), strict=True)):
        if masks.shrinkAxisMask >> axis & 1:
            slices.append(first)
        else:
            slices.append(
                slice(None if masks.beginMask >> axis & 1 else first, None if masks.endMask >> axis & 1 else last, step)
            )
    return [source[tuple(slices)]]


def _split(axis: int, source: np.ndarray, sizes: Sequence[int]) -> Arrays:
    return np.split(source, np.cumsum(sizes)[:-1].tolist(), axis=axis)


def _split_equally(operator: OperatorNode, operands: Arrays) -> Arrays:
    return np.split(operands[1], len(operator.outputs), axis=int(operands[0].ravel()[0]))


def _split_sizes(operator: OperatorNode, operands: Arrays) -> Arrays:
    axis = int(operands[2].ravel()[0])
    return _split(axis, operands[0], [part.shape[axis] for part in operator.outputs])


def _unstacked(operator: OperatorNode, operands: Arrays) -> Arrays:
    axis = operator.options.axis
    return [np.squeeze(part, axis) for part in np.split(operands[0], len(operator.outputs), axis=axis)]


def _joined(operator: OperatorNode, operands: Arrays) -> Arrays:
    return _with_activation(lambda *parts: np.concatenate(parts, axis=operator.options.axis))(operator, operands)


def _gelu(operator: OperatorNode, operands: Arrays) -> Arrays:
    (x,) = operands
    if operator.options is not None and operator.options.approximate:
        return [x * _sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))]
    return [x * _normal_distribution(x)]


def _leaky(operator: OperatorNode, operands: Arrays) -> Arrays:
    (x,) = operands
    return [np.where(x > 0, x, np.float64(np.float32(operator.options.alpha)) * x)]


def _normalized_exponential(operator: OperatorNode, operands: Arrays) -> Arrays:
    scaled = operator.options.beta * operands[0]
    exponential = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return [exponential / exponential.sum(axis=-1, keepdims=True)]


def _depth_to_space(operator: OperatorNode, operands: Arrays) -> Arrays:
    batch, rows, columns, channels = operands[0].shape
    block = operator.options.blockSize
    parts = operands[0].reshape(batch, rows, columns, block, block, channels // block**2)
    return [parts.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * block, columns * block, -1)]


_FORMS: dict[str, Form] = {
    "ABS": _plain(np.abs),
    "ADD": _with_activation(np.add),
    "AVERAGE_POOL_2D": _whole_map_average,
    "BROADCAST_TO": _plain(lambda x, shape: np.broadcast_to(x, shape.tolist())),
    "CONCATENATION": _joined,
    "DEPTH_TO_SPACE": _depth_to_space,
    "DIV": _with_activation(np.divide),
    "ELU": _plain(lambda x: _chosen(x > 0, x, np.expm1(np.minimum(x, 0)))),
    "EXP": _plain(np.exp),
    "EXPAND_DIMS": _to_result_shape,
    "GELU": _gelu,
    "GREATER": _plain(np.greater),
    "GREATER_EQUAL": _plain(np.greater_equal),
    "HARD_SWISH": _plain(lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "LEAKY_RELU": _leaky,
    "LESS": _plain(np.less),
    "LESS_EQUAL": _plain(np.less_equal),
    "LOG": _plain(np.log),
    "LOGISTIC": _plain(_sigmoid),
    "MAX_POOL_2D": _subsampled,
    "MAXIMUM": _plain(np.maximum),
    "MEAN": _reduced(np.mean),
    "MINIMUM": _plain(np.minimum),
    "MUL": _with_activation(np.multiply),
    "NEG": _plain(np.negative),
    "PAD": _plain(np.pad),
    "PADV2": _plain(lambda x, pads, value: np.pad(x, pads, constant_values=value)),
    "PACK": lambda operator, operands: [np.stack(operands, axis=operator.options.axis)],
    "POW": _plain(np.power),
    "PRELU": _plain(lambda x, alpha: _chosen(x > 0, x, alpha * x)),
    "RELU": _plain(lambda x: np.maximum(x, 0)),
    "RELU6": _plain(lambda x: np.clip(x, 0, 6)),
    "RELU_0_TO_1": _plain(lambda x: np.clip(x, 0, 1)),
    "RELU_N1_TO_1": _plain(lambda x: np.clip(x, -1, 1)),
    "RESHAPE": _reshaped,
    "RESIZE_NEAREST_NEIGHBOR": _resized,
    "REVERSE_V2": _plain(lambda x, axes: np.flip(x, tuple(axes.ravel().tolist()))),
    "RSQRT": _plain(lambda x: 1 / np.sqrt(x)),
    "SELECT": _plain(_chosen),
    "SELECT_V2": _plain(_chosen),
    "SLICE": _sliced,
    "SOFTMAX": _normalized_exponential,
    "SPLIT": _split_equally,
    "SPLIT_V": _split_sizes,
    "SQRT": _plain(np.sqrt),
    "SQUARE": _plain(np.square),
    "SQUARED_DIFFERENCE": _with_activation(lambda a, b: np.square(a - b)),
    "SQUEEZE": _to_result_shape,
    "STRIDED_SLICE": _strided,
    "SUB": _with_activation(np.subtract),
    "SUM": _reduced(np.sum),
    "TANH": _plain(np.tanh),
    "TILE": _plain(np.tile),
    "TRANSPOSE": _plain(np.transpose),
    "UNPACK": _unstacked,
}
