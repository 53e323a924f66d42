"""Calls that were noted with a batch of a certain size, made again with one of any size.

While a layer is taken apart its inputs have a batch of `size` samples, a prime that divides no other size of the model:
then `ops.shape(x)[0]` and `x.shape[0]` are numbers, with which the layer's code can compute, and whatever they end up
in is known by being a multiple of that prime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfcompress.graphs.keras.taken_apart.leaf_layers import TensorForBatch
from tfcompress.graphs.keras.taken_apart.tensorflow_calls import TensorFlowCall
from tfcompress.graphs.tensorflow.private_names import KERAS3_OPERATION_MODULES
from tfcompress.runtime import keras, tf

__all__ = ["CannotOpenError", "batch_size_for", "is_layer", "opened", "opened_constant"]

_PRIMES = (211, 223, 227, 229, 233, 239, 241, 251, 257, 263, 269, 271, 277, 281, 283, 293, 307, 311, 313, 317)
# With functions among their settings: what they compute cannot be seen.
_OF_FUNCTIONS = frozenset(
    {"AssociativeScan", "Cond", "CustomGradient", "ForiLoop", "Function", "Map", "Scan", "Switch", "VectorizedMap",
     "WhileLoop"}
)  # fmt: skip


class CannotOpenError(Exception):
    """A call means something only for the batch size that it was noted with; the message says what it is."""


def batch_size_for(sizes: Sequence[int]) -> int:
    """A prime that divides none of a model's sizes."""
    return next(prime for prime in _PRIMES if all(size % prime for size in sizes if size))


def is_layer(operation: object) -> bool:
    """Whether a Keras 3 operation is a layer."""
    return isinstance(operation, keras.layers.Layer)


Run = Callable[[Sequence[Any], Mapping[str, Any], Any], Any]


def opened(node: Any, size: int | None) -> Run:
    """How a call is made again: given its arguments with new tensors, and a tensor that has the batch.

    Args:
        node: the call as Keras noted it.
        size: of the batch that it was noted with; None where the model itself fixes the batch.

    Raises:
        CannotOpenError: nothing is known that means the same for a batch of any size, or of what it computes.
    """
    operation = node.operation
    kind = type(operation).__name__
    if is_layer(operation):
        return lambda args, kwargs, anchor: operation(*args, **kwargs)
    if kind in _OF_FUNCTIONS:
        raise CannotOpenError(f"control flow on values ({kind})")
    if isinstance(operation, TensorFlowCall):
        return _opened_tensorflow_call(node, size)
    if not type(operation).__module__.startswith(KERAS3_OPERATION_MODULES):
        raise CannotOpenError(f"an operation of one's own ({kind})")
    settings = operation.get_config()
    if size is None or not _holds(size, (settings, node.arguments.args, node.arguments.kwargs)):
        copy = type(operation).from_config(settings)
        return lambda args, kwargs, anchor: copy(*args, **kwargs)
    return _opened_operation(node, kind, size)


def _opened_operation(node: Any, kind: str, size: int) -> Run:
    """An operation with the size of the batch among its settings."""
    (result,) = node.outputs
    shape = [-1 if _is_multiple(length, size) else length for length in result.shape]
    if kind == "Reshape" and shape.count(-1) == 1:
        return lambda args, kwargs, anchor: keras.ops.reshape(args[0], shape)
    source = node.arguments.keras_tensors[0].shape
    behind = result.shape[1:]
    whole_batch = result.shape[0] == size and shape.count(-1) == 1
    broadcasts = kind == "BroadcastTo" or (
        kind in ("Tile", "Repeat") and source[0] == 1 and tuple(source[1:]) == tuple(behind)
    )
    if whole_batch and broadcasts:
        return lambda args, kwargs, anchor: TensorForBatch(behind)(args[0], anchor)
    raise CannotOpenError(f"the size of the batch as a number in {kind}")


def _opened_tensorflow_call(node: Any, size: int | None) -> Run:
    function = node.operation.function
    if size is None or not _holds(size, (node.arguments.args, node.arguments.kwargs)):
        copy = TensorFlowCall(function)
        return lambda args, kwargs, anchor: copy(*args, **kwargs)
    shape = [-1 if _is_multiple(length, size) else length for length in node.outputs[0].shape]
    if function is tf.reshape and shape.count(-1) == 1:
        return lambda args, kwargs, anchor: keras.ops.reshape(args[0], shape)
    raise CannotOpenError("the size of the batch as a number in a call of tf")


def opened_constant(value: np.ndarray, size: int) -> np.ndarray:
    """A constant that has the batch's size along its first axis, for one sample: all samples have the same.

    Raises:
        CannotOpenError: samples have different values, as numbers drawn at random do.
    """
    if value.shape[0] != size or any(_is_multiple(length, size) for length in value.shape[1:]):
        raise CannotOpenError("a constant of the batch's size")
    if value.size and not np.array_equal(value, np.broadcast_to(value[:1], value.shape), equal_nan=False):
        raise CannotOpenError("values that differ from sample to sample, such as random ones")
    return value[:1]


def _is_multiple(value: Any, size: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value != 0 and value % size == 0


def _holds(size: int, nested: Any) -> bool:
    """Whether any number in a nest of settings is a multiple of the batch's size."""
    return any(_is_multiple(leaf, size) for leaf in keras.tree.flatten(_plain(nested)))


def _plain(value: Any) -> Any:
    """Slices, which trees do not look into, as tuples."""
    if isinstance(value, slice):
        return (value.start, value.stop, value.step)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
