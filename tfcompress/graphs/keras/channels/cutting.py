"""The model without some of its channels: smaller layers, smaller weights, and the same function of what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.graphs.keras.channels.graph import ChannelGraph, TracedCall
from tfcompress.graphs.keras.channels.node import Read, Weight
from tfcompress.graphs.keras.channels.space import Channels
from tfcompress.graphs.keras.lineage import Lineage, Origin
from tfcompress.graphs.keras.protocols import KerasModel, Layer
from tfcompress.graphs.keras.replay import Call, Copies, rebuild

__all__ = ["Cut", "CutModel", "Means", "cut_channels", "masked"]

# {(index of a call, index of its input): the mean of each channel along its last axis}
Means = Mapping[tuple[int, int], np.ndarray]


class Cut:
    """Which channels stay: `Kept` of the rules.

    Args:
        graph: of the model.
        removed: roots of the groups that go.
    """

    def __init__(self, graph: ChannelGraph, removed: Sequence[int]) -> None:
        gone = np.zeros(len(graph.roots) + 1, bool)
        gone[list(removed)] = True
        self._stays = ~gone[graph.roots]
        self.anything = bool(gone.any())

    def mask(self, ids: np.ndarray) -> np.ndarray:
        """See `Kept`."""
        stays: np.ndarray = self._stays[ids]
        return stays

    def count(self, ids: np.ndarray) -> int:
        """See `Kept`."""
        return int(np.count_nonzero(self.mask(ids)))

    def sizes(self, channels: Channels) -> tuple[int | None, ...]:
        """See `Kept`."""
        stays = self.mask(channels.ids)
        result = []
        for axis, size in enumerate(channels.shape):
            others = tuple(other for other in range(stays.ndim) if other != axis)
            varies = stays.shape[axis] > 1
            result.append(int(np.count_nonzero(stays.all(axis=others))) if varies else size)
        return tuple(result)


@dataclass(frozen=True)
class CutModel:
    """A model without some of its channels.

    Attributes:
        model: flat tf_keras model.
        lineage: its layers and those of the model before.
    """

    model: KerasModel
    lineage: Lineage


def cut_channels(graph: ChannelGraph, removed: Sequence[int], *, means: Means | None = None) -> CutModel:
    """A new model without the groups of channels `removed`.

    It computes what the old one computes where the removed channels are zero: their kernels, biases and batch
    normalizations.  Where a function turns that zero into another constant, such as a sigmoid, the constant goes into
    the biases of the layers that read it.

    Args:
        graph: of the old model, which is not changed.
        removed: roots of groups; see `ChannelGraph.families`.
        means: of the channels where they are read; what the removed ones add to the next layer on average goes into its
            bias.  None puts in what zeros leave.

    Raises:
        ValueError: a group that must stay is among them.
    """
    kept_by_force = [graph.reasons[root] for root in removed if root in graph.reasons]
    if kept_by_force:
        raise ValueError(f"a channel must stay: {kept_by_force[0]}")
    cut, copies = Cut(graph, removed), Copies()
    rest = iter(enumerate(graph.calls))
    weights: list[tuple[Layer, list[np.ndarray]]] = []
    origins: dict[str, Origin] = {}

    def emit(call: Call) -> object:
        index, item = next(rest)
        args, kwargs = _arguments(item, call, cut)
        if not _changes(item, cut):
            layer = copies.plain(call.layer)
        else:
            layer = copies.get((call.layer, "cut"), lambda: _smaller(index, item, cut, copies, weights, means or {}))
        origins.setdefault(layer.name, _origin(item, cut))
        return layer(*args, **kwargs)

    model = rebuild(graph.model, emit)
    copies.copy_weights()
    for layer, values in weights:
        layer.set_weights(values)
    return CutModel(model, Lineage(origins))


def _changes(item: TracedCall, cut: Cut) -> bool:
    """Whether a layer is another one after the cut."""
    traced = item.traced
    if traced.settings is None or not cut.anything:
        return False
    axes = [along for weight in traced.weights for along in weight.axes.values()]
    tensors = [c.ids for c in (*traced.outputs, *item.inputs)]
    return not all(cut.mask(ids).all() for ids in (*(along.ids for along in axes), *tensors))


def _arguments(item: TracedCall, call: Call, cut: Cut) -> tuple[tuple[object, ...], dict[str, object]]:
    args, kwargs = list[object](call.args), dict[str, object](call.kwargs)
    changed = all(cut.mask(c.ids).all() for c in (*item.inputs, *item.traced.outputs))
    if item.traced.arguments is not None and not changed:
        for key, value in item.traced.arguments(cut).items():
            if isinstance(key, int):
                args[key] = value
            else:
                kwargs[key] = value
    return tuple(args), kwargs


def _smaller(
    index: int,
    item: TracedCall,
    cut: Cut,
    copies: Copies,
    weights: list[tuple[Layer, list[np.ndarray]]],
    means: Means,
) -> Layer:
    """The layer without its removed channels; its weights are set once it is built."""
    layer = item.call.layer
    assert item.traced.settings is not None
    settings = {**layer.get_config(), **item.traced.settings(cut), "name": copies.unique_name(layer.name)}
    values = [np.asarray(value) for value in layer.get_weights()]
    for read in item.traced.reads:
        values, added = _with_constants(values, read, cut, means.get((index, read.input)))
        if added:
            settings["use_bias"] = True
    if item.traced.weights:
        item_weights = list(item.traced.weights)
        item_weights += [_bias_like(item_weights[0]) for _ in values[len(item_weights) :]]
        values = [_without(value, weight, cut) for value, weight in zip(values, item_weights, strict=True)]
    smaller: Layer = type(layer).from_config(settings)
    if values:
        weights.append((smaller, values))
    return smaller


def _bias_like(kernel: Weight) -> Weight:
    """What stands along a bias that the kernel's layer did not have."""
    return Weight({0: next(along for along in kernel.axes.values() if along.role == "writes")})


def _with_constants(
    values: list[np.ndarray], read: Read, cut: Cut, means: np.ndarray | None
) -> tuple[list[np.ndarray], bool]:
    """The weights with what the removed channels add on average in the bias, and whether the layer gets one for it."""
    gone = ~cut.mask(read.ids)
    constant = np.where(gone, read.fill if means is None else means, 0.0)
    if not constant.any():
        return values, False
    kernel = np.moveaxis(values[read.kernel].astype(np.float64), read.axis, 0)
    # Whatever axes are left but the outputs are places of the window: a constant is summed over all of them.
    total = np.tensordot(constant, kernel, 1).reshape(-1, kernel.shape[-1]).sum(0)
    if read.bias is None:
        return [*values, total.astype(np.float32)], True
    changed = list(values)
    changed[read.bias] = (changed[read.bias] + total).astype(changed[read.bias].dtype)
    return changed, False


def _without(value: np.ndarray, weight: Weight, cut: Cut) -> np.ndarray:
    for axis, along in weight.axes.items():
        value = np.compress(cut.mask(along.ids), value, axis)
    return value


def _origin(item: TracedCall, cut: Cut) -> Origin:
    """What the layer's first output kept along the axis on which its channels stand."""
    name, output = item.call.layer.name, item.traced.outputs[0]
    axis = output.varying[-1] if output.varying else -1
    if not output.varying:
        return Origin(name)
    ids = np.moveaxis(output.ids, axis, 0).reshape(output.ids.shape[axis], -1)[:, 0]
    stays = cut.mask(ids)
    return Origin(name, len(ids), None if stays.all() else tuple(np.flatnonzero(stays).tolist()))


def masked(graph: ChannelGraph, removed: Sequence[int]) -> KerasModel:
    """A copy of the whole model in which the groups `removed` are zero where they are made, scaled and shifted.

    It has the shapes of the old model: what `cut_channels` computes is proven against it.
    """
    cut, copies = Cut(graph, removed), Copies()
    model: KerasModel = rebuild(graph.model, copies.repeat)
    copies.copy_weights()
    by_name = {layer.name: layer for layer in model.layers}
    for item, weights, _ in graph.weights.values():
        layer = by_name[item.call.layer.name]
        values = [np.array(value) for value in layer.get_weights()]
        for value, weight in zip(values, weights, strict=True):
            for axis, along in weight.axes.items():
                if along.role != "reads":
                    np.moveaxis(value, axis, 0)[~cut.mask(along.ids)] = 0
        layer.set_weights(values)
    return model
