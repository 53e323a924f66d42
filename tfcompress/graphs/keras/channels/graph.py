"""The dependency graph of a flat model: which channels of which layers go together, and which must stay and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tfcompress.errors import ModelError
from tfcompress.graphs.keras.channels.node import Node, Traced, Weight, opaque
from tfcompress.graphs.keras.channels.space import Channels, Space
from tfcompress.graphs.keras.channels.table import rule_of
from tfcompress.graphs.keras.protocols import KerasModel, Tensor
from tfcompress.graphs.keras.replay import Call, calls_of, is_model
from tfcompress.layer_names import patterns_match

__all__ = ["ChannelGraph", "Family", "TracedCall", "trace_channels"]


@dataclass(frozen=True)
class TracedCall:
    """A call of a layer and what its rule found out."""

    call: Call
    inputs: tuple[Channels, ...]
    traced: Traced


@dataclass(frozen=True)
class Family:
    """Channels that stand in the same places of the same weights: a layer's filters, or those of all layers of a sum.

    Attributes:
        groups: a root for each; groups of a family may go one by one.
        layers: names of the layers whose weights they stand in, those that make them first.
        made_by: names of the layers that make them.
        reason: why the family must stay; None where its groups may go.
    """

    groups: np.ndarray
    layers: tuple[str, ...]
    made_by: tuple[str, ...]
    reason: str | None


@dataclass
class ChannelGraph:
    """The channels of a flat model.

    Attributes:
        model: the flat tf_keras model.
        space: the numbers of the channels; nothing is united any more.
        calls: of the model, in order.
    """

    model: KerasModel
    space: Space
    calls: Sequence[TracedCall]
    _names: dict[int, str] = field(default_factory=dict)

    @cached_property
    def roots(self) -> np.ndarray:
        """The root of every number."""
        return self.space.roots()

    @cached_property
    def reasons(self) -> dict[int, str]:
        """{root that must stay: why}."""
        return self.space.kept_reasons()

    @cached_property
    def weights(self) -> dict[int, tuple[TracedCall, tuple[Weight, ...], int]]:
        """{id of a layer: its first call, what stands along its weights, how often the model calls it}."""
        by_variable: dict[int, tuple[TracedCall, tuple[Weight, ...], int]] = {}
        for item in self.calls:
            if item.traced.weights:
                first, weights, count = by_variable.get(id(item.call.layer), (item, item.traced.weights, 0))
                by_variable[id(item.call.layer)] = (first, weights, count + 1)
        return by_variable

    @cached_property
    def families(self) -> tuple[Family, ...]:
        """All families, in the order in which the model makes their channels."""
        places: dict[int, list[tuple[str, int, int, str, int]]] = {}
        for item, weights, _ in self.weights.values():
            name = item.call.layer.name
            for index, weight in enumerate(weights):
                for axis, along in weight.axes.items():
                    roots, counts = np.unique(self.roots[along.ids], return_counts=True)
                    for root, count in zip(roots.tolist(), counts.tolist(), strict=True):
                        places.setdefault(root, []).append((name, index, axis, along.role, count))
        grouped: dict[tuple[object, ...], list[int]] = {}
        for root, where in places.items():
            if any(role == "writes" for *_, role, _ in where):
                grouped.setdefault((*where, self.reasons.get(root)), []).append(root)
        return tuple(self._family(np.array(groups), places[groups[0]]) for groups in grouped.values())

    def _family(self, groups: np.ndarray, where: Sequence[tuple[str, int, int, str, int]]) -> Family:
        writers = dict.fromkeys(name for name, _, _, role, _ in where if role == "writes")
        layers = dict.fromkeys([*writers, *(name for name, *_ in where)])
        return Family(groups, tuple(layers), tuple(writers), self.reasons.get(int(groups[0])))


def trace_channels(model: KerasModel, *, keep: Sequence[str] = ()) -> ChannelGraph:
    """The dependency graph of a flat model.

    Args:
        model: flat tf_keras model, as `replay.flatten` makes it.
        keep: patterns of the names of layers whose own channels must stay.

    Raises:
        ModelError: the model holds others, or has no graph of layers.
    """
    space = Space()
    tensors: dict[int, Channels] = {}
    start = space.constant("it is an input of the model")
    for tensor in model.inputs:
        tensors[id(tensor)] = Channels.uniform(start, _sizes(tensor))
    done, by_layer = [], dict[int, Traced]()
    for call in calls_of(model):
        if is_model(call.layer):
            raise ModelError(f"{call.layer.name!r} is a model inside of the model, expected a flat one")
        item = _traced(call, tensors, space)
        _share(item.traced, by_layer.setdefault(id(call.layer), item.traced), space)
        if patterns_match(call.layer.name, keep):
            _keep_made(item, space)
        tensors.update({id(t): c for t, c in zip(call.old_outputs, item.traced.outputs, strict=True)})
        done.append(item)
    for tensor in model.outputs:
        space.keep(tensors[id(tensor)].ids, "it is an output of the model")
    return ChannelGraph(model, space, tuple(done))


def _sizes(tensor: Tensor) -> tuple[int | None, ...]:
    return tuple(None if size is None else int(size) for size in tensor.shape[1:])


def _traced(call: Call, tensors: dict[int, Channels], space: Space) -> TracedCall:
    inputs = tuple(tensors[id(tensor)] for tensor in call.old_inputs)
    shapes = tuple(_sizes(tensor) for tensor in call.old_outputs)
    node = Node(call, call.layer, inputs, shapes, space)
    rule = rule_of(call.layer)
    if rule is None or not inputs or any(not len(channels.shape) for channels in inputs):
        return TracedCall(call, inputs, opaque(node))
    if any(len(tensor.shape) == 0 for tensor in (*call.old_inputs, *call.old_outputs)):
        return TracedCall(call, inputs, opaque(node))
    return TracedCall(call, inputs, rule(node))


def _share(traced: Traced, first: Traced, space: Space) -> None:
    """A layer that is called several times has one set of weights, and so one set of channels."""
    if traced is first:
        return
    for mine, other in zip(traced.weights, first.weights, strict=True):
        for axis, along in mine.axes.items():
            space.unite(along.ids, other.axes[axis].ids)
    for read, before in zip(traced.reads, first.reads, strict=True):
        if np.any(read.fill != before.fill):
            space.keep(read.ids[read.fill != before.fill], "a shared layer reads it where a removed channel differs")


def _keep_made(item: TracedCall, space: Space) -> None:
    for weight in item.traced.weights:
        for along in weight.axes.values():
            if along.role != "reads":
                space.keep(along.ids, f"{item.call.layer.name} is named as one that must stay")
