"""Operations of `keras.ops` as tensor operators of TensorFlow, which tf_keras models hold as layers too.

Of those, the simulation of an int8 file knows which have integer kernels; of an operation in an adapter it knows
nothing, and leaves it in float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tfcompress.graphs.keras.call_graph import dtype_name, is_symbolic
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.einsums import matrix_product
from tfcompress.graphs.tensorflow.private_names import keras_history, mask_of
from tfcompress.runtime import tf

__all__ = ["tensor_operation"]

# Positional arguments of an operation: tensors, lists of them, numbers, arrays, slices.
Arguments = Sequence[Any]
# A tensor, several, or None where there is no such operator.
Results = Tensor | Sequence[Tensor] | None
# Of TensorFlow, on tensors.
Function = Callable[..., Tensor]


class Operation(Protocol):
    """An operation of `keras.ops`, whose settings are attributes."""

    def __getattr__(self, name: str) -> Any:
        """A setting."""
        ...


# (operation, its positional arguments) -> tensor, tensors, or None where there is no such operator.
_Maker = Callable[[Operation, Arguments], Results]


def tensor_operation(operation: Operation, args: Arguments) -> Results:
    """The tf_keras tensors of an operation, computed by TensorFlow's operators.

    Args:
        operation: of `keras.ops`.
        args: its positional arguments, with tf_keras tensors in the place of Keras 3's.

    Returns:
        None where the operation has no counterpart of exactly this meaning, or its tensors are not float32 or carry a
        mask, which operations of Keras 3 drop and those of tf_keras keep.
    """
    make = _OPERATIONS.get(type(operation).__name__)
    tensors = [leaf for leaf in tf.nest.flatten(list(args)) if is_symbolic(leaf)]
    fits = tensors and all(dtype_name(t.dtype) == "float32" and _unmasked(t) for t in tensors)
    return make(operation, _as_tensorflow_has_them(args)) if make is not None and fits else None


def _unmasked(tensor: Tensor) -> bool:
    return mask_of(tensor) is None


def _as_tensorflow_has_them(args: Arguments) -> list[Any]:
    """Constants of Keras 3, which may be its variables' values, as float32 arrays."""

    def plain(value: Any) -> Any:
        if is_symbolic(value) or isinstance(value, int | float | slice | str | type(None) | type(Ellipsis)):
            return value
        array = np.asarray(value)
        return array.astype(np.float32) if array.dtype.kind == "f" else array

    return [
        [plain(value) for value in arg] if isinstance(arg, list) else arg if isinstance(arg, tuple) else plain(arg)
        for arg in args
    ]


def _unary(function: Function) -> _Maker:
    return lambda operation, args: function(args[0])


def _binary(function: Function) -> _Maker:
    return lambda operation, args: function(args[0], args[1])


def _reduced(function: Function) -> _Maker:
    def make(operation: Operation, args: Arguments) -> Results:
        axis = operation.axis
        if axis is None or getattr(operation, "initial", None) is not None:
            return None
        axes = list(axis) if isinstance(axis, list | tuple) else int(axis)
        return function(args[0], axis=axes, keepdims=bool(operation.keepdims))

    return make


def _extreme(function: Function, sign: float) -> _Maker:
    """The larger (or smaller) of two tensors; of a tensor and a number, a ReLU between two shifts."""

    def make(operation: Operation, args: Arguments) -> Results:
        del operation
        numbers = [arg for arg in args if not is_symbolic(arg)]
        if not numbers:
            return function(args[0], args[1])
        number = np.asarray(numbers[0])
        if number.size != 1:
            return None
        (tensor,) = (arg for arg in args if is_symbolic(arg))
        value = float(number.reshape(-1)[0])
        if sign > 0:
            return tf.nn.relu(tensor) if value == 0 else tf.nn.relu(tensor - value) + value
        return value - tf.nn.relu(value - tensor)

    return make


def _clip(operation: Operation, args: Arguments) -> Results:
    low, high = operation.x_min, operation.x_max
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    return tf.clip_by_value(args[0], float(low), float(high))


def _reshape(operation: Operation, args: Arguments) -> Results:
    sizes = [-1 if size is None else int(size) for size in operation.newshape]
    return tf.reshape(args[0], sizes)


def _transposed(operation: Operation, args: Arguments) -> Results:
    axes = operation.axes
    return tf.transpose(args[0], list(axes) if axes is not None else None)


def _swapped(operation: Operation, args: Arguments) -> Results:
    rank = len(args[0].shape)
    order = list(range(rank))
    first, second = operation.axis1 % rank, operation.axis2 % rank
    order[first], order[second] = order[second], order[first]
    return tf.transpose(args[0], order)


def _taken(operation: Operation, args: Arguments) -> Results:
    indices = args[1]
    if is_symbolic(indices) or operation.axis is None or np.asarray(indices).min() < 0:
        return None
    return tf.gather(args[0], np.asarray(indices, np.int32), axis=int(operation.axis))


def _split(operation: Operation, args: Arguments) -> Results:
    parts = operation.indices_or_sections
    return list(tf.split(args[0], parts, axis=operation.axis)) if isinstance(parts, int) else None


def _item(operation: Operation, args: Arguments) -> Results:
    del operation
    key = args[1] if isinstance(args[1], tuple) else (args[1],)
    simple = all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in key)
    return args[0][key] if simple else None


def _flipped(operation: Operation, args: Arguments) -> Results:
    """A slice that goes backwards has an int8 kernel in the converter, a reversal has none."""
    if operation.axis is None:
        return None
    rank = len(args[0].shape)
    axes = {axis % rank for axis in np.atleast_1d(operation.axis).tolist()}
    return args[0][tuple(slice(None, None, -1 if axis in axes else None) for axis in range(rank))]


def _power(operation: Operation, args: Arguments) -> Results:
    del operation
    exponent = args[1]
    return tf.square(args[0]) if not is_symbolic(exponent) and np.all(np.asarray(exponent) == 2) else None


def _quotient(operation: Operation, args: Arguments) -> Results:
    """A quotient by constants is a product, one by a root becomes one; others have no kernel of both engines."""
    del operation
    if is_symbolic(args[1]):
        history = keras_history(args[1])
        return args[0] / args[1] if history and getattr(history[0], "symbol", None) == "math.sqrt" else None
    if not np.all(np.asarray(args[1])):
        return None
    return args[0] * (1 / np.asarray(args[1], np.float64)).astype(np.float32)


def _variance(operation: Operation, args: Arguments) -> Results:
    if operation.axis is None:
        return None
    mean = tf.reduce_mean(args[0], axis=operation.axis, keepdims=True)
    return tf.reduce_mean(tf.square(args[0] - mean), axis=operation.axis, keepdims=bool(operation.keepdims))


def _einsum(operation: Operation, args: Arguments) -> Results:
    """One matrix product where an axis is summed; an einsum that multiplies alone is left to Keras 3."""
    given, arrow, output = str(operation.subscripts).replace(" ", "").partition("->")
    parts = given.split(",")
    if not arrow or "." in given or len(parts) != 2 or any(len(set(part)) != len(part) for part in (*parts, output)):
        return None
    first, second = parts
    if not any(label in second and label not in output for label in first):
        return None
    sizes = {
        label: size for part, x in zip(parts, args, strict=True) for label, size in zip(part, x.shape, strict=True)
    }
    return matrix_product((first, second, output), args, sizes)


_OPERATIONS: Mapping[str, _Maker] = {
    "Absolute": _unary(tf.abs),
    "Abs": _unary(tf.abs),
    "Add": _binary(tf.add),
    "Subtract": _binary(tf.subtract),
    "Multiply": _binary(tf.multiply),
    "Maximum": _extreme(tf.maximum, 1.0),
    "Minimum": _extreme(tf.minimum, -1.0),
    "Negative": _unary(tf.negative),
    "Square": _unary(tf.square),
    "Sqrt": _unary(tf.sqrt),
    "Rsqrt": _unary(tf.math.rsqrt),
    "Exp": _unary(tf.exp),
    "LogSoftmax": lambda operation, args: (
        tf.nn.log_softmax(args[0], axis=operation.axis) if isinstance(operation.axis, int) else None
    ),
    "Logsumexp": _reduced(tf.reduce_logsumexp),
    "Relu6": _unary(tf.nn.relu6),
    "Power": _power,
    "Divide": _quotient,
    "TrueDivide": _quotient,
    "Clip": _clip,
    "Sum": _reduced(tf.reduce_sum),
    "Mean": _reduced(tf.reduce_mean),
    "Max": _reduced(tf.reduce_max),
    "Min": _reduced(tf.reduce_min),
    "Var": _variance,
    "Gelu": lambda operation, args: tf.nn.gelu(args[0], approximate=bool(operation.approximate)),
    "Stack": lambda operation, args: tf.stack(list(args[0]), axis=int(operation.axis)),
    "ExpandDims": lambda operation, args: (
        tf.expand_dims(args[0], operation.axis) if isinstance(operation.axis, int) else None
    ),
    "Squeeze": lambda operation, args: None if operation.axis is None else tf.squeeze(args[0], operation.axis),
    "Reshape": _reshape,
    "Transpose": _transposed,
    "Swapaxes": _swapped,
    "Take": _taken,
    "Split": _split,
    "GetItem": _item,
    "Flip": _flipped,
    "Tile": lambda operation, args: (
        tf.tile(args[0], list(operation.repeats))
        if len(np.atleast_1d(operation.repeats)) == len(args[0].shape)
        else None
    ),
    "Matmul": _binary(tf.matmul),
    "Einsum": _einsum,
}
