"""Which tensors of a quantized file have one scale together, and which of them may change."""

from __future__ import annotations

from tfcompress.graphs.tflite import Quantization, Subgraph, Tensor
from tfcompress.graphs.tflite.operators import named, traits

__all__ = ["ACTIVATIONS", "shared_scales", "unchangeable"]

ACTIVATIONS = ("int8", "int16")
_MOVING = named(lambda row: row.scale == "input") | {"MAXIMUM", "MINIMUM", "REVERSE_V2", "PADV2", "TILE"}


def quantized_activations(graph: Subgraph) -> list[Tensor]:
    """The computed tensors, and inputs, that hold integers with a scale."""
    ends = (*graph.inputs, *(index for operator in graph.operators for index in operator.outputs))
    tensors = (graph.tensors[index] for index in dict.fromkeys(ends))
    return [tensor for tensor in tensors if tensor.dtype in ACTIVATIONS and tensor.quantization is not None]


def shared_scales(graph: Subgraph) -> dict[int, int]:
    """{tensor: the first tensor whose scale and zero point it must have}; itself where it is free.

    Operators that only move integers compute nothing, so what they read and give must mean the same.
    """
    first = {tensor.index: tensor.index for tensor in quantized_activations(graph)}

    def root(index: int) -> int:
        while first[index] != index:
            index = first[index]
        return index

    for operator in graph.operators:
        if operator.name in _MOVING:
            ends = [index for index in (*operator.inputs, *operator.outputs) if index in first]
            for index in ends[1:]:
                if _equal(graph.tensors[ends[0]].quantization, graph.tensors[index].quantization):
                    low, high = sorted((root(ends[0]), root(index)))
                    first[high] = low
    return {index: root(index) for index in first}


def unchangeable(graph: Subgraph, shared: dict[int, int]) -> set[int]:
    """The tensors (first of those that share a scale) that keep theirs.

    Those are inputs, whose users know it; what a function of a fixed scale gives; and what operators read or give that
    have rules of their own.
    """
    fixed = set(graph.inputs)
    for operator in graph.operators:
        if traits(operator.name).scale == "fixed":
            fixed.update(operator.outputs)
        elif operator.name in _MOVING:
            constants = [index for index in operator.inputs if _is_constant(graph, index)]
            fixed.update(operator.outputs if constants else ())
    return {shared[index] for index in fixed if index in shared}


def _is_constant(graph: Subgraph, index: int) -> bool:
    """A quantized constant, whose integers would have to follow."""
    if index < 0:
        return False
    tensor = graph.tensors[index]
    return tensor.data is not None and tensor.quantization is not None and len(tensor.quantization.scales) > 0


def _equal(first: Quantization | None, second: Quantization | None) -> bool:
    if first is None or second is None:
        return False
    return bool(first.scales[0] == second.scales[0] and first.zero_points[0] == second.zero_points[0])
