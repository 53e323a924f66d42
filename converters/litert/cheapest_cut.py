"""Which operators to compute in float so that a file is fastest, the conversions between the two counted.

Each operator is int8 or float; it costs what it was measured to cost, and a tensor that passes from one kind to the
other costs its conversion, once for all of its readers.  The cheapest choice of all is a minimum cut (Greig et al.
1989, "Exact maximum a posteriori estimation for binary images"): operators on the source's side are float.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Place", "cheapest_float"]

_INFINITE = float("inf")
_SOURCE, _SINK = "source", "sink"
Node = str | tuple[str, str]
Capacities = dict[Node, dict[Node, float]]


@dataclass(frozen=True)
class Place:
    """One operator, with what it costs either way; all costs are in the same unit.

    Attributes:
        name: of the operator, one of its kind.
        reads: names of the tensors that it reads and other operators compute.
        gives: names of the tensors that it computes.
        as_integer: its cost in int8; infinity where it has no int8 form.
        as_float: its cost in float; infinity where it has to be int8.
    """

    name: str
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    as_integer: float
    as_float: float


def cheapest_float(
    places: Sequence[Place], *, to_float: Mapping[str, float], to_integer: Mapping[str, float]
) -> set[str]:
    """Names of the operators to be computed in float, so that all costs together are least.

    Args:
        places: the operators.
        to_float: {tensor: the cost of its conversion to float}.
        to_integer: the same the other way.
    """
    capacities: Capacities = defaultdict(lambda: defaultdict(float))
    maker = {tensor: place.name for place in places for tensor in place.gives}
    for place in places:
        # What is paid either way decides nothing, and would cost a search for each operator.
        anyway = min(place.as_integer, place.as_float)
        anyway = 0.0 if anyway == _INFINITE else anyway
        capacities[_SOURCE][place.name] += place.as_integer - anyway  # paid if the operator is on the sink's side
        capacities[place.name][_SINK] += place.as_float - anyway
        for tensor in place.reads:
            if tensor in maker:
                # A float reader wants the float copy, an int8 reader the int8 one.
                capacities[place.name]["float", tensor] = _INFINITE
                capacities["integer", tensor][place.name] = _INFINITE
    for tensor, name in maker.items():
        capacities["float", tensor][name] += to_float[tensor]
        capacities[name]["integer", tensor] += to_integer[tensor]
    floating = _source_side(capacities)
    return {place.name for place in places if place.name in floating}


def _source_side(capacities: Capacities) -> set[Node]:
    """What the source still reaches when the flow to the sink is largest (Edmonds and Karp 1972)."""
    residual: Capacities = defaultdict(lambda: defaultdict(float))
    for node, edges in capacities.items():
        for other, capacity in edges.items():
            residual[node][other] += capacity
            residual[other][node] += 0.0
    while True:
        reached = _reached(residual)
        if _SINK not in reached:
            return set(reached)
        path: list[tuple[Node, Node]] = []
        last: Node = _SINK
        while last != _SOURCE:
            path.append((reached[last], last))
            last = reached[last]
        flow = min(residual[before][after] for before, after in path)
        if flow == _INFINITE:
            raise ValueError("an operator has neither an int8 nor a float form")
        for before, after in path:
            residual[before][after] -= flow
            residual[after][before] += flow


def _reached(residual: Capacities) -> dict[Node, Node]:
    """{node that the source reaches: the one before it}, by fewest steps; not all of them where one is the sink."""
    reached: dict[Node, Node] = {_SOURCE: _SOURCE}
    todo: deque[Node] = deque([_SOURCE])
    while todo:
        node = todo.popleft()
        for other, capacity in residual[node].items():
            if capacity > 0 and other not in reached:
                reached[other] = node
                if other == _SINK:
                    return reached
                todo.append(other)
    return reached
