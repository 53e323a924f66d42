"""What LiteRT's GPU delegate wants of single operators: one function each, as `rules` says where it is from.

Each gives the delegate's words, or None where the operator is as it should be.
"""

from __future__ import annotations

from collections.abc import Callable

from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite import Operator, Subgraph, Tensor

__all__ = [
    "activation",
    "broadcast",
    "cast",
    "choice",
    "constant_axes",
    "convolution",
    "data_inputs",
    "dense",
    "depthwise",
    "feeds_a_choice",
    "flat_second_matrix",
    "float_sum",
    "gathered",
    "one_hot",
    "one_kind_of_centres",
    "one_or_two_inputs",
    "padded_picture",
    "product",
    "real_block",
    "reflecting",
    "three_or_four_dimensions",
    "two_operands",
    "unit_beta",
    "unmasked",
]

_FLOATS = ("float32", "float16")
_ACTIVATIONS = {name for name in dir(schema.ActivationFunctionType) if not name.startswith("_")} - {"SIGN_BIT"}
_TAKEN = {getattr(schema.ActivationFunctionType, name) for name in _ACTIVATIONS}
_MOST_DATA = 2


def _given(operator: Operator, graph: Subgraph) -> list[Tensor]:
    return [graph.tensors[index] for index in operator.inputs if index >= 0]


def _computed(operator: Operator, graph: Subgraph) -> int:
    return sum(tensor.data is None for tensor in _given(operator, graph))


def data_inputs(computed: int, constants: int | None = None) -> Callable[[Operator, Subgraph], str | None]:
    """A check of the number of computed inputs, of constants (None: any), and of one result."""

    def check(operator: Operator, graph: Subgraph) -> str | None:
        tensors, count = _given(operator, graph), _computed(operator, graph)
        if constants is not None and len(tensors) - count != constants:
            return f"Expected {constants} const input tensor(s), but node has {len(tensors) - count} const input(s)."
        if count != computed:
            return f"Expected {computed} runtime input tensor(s), but node has {count} runtime input(s)."
        results = len(operator.outputs)
        return None if results == 1 else f"Expected 1 output tensor(s), but node has {results} output(s)."

    return check


def one_or_two_inputs(operator: Operator, graph: Subgraph) -> str | None:
    """Two operands, one of which may be constant."""
    fits = len(_given(operator, graph)) == _MOST_DATA and _computed(operator, graph) > 0
    return None if fits else "Op can only handle 1 or 2 operand(s)."


def two_operands(operator: Operator, graph: Subgraph) -> str | None:
    """Exactly two inputs."""
    return None if len(_given(operator, graph)) == _MOST_DATA else f"{operator.name} requires two input tensors."


def activation(operator: Operator, graph: Subgraph) -> str | None:
    """A fused activation that the delegate has."""
    del graph
    fused = getattr(operator.options, "FusedActivationFunction", None)
    return None if fused is None or fused() in _TAKEN else "TfLiteFusedActivation.kTfLiteActSignBit"


def broadcast(operator: Operator, graph: Subgraph) -> str | None:
    """Operands of different ranks: a few forms alone, all with a picture of batch 1 or of one vector a picture."""
    first, second = (tensor.shape for tensor in _given(operator, graph))
    if len(first) == len(second) or min(len(first), len(second)) < 2:
        return None
    longer, shorter = (first, second) if len(first) > len(second) else (second, first)
    forms = (
        len(longer) == 4 and len(shorter) == 3 and longer[0] == 1,
        len(longer) == 4 and shorter == (1, 1) and longer[0] == 1,
        len(longer) == 4 and len(shorter) == 2 and (longer[0], longer[-1]) == tuple(shorter),
    )
    said = f"Doesn't support broadcasting - input0: {list(first)}, input1: {list(second)}"
    return None if any(forms) else said


def product(operator: Operator, graph: Subgraph) -> str | None:
    """Of one rank, one operand has to be the larger one along every axis."""
    first, second = (tensor.shape for tensor in _given(operator, graph))
    if len(first) != len(second):
        return broadcast(operator, graph)
    smaller = any(a < b for a, b in zip(first, second, strict=True))
    larger = any(a > b for a, b in zip(first, second, strict=True))
    return "MUL requires one tensor that not less than second in all dimensions." if smaller and larger else None


def flat_second_matrix(operator: Operator, graph: Subgraph) -> str | None:
    """A constant factor must be the second one, of two dimensions."""
    first, second = _given(operator, graph)
    fits = first.data is None and (second.data is None or len(second.shape) == 2)
    return None if fits else "Not supported batched mat mul case"


def feeds_a_choice(operator: Operator, graph: Subgraph) -> str | None:
    """A comparison has to have one reader: a CAST or SELECT that gives floats."""
    readers = graph.consumers(operator.outputs[0])
    if len(readers) != 1 or operator.outputs[0] in graph.outputs:
        return "Not supported logical op case"
    (reader,) = readers
    fits = reader.name in ("CAST", "SELECT", "SELECT_V2") and graph.tensors[reader.outputs[0]].dtype in _FLOATS
    return None if fits else "Not supported logical op case."


def convolution(operator: Operator, graph: Subgraph) -> str | None:
    """At most two computed inputs."""
    count = _computed(operator, graph)
    return None if count <= _MOST_DATA else f"Expected 1 or 2 input tensor(s), but node has {count} runtime inputs."


def depthwise(operator: Operator, graph: Subgraph) -> str | None:
    """A picture; more results than channels only of one channel."""
    source, result = graph.tensors[operator.inputs[0]].shape, graph.tensors[operator.outputs[0]].shape
    if len(source) != 4 or len(result) != 4:
        return "input.dims.size != 4"
    if result[3] != source[3] and source[3] != 1:
        return "depth_multiplier != 1 && input.c != 1"
    return None


def dense(operator: Operator, graph: Subgraph) -> str | None:
    """Plain weights, a computed input, and a result of its rank where the dimensions are kept."""
    source, result = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    if operator.options.WeightsFormat() != schema.FullyConnectedOptionsWeightsFormat.DEFAULT:
        return "Unsupported FullyConnected weights format"
    if _computed(operator, graph) > _MOST_DATA:
        return "FullyConnected doesn't support more than 2 runtime inputs."
    if source.data is not None:
        return "FullyConnected doesn't support constant input."
    differs = operator.options.KeepNumDims() and len(source.shape) != len(result.shape)
    return (
        "Input and output dimensions different and FullyConnected doesn't support keep_num_dims." if differs else None
    )


def unit_beta(operator: Operator, graph: Subgraph) -> str | None:
    """A plain softmax."""
    del graph
    return None if operator.options.Beta() == 1 else "Softmax.beta != 1 is not supported."


def constant_axes(operator: Operator, graph: Subgraph) -> str | None:
    """Axes that are constant int32."""
    axes = graph.tensors[operator.inputs[1]]
    if axes.data is None:
        return f"{operator.name} is only supported with constant axes."
    return (
        None if axes.dtype == "int32" else f"{operator.name} supports int32 tensor for axes. But node has {axes.dtype}"
    )


def float_sum(operator: Operator, graph: Subgraph) -> str | None:
    """CUMSUM of floats along a constant axis."""
    source, axis = _given(operator, graph)
    fits = source.dtype in _FLOATS and axis.dtype == "int32" and axis.data is not None
    return None if fits else "Input/output must be float type and indices must be constant int32 type"


def real_block(operator: Operator, graph: Subgraph) -> str | None:
    """A block of more than one place."""
    del graph
    return None if operator.options.BlockSize() > 1 else f"{operator.name} block_size = 1 is a no-op."


def gathered(operator: Operator, graph: Subgraph) -> str | None:
    """Positions of one dimension, int32, of something that is not int32."""
    source, positions = (graph.tensors[index] for index in operator.inputs[:2])
    if source.data is not None:
        return "Op can only handle 1 or 2 operand(s)."
    if source.dtype == "int32":
        return "Does not accept INT32 input."
    if len(positions.shape) != 1:
        return "Only support 1D indices"
    return None if positions.dtype == "int32" else "Only accept INT32 indices"


def one_hot(operator: Operator, graph: Subgraph) -> str | None:
    """int32 positions along the last axis, of a picture with one row and column, and constant float values."""
    positions, _, on, off = _given(operator, graph)
    plain = all(value.dtype == "float32" and value.data is not None and value.elements == 1 for value in (on, off))
    if positions.dtype != "int32" or not plain or operator.options.Axis() != -1:
        return "Indices must be int32, on/off tensors constant, scalar, float, axis must be -1 or last dim"
    rank = len(positions.shape)
    wide = next((axis for axis in range(rank - 1) if positions.shape[axis] != 1 and not (rank > 3 and axis == 0)), None)
    return None if wide is None else f"Unspported non-singleton dim at {wide}"


def choice(operator: Operator, graph: Subgraph) -> str | None:
    """A condition of truth values or floats, and two float operands of the result's shape or of one number."""
    condition, *operands = _given(operator, graph)
    shape = graph.tensors[operator.outputs[0]].shape
    fits = condition.dtype in ("bool", *_FLOATS) and all(
        value.dtype in _FLOATS and (value.shape == shape or value.elements == 1) for value in operands
    )
    said = "Cond must be float or bool type, if, else tensors must be float and either be same the shape as output or "
    return None if fits else said + "constant, scalar."


def cast(operator: Operator, graph: Subgraph) -> str | None:
    """Between float32 and int32, and from or to truth values that a comparison made and one operator reads."""
    source, result = (graph.tensors[index].dtype for index in (operator.inputs[0], operator.outputs[0]))
    if source == "bool" and result in _FLOATS and len(graph.consumers(operator.outputs[0])) != 1:
        return "Cast from bool not supported for outputs"
    numbers = {"float32", "int32"}
    pairs = (
        source == "bool" and result in _FLOATS,
        source in _FLOATS and result == "bool",
        {source, result} <= numbers,
    )
    return None if any(pairs) else f"Not supported Cast case. Input type: {source} and output type: {result}"


def padded_picture(operator: Operator, graph: Subgraph) -> str | None:
    """Amounts for three or four dimensions."""
    shape = tuple(graph.tensors[operator.inputs[1]].shape)
    if shape in ((3, 2), (4, 2)):
        return None
    return f"Invalid paddings tensor shape: expected 4x2 or 3x2, got {'x'.join(map(str, shape))}"


def reflecting(operator: Operator, graph: Subgraph) -> str | None:
    """The edge itself is not repeated."""
    del graph
    fits = operator.options.Mode() == schema.MirrorPadMode.REFLECT
    return None if fits else "Only Reflective padding is supported for Mirror Pad operation."


def one_kind_of_centres(operator: Operator, graph: Subgraph) -> str | None:
    """Not both of align_corners and half_pixel_centers."""
    del graph
    both = operator.options.AlignCorners() and operator.options.HalfPixelCenters()
    return "If half_pixel_centers is True, align_corners must be False." if both else None


def three_or_four_dimensions(operator: Operator, graph: Subgraph) -> str | None:
    """A slice of a sequence or of a picture."""
    rank = len(graph.tensors[operator.inputs[0]].shape)
    if rank in (3, 4):
        return None
    return f"{operator.name} supports for 3 or 4 dimensional tensors only, but node has {rank} dimensional tensors."


def unmasked(operator: Operator, graph: Subgraph) -> str | None:
    """No dimension that is added, left out or skipped by the slice."""
    del graph
    options = operator.options
    masks = {
        "ellipsis_mask": options.EllipsisMask(),
        "new_axis_mask": options.NewAxisMask(),
        "shrink_axis_mask": options.ShrinkAxisMask(),
    }
    used = next((name for name, value in masks.items() if value), None)
    return None if used is None else f"Slice does not support {used}."
