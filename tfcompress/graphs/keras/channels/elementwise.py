"""Rules for layers that work on each value or each channel by itself: activations, norms, pools, merges of tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfcompress.graphs.keras.channels.functions import applied, is_elementwise
from tfcompress.graphs.keras.channels.node import Axis, Node, Rule, Traced, Weight, opaque
from tfcompress.graphs.keras.channels.space import Channels
from tfcompress.runtime import tf_keras

__all__ = ["ELEMENTWISE", "concatenated", "merged", "multiplied", "same", "spread_over"]

_L = tf_keras.layers

_Fold = Callable[[np.ndarray, np.ndarray], np.ndarray]


def same(node: Node, function: Callable[[object], object] | None = None) -> Traced:
    """Each value by itself, through `function`; None for one that leaves a constant as it is."""
    fill = node.x.fill if function is None else applied(function, node.x.fill)
    return Traced(tuple(Channels(node.x.ids, fill, shape) for shape in node.output_shapes))


def _activation(node: Node) -> Traced:
    function = getattr(node.layer, "activation", None)
    if getattr(function, "__name__", "") in ("softmax", "log_softmax"):
        return spread_over(node, -1)
    return same(node, function) if is_elementwise(function) else opaque(node)


def _by_itself(node: Node) -> Traced:
    layer = node.layer
    return same(node, lambda value: layer(value))


def _unchanged(node: Node) -> Traced:
    return same(node)


def spread_over(node: Node, axis: int) -> Traced:
    """What sees the whole of an axis at once, such as a softmax: the axis must stay whole."""
    x = node.x
    axis = axis % (len(x.shape) + 1) - 1 if axis >= 0 else axis
    if x.ids.shape[axis] > 1:
        node.space.keep(x.ids, f"{node.title} looks at all channels at once")
    return Traced(tuple(Channels(x.ids, np.full(x.fill.shape, np.nan), shape) for shape in node.output_shapes))


def _softmax(node: Node) -> Traced:
    axis = node.settings["axis"]
    return spread_over(node, axis) if isinstance(axis, int) else opaque(node)


def _batch_norm(node: Node) -> Traced:
    axis = node.axes("axis")[0]
    axis = axis - 1 if axis >= 0 else axis
    ids, _ = node.space.along(node.x, axis)
    weights = tuple(Weight({0: Axis(ids, "scales")}) for _ in node.shapes)
    scaled = node.flag("scale") and node.flag("center")
    if not scaled:
        return _half_a_norm(node, ids, axis, weights)
    out = Channels.on_axis(ids, axis, node.output_shapes[0])
    return Traced((out,), weights, lambda kept: {})


def _half_a_norm(node: Node, ids: np.ndarray, axis: int, weights: tuple[Weight, ...]) -> Traced:
    """Without a scale or a shift of its own, its statistics are what is left to set to zero: zero in is zero out."""
    _, fill = node.space.along(node.x, axis)
    out = Channels.on_axis(ids, axis, node.output_shapes[0])
    lost = np.where(fill != 0, np.nan, 0.0) if not node.flag("scale") else np.zeros(len(ids))
    return Traced((Channels(out.ids, lost.reshape(out.ids.shape), out.shape),), weights, lambda kept: {})


def _prelu(node: Node) -> Traced:
    """A slope for each position, or for each channel where the others are shared."""
    axes = {}
    (shape,) = node.shapes
    for axis in node.x.varying:
        if shape[axis] > 1:
            axes[axis] = Axis(node.space.along(node.x, axis)[0], "scales")
    fill = np.where(node.x.fill == 0, 0.0, np.nan)
    return Traced((Channels(node.x.ids, fill, node.output_shapes[0]),), (Weight(axes),), lambda kept: {})


def _norm_over_axes(node: Node) -> Traced:
    """A layer normalization looks at all of the axes that it is told; the others it leaves apart."""
    axes = node.axes("axis")
    inside = [axis - 1 if axis > 0 else axis % len(node.x.shape) for axis in axes]
    if any(node.x.ids.shape[axis] > 1 for axis in inside):
        node.space.keep(node.x.ids, f"{node.title} takes mean and variance over all channels")
    return Traced((Channels(node.x.ids, np.full(node.x.fill.shape, np.nan), node.output_shapes[0]),))


def _group_norm(node: Node) -> Traced:
    """Whole groups go: each has a mean and a variance of its own."""
    if node.settings["axis"] != -1:
        return opaque(node)
    ids, fill = node.space.along(node.x, -1)
    count = node.number("groups")
    count = len(ids) if count == -1 else count
    groups = ids.reshape(count, -1)
    node.space.unite(groups[:, :1], groups)
    weights = tuple(Weight({0: Axis(ids, "scales")}) for _ in node.shapes)
    whole = node.flag("scale") and node.flag("center")
    left = np.zeros(len(ids)) if whole else np.where(fill != 0, np.nan, 0.0)
    out = Channels.on_axis(ids, -1, node.output_shapes[0])
    result = Channels(out.ids, left.reshape(out.ids.shape), out.shape)
    return Traced((result,), weights, lambda kept: {"groups": kept.count(groups[:, 0])})


def _window(node: Node) -> Traced:
    """A pool or an enlargement: it mixes places, not channels."""
    if node.settings.get("data_format", "channels_last") != "channels_last":
        return opaque(node, f"{node.title} has its channels first")
    if any(axis != len(node.x.shape) - 1 for axis in node.x.varying):
        return opaque(node, f"{node.title} mixes places that stand for channels")
    return Traced(tuple(node.x.with_shape(shape) for shape in node.output_shapes))


def _padding(node: Node) -> Traced:
    """Zeros around a map: a constant other than zero is then no constant."""
    traced = _window(node)
    outputs = tuple(Channels(c.ids, np.where(c.fill == 0, 0.0, np.nan), c.shape) for c in traced.outputs)
    return Traced(outputs)


def _global_pool(node: Node) -> Traced:
    if node.settings.get("data_format", "channels_last") != "channels_last":
        return opaque(node, f"{node.title} has its channels first")
    if any(axis != len(node.x.shape) - 1 for axis in node.x.varying):
        return opaque(node, f"{node.title} mixes places that stand for channels")
    ids, fill = node.space.along(node.x, -1)
    out = Channels.on_axis(ids, -1, node.output_shapes[0])
    return Traced((Channels(out.ids, fill.reshape(out.ids.shape), out.shape),))


def _merge(fold: _Fold) -> Rule:
    return lambda node: merged(node, fold)


def merged(node: Node, fold: _Fold) -> Traced:
    """Tensors joined value by value: their channels go together.

    An axis of size 1 that is spread over the channels of another tensor, such as a gate for each place, must stay.

    Args:
        node: with inputs of one rank.
        fold: what becomes of two constants.
    """
    ranks = {len(channels.shape) for channels in node.inputs}
    if len(ranks) != 1:
        return opaque(node, f"{node.title} joins tensors of different ranks")
    result = node.inputs[0]
    for other in node.inputs[1:]:
        result = _joined(node, result, other, fold)
    return Traced((node.space.as_product(result.with_shape(node.output_shapes[0])),))


def _joined(node: Node, first: Channels, second: Channels, fold: _Fold) -> Channels:
    shape = tuple(b if a == 1 else a for a, b in zip(first.shape, second.shape, strict=True))
    for narrow, wide in ((first, second), (second, first)):
        if any(narrow.shape[axis] == 1 and wide.shape[axis] != 1 for axis in wide.varying):
            node.space.keep(narrow.ids, f"{node.title} spreads it over the channels of another tensor")
            if narrow.varying:
                node.space.keep(wide.ids, f"{node.title} spreads channels over each other")
            unknown = np.full((1,) * len(shape), np.nan)
            fill = fold(wide.fill, unknown) if wide is first else fold(unknown, wide.fill)
            return Channels(wide.ids, fill, shape)
    node.space.unite(first.ids, second.ids)
    ids = np.broadcast_arrays(first.ids, second.ids)[0]
    return Channels(ids, np.broadcast_to(fold(first.fill, second.fill), ids.shape), shape)


def multiplied(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Zero times anything is zero."""
    return np.where((a == 0) | (b == 0), 0.0, a * b)


def _concatenate(node: Node) -> Traced:
    return concatenated(node, int(str(node.settings["axis"])))


def concatenated(node: Node, axis: int) -> Traced:
    """Tensors side by side: along the axis of their channels one after the other, else the channels go together."""
    axis = axis - 1 if axis >= 0 else axis
    inputs = node.inputs
    rank = len(inputs[0].shape)
    axis %= rank
    if any(c.ids.shape[other] > 1 for c in inputs for other in range(rank) if other != axis):
        return _side_by_side(node)
    if any(c.shape[axis] is None for c in inputs):
        return _side_by_side(node)
    parts = [node.space.along(c, axis) for c in inputs]
    out = Channels.on_axis(np.concatenate([ids for ids, _ in parts]), axis, node.output_shapes[0])
    fill = np.concatenate([values for _, values in parts]).reshape(out.ids.shape)
    return Traced((Channels(out.ids, fill, out.shape),))


def _side_by_side(node: Node) -> Traced:
    """Joined along an axis on which the channels do not stand."""
    (axis,) = {axis for c in node.inputs for axis in c.varying} or {len(node.x.shape) - 1}
    if len({c.shape[axis] for c in node.inputs}) > 1:
        return opaque(node)
    first, fill = node.space.along(node.x, axis)
    for other in node.inputs[1:]:
        ids, values = node.space.along(other, axis)
        node.space.unite(first, ids)
        fill = np.where(fill == values, fill, np.nan)
    out = Channels.on_axis(first, axis, node.output_shapes[0])
    return Traced((Channels(out.ids, fill.reshape(out.ids.shape), out.shape),))


def _masking(node: Node) -> Traced:
    return opaque(node, f"{node.title} compares all values of a step")


def _average(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of more than two tensors only zeros stay known."""
    return np.where(a == b, a, np.nan)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a - b


def _rescaled(node: Node) -> Traced:
    """One scale and one offset; a list of them has a value for each channel, which nothing cuts."""
    scale, offset = (np.asarray(node.settings[name], np.float64) for name in ("scale", "offset"))
    if scale.size > 1 or offset.size > 1:
        return opaque(node, f"{node.title} has settings for each channel")
    fill = node.x.fill * scale.item() + offset.item()
    return Traced(tuple(Channels(node.x.ids, fill, shape) for shape in node.output_shapes))


ELEMENTWISE: dict[object, Rule] = {
    _L.Activation: _activation,
    **dict.fromkeys((_L.ReLU, _L.LeakyReLU, _L.ELU, _L.ThresholdedReLU), _by_itself),
    _L.Rescaling: _rescaled,
    _L.Softmax: _softmax,
    _L.PReLU: _prelu,
    **dict.fromkeys(
        (
            _L.Dropout, _L.SpatialDropout1D, _L.SpatialDropout2D, _L.SpatialDropout3D, _L.GaussianNoise,
            _L.GaussianDropout, _L.AlphaDropout, _L.ActivityRegularization, _L.InputLayer,
        ),
        _unchanged,
    ),
    _L.BatchNormalization: _batch_norm,
    _L.LayerNormalization: _norm_over_axes,
    _L.UnitNormalization: _norm_over_axes,
    _L.GroupNormalization: _group_norm,
    **dict.fromkeys(
        (
            _L.MaxPooling1D, _L.MaxPooling2D, _L.MaxPooling3D, _L.AveragePooling1D, _L.AveragePooling2D,
            _L.AveragePooling3D, _L.UpSampling1D, _L.UpSampling2D, _L.UpSampling3D, _L.Cropping1D, _L.Cropping2D,
            _L.Cropping3D, _L.Resizing, _L.CenterCrop,
        ),
        _window,
    ),
    **dict.fromkeys((_L.ZeroPadding1D, _L.ZeroPadding2D, _L.ZeroPadding3D), _padding),
    **dict.fromkeys(
        (
            _L.GlobalAveragePooling1D, _L.GlobalAveragePooling2D, _L.GlobalAveragePooling3D, _L.GlobalMaxPooling1D,
            _L.GlobalMaxPooling2D, _L.GlobalMaxPooling3D,
        ),
        _global_pool,
    ),
    _L.Add: _merge(np.add),
    _L.Subtract: _merge(_difference),
    _L.Multiply: _merge(multiplied),
    _L.Average: _merge(_average),
    _L.Maximum: _merge(np.maximum),
    _L.Minimum: _merge(np.minimum),
    _L.Concatenate: _concatenate,
    _L.Masking: _masking,
}  # fmt: skip
