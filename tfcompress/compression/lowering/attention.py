"""Multi-head attention written out as fully connected layers, matrix products and a softmax (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcompress.graphs.keras.protocols import Layer, Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.graphs.tensorflow.private_names import (
    attention_parts,
    declared_output_shape,
    grouped_attention_parts,
)
from tfcompress.load.keras_versions.adapters import Keras3Layer
from tfcompress.runtime import tf, tf_keras

__all__ = ["ATTENTION", "MASKED", "grouped_attention"]

_L = tf_keras.layers
# Beyond any score that a softmax tells from the largest of its row, and no larger: masks of -1e9 would leave the scores
# beside them no step of the sum's int8 kernel.
MASKED = -128.0


def _attention(call: Call, state: Rewrite) -> Tensor | None:
    """Attention over the second axis of [batch, steps, features], without a mask or with one, constant or computed."""
    given = _arguments(call)
    if given is None:
        return None
    return _written_out(call, state, attention_parts(call.layer), *given)


def grouped_attention(call: Call, state: Rewrite) -> Any:
    """As `_attention`, where several heads of the query share a key and a value (Ainslie et al. 2023)."""
    layer = call.layer.layer
    given = _arguments(call)
    if given is None or layer.use_gate:
        return None
    return _written_out(call, state, grouped_attention_parts(layer), *given)


def _written_out(
    call: Call, state: Rewrite, parts: Mapping[str, Any], query: Any, value: Any, key: Any, mask: _Mask
) -> Any:
    shared, width, steps = parts.get("shared_heads", parts["heads"]), parts["key_dim"], int(query.shape[1])
    heads = {
        "query": _project(call, state, "query", parts["query"], query, parts["heads"], width),
        "key": _project(call, state, "key", parts["key"], key, shared, width),
        "value": _project(call, state, "value", parts["value"], value, shared, parts["value_dim"]),
    }
    factor = 1 / math.sqrt(width)
    scaled = state.layer(call, "scale", lambda name: _L.Rescaling(factor, name=name))(heads["query"])
    if shared != parts["heads"]:
        # Heads of the query that share a key stand side by side: they are more rows of one product.
        rows = parts["heads"] // shared * steps
        scaled = state.reshape(call, "groups", (shared, rows, width), scaled)
    scores = _masked(call, state, tf.matmul(scaled, heads["key"], transpose_b=True), mask, parts["heads"] // shared)
    shares = state.activation(call, "softmax", "softmax", scores)
    mixed = tf.matmul(shares, heads["value"])
    if shared != parts["heads"]:
        mixed = state.reshape(call, "heads", (parts["heads"], steps, parts["value_dim"]), mixed)
    together = state.layer(call, "together", lambda name: _L.Permute((2, 1, 3), name=name))(mixed)
    width = parts["heads"] * parts["value_dim"]
    flat = state.reshape(call, "flat", (query.shape[1], width), together)
    kernel, bias = _matrix(parts["output"], width)
    return state.dense(call, "", flat, kernel, bias)


@dataclass(frozen=True)
class _Mask:
    """What hides keys from queries: where either is zero.

    Attributes:
        constant: bool [1, steps, steps], known before the model runs; None for nothing.
        computed: bool or number [batch, steps or 1, steps] or [batch, heads or 1, steps or 1, steps]; None for nothing.
    """

    constant: np.ndarray | None
    computed: Any


def _masked(call: Call, state: Rewrite, scores: Any, mask: _Mask, queries: int) -> Any:
    """The scores [batch, heads, steps, steps] less `MASKED` where they are hidden; `queries` heads share a key."""
    constant = None if mask.constant is None else np.tile(mask.constant, (1, queries, 1))[:, None]
    if mask.computed is None:
        return scores if constant is None else scores + tf.constant(np.where(constant, 0, MASKED), tf.float32)
    shown = tf.cast(mask.computed, tf.bool)
    shown = tf.expand_dims(shown, 1) if len(shown.shape) == 3 else shown
    if queries > 1 and shown.shape[2] != 1:
        shown = tf.tile(shown, (1, 1, queries, 1))
    shown = shown if constant is None else tf.logical_and(shown, tf.constant(constant))
    return scores + tf.where(shown, 0.0, MASKED)


def _arguments(call: Call) -> tuple[Any, Any, Any, _Mask] | None:
    """(query, value, key, mask); None where the call is of a kind that is not written out."""
    layer = call.layer
    names = ("query", "value", "key", "attention_mask", "return_attention_scores", "training", "use_causal_mask")
    given = {**dict(zip(names, call.args, strict=False)), **call.kwargs}
    if given.get("return_attention_scores"):
        return None
    query, value = given["query"], given["value"]
    key = value if given.get("key") is None else given["key"]
    fits = all(len(x.shape) == 3 and None not in x.shape[1:] for x in (query, value, key))
    declared = None if isinstance(layer, Keras3Layer) else declared_output_shape(layer)
    if not fits or declared is not None:
        return None
    steps = int(query.shape[1]), int(key.shape[1])
    constant = np.tril(np.ones((1, *steps), bool)) if given.get("use_causal_mask") else None
    own = given.get("attention_mask")
    values = None if own is None else _constant(own)
    if values is None:
        return query, value, key, _Mask(constant, own)
    if values.shape not in (steps, (1, *steps)):
        return None
    both = values.reshape(1, *steps) & (True if constant is None else constant)
    return query, value, key, _Mask(both, None)


def _constant(value: Any) -> np.ndarray | None:
    """A mask that is known before the model runs, as booleans; None for one that is computed."""
    try:
        return np.asarray(value, bool)
    except (TypeError, ValueError, NotImplementedError):
        return None


def _project(call: Call, state: Rewrite, part: str, dense: Layer, x: Tensor, heads: int, width: int) -> Tensor:
    """[batch, steps, features] -> [batch, heads, steps, width]."""
    kernel, bias = _matrix(dense, int(x.shape[-1]))
    projected = state.dense(call, part, x, kernel, bias)
    split = state.reshape(call, f"{part}_heads", (x.shape[1], heads, width), projected)
    return state.layer(call, f"{part}_first", lambda name: _L.Permute((2, 1, 3), name=name))(split)


def _matrix(dense: Any, inputs: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Kernel [inputs, outputs] and bias [outputs] of one of the layer's `EinsumDense` projections."""
    kernel = np.asarray(dense.kernel).reshape(inputs, -1)
    return kernel, None if dense.bias is None else np.asarray(dense.bias).reshape(-1)


ATTENTION: dict[object, Rewriter] = {_L.MultiHeadAttention: _attention}
