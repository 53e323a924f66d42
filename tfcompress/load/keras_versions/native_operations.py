"""Operations of `keras.ops` and of Python's operators that tf_keras has a layer for.

A layer is worth more than the same arithmetic in an adapter: tfmot, the converters and people know it by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfcompress.graphs.keras.call_graph import Call, dtype_name, is_symbolic
from tfcompress.graphs.tensorflow.private_names import KERAS3_OPERATION_MODULES
from tfcompress.load.keras_versions.activations import translated_activation
from tfcompress.load.keras_versions.tensor_operations import tensor_operation
from tfcompress.runtime import keras, tf_keras

__all__ = ["native_operation"]

_MERGES = {"Add": "Add", "Subtract": "Subtract", "Multiply": "Multiply", "Maximum": "Maximum", "Minimum": "Minimum"}
_ACTIVATIONS = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "Softsign": "softsign",
                "Selu": "selu", "Silu": "swish", "Exp": "exponential"}  # fmt: skip
_POOLS = {"Mean": "GlobalAveragePooling", "Max": "GlobalMaxPooling"}
# Not the 1-D pool: it would heed a mask, which an operation ignores.
_POOLED_AXES = {4: (1, 2), 5: (1, 2, 3)}


def native_operation(call: Call, args: Sequence[Any]) -> Any:
    """The tf_keras tensors of a Keras 3 operation, computed by a layer or tensor operator that tf_keras has.

    Args:
        call: of an operation, not of a layer.
        args: its positional arguments with tf_keras tensors in the place of Keras 3's.

    Returns:
        The symbolic tensors; None when there is no such layer or operator.
    """
    operation = call.layer
    kind = type(operation).__name__
    if call.kwargs or not type(operation).__module__.startswith(KERAS3_OPERATION_MODULES):
        return None
    tensor = _layer_of(kind, operation, args)
    return tensor_operation(operation, args) if tensor is None else tensor


def _layer_of(kind: str, operation: Any, args: Sequence[Any]) -> Any:
    """The tensor out of a layer that has a name in tf_keras; None without such a layer."""
    if kind in _MERGES and len(args) == 2:
        return _merged(kind, operation.name, args)
    if kind == "Concatenate" and all(is_symbolic(x) for x in args[0]):
        layer = tf_keras.layers.Concatenate(axis=operation.axis, name=operation.name, dtype=_dtype(args[0][0]))
        return layer(list(args[0]))
    if kind in _ACTIVATIONS and _only_name(operation):
        return tf_keras.layers.Activation(_ACTIVATIONS[kind], name=operation.name, dtype=_dtype(args[0]))(args[0])
    if kind in _BENDS:
        return _BENDS[kind](operation, args[0])
    if kind == "Softmax":
        return tf_keras.layers.Softmax(axis=operation.axis, name=operation.name, dtype=_dtype(args[0]))(args[0])
    if kind == "Normalize" and operation.order in (2, "euclidean") and isinstance(operation.axis, int):
        return tf_keras.layers.UnitNormalization(operation.axis, name=operation.name, dtype=_dtype(args[0]))(args[0])
    if kind in _POOLS:
        return _pooled(_POOLS[kind], operation, args[0])
    return None


def _elu(operation: Any, x: Any) -> Any:
    return tf_keras.layers.ELU(operation.alpha, name=operation.name, dtype=_dtype(x))(x)


def _leaky_relu(operation: Any, x: Any) -> Any:
    return tf_keras.layers.LeakyReLU(alpha=operation.negative_slope, name=operation.name, dtype=_dtype(x))(x)


def _hard_sigmoid(operation: Any, x: Any) -> Any:
    function = translated_activation("hard_sigmoid", to_keras3=False)
    return tf_keras.layers.Activation(function, name=operation.name, dtype=_dtype(x))(x)


def _celu(operation: Any, x: Any) -> Any:
    """``alpha * elu(x / alpha)`` (Barron 2017, "Continuously Differentiable Exponential Linear Units")."""
    if operation.alpha == 1:
        return _elu(operation, x)
    name, dtype = operation.name, _dtype(x)
    scaled = tf_keras.layers.Rescaling(1 / operation.alpha, name=f"{name}_scaled", dtype=dtype)(x)
    bent = tf_keras.layers.ELU(name=f"{name}_bent", dtype=dtype)(scaled)
    return tf_keras.layers.Rescaling(operation.alpha, name=name, dtype=dtype)(bent)


_BENDS = {"Elu": _elu, "LeakyRelu": _leaky_relu, "HardSigmoid": _hard_sigmoid, "Celu": _celu}


def _only_name(operation: Any) -> bool:
    return set(operation.get_config()) <= {"name"}


def _dtype(tensor: Any) -> str:
    return dtype_name(tensor.dtype)


def _merged(kind: str, name: str, args: Sequence[Any]) -> Any:
    """``a + b`` of two tensors is a merge layer; of a float tensor and a number, a rescaling."""
    tensors = [x for x in args if is_symbolic(x)]
    if len(tensors) == 2:
        same_rank = len(tensors[0].shape) == len(tensors[1].shape)
        if same_rank and _dtype(tensors[0]) == _dtype(tensors[1]):
            return getattr(tf_keras.layers, _MERGES[kind])(name=name, dtype=_dtype(tensors[0]))(list(args))
        return None
    (tensor,) = tensors
    number = args[1] if args[0] is tensor else args[0]
    if not isinstance(number, int | float) or _dtype(tensor) != "float32":
        return None
    scale, offset = _affine(kind, number, tensor_first=args[0] is tensor)
    if scale is None:
        return None
    return tf_keras.layers.Rescaling(scale, offset, name=name)(tensor)


def _affine(kind: str, number: float, *, tensor_first: bool) -> tuple[float | None, float]:
    """(scale, offset) with which `scale * x + offset` is the operation; scale is None for another operation."""
    if kind == "Add":
        return 1.0, float(number)
    if kind == "Multiply":
        return float(number), 0.0
    if kind == "Subtract":
        return (1.0, -float(number)) if tensor_first else (-1.0, float(number))
    return None, 0.0


def _pooled(layer_name: str, operation: Any, tensor: Any) -> Any:
    """A mean or maximum over all the spatial axes of a channels-last tensor."""
    rank = len(tensor.shape)
    axes = operation.axis if isinstance(operation.axis, list | tuple) else (operation.axis,)
    if None in axes or rank not in _POOLED_AXES or _dtype(tensor) != "float32":
        return None
    if sorted(axis % rank for axis in axes) != list(_POOLED_AXES[rank]):
        return None
    if keras.config.image_data_format() != "channels_last":
        return None
    layer = getattr(tf_keras.layers, f"{layer_name}{rank - 2}D")
    return layer(data_format="channels_last", keepdims=bool(operation.keepdims), name=operation.name)(tensor)
