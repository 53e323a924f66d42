"""Channels as numbers: which positions of a tensor stand for one and the same channel, and which must stay.

Every position of a tensor (without its batch dimension) has a number.  Positions with one number go together or stay
together: the 64 places of a flattened map of 8x8, or the two tensors that a sum adds.  Numbers are united (union-find)
as the graph is walked, and those that nobody can prove anything of are kept, with the reason.
The idea is that of DepGraph (Fang et al. 2023, "DepGraph: Towards Any Structural Pruning", section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Channels", "Space"]

# A flattened tensor of more positions than this is not followed.
_MOST_POSITIONS = 8_000_000


@dataclass(frozen=True)
class Channels:
    """The channels of one tensor.

    Attributes:
        ids: int64, a number for each position; of the tensor's rank without the batch dimension, and of size 1 along
            each axis on which the numbers do not differ.
        fill: float64 of the same shape: the value that a position has once its channel is set to zero where it is
            made; 0.5 behind a sigmoid, and NaN where that is not one constant.
        shape: the tensor's sizes without the batch dimension; None for an open one.
    """

    ids: np.ndarray
    fill: np.ndarray
    shape: tuple[int | None, ...]

    @classmethod
    def uniform(cls, number: int, shape: Sequence[int | None]) -> Channels:
        """A tensor whose positions all have one number."""
        ones = (1,) * len(shape)
        return cls(np.full(ones, number), np.zeros(ones), tuple(shape))

    @classmethod
    def on_axis(cls, ids: np.ndarray, axis: int, shape: Sequence[int | None], fill: float = 0.0) -> Channels:
        """A tensor whose numbers differ along one axis.

        Args:
            ids: a number for each index of the axis.
            axis: not counting the batch dimension; may be negative.
            shape: of the tensor.
            fill: see `Channels`.
        """
        sizes = [1] * len(shape)
        sizes[axis] = len(ids)
        return cls(ids.reshape(sizes), np.full(sizes, float(fill)), tuple(shape))

    @property
    def varying(self) -> list[int]:
        """The axes along which the numbers differ."""
        return [axis for axis, size in enumerate(self.ids.shape) if size > 1]

    def filled(self, fill: np.ndarray) -> Channels:
        """The same numbers, which do not differ, with the one value of `fill`, or NaN where it has several."""
        values = fill.reshape(-1)
        common = values[0] if np.all(values == values[0]) else np.nan
        return Channels(self.ids, np.full(self.ids.shape, common), self.shape)

    def with_shape(self, shape: Sequence[int | None]) -> Channels:
        """The same numbers in a tensor of other sizes along the axes on which they do not differ."""
        return Channels(self.ids, self.fill, tuple(shape))


class Space:
    """All the numbers of a model, what was united, and what must stay."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._kept: dict[int, str] = {}

    def new(self, count: int) -> np.ndarray:
        """So many channels that nothing is known of yet, int64."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def constant(self, reason: str) -> int:
        """The number of a channel that must stay."""
        number = int(self.new(1)[0])
        self._kept[number] = reason
        return number

    def root(self, number: int) -> int:
        """The number that stands for all that `number` was united with."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def roots(self) -> np.ndarray:
        """The root of every number, int64."""
        return np.array([self.root(number) for number in range(len(self._parent))], np.int64)

    def kept_reasons(self) -> dict[int, str]:
        """{root: why it must stay}."""
        return dict(self._kept)

    def reason(self, ids: np.ndarray) -> str | None:
        """Why the first of these that must stay does; None where all may go."""
        return next((why for number in ids.reshape(-1) if (why := self._kept.get(self.root(int(number))))), None)

    def unite(self, first: np.ndarray, second: np.ndarray) -> None:
        """Each position of two arrays, which may broadcast, goes with the other's."""
        ids, other = np.broadcast_arrays(first, second)
        for a, b in {(int(a), int(b)) for a, b in zip(ids.reshape(-1), other.reshape(-1), strict=True)}:
            low, high = sorted((self.root(a), self.root(b)))
            if low != high:
                self._parent[high] = low
                why = self._kept.pop(high, None)
                if why is not None:
                    self._kept.setdefault(low, why)

    def keep(self, ids: np.ndarray, reason: str) -> None:
        """These channels must stay."""
        for number in np.unique(ids):
            self._kept.setdefault(self.root(int(number)), reason)

    def along(self, channels: Channels, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """The number and the fill of each index of an axis.

        What differs along the other axes is united: an index goes as a whole.

        Args:
            channels: of a tensor.
            axis: not counting the batch dimension; may be negative.

        Returns:
            Two arrays as long as the axis, which must not be open.
        """
        size = channels.shape[axis]
        assert size is not None, "the size of a channel axis is known"
        ids, fill = (np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1) for values in _pair(channels))
        self.unite(ids[:, :1], ids)
        same = np.all((fill == fill[:, :1]) | np.isnan(fill), axis=1)
        first = np.where(same, fill[:, 0], np.nan)
        return np.broadcast_to(ids[:, 0], (size,)).copy(), np.broadcast_to(first, (size,)).copy()

    def as_product(self, channels: Channels) -> Channels:
        """The same tensor, its numbers united so that they differ along one axis, its longest: a cut stays a box."""
        varying = channels.varying
        if len(varying) < 2:
            return channels
        longest = max(varying, key=lambda axis: channels.ids.shape[axis])
        ids, fill = self.along(channels, longest)
        sizes = [1] * len(channels.shape)
        sizes[longest] = len(ids)
        return Channels(ids.reshape(sizes), fill.reshape(sizes), channels.shape)

    def reshaped(self, channels: Channels, shape: Sequence[int | None]) -> Channels | None:
        """The channels after a reshape to sizes without the batch dimension; None where they cannot be followed."""
        old, new = channels.shape, tuple(shape)
        if not channels.varying:
            return Channels.uniform(int(channels.ids.reshape(-1)[0]), new).filled(channels.fill)
        front = _equal_front(channels, new)
        back = _equal_back(channels, new, front)
        middle_old, middle_new = old[front : len(old) - back], new[front : len(new) - back]
        ids, fill = _pair(channels)
        kept = ids.shape[:front], ids.shape[len(old) - back :]
        if all(size == 1 for size in ids.shape[front : len(old) - back]):
            target = (*kept[0], *([1] * len(middle_new)), *kept[1])
            return Channels(ids.reshape(target), fill.reshape(target), new)
        if None in middle_old or None in middle_new:
            return None
        whole = (*kept[0], *(int(size or 1) for size in middle_old), *kept[1])
        if np.prod(whole) > _MOST_POSITIONS:
            return None
        target = (*kept[0], *(int(size or 1) for size in middle_new), *kept[1])
        moved = [np.broadcast_to(values, whole).reshape(target) for values in (ids, fill)]
        return self.as_product(_squeezed(moved[0], moved[1], new))


def _pair(channels: Channels) -> tuple[np.ndarray, np.ndarray]:
    return channels.ids, channels.fill


def _equal_front(channels: Channels, new: tuple[int | None, ...]) -> int:
    """How many leading axes the reshape leaves as they are."""
    count = 0
    for old_size, new_size in zip(channels.shape, new, strict=False):
        if old_size != new_size:
            break
        count += 1
    return count


def _equal_back(channels: Channels, new: tuple[int | None, ...], front: int) -> int:
    """How many axes at the end it leaves as they are."""
    most = min(len(channels.shape), len(new)) - front
    count = 0
    while count < most and channels.shape[-1 - count] == new[-1 - count]:
        count += 1
    return count


def _squeezed(ids: np.ndarray, fill: np.ndarray, shape: tuple[int | None, ...]) -> Channels:
    """Size 1 along each axis on which neither number nor fill differs."""
    for axis in range(ids.ndim):
        first = ids.take([0], axis), fill.take([0], axis)
        if np.all(ids == first[0]) and np.array_equal(fill, np.broadcast_to(first[1], fill.shape), equal_nan=True):
            ids, fill = first
    return Channels(ids, fill, shape)
