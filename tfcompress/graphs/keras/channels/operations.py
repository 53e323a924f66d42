"""Rules for single operations that a functional model calls: arithmetic, slices, reshapes, splits, products."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tfcompress.graphs.keras.call_graph import is_symbolic
from tfcompress.graphs.keras.channels.elementwise import concatenated, merged, multiplied, same, spread_over
from tfcompress.graphs.keras.channels.node import Kept, Node, Rule, Traced, opaque
from tfcompress.graphs.keras.channels.shapes import transposed
from tfcompress.graphs.keras.channels.space import Channels
from tfcompress.runtime import tf

__all__ = ["operation_rule", "sliced"]

_FUNCTIONS: dict[str, Callable[[object], object]] = {
    "nn.relu": tf.nn.relu, "nn.relu6": tf.nn.relu6, "math.sigmoid": tf.math.sigmoid, "nn.sigmoid": tf.math.sigmoid,
    "math.tanh": tf.math.tanh, "nn.tanh": tf.math.tanh, "nn.silu": tf.nn.silu, "nn.gelu": tf.nn.gelu,
    "nn.elu": tf.nn.elu, "nn.selu": tf.nn.selu, "math.softplus": tf.math.softplus, "math.abs": tf.math.abs,
    "math.square": tf.math.square, "math.sqrt": tf.math.sqrt, "math.exp": tf.math.exp,
    "math.negative": tf.math.negative, "math.sign": tf.math.sign, "identity": tf.identity,
    "stop_gradient": tf.stop_gradient, "nn.swish": tf.nn.silu,
}  # fmt: skip


def _safe_quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.where(b == 0, np.nan, a / np.where(b == 0, 1.0, b))
    return np.asarray(quotient)


_PAIRS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "add": np.add, "sub": np.subtract, "subtract": np.subtract, "mul": multiplied, "multiply": multiplied,
    "truediv": _safe_quotient, "divide": _safe_quotient, "maximum": np.maximum, "minimum": np.minimum,
}  # fmt: skip
_SWAPPED = {"radd": "add", "rsub": "sub", "rmul": "mul", "rtruediv": "truediv"}


def operation_rule(function: str) -> Rule | None:
    """The rule of a TensorFlow function, by the name that tf_keras knows it by; None where there is none.

    Args:
        function: such as ``math.reduce_mean`` or ``__operators__.add``.
    """
    name = function.rpartition(".")[2].strip("_")
    if function in _FUNCTIONS:
        return lambda node: same(node, _FUNCTIONS[function])
    if name in _PAIRS or name in _SWAPPED:
        return lambda node: _pair(node, _SWAPPED.get(name, name))
    return {
        "getitem": sliced,
        "reshape": _reshape,
        "transpose": _transpose,
        "concat": _concat,
        "split": _split,
        "reduce_mean": _reduced,
        "reduce_max": _reduced,
        "reduce_sum": _reduced,
        "softmax": _softmax,
        "cast": lambda node: same(node),
        "expand_dims": _as_shaped,
        "squeeze": _as_shaped,
        "pad": _pad,
    }.get(name)


def _argument(node: Node, position: int, *names: str) -> object:
    """An argument of the call by place or by one of its names; None where it is not given."""
    if len(node.call.args) > position:
        value: object = node.call.args[position]
        return value
    return next((node.call.kwargs[name] for name in names if name in node.call.kwargs), None)


def _key(node: Node, position: int, *names: str) -> int | str:
    if len(node.call.args) > position:
        return position
    return next(name for name in names if name in node.call.kwargs)


def _pair(node: Node, name: str) -> Traced:
    """Two tensors, or a tensor and a number."""
    fold = _PAIRS[name]
    if len(node.inputs) == 2:
        return merged(node, fold)
    operands = [_argument(node, 0, "x", "a"), _argument(node, 1, "y", "b")]
    constant = next((value for value in operands if not is_symbolic(value)), None)
    try:
        number = np.asarray(constant, np.float64)
    except (TypeError, ValueError):
        return opaque(node)
    if number.size != 1:
        return opaque(node, f"{node.title} has a constant for each channel")
    first = is_symbolic(operands[0])
    value = np.full((1,) * len(node.x.shape), float(number.reshape(-1)[0]))
    fill = fold(node.x.fill, value) if first else fold(value, node.x.fill)
    return Traced((Channels(node.x.ids, fill, node.output_shapes[0]),))


def sliced(node: Node) -> Traced:
    """``x[:, 2:7]``: of what stays in a slice of channels the place is another one."""
    specs = node.call.args[1] if len(node.call.args) > 1 else None
    if not isinstance(specs, tuple | list):
        specs = (specs,)
    plain = [_as_slice(spec) for spec in specs]
    if any(spec is None for spec in plain) or plain[0] != slice(None):
        return opaque(node, f"{node.title} takes places that are not known")
    wanted = tuple(spec for spec in plain if spec is not None)[1:]
    ids, fill = node.x.ids, node.x.fill
    cut: dict[int, tuple[slice, np.ndarray]] = {}
    for axis, spec in enumerate(wanted):
        if ids.shape[axis] == 1:
            continue
        if not isinstance(spec, slice) or spec.step not in (None, 1):
            return opaque(node, f"{node.title} picks single channels")
        along, _ = node.space.along(node.x, axis)
        cut[axis + 1] = (spec, along)
        ids, fill = (np.take(v, range(*spec.indices(len(along))), axis) for v in (ids, fill))
    gone = tuple(axis for axis, spec in enumerate(wanted) if isinstance(spec, int))
    out = Channels(np.squeeze(ids, gone), np.squeeze(fill, gone), node.output_shapes[0])

    def arguments(kept: Kept) -> dict[int | str, object]:
        new = [_moved(spec, *cut[axis], kept) if axis in cut else spec for axis, spec in enumerate(specs)]
        return {1: tuple(new)}

    return Traced((out,), arguments=arguments)


def _as_slice(spec: object) -> slice | int | None:
    """One index of tf_keras's record of a slice; None for what is not plain."""
    if isinstance(spec, dict):
        values = [spec.get(key) for key in ("start", "stop", "step")]
        return slice(*values) if all(value is None or isinstance(value, int) for value in values) else None
    return spec if isinstance(spec, int | slice) else None


def _moved(spec: object, place: slice, ids: np.ndarray, kept: Kept) -> object:
    start, stop, _ = place.indices(len(ids))
    first, size = kept.count(ids[:start]), kept.count(ids[start:stop])
    moved = {"start": first, "stop": first + size, "step": None}
    return moved if isinstance(spec, dict) else slice(first, first + size)


def _reshape(node: Node) -> Traced:
    out = node.space.reshaped(node.x, node.output_shapes[0])
    key = _key(node, 1, "shape")
    given = _argument(node, 1, "shape")
    if out is None or not isinstance(given, tuple | list) or any(is_symbolic(size) for size in given):
        return opaque(node, f"{node.title} moves channels across a size that is not known")
    batch = given[0]

    def arguments(kept: Kept) -> dict[int | str, object]:
        return {key: [batch, *(-1 if size is None else size for size in kept.sizes(out))]}

    return Traced((out,), arguments=arguments)


def _as_shaped(node: Node) -> Traced:
    """An axis of size 1 comes or goes, and nothing in the call names a size."""
    out = node.space.reshaped(node.x, node.output_shapes[0])
    return opaque(node) if out is None else Traced((out,))


def _transpose(node: Node) -> Traced:
    order = _argument(node, 1, "perm")
    if not isinstance(order, tuple | list) or list(order)[:1] != [0]:
        return opaque(node, f"{node.title} moves the batch dimension")
    return Traced((transposed(node, [int(str(axis)) - 1 for axis in order[1:]]),))


def _concat(node: Node) -> Traced:
    axis = _argument(node, 1, "axis")
    values = _argument(node, 0, "values")
    whole = isinstance(values, tuple | list) and all(is_symbolic(value) for value in values)
    if not isinstance(axis, int) or axis == 0 or not whole:
        return opaque(node)
    return concatenated(node, axis)


def _split(node: Node) -> Traced:
    """Equal parts, or parts of given sizes; either is written out as sizes after a cut."""
    axis = _argument(node, 2, "axis")
    if not isinstance(axis, int) or axis == 0:
        return opaque(node)
    inside = axis - 1 if axis > 0 else axis
    if node.x.ids.shape[inside] == 1:
        return Traced(tuple(node.x.with_shape(shape) for shape in node.output_shapes))
    ids, fill = node.space.along(node.x, inside)
    ends = np.cumsum([shape[inside] or 0 for shape in node.output_shapes])
    parts = np.split(ids, ends[:-1]), np.split(fill, ends[:-1])
    outputs = []
    for number, constant, shape in zip(*parts, node.output_shapes, strict=True):
        out = Channels.on_axis(number, inside, shape)
        outputs.append(Channels(out.ids, constant.reshape(out.ids.shape), shape))
    key = _key(node, 1, "num_or_size_splits")
    return Traced(tuple(outputs), arguments=lambda kept: {key: [kept.count(part) for part in parts[0]]})


def _axes(value: object, rank: int) -> list[int] | None:
    """Axes without the batch dimension; None where they are not known or the batch is among them."""
    given = value if isinstance(value, Sequence) else [value]
    if not all(isinstance(axis, int) for axis in given):
        return None
    axes = [int(str(axis)) % (rank + 1) - 1 for axis in given]
    return None if -1 in axes else axes


def _reduced(node: Node) -> Traced:
    """A mean, sum or maximum over places."""
    x = node.x
    axes = _axes(_argument(node, 1, "axis"), len(x.shape))
    keep = bool(_argument(node, 2, "keepdims"))
    if axes is None or any(axis in axes for axis in x.varying):
        return opaque(node, f"{node.title} joins the channels")
    target = () if keep else tuple(axes)
    same_constant = not str(node.settings.get("function", "")).endswith("sum")
    fill = x.fill if same_constant else np.where(x.fill == 0, 0.0, np.nan)
    return Traced((Channels(np.squeeze(x.ids, target), np.squeeze(fill, target), node.output_shapes[0]),))


def _softmax(node: Node) -> Traced:
    axis = _argument(node, 1, "axis")
    return spread_over(node, axis if isinstance(axis, int) else -1)


def _pad(node: Node) -> Traced:
    paddings = _argument(node, 1, "paddings")
    if not isinstance(paddings, tuple | list):
        return opaque(node)
    sides = [tuple(side) for side in paddings]
    if any(sides[axis + 1] != (0, 0) for axis in node.x.varying):
        return opaque(node, f"{node.title} puts new channels beside the others")
    fill = np.where(node.x.fill == 0, 0.0, np.nan)
    if _argument(node, 3, "constant_values") not in (None, 0, 0.0) or _argument(node, 2, "mode") not in (
        None,
        "CONSTANT",
    ):
        fill = np.full(fill.shape, np.nan)
    return Traced((Channels(node.x.ids, fill, node.output_shapes[0]),))
