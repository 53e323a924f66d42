"""Runs of operators at either end of a network that `quality=best` tries in float.

What the first layers round away passes through all others, and what the last ones round away decides between answers.
In between nothing is tried: an island there has conversions on both sides and seldom gains as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfcompress.graphs.tflite import Operator, Subgraph
from tfcompress.graphs.tflite.operators import macs

__all__ = ["SHARES", "FloatRun", "float_runs"]

SHARES = (0.15, 0.5, 0.75)  # of the multiplications: float takes longer than 8 bits
MOST_WEIGHTS = 0.5  # share of them: in float each has four bytes


@dataclass(frozen=True)
class FloatRun:
    """One run.

    Attributes:
        tensors: names of its operators' outputs.
        what: the run in words, as its note calls it.
        share: share of the network's multiplications that the run computes.
        weights: share of the network's weights that the run reads.
    """

    tensors: tuple[str, ...]
    what: str
    share: float = 0.0
    weights: float = 0.0

    def may_join(self, other: FloatRun) -> bool:
        """Whether both together are no more than what one run may be, and begin at different ends."""
        apart = set(self.tensors).isdisjoint(other.tensors)
        return apart and self.share + other.share <= SHARES[-1] and self.weights + other.weights <= MOST_WEIGHTS

    def with_(self, other: FloatRun) -> FloatRun:
        """The two runs as one."""
        whats, tensors = f"{self.what} and {other.what}", (*self.tensors, *other.tensors)
        return FloatRun(tensors, whats, self.share + other.share, self.weights + other.weights)

    def note(self) -> str:
        """What was done and why, one line."""
        return f"{self.what} in float, where 8 bits cost most of what is lost; --integer_only keeps them 8 bit"


def float_runs(graph: Subgraph, share: float) -> list[FloatRun]:
    """The longest run from the beginning, then the one to the end, with at most a share of the multiplications.

    A run ends, or begins, where a single tensor goes on, so that one conversion serves.

    Args:
        graph: the main graph of a float .tflite.
        share: of all multiplications.

    Returns:
        Less than two runs where an end has no cut within the share.
    """
    work = [macs(operator, graph) for operator in graph.operators]
    weights = [_weights(operator, graph) for operator in graph.operators]
    cuts, count = list(_cuts(graph)), len(work)

    def fits(part: slice) -> bool:
        return 0 < sum(work[part]) <= share * sum(work) and sum(weights[part]) <= MOST_WEIGHTS * sum(weights)

    first = max((cut for cut in cuts if fits(slice(cut))), default=0)
    last = min((cut for cut in cuts if fits(slice(cut, count))), default=count)
    parts = [("first", slice(first)), ("last", slice(last, count))]
    return [
        FloatRun(
            _outputs(graph, graph.operators[part]),
            f"the {end} {len(graph.operators[part])} operators",
            sum(work[part]) / sum(work),
            sum(weights[part]) / max(1, sum(weights)),
        )
        for end, part in parts
        if graph.operators[part]
    ]


def _weights(operator: Operator, graph: Subgraph) -> int:
    read = (graph.tensors[index] for index in operator.inputs if index >= 0)
    return sum(tensor.elements for tensor in read if tensor.data is not None)


def _outputs(graph: Subgraph, operators: Sequence[Operator]) -> tuple[str, ...]:
    return tuple(graph.tensors[index].name for operator in operators for index in operator.outputs)


def _cuts(graph: Subgraph) -> Iterator[int]:
    """Numbers of operators behind which one computed tensor alone is still read, or given as an output."""
    last_read = {index: place for place, operator in enumerate(graph.operators) for index in operator.inputs}
    last_read |= dict.fromkeys(graph.outputs, len(graph.operators))
    alive = {index for index in graph.inputs if index in last_read}
    for place, operator in enumerate(graph.operators[:-1]):
        alive |= {index for index in operator.outputs if index in last_read}
        alive -= {index for index in alive if last_read[index] <= place}
        if len(alive) == 1:
            yield place + 1
