"""Which operators a delegate takes together.

TensorFlow Lite and LiteRT collect operators into alternating subsets, on the accelerator and on the CPU, by data flow
and not by their order in the file (tensorflow/lite/graph_info.cc, `PartitionGraphIntoIndependentNodeSubsets`).  The
work here grows with the number of operators and of what they read, however they depend on each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from tfcompress.graphs.tflite.reader import Subgraph

__all__ = ["causes", "partitions"]


def partitions(graph: Subgraph, accepted: Collection[int]) -> tuple[frozenset[int], ...]:
    """The accelerator subsets, in the order in which they run.

    Args:
        graph: of the file.
        accepted: indices of the operators that the accelerator could run by themselves.

    Returns:
        Indices of the operators of each subset.  Operators that wait for each other, in a damaged graph, are in none.
    """
    taken, subsets = frozenset(accepted), []
    readers = _readers(graph)
    waiting = _unavailable(graph)
    missing = [sum(index in waiting for index in set(operator.inputs)) for operator in graph.operators]
    ready: dict[bool, list[int]] = {True: [], False: []}
    for index, count in enumerate(missing):
        if not count:
            ready[index in taken].append(index)
    on_accelerator = not ready[False] or (bool(ready[True]) and ready[True][0] < ready[False][0])
    while ready[on_accelerator]:
        subset = []
        while ready[on_accelerator]:
            subset.append(ready[on_accelerator].pop())
            for tensor in waiting.intersection(graph.operators[subset[-1]].outputs):
                waiting.discard(tensor)
                for reader in readers[tensor]:
                    missing[reader] -= 1
                    if not missing[reader]:
                        ready[reader in taken].append(reader)
        if on_accelerator:
            subsets.append(frozenset(subset))
        on_accelerator = not on_accelerator
    return tuple(subsets)


def causes(graph: Subgraph, refused: Collection[int]) -> dict[int, int]:
    """The refused operator that cuts each other one off: the latest that it depends on, directly or not.

    Args:
        graph: of the file.
        refused: indices of operators that the accelerator cannot run.

    Returns:
        {index of an operator that depends on one of them: index of that one}.
    """
    readers, stops = _readers(graph), frozenset(refused)
    producer = {tensor: operator.index for operator in graph.operators for tensor in operator.outputs}
    latest: dict[int, int] = {}
    for cause in sorted(stops, reverse=True):
        queue = [cause]
        while queue:
            source = queue.pop()
            results = {tensor for tensor in graph.operators[source].outputs if producer[tensor] == source}
            for reader in (reader for tensor in results for reader in readers[tensor]):
                if reader not in latest and reader not in stops:
                    latest[reader] = cause
                    queue.append(reader)
    return latest


def _readers(graph: Subgraph) -> dict[int, list[int]]:
    """{tensor: the operators that read it, each once}."""
    readers: dict[int, list[int]] = defaultdict(list)
    for operator in graph.operators:
        for tensor in set(operator.inputs):
            readers[tensor].append(operator.index)
    return readers


def _unavailable(graph: Subgraph) -> set[int]:
    """Tensors that nobody has computed when the graph begins: those of operators, and what the graph does not have."""
    computed = {tensor for operator in graph.operators for tensor in operator.outputs}
    read = {tensor for operator in graph.operators for tensor in operator.inputs if tensor >= 0}
    return computed | {tensor for tensor in read if tensor >= len(graph.tensors)}
