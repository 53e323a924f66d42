"""Changes of a Keras model before it is fine-tuned, for ``--rewrite=all``: activations that map for ones that do not.

The same changes on a float graph after training (`rewriting`, level `all`) cost accuracy that nothing wins back.
"""

from __future__ import annotations

from typing import Any

from tfcompress.graphs.keras.protocols import KerasModel, Layer
from tfcompress.layer_names import all_layers
from tfcompress.runtime import keras, tf_keras

__all__ = ["with_mappable_activations"]

# Each needs two to fifteen operators where ReLU6, fused into the layer before, is none at all.
_REPLACED = frozenset({"silu", "swish", "gelu", "elu", "celu", "selu", "mish"})


def with_mappable_activations(keras_model: Any) -> tuple[Any, tuple[str, ...]]:
    """A copy of the model with ReLU6 in place of SiLU, GELU, ELU, CELU, SELU and Mish, and its weights.

    The function changes: the copy is to be fine-tuned.  Activations are replaced where a layer has them as its
    `activation`.

    Args:
        keras_model: sequential or functional, of Keras 3 or tf_keras; another kind is returned as it is.

    Returns:
        The model, and a note for each changed layer; the model itself when there is nothing to change.
    """
    library = tf_keras if isinstance(keras_model, tf_keras.Model) else keras
    names = [layer.name for layer in all_layers(keras_model) if _activation(layer) in _REPLACED]
    if not names or not _is_a_graph(keras_model):
        return keras_model, ()
    copy = library.models.clone_model(keras_model)
    copy.set_weights(keras_model.get_weights())
    relu6 = library.activations.get("relu6")
    notes = []
    for layer in all_layers(copy):
        old = _activation(layer)
        if old in _REPLACED:
            layer.activation = relu6
            notes.append(f"{layer.name}: relu6 for {old}; this changes the function, so the model is to be fine-tuned")
    return copy, tuple(notes)


def _activation(layer: Layer) -> str:
    return getattr(getattr(layer, "activation", None), "__name__", "")


def _is_a_graph(keras_model: KerasModel) -> bool:
    """Sequential and functional models can be cloned; a subclassed one is Python code."""
    return not {"Sequential", "Functional"}.isdisjoint(base.__name__ for base in type(keras_model).__mro__)
