"""Models of mixed precision, computed in float32: that is what their weights are, and what every converter takes.

The policies ``mixed_float16`` and ``mixed_bfloat16`` keep float32 weights and compute in half of that, for the speed of
training on a GPU or TPU (Keras documentation, "Mixed precision").
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tfcompress.graphs.keras.call_graph import calls, dtype_name, is_graph, is_keras3
from tfcompress.graphs.tensorflow.private_names import flat_layers, set_input_dtype, set_policy
from tfcompress.runtime import keras, tf_keras

__all__ = ["HALF", "has_half_tensors", "in_float32", "is_mixed"]

HALF = frozenset({"float16", "bfloat16"})


def is_mixed(layer: Any) -> bool:
    """Whether a layer has float32 weights and computes in half precision."""
    return getattr(layer, "variable_dtype", None) == "float32" and layer.compute_dtype in HALF


@contextlib.contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Within, a model of mixed precision computes in float32; afterwards it is as it was, for it may be the user's."""
    layers = flat_layers(model)
    mixed = [(layer, layer.dtype_policy) for layer in layers if is_mixed(layer)]
    # A sequential model that was given its first input in half precision has an input layer of that.
    inputs = [(layer, dtype_name(layer.output.dtype)) for layer in layers if mixed and _takes_half(layer)]
    try:
        for layer, _ in mixed:
            set_policy(layer, _policy(layer), keras3=is_keras3(layer))
        for layer, _ in inputs:
            set_input_dtype(layer, "float32", keras3=is_keras3(layer))
        yield
    finally:
        for layer, policy in mixed:
            set_policy(layer, policy, keras3=is_keras3(layer))
        for layer, dtype in inputs:
            set_input_dtype(layer, dtype, keras3=is_keras3(layer))


def _policy(layer: Any) -> Any:
    return (keras.DTypePolicy if is_keras3(layer) else tf_keras.mixed_precision.Policy)("float32")


def _takes_half(layer: Any) -> bool:
    kinds = keras.layers.InputLayer | tf_keras.layers.InputLayer
    return isinstance(layer, kinds) and dtype_name(layer.output.dtype) in HALF


def has_half_tensors(model: Any) -> bool:
    """Whether a functional or sequential model was built with half-precision tensors and float32 weights."""
    # Among the weights of tf_keras's lookup layers is a vocabulary, which has no dtype.
    weights = [dtype_name(weight.dtype) for weight in model.weights if hasattr(weight, "dtype")]
    if not is_graph(model) or HALF & set(weights):
        return False
    return any(dtype_name(tensor.dtype) in HALF for call in calls(model) for tensor in call.outputs)
