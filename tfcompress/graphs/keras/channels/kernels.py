"""Rules for layers with kernels: dense ones, convolutions of every kind, embeddings."""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.keras.channels.functions import is_elementwise, value_at
from tfcompress.graphs.keras.channels.node import Axis, Kept, Node, Read, Rule, Traced, Weight, known_positions, opaque
from tfcompress.graphs.keras.channels.space import Channels
from tfcompress.runtime import tf_keras

__all__ = ["KERNELS", "activation_of", "written"]

_L = tf_keras.layers

# From so many groups on, a grouped convolution loses whole groups; of fewer, each loses the same channels.
_MANY_GROUPS = 4


def activation_of(node: Node) -> object:
    """The layer's activation function; None where it has none."""
    return getattr(node.layer, "activation", None)


def written(node: Node, ids: np.ndarray) -> tuple[Channels, ...]:
    """The output of a layer that makes the channels `ids` along its last axis, its activation applied."""
    function = activation_of(node)
    if not is_elementwise(function):
        node.space.keep(ids, f"{getattr(function, '__name__', function)} of {node.title} looks at all channels at once")
        function = None
    value = value_at(function, 0.0)  # type: ignore[arg-type]
    return tuple(Channels.on_axis(ids, -1, shape, value) for shape in node.output_shapes)


def _channels_last(node: Node) -> bool:
    return node.settings.get("data_format", "channels_last") == "channels_last"


def _bias(node: Node, ids: np.ndarray) -> tuple[Weight, ...]:
    return (Weight({0: Axis(ids, "writes")}),) if node.flag("use_bias") else ()


def _read(node: Node, axis: int, *, exact: bool) -> tuple[np.ndarray, tuple[Read, ...]]:
    """The channels that a kernel sums over, those kept whose removal would leave more than a constant in the output."""
    ids, fill = node.space.along(node.x, -1)
    lost = np.isnan(fill) | ((fill != 0) & (not exact))
    if lost.any():
        node.space.keep(ids[lost], f"a removed channel would not be zero where {node.title} reads it")
    bias = 1 if node.flag("use_bias") else None
    return ids, (Read(0, 0, axis, ids, np.nan_to_num(fill), bias),)


def _dense(node: Node) -> Traced:
    ids, reads = _read(node, 0, exact=True)
    outputs = node.space.new(node.number("units"))
    kernel = Weight({0: Axis(ids, "reads"), 1: Axis(outputs, "writes")}, known_positions(node.x.shape[:-1]))
    return Traced(
        written(node, outputs),
        (kernel, *_bias(node, outputs)),
        lambda kept: {"units": kept.count(outputs)},
        reads=reads,
    )


def _conv(node: Node) -> Traced:
    groups = int(str(node.settings.get("groups", 1)))
    if not _channels_last(node):
        return opaque(node, f"{node.title} has its channels first")
    shape = node.shapes[0]
    rank = len(shape)
    positions = known_positions(node.output_shapes[0][:-1])
    # Beside a padded border a constant is not summed up in full.
    exact = node.settings["padding"] == "valid" or all(size == 1 for size in shape[:-2])
    outputs = node.space.new(node.number("filters"))
    if groups > 1:
        return _grouped(node, outputs, groups, Weight({}, positions))
    ids, reads = _read(node, rank - 2, exact=exact)
    kernel = Weight({rank - 2: Axis(ids, "reads"), rank - 1: Axis(outputs, "writes")}, positions)
    return Traced(
        written(node, outputs),
        (kernel, *_bias(node, outputs)),
        lambda kept: {"filters": kept.count(outputs)},
        reads=reads,
    )


def _grouped(node: Node, outputs: np.ndarray, groups: int, plain: Weight) -> Traced:
    """A grouped convolution, all whose groups must keep one size."""
    rank = len(node.shapes[0])
    ids, fill = node.space.along(node.x, -1)
    if np.any(fill != 0):
        node.space.keep(ids[fill != 0], f"a removed channel would not be zero where {node.title} reads it")
    read, made_of = ids.reshape(groups, -1), outputs.reshape(groups, -1)
    axes = {rank - 1: Axis(outputs, "writes")}
    if groups >= _MANY_GROUPS:
        node.space.unite(read[:, :1], read)
        node.space.unite(read[:, :1], made_of)
    else:
        node.space.unite(read[:1], read)
        node.space.unite(made_of[:1], made_of)
        axes[rank - 2] = Axis(read[0], "reads")

    def settings(kept: Kept) -> dict[str, object]:
        of_groups = kept.count(made_of[:, 0]) if groups >= _MANY_GROUPS else groups
        return {"filters": kept.count(outputs), "groups": of_groups}

    return Traced(written(node, outputs), (Weight(axes, plain.repeats), *_bias(node, outputs)), settings)


def _transposed(node: Node) -> Traced:
    if not _channels_last(node):
        return opaque(node, f"{node.title} has its channels first")
    rank = len(node.shapes[0])
    # A stride leaves out places, so that no constant goes into the bias.
    ids, _ = _read(node, rank - 1, exact=False)
    outputs = node.space.new(node.number("filters"))
    kernel = Weight(
        {rank - 1: Axis(ids, "reads"), rank - 2: Axis(outputs, "writes")}, known_positions(node.x.shape[:-1])
    )
    return Traced(
        written(node, outputs), (kernel, *_bias(node, outputs)), lambda kept: {"filters": kept.count(outputs)}
    )


def _depthwise(node: Node) -> Traced:
    if not _channels_last(node):
        return opaque(node, f"{node.title} has its channels first")
    ids, _ = node.space.along(node.x, -1)
    outputs = np.repeat(ids, node.number("depth_multiplier"))
    rank = len(node.shapes[0])
    kernel = Weight({rank - 2: Axis(ids, "scales")}, known_positions(node.output_shapes[0][:-1]))
    bias = (Weight({0: Axis(outputs, "scales")}),) if node.flag("use_bias") else ()
    return Traced(written(node, outputs), (kernel, *bias), lambda kept: {})


def _separable(node: Node) -> Traced:
    if not _channels_last(node):
        return opaque(node, f"{node.title} has its channels first")
    ids, _ = node.space.along(node.x, -1)
    outputs = node.space.new(node.number("filters"))
    between = np.repeat(ids, node.number("depth_multiplier"))
    rank, positions = len(node.shapes[0]), known_positions(node.output_shapes[0][:-1])
    depthwise = Weight({rank - 2: Axis(ids, "scales")}, positions)
    pointwise = Weight({rank - 2: Axis(between, "reads"), rank - 1: Axis(outputs, "writes")}, positions)
    return Traced(
        written(node, outputs),
        (depthwise, pointwise, *_bias(node, outputs)),
        lambda kept: {"filters": kept.count(outputs)},
    )


def _embedding(node: Node) -> Traced:
    outputs = node.space.new(node.number("output_dim"))
    shapes = node.output_shapes
    return Traced(
        tuple(Channels.on_axis(outputs, -1, shape) for shape in shapes),
        (Weight({1: Axis(outputs, "writes")}),),
        lambda kept: {"output_dim": kept.count(outputs)},
    )


def _einsum_dense(node: Node) -> Traced:
    """``abc,cd->abd``: each letter of the kernel is summed over, made, or worked on by itself."""
    equation = str(node.settings["equation"])
    if "..." in equation or "," not in equation:
        return opaque(node)
    left, output = equation.split("->")
    given, kernel = left.split(",")
    x, space = node.x, node.space
    fresh = [letter for letter in kernel if letter in output and letter not in given]
    axes, made_letter, new_ids = {}, None, np.zeros(0, np.int64)
    sizes = dict(zip(kernel, node.shapes[0], strict=True))
    for axis, letter in enumerate(kernel):
        if letter in given and given.index(letter) > 0:
            ids, fill = space.along(x, given.index(letter) - 1)
            if np.any(fill != 0):
                space.keep(ids[fill != 0], f"a removed channel would not be zero where {node.title} reads it")
            axes[axis] = Axis(ids, "scales" if letter in output else "reads")
        elif letter in fresh[:1]:
            made_letter, new_ids = letter, space.new(sizes[letter])
            axes[axis] = Axis(new_ids, "writes")
    if any(letter in given and letter in output for letter in kernel) or made_letter is None:
        return opaque(node)
    if not is_elementwise(activation_of(node)):
        space.keep(new_ids, f"{node.title} has an activation that looks at all channels at once")
    value = value_at(activation_of(node) if is_elementwise(activation_of(node)) else None, 0.0)  # type: ignore[arg-type]
    where = output.index(made_letter) - 1
    outputs = tuple(Channels.on_axis(new_ids, where, shape, value) for shape in node.output_shapes)
    positions = known_positions([size for size, letter in zip(x.shape, given[1:], strict=True) if letter not in kernel])
    weights = [Weight(axes, positions)]
    if len(node.shapes) > 1:
        letters = [letter for letter in output if letter in str(node.settings["bias_axes"])]
        weights.append(Weight({letters.index(made_letter): Axis(new_ids, "writes")} if made_letter in letters else {}))

    def settings(kept: Kept) -> dict[str, object]:
        sizes = kept.sizes(outputs[0])
        return {"output_shape": [None if letter in given else sizes[i] for i, letter in enumerate(output[1:])]}

    return Traced(outputs, tuple(weights), settings)


KERNELS: dict[object, Rule] = {
    _L.Dense: _dense,
    _L.EinsumDense: _einsum_dense,
    _L.Conv1D: _conv,
    _L.Conv2D: _conv,
    _L.Conv3D: _conv,
    _L.Conv1DTranspose: _transposed,
    _L.Conv2DTranspose: _transposed,
    _L.Conv3DTranspose: _transposed,
    _L.DepthwiseConv1D: _depthwise,
    _L.DepthwiseConv2D: _depthwise,
    _L.SeparableConv1D: _separable,
    _L.SeparableConv2D: _separable,
    _L.Embedding: _embedding,
}
