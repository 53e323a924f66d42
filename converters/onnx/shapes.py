"""Operators that move elements, and those that reduce along axes; all sizes are known, as a .tflite has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tfcompress.converters.onnx.builder import Builder, Layout, axis_in, to_first
from tfcompress.converters.onnx.elementwise import activated, common_layout
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import Operator

__all__ = ["OPERATORS"]

_REFLECT = 0  # schema.fbs, MirrorPadMode


def _numbers(builder: Builder, operator: Operator, position: int) -> list[int]:
    """A constant input as integers."""
    value = builder.value_of(operator.inputs[position])
    if value is None:
        name = builder.tensor(operator.inputs[position]).name
        raise ConversionError(f"{operator.name}: {name!r} depends on the data, and ONNX export needs it constant")
    return [int(item) for item in np.atleast_1d(value).ravel()]


def _shape(builder: Builder, index: int) -> list[int]:
    return list(builder.tensor(index).shape)


def _order_is_the_same(builder: Builder, index: int) -> bool:
    """Whether the elements lie in the same order in both layouts."""
    shape = builder.tensor(index).shape
    return len(shape) > 2 and (math.prod(shape[1:-1]) == 1 or shape[-1] == 1)


def _reshape(builder: Builder, operator: Operator) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS alike: the result's shape is known."""
    index = operator.inputs[0]
    layout = builder.layout_of(index) if _order_is_the_same(builder, index) else Layout.LAST
    shape = builder.constant(_shape(builder, operator.outputs[0]))
    builder.write(operator.outputs[0], builder.node("Reshape", [builder.read(index, layout), shape]))


def _transpose(builder: Builder, operator: Operator) -> None:
    value = builder.node("Transpose", [builder.read(operator.inputs[0])], perm=_numbers(builder, operator, 1))
    builder.write(operator.outputs[0], value)


def _concatenation(builder: Builder, operator: Operator) -> None:
    layout = common_layout(builder, operator)
    axis = axis_in(layout, operator.options.Axis(), len(_shape(builder, operator.outputs[0])))
    value = builder.node("Concat", [builder.read(index, layout) for index in operator.inputs], axis=axis)
    builder.write(operator.outputs[0], activated(builder, operator, value), layout)


def _split(builder: Builder, operator: Operator) -> None:
    """SPLIT has its axis first and then the tensor, SPLIT_V the tensor, the sizes and the axis."""
    position, axis_position = (1, 0) if operator.name == "SPLIT" else (0, 2)
    index = operator.inputs[position]
    layout, rank = builder.layout_of(index), len(_shape(builder, index))
    axis = _numbers(builder, operator, axis_position)[0] % rank
    sizes = builder.constant([_shape(builder, output)[axis] for output in operator.outputs])
    values = builder.node_with(
        "Split", [builder.read(index, layout), sizes], len(operator.outputs), axis=axis_in(layout, axis, rank)
    )
    for output, value in zip(operator.outputs, values, strict=True):
        builder.write(output, value, layout)


def _pack(builder: Builder, operator: Operator) -> None:
    values = [builder.value_of(index) for index in operator.inputs]
    axis = operator.options.Axis()
    if all(value is not None for value in values):  # a shape, put together from numbers
        builder.fold(operator.outputs[0], np.stack([value for value in values if value is not None], axis))
        return
    rank = len(_shape(builder, operator.outputs[0]))
    axes = builder.constant([axis % rank])
    parts = [builder.node("Unsqueeze", [builder.read(index), axes]) for index in operator.inputs]
    builder.write(operator.outputs[0], builder.node("Concat", parts, axis=axis % rank))


def _unpack(builder: Builder, operator: Operator) -> None:
    axis = operator.options.Axis() % len(_shape(builder, operator.inputs[0]))
    value = builder.read(operator.inputs[0])
    for number, output in enumerate(operator.outputs):
        builder.write(output, builder.node("Gather", [value, builder.constant(np.array(number))], axis=axis))


def _pad(builder: Builder, operator: Operator) -> None:
    index = operator.inputs[0]
    rank, layout = len(_shape(builder, index)), builder.layout_of(index)
    widths = np.reshape(_numbers(builder, operator, 1), (rank, 2))
    if layout is Layout.FIRST:
        widths = widths[to_first(rank)]
    mode = "constant"
    if operator.name == "MIRROR_PAD":
        mode = "reflect"
        if operator.options.Mode() != _REFLECT:
            raise ConversionError("MIRROR_PAD: the symmetric mode has no ONNX operator; pad outside of the model")
    inputs = [builder.read(index, layout), builder.constant(widths.T.ravel().tolist())]
    if operator.name == "PADV2":
        inputs.append(builder.read(operator.inputs[2]))
    builder.write(operator.outputs[0], builder.node("Pad", inputs, mode=mode), layout)


def _slice(builder: Builder, operator: Operator) -> None:
    begins, sizes = _numbers(builder, operator, 1), _numbers(builder, operator, 2)
    ends = [np.iinfo(np.int32).max if size < 0 else begin + size for begin, size in zip(begins, sizes, strict=True)]
    _write_slice(builder, operator, begins, ends, [1] * len(begins))


def _strided_slice(builder: Builder, operator: Operator) -> None:
    options = operator.options
    constant = builder.value_of(operator.inputs[0])
    begins, ends, steps = (_numbers(builder, operator, position) for position in (1, 2, 3))
    if options.EllipsisMask() or options.NewAxisMask():
        raise ConversionError("STRIDED_SLICE: an ellipsis or a new axis is left in the graph; index plainly instead")
    shape = _shape(builder, operator.inputs[0])
    for axis, step in enumerate(steps):
        if options.BeginMask() >> axis & 1:
            begins[axis] = 0 if step > 0 else shape[axis] - 1
        if options.EndMask() >> axis & 1:
            ends[axis] = shape[axis] if step > 0 else -shape[axis] - 1
        if options.ShrinkAxisMask() >> axis & 1:
            begins[axis] %= shape[axis]
            ends[axis], steps[axis] = begins[axis] + 1, 1
    if constant is not None:
        cut = constant[tuple(slice(b, e, s) for b, e, s in zip(begins, ends, steps, strict=True))]
        builder.fold(operator.outputs[0], cut.reshape(_shape(builder, operator.outputs[0])))
        return
    _write_slice(builder, operator, begins, ends, steps)


def _write_slice(
    builder: Builder, operator: Operator, begins: Sequence[int], ends: Sequence[int], steps: Sequence[int]
) -> None:
    bounds = [builder.constant(list(values)) for values in (begins, ends, range(len(begins)), steps)]
    value = builder.node("Slice", [builder.read(operator.inputs[0]), *bounds])
    shape = _shape(builder, operator.outputs[0])
    if len(shape) != len(_shape(builder, operator.inputs[0])):  # axes of one element that the operator drops
        value = builder.node("Reshape", [value, builder.constant(shape)])
    builder.write(operator.outputs[0], value)


def _shape_of(builder: Builder, operator: Operator) -> None:
    dtype = builder.tensor(operator.outputs[0]).dtype
    builder.fold(operator.outputs[0], np.array(_shape(builder, operator.inputs[0]), dtype))


def _gather(builder: Builder, operator: Operator) -> None:
    options = operator.options
    if options.BatchDims():
        raise ConversionError("GATHER: batch_dims has no ONNX operator; gather along one axis")
    values = [builder.read(index) for index in operator.inputs[:2]]
    builder.write(operator.outputs[0], builder.node("Gather", values, axis=options.Axis()))


def _gather_nd(builder: Builder, operator: Operator) -> None:
    indices = builder.node("Cast", [builder.read(operator.inputs[1])], to=builder.onnx.TensorProto.INT64)
    builder.write(operator.outputs[0], builder.node("GatherND", [builder.read(operator.inputs[0]), indices]))


def _tile(builder: Builder, operator: Operator) -> None:
    repeats = builder.constant(_numbers(builder, operator, 1))
    builder.write(operator.outputs[0], builder.node("Tile", [builder.read(operator.inputs[0]), repeats]))


def _broadcast_to(builder: Builder, operator: Operator) -> None:
    shape = builder.constant(_shape(builder, operator.outputs[0]))
    builder.write(operator.outputs[0], builder.node("Expand", [builder.read(operator.inputs[0]), shape]))


def _reverse(builder: Builder, operator: Operator) -> None:
    axes = _numbers(builder, operator, 1)
    least = [int(np.iinfo(np.int32).min)] * len(axes)
    bounds = [builder.constant(values) for values in ([-1] * len(axes), least, axes, [-1] * len(axes))]
    builder.write(operator.outputs[0], builder.node("Slice", [builder.read(operator.inputs[0]), *bounds]))


def _softmax(kind: str) -> Callable[[Builder, Operator], None]:
    def convert(builder: Builder, operator: Operator) -> None:
        index = operator.inputs[0]
        layout, rank = builder.layout_of(index), len(_shape(builder, index))
        value = builder.read(index, layout)
        beta = operator.options.Beta() if kind == "Softmax" and operator.options is not None else 1.0
        if beta != 1.0:
            value = builder.node("Mul", [value, builder.scalar(beta)])
        builder.write(operator.outputs[0], builder.node(kind, [value], axis=axis_in(layout, -1, rank)), layout)

    return convert


def _reduced(kind: str) -> Callable[[Builder, Operator], None]:
    """Channels first where the result has one order either way: all axes are kept, or all spatial ones go."""

    def convert(builder: Builder, operator: Operator) -> None:
        index, keep = operator.inputs[0], bool(operator.options.KeepDims())
        rank = len(_shape(builder, index))
        axes = sorted({axis % rank for axis in _numbers(builder, operator, 1)})
        layout = builder.layout_of(index)
        if not keep and not set(range(1, rank - 1)) <= set(axes):
            layout = Layout.LAST
        moved = [axis_in(layout, axis, rank) for axis in axes]
        value = builder.read(index, layout)
        if kind == "ReduceSum":  # takes its axes as an input since opset 13, the others since 18
            result = builder.node(kind, [value, builder.constant(moved)], keepdims=int(keep))
        else:
            result = builder.node(kind, [value], axes=moved, keepdims=int(keep))
        builder.write(operator.outputs[0], result, layout if keep else Layout.LAST)

    return convert


def _arg(kind: str) -> Callable[[Builder, Operator], None]:
    def convert(builder: Builder, operator: Operator) -> None:
        axis = _numbers(builder, operator, 1)[0]
        value = builder.node(kind, [builder.read(operator.inputs[0])], axis=axis, keepdims=0)
        dtype = builder.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(builder.tensor(operator.outputs[0]).dtype))
        builder.write(operator.outputs[0], builder.node("Cast", [value], to=dtype))

    return convert


def _top_k(builder: Builder, operator: Operator) -> None:
    values, positions = operator.outputs
    many = builder.constant(_numbers(builder, operator, 1))
    largest, where = builder.node_with("TopK", [builder.read(operator.inputs[0]), many], 2, axis=-1)
    dtype = builder.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(builder.tensor(positions).dtype))
    builder.write(values, largest)
    builder.write(positions, builder.node("Cast", [where], to=dtype))


def _one_hot(builder: Builder, operator: Operator) -> None:
    """A comparison with every position: ONNX's OneHot counts negative ones from the end, TensorFlow gives them none."""
    positions, _, on, off = operator.inputs
    rank = len(_shape(builder, operator.outputs[0]))
    axis = operator.options.Axis() % rank
    depth = np.arange(_numbers(builder, operator, 1)[0], dtype=np.int64).reshape([-1] + [1] * (rank - 1 - axis))
    integers = builder.node("Cast", [builder.read(positions)], to=builder.onnx.TensorProto.INT64)
    spread = builder.node("Unsqueeze", [integers, builder.constant([axis])])
    same = builder.node("Equal", [spread, builder.constant(depth, "positions")])
    builder.write(operator.outputs[0], builder.node("Where", [same, builder.read(on), builder.read(off)]))


def _l2_normalization(builder: Builder, operator: Operator) -> None:
    """x / sqrt(max(sum of squares, 1e-6)): tensorflow/lite/kernels/l2norm.cc."""
    value = builder.read(operator.inputs[0])
    squares = builder.node("Mul", [value, value])
    total = builder.node("ReduceSum", [squares, builder.constant([-1])], keepdims=1)
    root = builder.node("Sqrt", [builder.node("Max", [total, builder.scalar(1e-6)])])
    builder.write(operator.outputs[0], activated(builder, operator, builder.node("Div", [value, root])))


def _cumsum(builder: Builder, operator: Operator) -> None:
    options = operator.options
    axis = builder.constant(np.array(_numbers(builder, operator, 1)[0], np.int64))
    inputs = [builder.read(operator.inputs[0]), axis]
    value = builder.node("CumSum", inputs, exclusive=int(options.Exclusive()), reverse=int(options.Reverse()))
    builder.write(operator.outputs[0], value)


def _space_to_batch(builder: Builder, operator: Operator) -> None:
    """TensorFlow's definition: pad, cut the spatial axes into blocks, and bring the places in a block to the batch."""
    batch, height, width, channels = _shape(builder, operator.inputs[0])
    rows, columns = _numbers(builder, operator, 1)
    (top, bottom), (left, right) = np.reshape(_numbers(builder, operator, 2), (2, 2)).tolist()
    value = builder.read(operator.inputs[0])
    value = builder.node("Pad", [value, builder.constant([0, top, left, 0, 0, bottom, right, 0])])
    height, width = (height + top + bottom) // rows, (width + left + right) // columns
    value = builder.node("Reshape", [value, builder.constant([batch, height, rows, width, columns, channels])])
    value = builder.node("Transpose", [value], perm=[2, 4, 0, 1, 3, 5])
    shape = builder.constant([batch * rows * columns, height, width, channels])
    builder.write(operator.outputs[0], builder.node("Reshape", [value, shape]))


def _batch_to_space(builder: Builder, operator: Operator) -> None:
    batch, height, width, channels = _shape(builder, operator.inputs[0])
    rows, columns = _numbers(builder, operator, 1)
    (top, bottom), (left, right) = np.reshape(_numbers(builder, operator, 2), (2, 2)).tolist()
    value = builder.read(operator.inputs[0])
    shape = [rows, columns, batch // (rows * columns), height, width, channels]
    value = builder.node("Reshape", [value, builder.constant(shape)])
    value = builder.node("Transpose", [value], perm=[2, 3, 0, 4, 1, 5])
    shape = [batch // (rows * columns), height * rows, width * columns, channels]
    value = builder.node("Reshape", [value, builder.constant(shape)])
    ends = [height * rows - bottom, width * columns - right]
    bounds = [builder.constant(values) for values in ([top, left], ends, [1, 2])]
    builder.write(operator.outputs[0], builder.node("Slice", [value, *bounds]))


OPERATORS: dict[str, Callable[[Builder, Operator], None]] = {
    "ARG_MAX": _arg("ArgMax"),
    "ARG_MIN": _arg("ArgMin"),
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "BROADCAST_TO": _broadcast_to,
    "CONCATENATION": _concatenation,
    "CUMSUM": _cumsum,
    "EXPAND_DIMS": _reshape,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "L2_NORMALIZATION": _l2_normalization,
    "LOG_SOFTMAX": _softmax("LogSoftmax"),
    "MEAN": _reduced("ReduceMean"),
    "MIRROR_PAD": _pad,
    "ONE_HOT": _one_hot,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "REDUCE_MAX": _reduced("ReduceMax"),
    "REDUCE_MIN": _reduced("ReduceMin"),
    "REDUCE_PROD": _reduced("ReduceProd"),
    "RESHAPE": _reshape,
    "REVERSE_V2": _reverse,
    "SHAPE": _shape_of,
    "SLICE": _slice,
    "SOFTMAX": _softmax("Softmax"),
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "SUM": _reduced("ReduceSum"),
    "TILE": _tile,
    "TOPK_V2": _top_k,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
