"""What a model costs, as a function of how many channels each family keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfcompress.graphs.keras.channels.graph import ChannelGraph

__all__ = ["Costs", "Unit"]

Unit = Literal["macs", "parameters", "channels"]

# The most axes of one weight on which channels stand: input and output of a kernel.
_AXES = 2


@dataclass(frozen=True)
class Costs:
    """The size of every weight as a product of widths.

    Attributes:
        constant: [weights]: the product of the sizes that no cut changes.
        members: [axes, weights, families]: how many places along the axis one channel of the family takes.
        fixed: [axes, weights]: places along the axis of channels that are in no family; 1 where nothing stands there.
        macs: [weights]: how often each value is multiplied for one sample.
    """

    constant: np.ndarray
    members: np.ndarray
    fixed: np.ndarray
    macs: np.ndarray

    @classmethod
    def of(cls, graph: ChannelGraph) -> Costs:
        """The costs of a model."""
        families = graph.families
        place = {int(root): number for number, family in enumerate(families) for root in family.groups}
        sizes = np.array([len(family.groups) for family in families], np.float64)
        rows = []
        for item, weights, _ in graph.weights.values():
            repeats = np.sum(
                [
                    [w.repeats for w in other.traced.weights]
                    for other in graph.calls
                    if other.call.layer is item.call.layer
                ],
                axis=0,
            )
            for value, weight, times in zip(item.call.layer.weights, weights, repeats, strict=True):
                shape = [int(size) for size in value.shape]
                members, fixed = np.zeros((_AXES, len(families))), np.ones(_AXES)
                for slot, (axis, along) in enumerate(sorted(weight.axes.items())[:_AXES]):
                    places = [place[root] for root in graph.roots[along.ids].tolist() if root in place]
                    members[slot] = np.bincount(places, minlength=len(families)) / np.maximum(sizes, 1)
                    fixed[slot] = len(along.ids) - len(places)
                    shape[axis] = 1
                rows.append((float(np.prod(shape)), members, fixed, float(times)))
        return cls(
            np.array([row[0] for row in rows]),
            np.stack([row[1] for row in rows], 1),
            np.stack([row[2] for row in rows], 1),
            np.array([row[3] for row in rows]),
        )

    def widths(self, kept: np.ndarray) -> np.ndarray:
        """[axes, weights]: the width of each axis where each family keeps so many channels."""
        return self.fixed + self.members @ kept

    def total(self, kept: np.ndarray, unit: Unit) -> float:
        """What the model costs.

        Args:
            kept: [families]: how many channels each keeps.
            unit: multiply-accumulates for one sample, weights, or channels.
        """
        if unit == "channels":
            return float(kept.sum())
        factor = self.macs if unit == "macs" else 1.0
        return float((self.constant * factor * self.widths(kept).prod(0)).sum())

    def savings(self, kept: np.ndarray, blocks: np.ndarray, unit: Unit) -> np.ndarray:
        """[families]: what is saved where one family loses its next block of channels.

        Args:
            kept: [families]: how many channels each keeps now.
            blocks: [families]: how many it would lose.
            unit: see `total`.
        """
        if unit == "channels":
            return blocks.astype(np.float64)
        factor = self.macs if unit == "macs" else 1.0
        widths = self.widths(kept)
        share = 1 - blocks * self.members / np.maximum(widths, 1)[:, :, None]
        size = self.constant * factor * widths.prod(0)
        saved: np.ndarray = (size[:, None] * (1 - share.prod(0))).sum(0)
        return saved
