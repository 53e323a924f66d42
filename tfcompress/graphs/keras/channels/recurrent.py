"""Rules for layers with a state or with heads: LSTM, GRU, plain recurrent layers, attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tfcompress.graphs.keras.channels.functions import is_elementwise, value_at
from tfcompress.graphs.keras.channels.node import Axis, Kept, Node, Rule, Traced, Weight, known_positions, opaque
from tfcompress.graphs.keras.channels.space import Channels
from tfcompress.runtime import tf_keras

__all__ = ["RECURRENT"]

_L = tf_keras.layers

# How many gates a cell computes from one product.
_GATES = {
    _L.LSTM: 4, _L.GRU: 3, _L.SimpleRNN: 1, _L.ConvLSTM1D: 4, _L.ConvLSTM2D: 4, _L.ConvLSTM3D: 4
}  # fmt: skip


def _read(node: Node) -> np.ndarray:
    ids, fill = node.space.along(node.x, -1)
    if np.any(fill != 0):
        node.space.keep(ids[fill != 0], f"a removed channel would not be zero where {node.title} reads it")
    return ids


def _recurrent(node: Node) -> Traced:
    """A unit takes its columns of every gate, its row of the recurrent kernel, and its place in the state with it."""
    gates = _GATES[type(node.layer)]
    convolves = "filters" in node.settings
    name = "filters" if convolves else "units"
    if node.flag("time_major") or node.settings.get("data_format", "channels_last") == "channels_first":
        return opaque(node)
    read, units = _read(node), node.space.new(node.number(name))
    function = getattr(node.layer, "activation", None)
    if not is_elementwise(function) or value_at(function, 0.0) != 0:
        node.space.keep(units, f"the state of {node.title} would not stay zero behind its activation")
    for state in node.inputs[1:]:
        ids, fill = node.space.along(state, -1)
        node.space.unite(ids, units)
        node.space.keep(units[fill != 0], f"a removed unit of {node.title} would not begin at zero")
    tiled = Axis(np.tile(units, gates), "writes")
    kernel, _, *bias = node.shapes
    last = len(kernel) - 1
    steps = known_positions(node.x.shape[:-1])
    weights = [
        Weight({last - 1: Axis(read, "reads"), last: tiled}, steps),
        Weight({last - 1: Axis(units, "reads"), last: tiled}, steps),
        *(Weight({len(shape) - 1: tiled}) for shape in bias),
    ]
    outputs = tuple(Channels.on_axis(units, -1, shape) for shape in node.output_shapes)
    return Traced(outputs, tuple(weights), lambda kept: {name: kept.count(units)})


def _bidirectional(node: Node) -> Traced:
    """Two layers of one size; what is joined in the output goes in pairs."""
    forward, backward = (getattr(node.layer, part) for part in ("forward_layer", "backward_layer"))
    merge = node.settings["merge_mode"]
    if type(forward) not in _GATES or type(backward) is not type(forward) or len(node.inputs) > 1:
        return opaque(node)
    if forward.return_state or merge not in ("concat", "sum", "ave", "mul"):
        return opaque(node)
    size = forward.units if hasattr(forward, "units") else forward.filters
    shapes = tuple((*shape[:-1], size) for shape in node.output_shapes)
    forwards, other = (_recurrent(replace(node, layer=part, output_shapes=shapes)) for part in (forward, backward))
    a, b = (traced.outputs[0].ids.reshape(-1) for traced in (forwards, other))
    node.space.unite(a, b)
    ids = np.concatenate([a, b]) if merge == "concat" else a
    outputs = tuple(Channels.on_axis(ids, -1, shape) for shape in node.output_shapes)

    def settings(kept: Kept) -> dict[str, object]:
        assert forwards.settings is not None
        changes = forwards.settings(kept)
        keys = [key for key in ("layer", "backward_layer") if isinstance(node.settings.get(key), Mapping)]
        return {key: _inner(node.settings[key], changes) for key in keys}

    return Traced(outputs, (*forwards.weights, *other.weights), settings)


def _inner(serialized: object, changes: Mapping[str, object]) -> dict[str, object]:
    """The serialized form of an inner layer with some settings changed."""
    assert isinstance(serialized, Mapping)
    return {**serialized, "config": {**serialized["config"], **changes}}


def _time_distributed(node: Node) -> Traced:
    """The rule of the inner layer, on tensors without the axis of time."""
    from tfcompress.graphs.keras.channels.table import rule_of  # it lists this rule too

    inner = getattr(node.layer, "layer", None)
    rule = rule_of(inner)
    if rule is None or any(channels.ids.shape[0] > 1 for channels in node.inputs):
        return opaque(node)
    inputs = tuple(Channels(c.ids[0], c.fill[0], c.shape[1:]) for c in node.inputs)
    shapes = tuple(shape[1:] for shape in node.output_shapes)
    assert inner is not None
    traced = rule(replace(node, layer=inner, inputs=inputs, output_shapes=shapes))
    steps = known_positions(node.x.shape[:1])
    outputs = tuple(
        Channels(c.ids[None], c.fill[None], shape) for c, shape in zip(traced.outputs, node.output_shapes, strict=True)
    )
    weights = tuple(replace(weight, repeats=weight.repeats * steps) for weight in traced.weights)
    own = traced.settings
    for read in traced.reads:
        if read.bias is None and read.fill.any():
            node.space.keep(read.ids[read.fill != 0], f"{node.title} has no bias for what a removed channel leaves")
    reads = tuple(read for read in traced.reads if read.bias is not None)

    def settings(kept: Kept) -> dict[str, object]:
        return {"layer": _inner(node.settings["layer"], own(kept) if own is not None else {})}

    return Traced(outputs, weights, settings, reads=reads)


def _attention(node: Node) -> Traced:
    """Heads go as a whole: each is a slice of the kernels of query, key, value and output."""
    if len(node.inputs) not in (2, 3) or node.call.kwargs.get("attention_mask") is not None:
        return opaque(node)
    if len(node.output_shapes) != 1:
        return opaque(node, f"{node.title} gives out its attention scores, which have a place for each head")
    space, heads = node.space, node.space.new(node.number("num_heads"))
    query, value = node.inputs[:2]
    key = node.inputs[2] if len(node.inputs) == 3 else value
    outputs = space.new(int(node.output_shapes[0][-1] or 0))
    weights: list[Weight] = []
    for channels in (query, key, value):
        ids, fill = space.along(channels, -1)
        if np.any(fill != 0):
            space.keep(ids[fill != 0], f"a removed channel would not be zero where {node.title} reads it")
        weights.append(Weight({0: Axis(ids, "reads"), 1: Axis(heads, "writes")}, known_positions(channels.shape[:-1])))
        weights += [Weight({0: Axis(heads, "writes")})] * node.flag("use_bias")
    weights.append(Weight({0: Axis(heads, "reads"), 2: Axis(outputs, "writes")}, known_positions(query.shape[:-1])))
    weights += [Weight({0: Axis(outputs, "writes")})] * node.flag("use_bias")
    drop = ("query_shape", "key_shape", "value_shape")

    def settings(kept: Kept) -> dict[str, object]:
        return {"num_heads": kept.count(heads), "output_shape": [kept.count(outputs)], **dict.fromkeys(drop)}

    return Traced((Channels.on_axis(outputs, -1, node.output_shapes[0]),), tuple(weights), settings)


RECURRENT: dict[object, Rule] = {
    **dict.fromkeys(_GATES, _recurrent),
    _L.Bidirectional: _bidirectional,
    _L.TimeDistributed: _time_distributed,
    _L.MultiHeadAttention: _attention,
}
