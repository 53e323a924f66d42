"""What runs on the CPU after the Edge TPU part: ArgMax, NMS, a large softmax, and all that depends on them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tfcompress.graphs.tflite import Subgraph

__all__ = ["Tail", "tail_of"]

_WHY = (
    "they run on the CPU after the Edge TPU part, in the same file and the same call; a second file for them would"
    " run on the same CPU and leave the handing over of tensors to the caller"
)


@dataclass(frozen=True)
class Tail:
    """The CPU operators that need results of the Edge TPU.

    Attributes:
        operators: their indices, in order.
        names: their types, each once, in order.
        tensors: names of the Edge TPU's results that they read: where the graph is cut, and what
            ``edgetpu_compiler --intermediate_tensors`` takes to cut it there.
    """

    operators: tuple[int, ...]
    names: tuple[str, ...]
    tensors: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The `tail` object of the mapping section."""
        return {
            "operators": list(self.operators),
            "names": list(self.names),
            "tensors": list(self.tensors),
            "explanation": _WHY,
        }


def tail_of(graph: Subgraph, mapped: Collection[int]) -> Tail | None:
    """The tail of a graph, or None when nothing runs after the Edge TPU part.

    Args:
        graph: the main subgraph.
        mapped: indices of the operators on the Edge TPU.
    """
    results = {tensor for index in mapped for tensor in graph.operators[index].outputs}
    after, cut, behind = [], [], set(results)
    for operator in graph.operators:
        if operator.index in mapped or behind.isdisjoint(operator.inputs):
            continue
        after.append(operator)
        cut += [tensor for tensor in operator.inputs if tensor in results]
        behind.update(operator.outputs)
    if not after:
        return None
    return Tail(
        operators=tuple(operator.index for operator in after),
        names=tuple(dict.fromkeys(operator.name for operator in after)),
        tensors=tuple(graph.tensors[tensor].name for tensor in dict.fromkeys(cut)),
    )
