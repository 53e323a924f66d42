"""Which channels go: blocks of the least important ones, each family's in turn, where they save the most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.compression.structure.costs import Costs, Unit
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.channels.graph import ChannelGraph, Family

__all__ = ["Choice", "choose"]

# What narrow families are rounded to where `multiple` is more: NPUs pack channels in eights.
_LEAST_MULTIPLE = 8


@dataclass(frozen=True)
class Choice:
    """What is cut.

    Attributes:
        removed: roots of the groups that go.
        before: what the model cost.
        after: what it costs now.
    """

    removed: tuple[int, ...]
    before: float
    after: float


@dataclass
class _Queue:
    """The channels of a family, the least important first, and how many are gone."""

    ordered: np.ndarray
    scores: np.ndarray
    least: int
    multiple: int
    gone: int = 0

    @property
    def left(self) -> int:
        return len(self.ordered) - self.gone

    @property
    def block(self) -> int:
        """How many go next: those beyond a multiple, then a multiple; 0 where none may."""
        size = self.left % self.multiple or self.multiple
        return size if self.left - size >= self.least else 0

    @property
    def last_block(self) -> int:
        """How many went last; 0 where none did."""
        return min(self.gone, self.multiple)

    @property
    def cost(self) -> float:
        """The importance of the next block."""
        return float(self.scores[self.gone : self.gone + self.block].sum())


def choose(
    graph: ChannelGraph,
    importance: np.ndarray,
    *,
    unit: Unit,
    share: float,
    multiple: int,
    least: Mapping[str, int],
    before: float | None = None,
) -> Choice:
    """The channels with whose removal the model costs at most `share` of what it did.

    A greedy search: at each step the block goes whose importance is least for what it saves.  The last one may save
    more than is needed; then what fits in comes back, the most important for its cost first.

    Args:
        graph: of the model.
        importance: a value for each number of the graph's space, read at the roots.
        unit: of what it costs.
        share: in (0, 1].
        multiple: what each width is rounded to; for families of fewer than two multiples a half of it, and so on down
            to 8.  Families with fewer channels than that stay.
        least: {name of a layer: how many of the channels that it makes it keeps at least}.
        before: what the model cost that `share` is of; None means this one.

    Raises:
        RecipeError: nothing can be cut, or too little.
    """
    families, costs = graph.families, Costs.of(graph)
    kept = np.array([len(family.groups) for family in families], np.float64)
    queues = [_queue(family, importance, multiple, least) for family in families]
    before = costs.total(kept, unit) if before is None else before
    cost = costs.total(kept, unit)
    while cost > share * before:
        blocks = np.array([queue.block for queue in queues])
        if not blocks.any():
            raise _out_of_reach(families, share, unit, cost / before)
        saved = costs.savings(kept, blocks, unit)
        scores = np.array([queue.cost for queue in queues])
        ratio = np.where((blocks > 0) & (saved > 0), (scores + 1e-30) / np.maximum(saved, 1e-30), np.inf)
        if not np.isfinite(ratio).any():
            raise _out_of_reach(families, share, unit, cost / before)
        best = int(np.argmin(ratio))
        queues[best].gone += int(blocks[best])
        kept[best] -= blocks[best]
        cost = costs.total(kept, unit)
    cost = _give_back(queues, kept, costs, unit, share * before)
    removed = [int(root) for queue in queues for root in queue.ordered[: queue.gone]]
    return Choice(tuple(removed), before, cost)


def _give_back(queues: Sequence[_Queue], kept: np.ndarray, costs: Costs, unit: Unit, most: float) -> float:
    """Keep blocks after all while the model costs at most `most`; what it costs then.  `kept` and `queues` change."""
    cost = costs.total(kept, unit)
    while True:
        best: tuple[float, int, int, float] | None = None
        for index, queue in enumerate(queues):
            size = queue.last_block
            if not size:
                continue
            kept[index] += size
            larger = costs.total(kept, unit)
            kept[index] -= size
            importance = float(queue.scores[queue.gone - size : queue.gone].sum())
            worth = importance / max(larger - cost, 1e-30)
            if larger <= most and (best is None or worth > best[0]):
                best = worth, index, size, larger
        if best is None:
            return cost
        _, index, size, cost = best
        queues[index].gone -= size
        kept[index] += size


def _queue(family: Family, importance: np.ndarray, multiple: int, least: Mapping[str, int]) -> _Queue:
    scores = importance[family.groups]
    order = np.argsort(scores, kind="stable")
    most = len(family.groups)
    while most < 2 * multiple and multiple >= 2 * _LEAST_MULTIPLE:
        multiple //= 2
    floor = max(multiple, *(least.get(name, 0) for name in family.made_by)) if family.reason is None else most
    return _Queue(family.groups[order], scores[order], min(floor, most), multiple)


def _out_of_reach(families: Sequence[Family], share: float, unit: Unit, reached: float) -> RecipeError:
    reasons = {family.reason: family for family in families if family.reason is not None}
    if len([family for family in families if family.reason is None]) == 0:
        name, family = next(iter(reasons.items()), ("it has no layers with channels", None))
        of = f"{family.made_by[0]}: {name}" if family else name
        return RecipeError(f"recipe: structure: none of the model's channels can be cut ({of}); leave the section out")
    return RecipeError(
        f"recipe: structure.{unit} is {share:g}, but the layers that must stay, and the least widths of the others, "
        f"need {reached:.3f} of the model's {unit}; ask for at least that, set a smaller round_to, or skip fewer layers"
    )
