"""Which operators the one Edge TPU subgraph takes.

The compiler uses TensorFlow Lite's delegate partition (tensorflow/lite/graph_info.cc,
`PartitionGraphIntoIndependentNodeSubsets`): operators are collected into alternating accelerator and CPU subsets by
data flow, not by their order in the file.  Of the accelerator subsets the first is kept.  Over 238 public pairs this
is wrong on 3 operators; "stop at the first unsupported operator in file order" is wrong on 94.
"""

from __future__ import annotations

from collections.abc import Collection

from tfcompress.graphs.tflite import Subgraph

__all__ = ["first_cause", "partitions"]


def partitions(graph: Subgraph, accepted: Collection[int]) -> tuple[frozenset[int], ...]:
    """The accelerator subsets in order: the compiler keeps the first, or all with ``--enable_multiple_subgraphs``.

    Args:
        graph: the main subgraph.
        accepted: indices of the operators that could map by themselves.

    Returns:
        Indices of the operators that are mapped together, for each subset.
    """
    subsets = []
    computed = {tensor for operator in graph.operators for tensor in operator.outputs}
    available = set(range(len(graph.tensors))) - computed
    waiting = list(range(len(graph.operators)))
    while waiting:
        subset, on_tpu = _next_subset(graph, waiting, available, accepted)
        if on_tpu:
            subsets.append(frozenset(subset))
        if not subset:  # the rest waits for itself: a damaged graph
            break
        waiting = [index for index in waiting if index not in subset]
    return tuple(subsets)


def _next_subset(
    graph: Subgraph, waiting: list[int], available: set[int], accepted: Collection[int]
) -> tuple[set[int], bool]:
    """One subset: all that is ready, of the kind of the first that is; adds its results to `available`."""
    subset: set[int] = set()
    on_tpu: bool | None = None
    progress = True
    while progress:
        progress = False
        for index in waiting:
            operator = graph.operators[index]
            ready = index not in subset and all(tensor < 0 or tensor in available for tensor in operator.inputs)
            if not ready or on_tpu not in (None, index in accepted):
                continue
            on_tpu = index in accepted
            subset.add(index)
            available.update(operator.outputs)
            progress = True
    return subset, bool(on_tpu)


def first_cause(graph: Subgraph, index: int, refused: Collection[int]) -> int | None:
    """The refused operator that cuts `index` off: the latest one that it depends on, directly or not.

    Returns:
        An operator index, or None when it depends on none.
    """
    producer = {tensor: operator.index for operator in graph.operators for tensor in operator.outputs}
    seen: set[int] = set()
    queue = [index]
    causes: list[int] = []
    while queue:
        for tensor in graph.operators[queue.pop()].inputs:
            source = producer.get(tensor)
            if source is None or source in seen:
                continue
            seen.add(source)
            if source in refused:
                causes.append(source)
            else:
                queue.append(source)
    return max(causes, default=None)
