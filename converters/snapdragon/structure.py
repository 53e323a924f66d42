"""What Qualcomm's compiler refuses whatever the types of the tensors are: dimensions, shapes and options.

Each rule was seen with LiteRT 2.3.0 and QAIRT 2.50.40 on files of one operator (``apply_plugin_main --cmd=partition``),
on both sides of its limit.
"""

from __future__ import annotations

from collections.abc import Callable

from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite import Operator, Subgraph, Tensor

__all__ = ["structural_refusal"]

_MOST_DIMENSIONS = 5
# {type of the first input, any where empty: operators that take four dimensions at most}, each put to the compiler.
_FOUR_DIMENSIONS: dict[str, tuple[str, ...]] = {
    "": ("FULLY_CONNECTED",),
    "float32": (
        "ARG_MAX", "ARG_MIN", "CEIL", "COS", "CUMSUM", "ELU", "EQUAL", "FLOOR", "FLOOR_DIV", "GATHER_ND", "HARD_SWISH",
        "L2_NORMALIZATION", "LOG", "LOG_SOFTMAX", "MAXIMUM", "MINIMUM", "MIRROR_PAD", "NEG",
        "ROUND", "SIGN", "SIN", "SQUARED_DIFFERENCE", "TANH", "TOPK_V2",
    ),
    "int8": (
        "ARG_MAX", "ARG_MIN", "ELU", "FLOOR_DIV", "GELU", "HARD_SWISH", "L2_NORMALIZATION", "LOG", "SQRT", "TANH",
        "TOPK_V2",
    ),
    "uint8": (
        "CEIL", "COS", "ELU", "FLOOR", "FLOOR_DIV", "GELU", "HARD_SWISH", "L2_NORMALIZATION", "LOG", "LOG_SOFTMAX",
        "NEG", "ROUND", "SIGN", "SIN", "SQRT", "TANH", "TOPK_V2",
    ),
    "int16": ("ELU", "FLOOR_DIV", "GELU", "L2_NORMALIZATION", "RSQRT", "SQRT", "TANH", "TRANSPOSE"),
    "int32": ("TILE", "TRANSPOSE"),
    "bool": ("TILE",),
}  # fmt: skip
_BLOCKS_RANK = 4
_FUSED = schema.ActivationFunctionType
# {type of the result: fused activations that are refused on it}
_ACTIVATIONS: dict[str, tuple[int, ...]] = {
    "int16": (_FUSED.RELU_N1_TO_1, _FUSED.RELU6),
    "int32": (_FUSED.RELU, _FUSED.TANH),
    "bool": (_FUSED.RELU,),
}

# Gives what is against an operator, in a few words; None where nothing is.
_Rule = Callable[[Subgraph, Operator], str | None]


def structural_refusal(graph: Subgraph, operator: Operator) -> str | None:
    """Why an operator does not map whatever its types are; None where the table decides.

    Args:
        graph: that the operator is of.
        operator: to look at.
    """
    against = _dimensions(graph, operator) or _activation(graph, operator)
    if against is None and operator.name in _RULES:
        against = _RULES[operator.name](graph, operator)
    return None if against is None else f"LiteRT Op '{operator.name}' is not supported in Qualcomm Compiler: {against}"


def _dimensions(graph: Subgraph, operator: Operator) -> str | None:
    most = _most_dimensions(graph, operator)
    ranks = [len(graph.tensors[index].shape) for index in (*operator.inputs[:1], *operator.outputs) if index >= 0]
    return f"more than {most} dimensions" if max(ranks, default=0) > most else None


def _most_dimensions(graph: Subgraph, operator: Operator) -> int:
    if operator.name == "ONE_HOT":
        return 3  # of its result
    dtype = next((graph.tensors[index].dtype for index in operator.inputs if index >= 0), "")
    narrow = any(operator.name in _FOUR_DIMENSIONS.get(key, ()) for key in ("", dtype))
    return 4 if narrow else _MOST_DIMENSIONS


def _input(graph: Subgraph, operator: Operator, position: int) -> Tensor:
    return graph.tensors[operator.inputs[position]]


def _option(operator: Operator, name: str) -> int:
    """An option of the operator; 0, which is the schema's default, where the file has none."""
    accessor = getattr(operator.options, name, None)
    return 0 if accessor is None else int(accessor())


def _split(graph: Subgraph, operator: Operator) -> str | None:
    del graph
    return "it has one part" if len(operator.outputs) == 1 else None


def _reshape(graph: Subgraph, operator: Operator) -> str | None:
    kept = _input(graph, operator, 0).elements == graph.tensors[operator.outputs[0]].elements
    return None if kept else "its shape depends on the data"


def _unpack(graph: Subgraph, operator: Operator) -> str | None:
    results = [graph.tensors[index] for index in operator.outputs]
    if len({tensor.dtype for tensor in results}) > 1:
        return "its results have several types"
    return None if all(tensor.shape for tensor in results) else "its results have no dimension"


def _gather(graph: Subgraph, operator: Operator) -> str | None:
    return None if _input(graph, operator, 1).shape else "its position has no dimension"


def _blocks(graph: Subgraph, operator: Operator) -> str | None:
    rank = len(_input(graph, operator, 0).shape)
    return None if rank == _BLOCKS_RANK else f"{rank} dimensions, expected {_BLOCKS_RANK}"


def _strided_slice(graph: Subgraph, operator: Operator) -> str | None:
    if _option(operator, "NewAxisMask"):
        return "it adds a dimension"
    return None if graph.tensors[operator.outputs[0]].shape else "its result has no dimension"


def _resize(graph: Subgraph, operator: Operator) -> str | None:
    del graph
    both = _option(operator, "AlignCorners") and _option(operator, "HalfPixelCenters")
    return "both align_corners and half_pixel_centers" if both else None


def _extremum(graph: Subgraph, operator: Operator) -> str | None:
    """Over one axis five dimensions are taken; over several, floats have four at most."""
    source, axes = _input(graph, operator, 0), _input(graph, operator, 1)
    several = source.dtype == "float32" and len(source.shape) == _MOST_DIMENSIONS and axes.elements > 1
    return f"several axes of {_MOST_DIMENSIONS} dimensions" if several else None


def _activation(graph: Subgraph, operator: Operator) -> str | None:
    """The plugin computes a fused activation as an operator of its own, which has not all types."""
    dtype = graph.tensors[operator.outputs[0]].dtype if operator.outputs else ""
    refused = _option(operator, "FusedActivationFunction") in _ACTIVATIONS.get(dtype, ())
    return f"this fused activation on {dtype}" if refused else None


def _transpose_conv(graph: Subgraph, operator: Operator) -> str | None:
    """The plugin pads SAME as if its input were that of a convolution, which fits where the stride divides its sides.

    A convolution pads ``max((ceil(in / s) - 1) s + k - in, 0)`` of the input; the transposed one cuts off
    ``max(k - s, 0)`` of the result ("Incorrect output dimension at index 1. Expected 9 but got 10.").
    """
    options = operator.options
    if options is None or options.Padding() != schema.Padding.SAME:
        return None
    sides, window = _input(graph, operator, 2).shape[1:3], _input(graph, operator, 1).shape[1:3]
    for side, width, stride in zip(sides, window, (options.StrideH(), options.StrideW()), strict=True):
        padded = max((-(-side // stride) - 1) * stride + width - side, 0)
        if padded != max(width - stride, 0):
            return f"SAME padding of a side of {side} by a stride of {stride}"
    return None


_RULES: dict[str, _Rule] = {
    "BATCH_TO_SPACE_ND": _blocks,
    "GATHER": _gather,
    "REDUCE_MAX": _extremum,
    "REDUCE_MIN": _extremum,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "SPACE_TO_BATCH_ND": _blocks,
    "SPLIT": _split,
    "STRIDED_SLICE": _strided_slice,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNPACK": _unpack,
}
