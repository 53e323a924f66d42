"""Rules for layers that only move values: flatten, reshape, permute, repeat."""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.keras.channels.node import Kept, Node, Rule, Traced, opaque
from tfcompress.graphs.keras.channels.space import Channels
from tfcompress.runtime import tf_keras

__all__ = ["SHAPES", "transposed"]

_L = tf_keras.layers


def _reshape(node: Node) -> Traced:
    out = node.space.reshaped(node.x, node.output_shapes[0])
    if out is None:
        return opaque(node, f"{node.title} moves channels across a size that is not known")

    def settings(kept: Kept) -> dict[str, object]:
        return {"target_shape": tuple(-1 if size is None else size for size in kept.sizes(out))}

    return Traced((out,), settings=settings)


def _flatten(node: Node) -> Traced:
    if node.settings.get("data_format", "channels_last") != "channels_last":
        return opaque(node, f"{node.title} has its channels first")
    out = node.space.reshaped(node.x, node.output_shapes[0])
    if out is None:
        return opaque(node, f"{node.title} moves channels across a size that is not known")
    return Traced((out,))


def _permute(node: Node) -> Traced:
    order = node.settings["dims"]
    assert isinstance(order, tuple | list)
    return Traced((transposed(node, [int(axis) - 1 for axis in order]),))


def transposed(node: Node, order: list[int]) -> Channels:
    """The first input with its axes, the batch dimension not counted, in another order."""
    x = node.x
    return Channels(np.transpose(x.ids, order), np.transpose(x.fill, order), tuple(x.shape[axis] for axis in order))


def _repeat_vector(node: Node) -> Traced:
    return Traced((Channels(node.x.ids[None], node.x.fill[None], node.output_shapes[0]),))


SHAPES: dict[object, Rule] = {
    _L.Flatten: _flatten,
    _L.Reshape: _reshape,
    _L.Permute: _permute,
    _L.RepeatVector: _repeat_vector,
}
