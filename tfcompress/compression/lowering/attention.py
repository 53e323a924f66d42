"""Multi-head attention written out as fully connected layers, matrix products and a softmax (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Mapping
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

__all__ = ["ATTENTION", "grouped_attention"]

_L = tf_keras.layers


def _attention(call: Call, state: Rewrite) -> Tensor | None:
    """Attention over the second axis of [batch, steps, features], without masks.

    Masks stay whole, and in float: the large negative number that masks would take the whole int8 range of the scores.
    """
    given = _arguments(call)
    if given is None:
        return None
    return _written_out(call, state, attention_parts(call.layer), *given)


def grouped_attention(call: Call, state: Rewrite) -> Any:
    """Attention in which several heads of the query share one of key and value (Ainslie et al. 2023), without masks."""
    layer = call.layer.layer
    given = _arguments(call)
    if given is None or layer.use_gate:
        return None
    return _written_out(call, state, grouped_attention_parts(layer), *given)


def _written_out(call: Call, state: Rewrite, parts: Mapping[str, Any], query: Any, value: Any, key: Any) -> Any:
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
    scores = tf.matmul(scaled, heads["key"], transpose_b=True)
    shares = state.activation(call, "softmax", "softmax", scores)
    mixed = tf.matmul(shares, heads["value"])
    if shared != parts["heads"]:
        mixed = state.reshape(call, "heads", (parts["heads"], steps, parts["value_dim"]), mixed)
    together = state.layer(call, "together", lambda name: _L.Permute((2, 1, 3), name=name))(mixed)
    width = parts["heads"] * parts["value_dim"]
    flat = state.reshape(call, "flat", (query.shape[1], width), together)
    kernel, bias = _matrix(parts["output"], width)
    return state.dense(call, "", flat, kernel, bias)


def _arguments(call: Call) -> tuple[Any, Any, Any] | None:
    """(query, value, key); None where the call is of a kind that is not written out."""
    layer = call.layer
    names = ("query", "value", "key", "attention_mask", "return_attention_scores", "training", "use_causal_mask")
    given = {**dict(zip(names, call.args, strict=False)), **call.kwargs}
    if given.get("attention_mask") is not None or given.get("return_attention_scores") or given.get("use_causal_mask"):
        return None
    query, value = given["query"], given["value"]
    key = value if given.get("key") is None else given["key"]
    fits = all(len(x.shape) == 3 and None not in x.shape[1:] for x in (query, value, key))
    declared = None if isinstance(layer, Keras3Layer) else declared_output_shape(layer)
    return (query, value, key) if fits and declared is None else None


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
