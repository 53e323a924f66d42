"""Lineage: which layer of the user's model a layer of the changed one comes from, and which channels it kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Lineage", "Origin"]


@dataclass(frozen=True)
class Origin:
    """Where a layer comes from.

    Attributes:
        layer: name of the old layer.
        before: how many channels its output had along the axis on which they stand.
        kept: the indices of those that it still has, ascending; None for all of them.
    """

    layer: str
    before: int | None = None
    kept: tuple[int, ...] | None = None

    @property
    def after(self) -> int | None:
        """How many channels it has now."""
        return self.before if self.kept is None else len(self.kept)


@dataclass(frozen=True)
class Lineage:
    """All layers of a changed model.

    Attributes:
        origins: {name of the new layer: where it comes from}; a layer that is made anew is not in it.
        removed: names of old layers of which nothing is left.
    """

    origins: Mapping[str, Origin] = field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def then(self, later: Lineage) -> Lineage:
        """The lineage of two changes, `later` being that of the second."""
        joined = {
            name: _composed(self.origins[o.layer], o) for name, o in later.origins.items() if o.layer in self.origins
        }
        gone = [self.origins[name].layer for name in later.removed if name in self.origins]
        left = {origin.layer for origin in joined.values()}
        return Lineage(joined, (*self.removed, *(name for name in gone if name not in left)))

    def old_name(self, layer: str) -> str:
        """The user's name of a layer, or its own for one that is made anew."""
        return self.origins[layer].layer if layer in self.origins else layer


def _composed(first: Origin, second: Origin) -> Origin:
    before = second.before if first.before is None else first.before
    if second.kept is None:
        return Origin(first.layer, before, first.kept)
    if first.kept is None:
        return Origin(first.layer, before, second.kept)
    return Origin(first.layer, before, tuple(np.asarray(first.kept)[list(second.kept)].tolist()))
