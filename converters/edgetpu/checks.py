"""The conditions that `rules` names: each looks at one operator and returns the tensor that breaks it, or None."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.edgetpu.operators import SUPPORTED
from tfcompress.converters.edgetpu.view import OperatorView, is_constant
from tfcompress.graphs.tflite import Tensor

__all__ = [
    "axis_is_batch",
    "bilinear_too_uneven",
    "concatenates_constant",
    "custom",
    "dilation_unequal",
    "first_result",
    "flat_elements_at_least",
    "fused_activation",
    "half_pixel_centers",
    "lstm_too_wide",
    "newer_version",
    "not_eight_bit",
    "not_supported",
    "outputs_at_least",
    "parameters_not_constant",
    "prelu_alpha_not_shared",
    "quantizes_float",
    "rank_above_four",
    "rank_above_three",
    "reduces_batch",
    "reduces_many_positions",
    "reduces_odd_depth",
    "resized_bytes_at_least",
    "slice_masks",
    "slice_strides",
    "splits_first_axis",
    "squeezes_inner",
    "total_elements_above",
    "version_at_least",
    "weights_shuffled",
]

_EIGHT_BIT = ("int8", "uint8")
_WEIGHTS = {  # positions of weights and biases, which must be constants
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
    "FULLY_CONNECTED": (2,),  # computed weights map in compiler 16
    "PRELU": (1,),
}
# Stands for the offending tensor of an operator that has none, such as CALL_ONCE.
_NO_TENSOR = Tensor(-1, "", (), (), "variant", None, None, False)
_INNERMOST = 3  # dimensions that may exceed 1
_BATCH_FROM_END = 4  # what the compiler takes for the batch is the fourth dimension from the end


def _first(tensors: Iterable[Tensor]) -> Tensor | None:
    return next(iter(tensors), None)


def _from_end(axis: int, rank: int) -> int:
    """1 for the innermost axis; `axis` may be negative."""
    return -axis if axis < 0 else rank - axis


def custom(view: OperatorView) -> Tensor | None:
    """The operator is not one of TensorFlow Lite's own."""
    return _first(view.outputs + view.inputs) or _NO_TENSOR if view.operator.custom else None


def not_supported(view: OperatorView) -> Tensor | None:
    """The operator's type is not on the list."""
    supported = view.operator.name in SUPPORTED and not view.operator.custom
    return None if supported else _first(view.outputs + view.inputs) or _NO_TENSOR


def first_result(view: OperatorView) -> Tensor | None:
    """Any such operator."""
    return _first(view.outputs) or _NO_TENSOR


def version_at_least(view: OperatorView, limit: int) -> Tensor | None:
    """The operator's version is `limit` or newer."""
    return first_result(view) if view.operator.version >= limit else None


def half_pixel_centers(view: OperatorView) -> Tensor | None:
    """Pixels are taken at their middles, and the image changes its size."""
    source, result = view.input(0), _first(view.outputs)
    if source is None or result is None or source.shape == result.shape:
        return None
    return result if view.option("HalfPixelCenters", 0) else None


def newer_version(view: OperatorView) -> Tensor | None:
    """The operator's version is above what the compiler knows."""
    newest = SUPPORTED[view.operator.name].newest_version
    return _first(view.outputs) or _NO_TENSOR if view.operator.version > newest else None


def rank_above_three(view: OperatorView) -> Tensor | None:
    """A dimension outside the three innermost ones exceeds 1."""
    tensors = view.inputs + view.outputs if view.operator.name == "DEQUANTIZE" else view.activations
    return _first(tensor for tensor in tensors if any(size != 1 for size in tensor.shape[:-_INNERMOST]))


def rank_above_four(view: OperatorView) -> Tensor | None:
    """A tensor has five or more dimensions, whatever their sizes."""
    return _first(tensor for tensor in view.activations if len(tensor.shape) > _BATCH_FROM_END)


def quantizes_float(view: OperatorView) -> Tensor | None:
    """The input is not 8 bit yet."""
    return _first(tensor for tensor in view.inputs if tensor.dtype in ("float32", "float16"))


def not_eight_bit(view: OperatorView) -> Tensor | None:
    """An activation is neither int8 nor uint8; an LSTM's cell state may be int16."""
    tensors = view.activations
    if view.operator.name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        tensors = view.inputs[:1] + view.outputs
    return _first(tensor for tensor in tensors if tensor.dtype not in _EIGHT_BIT)


def parameters_not_constant(view: OperatorView) -> Tensor | None:
    """A filter or a bias is computed."""
    parameters = (view.input(position) for position in _WEIGHTS.get(view.operator.name, ()))
    return _first(tensor for tensor in parameters if tensor is not None and not is_constant(tensor))


def dilation_unequal(view: OperatorView) -> Tensor | None:
    """Dilation differs in x and y, and the kernel is wider than 1 in both."""
    across, down = view.option("DilationWFactor", 1), view.option("DilationHFactor", 1)
    kernel = view.input(1)
    if across == down or kernel is None or len(kernel.shape) != 4:
        return None
    return kernel if min(kernel.shape[1:3]) > 1 else None


def fused_activation(view: OperatorView) -> Tensor | None:
    """An activation function is fused into the operator."""
    none = schema.ActivationFunctionType.NONE
    return _first(view.outputs) if view.option("FusedActivationFunction", none) != none else None


def concatenates_constant(view: OperatorView) -> Tensor | None:
    """A constant among the inputs, unless there are exactly two and it is all zero."""
    constants = [tensor for tensor in view.inputs if is_constant(tensor)]
    if not constants:
        return None
    values = constants[0].array()
    zero = constants[0].quantization.zero_points[0] if constants[0].quantization else 0
    only_zero = len(view.inputs) == 2 and values is not None and bool((values == zero).all())
    return None if only_zero else constants[0]


def flat_elements_at_least(view: OperatorView, limit: int) -> Tensor | None:
    """A result without rows and columns (at most three dimensions) of `limit` elements or more."""
    return _first(t for t in view.outputs if len(t.shape) <= _INNERMOST and t.elements >= limit)


def total_elements_above(view: OperatorView, limit: int) -> Tensor | None:
    """A result of more than `limit` elements."""
    return _first(tensor for tensor in view.outputs if tensor.elements > limit)


def outputs_at_least(view: OperatorView, limit: int) -> Tensor | None:
    """A result whose innermost dimension has `limit` elements or more."""
    return _first(tensor for tensor in view.outputs if tensor.shape and tensor.shape[-1] >= limit)


def weights_shuffled(view: OperatorView) -> Tensor | None:
    """The weights are not in the default format."""
    return view.input(1) if view.option("WeightsFormat", 0) != 0 else None


def _axes(view: OperatorView) -> list[int]:
    """Reduced axes, counted from the end."""
    source, axes = view.input(0), view.integers(1)
    return [] if source is None or axes is None else [_from_end(axis, len(source.shape)) for axis in axes]


def reduces_batch(view: OperatorView) -> Tensor | None:
    """The batch dimension is reduced."""
    return view.input(0) if any(axis >= _BATCH_FROM_END for axis in _axes(view)) else None


def reduces_odd_depth(view: OperatorView) -> Tensor | None:
    """The innermost dimension is reduced and is not a multiple of 4."""
    source = view.input(0)
    if source is None or not source.shape or 1 not in _axes(view):
        return None
    return source if source.shape[-1] % 4 else None


def reduces_many_positions(view: OperatorView, limit: int) -> Tensor | None:
    """The mean is over `limit` rows times columns or more."""
    source = view.input(0)
    if source is None:
        return None
    sizes = [source.shape[-axis] for axis in _axes(view) if 2 <= axis <= min(_INNERMOST, len(source.shape))]
    return source if math.prod(sizes) >= limit else None


def axis_is_batch(view: OperatorView) -> Tensor | None:
    """The results are packed along the batch dimension."""
    result = _first(view.outputs)
    if result is None or _from_end(view.option("Axis", 0), len(result.shape)) < _BATCH_FROM_END:
        return None
    return result


def splits_first_axis(view: OperatorView) -> Tensor | None:
    """A split into several parts along the first of three or more dimensions."""
    source, axes = view.input(1), view.integers(0)
    if source is None or not axes or len(view.outputs) < 2 or len(source.shape) < _INNERMOST:
        return None
    return source if _from_end(axes[0], len(source.shape)) == len(source.shape) else None


def prelu_alpha_not_shared(view: OperatorView) -> Tensor | None:
    """The slopes differ along rows or columns."""
    alpha = view.input(1)
    return alpha if alpha is not None and any(size != 1 for size in alpha.shape[:-1]) else None


def resized_bytes_at_least(view: OperatorView, limit: int) -> Tensor | None:
    """The resized image has `limit` bytes or more."""
    return _first(tensor for tensor in view.outputs if tensor.bytes >= limit)


def bilinear_too_uneven(view: OperatorView, limit: int) -> Tensor | None:
    """A single pixel spread over an image, or a result of `limit` rows or columns or more."""
    source, result = view.input(0), _first(view.outputs)
    if source is None or result is None or len(source.shape) != 4 or len(result.shape) != 4:
        return None
    before, after = source.shape[1:3], result.shape[1:3]
    if before == after:
        return result if max(after) >= limit else None
    return result if before == (1, 1) or max(after) >= limit else None


def slice_strides(view: OperatorView) -> Tensor | None:
    """A stride is not 1."""
    strides = view.integers(3)
    return view.input(3) if strides is not None and any(stride != 1 for stride in strides) else None


def slice_masks(view: OperatorView) -> Tensor | None:
    """An ellipsis or a new axis is used."""
    masked = view.option("EllipsisMask", 0) or view.option("NewAxisMask", 0)
    return _first(view.outputs) if masked else None


def squeezes_inner(view: OperatorView) -> Tensor | None:
    """A dimension of 1 is removed that has a larger one before it."""
    source, result = view.input(0), _first(view.outputs)
    if source is None or result is None:
        return None
    removed = len(source.shape) - len(result.shape)
    leading = source.shape[removed:] == result.shape and all(size == 1 for size in source.shape[:removed])
    return None if leading else source


def lstm_too_wide(view: OperatorView, limit: int) -> Tensor | None:
    """Each step has `limit` inputs or more."""
    source = view.input(0)
    return source if source is not None and source.shape and source.shape[-1] >= limit else None
