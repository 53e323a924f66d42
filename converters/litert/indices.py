"""Inputs that carry indices among their values: eight bits would round the indices to another row of a table."""

from __future__ import annotations

from tfcompress.graphs.tflite import Operator, Subgraph

__all__ = ["index_path"]

_OF_INDICES = ("CAST", "ONE_HOT")

# What passes an index on as it is, or to a neighbour at most.
_PASSING = frozenset(
    {"STRIDED_SLICE", "SLICE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "GATHER", "SPLIT", "SPLIT_V", "UNPACK",
     "MINIMUM", "MAXIMUM", "FLOOR", "ROUND"}
)  # fmt: skip


def index_path(graph: Subgraph) -> tuple[str, ...] | None:
    """Names of the tensors that are parts of an input which a CAST makes integers of a part of, and of such integers.

    The other parts stay float with it: a scale that reaches the largest index would be far too coarse for them.

    Args:
        graph: the main graph of a float .tflite.

    Returns:
        None where no CAST reads an input; empty where one reads it directly, and nothing else reads parts of it.
    """
    casts = [op for op in graph.operators if op.name == "CAST" and _to_integers(op, graph)]
    reached = {index for cast in casts if (index := _input_behind(cast.inputs[0], graph)) is not None}
    if not reached:
        return None
    path = []
    for operator in graph.operators:
        if operator.name in _PASSING and reached.intersection(operator.inputs):
            reached.update(operator.outputs)
            path += [graph.tensors[index].name for index in operator.outputs]
        elif operator.name in _OF_INDICES:
            path += [graph.tensors[index].name for index in operator.outputs]
    return tuple(path)


def _to_integers(operator: Operator, graph: Subgraph) -> bool:
    source, target = graph.tensors[operator.inputs[0]].dtype, graph.tensors[operator.outputs[0]].dtype
    return source == "float32" and target in ("int32", "int64")


def _input_behind(tensor: int, graph: Subgraph) -> int | None:
    """The input that a tensor is a part of; None where something was computed on the way."""
    while tensor not in graph.inputs:
        producer = graph.producer(tensor)
        if producer is None or producer.name not in _PASSING:
            return None
        computed = [index for index in producer.inputs if index >= 0 and graph.tensors[index].data is None]
        if len(computed) != 1:
            return None
        tensor = computed[0]
    return tensor
