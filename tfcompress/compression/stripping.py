"""The plain model inside a wrapped one: no wrappers, trained float weights, zeros and clusters as trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.compression.lowering.recurrence import Recurrence, as_keras_layer, without_peaks
from tfcompress.compression.simulation.quantize import PREFIX, FakeQuantize, KernelConfig
from tfcompress.compression.sparsity.pruning import PruneWrapper
from tfcompress.graphs.keras.protocols import KerasModel, Layer
from tfcompress.graphs.keras.replay import Call, Copies, rebuild
from tfcompress.graphs.tensorflow.private_names import quantized_variables
from tfcompress.runtime import tf_keras, tfmot

__all__ = ["strip"]


def strip(model: KerasModel) -> Any:
    """The plain tf_keras model of a wrapped one, as `wrap` made it and training left it.

    Args:
        model: a wrapped tf_keras model; it is not changed.  A plain one comes back as a copy.

    Raises:
        ModelError: not a sequential or functional tf_keras model.
    """
    copies = Copies()
    weights: list[tuple[Any, list[np.ndarray]]] = []

    def unwrapped(layer: Any) -> Any:
        inner, values = layer.layer, _weights_inside(layer)
        if isinstance(inner, Recurrence):
            plain_layer, values = as_keras_layer(inner), without_peaks(values)
        else:
            plain_layer = type(inner).from_config(inner.get_config())
        weights.append((plain_layer, values))
        return plain_layer

    def emit(call: Call) -> Any:
        layer = call.layer
        if isinstance(layer, FakeQuantize):
            return call.inputs[0]
        if _is_wrapper(layer):
            plain_layer = copies.get((layer, "unwrapped"), lambda: unwrapped(layer))
            if isinstance(layer.layer, Recurrence) and len(call.inputs) == 2:
                return plain_layer(call.inputs[0], mask=call.inputs[1])
            return plain_layer(*call.args, **call.kwargs)
        return copies.plain(layer, without=PREFIX)(*call.args, **call.kwargs)

    plain = rebuild(model, emit, make_model=tf_keras.Model)
    copies.copy_weights()
    for layer, values in weights:
        layer.set_weights(values)
    return plain


def _is_wrapper(layer: Layer) -> bool:
    return isinstance(layer, (tfmot.quantization.keras.QuantizeWrapperV2, PruneWrapper))


def _weights_inside(wrapper: Any) -> list[np.ndarray]:
    """Weights of the wrapped layer in its own order, zeros and clusters kept."""
    if isinstance(wrapper, PruneWrapper):
        return wrapper.masked_weights()
    config: KernelConfig = wrapper.quantize_config
    kept = {
        id(variable): quantizer.constrained(variable, quantizer_weights)
        for variable, quantizer, quantizer_weights in quantized_variables(wrapper)
    }
    return [np.asarray(kept.get(id(variable), variable)) for variable in config.variables]
