"""Masks that Keras hands along with tensors, unseen, as arguments of the layers that heed them.

A layer that is written as others passes no such mask on, and whoever reads its output would take all steps for real
ones.  Models of Keras 3 have theirs as arguments since they were rebuilt.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.graphs.keras.replay import Call, Copies, rebuild
from tfcompress.graphs.tensorflow.private_names import computes_masks_itself
from tfcompress.runtime import tf, tf_keras

__all__ = ["with_explicit_masks"]

_L = tf_keras.layers
_SOURCES = (_L.Embedding, _L.Masking)


def with_explicit_masks(model: KerasModel) -> Any:
    """A flat copy of a model, weights included, in which masks are arguments.

    Args:
        model: sequential or functional tf_keras model; it is not changed.
    """
    copies, masks = Copies(), _Masks()

    def emit(call: Call) -> Any:
        kwargs = {**call.kwargs, **masks.arguments(call)}
        outputs = copies.plain(call.layer)(*call.args, **kwargs)
        masks.pass_on(call, outputs)
        return outputs

    flat = rebuild(model, emit)
    copies.copy_weights()
    return flat


class _Masks:
    """The mask that goes with each tensor of the new model, as a tensor of that model.

    Those that Keras keeps were made inside of its layers and are no part of the graph.
    """

    def __init__(self) -> None:
        self._by_tensor: dict[int, tuple[object, Any]] = {}  # with the tensor: an id is unique only while it lives

    def of(self, tensor: object) -> Any:
        """None for a tensor without one."""
        return self._by_tensor.get(id(tensor), (None, None))[1]

    def pass_on(self, call: Call, outputs: object) -> None:
        """Let the layer say which masks go with what it returned."""
        layer = call.layer
        if not call.args or not hasattr(layer, "compute_mask"):
            return
        masks = tf.nest.map_structure(self.of, call.args[0])
        if not (isinstance(layer, _SOURCES) or _any(masks)):
            return
        if not (computes_masks_itself(layer) or layer.supports_masking):
            return
        output_masks = tf.nest.flatten(layer.compute_mask(call.args[0], masks))
        for tensor, mask in zip(tf.nest.flatten(outputs), output_masks, strict=False):
            if mask is not None:
                self._by_tensor[id(tensor)] = (tensor, mask)

    def arguments(self, call: Call) -> dict[str, Any]:
        """The arguments that stand for what goes with the inputs; none where the call has them."""
        if isinstance(call.layer, _L.MultiHeadAttention):
            return self._of_attention(call)
        heeds = call.layer.layer if isinstance(call.layer, _L.TimeDistributed) else call.layer
        if "mask" not in inspect.signature(heeds.call).parameters or not call.args:
            return {}
        masks = tf.nest.map_structure(self.of, call.args[0])
        return {"mask": masks} if call.kwargs.get("mask") is None and _any(masks) else {}

    def _of_attention(self, call: Call) -> dict[str, Any]:
        """As `MultiHeadAttention` itself combines the masks of query, value and key with the one that it is given."""
        given = inspect.signature(call.layer.call).bind(*call.args, **call.kwargs).arguments
        query, value, key = (self.of(given.get(name)) for name in ("query", "value", "key"))
        parts = [] if query is None else [query[:, :, None]]
        parts += [mask[:, None, :] for mask in (value, key) if mask is not None]
        if not parts:
            return {}
        asked = given.get("attention_mask")
        parts += [] if asked is None else [tf.cast(asked, tf.bool)]
        return {"attention_mask": functools.reduce(tf.logical_and, parts)}


def _any(masks: object) -> bool:
    return any(mask is not None for mask in tf.nest.flatten(masks))
