"""How likely each value of an array is, from the values around it: tables of integers that every decoder can rebuild.

A byte is predicted in two parts.  How large it is, in one of 29 classes, depends on its context: the running mean of
the magnitudes before it, and one more thing that the encoder chooses (`Kind`).  Which value of the class it is depends
on the array alone.  So a context needs to be seen only a few times before it is worth something, and a value table of
16 clusters is learned as fast as one of 255 values.  All of it is counted while decoding, and the tables are made anew
whenever half as much again has been seen, or, in large files, as much again.
"""

from __future__ import annotations

import enum

import numpy as np

__all__ = ["LEVELS", "ArrayModel", "Kind", "level_of", "magnitudes", "next_rebuild", "signed_classes"]

_CLASSES = 29
_PRIOR = 48  # the tables of one context start as if the array's own had been seen so often
LEVELS = 32  # of the running mean; see `level_of`
_FIRST_REBUILD = 256  # values
_LAST_REBUILD = 1 << 18  # values between two makings at most, which bounds the memory for counting


class Kind(enum.IntEnum):
    """What the context is made of."""

    NONE = 0  # one context
    MEAN = 1  # running mean of magnitudes: 32
    SIGNED = 2  # the same in 4 steps, with the signed class of (3 * the value before + the one before it) / 4: 4 * 13
    COLUMN = 3  # the same in 8 steps, with the mean of the column so far: 8 * 8
    PLANE = 4  # the lower half of the byte above it, in numbers of several bytes: 16
    UNIFORM = 5  # none, and nothing is learned: every byte is as likely as every other
    PREDICTED = 6  # the running mean: 32; what is coded is the distance to a prediction, see `prediction`

    @property
    def contexts(self) -> int:
        """How many contexts there are."""
        return (1, LEVELS, 52, 64, 16, 1, LEVELS)[self]


def level_of(mean: np.ndarray) -> np.ndarray:
    """The level 0..31 of a running mean in 1024ths: two steps an octave.

    Args:
        mean: integers 0..131072 of any shape.
    """
    value = np.asarray(mean, np.int64) >> 4
    length = np.frexp(value.astype(np.float64))[1]  # the number of bits; exact for integers
    upper = np.where(value > 1, 2 * length - 2 + (value >> np.maximum(length - 2, 0) & 1), value)
    return np.minimum(upper, LEVELS - 1).astype(np.uint8)


def magnitudes(centre: int) -> np.ndarray:
    """int64 [256]: how far each byte lies from the centre, around the circle of 256."""
    away = (np.arange(256) - centre) & 255
    return np.minimum(away, 256 - away)


def _classes(centre: int) -> np.ndarray:
    """int64 [256]: the class of each byte: 0 for the centre, then two steps an octave for each sign."""
    away = (np.arange(256) - centre) & 255
    size = magnitudes(centre)
    length = np.frexp(size.astype(np.float64))[1]
    step = np.where(size > 1, 2 * length - 2 + (size >> np.maximum(length - 2, 0) & 1), size)  # 1..14
    # The largest value has a class of its own: each channel of symmetric weights has at least one.
    step = np.where(size >= 127, 14, np.minimum(step, 13))
    return np.where(size == 0, 0, np.where(away < 128, step, step + 14))


def signed_classes() -> np.ndarray:
    """int64 [256], by v & 255 of v in -128..127: the number of bits of |v|, at most 6, and 6 more below zero."""
    value = (np.arange(256) + 128 & 255) - 128
    length = np.minimum(np.frexp(np.abs(value).astype(np.float64))[1], 6)
    return np.where(value < 0, length + 6, length).astype(np.int64)


def next_rebuild(seen: int, *, seldom: bool = False) -> int:
    """How many values have been seen when the tables are made anew the next time: half as many more, or as many."""
    return max(_FIRST_REBUILD, seen + min(seen if seldom else seen >> 1, _LAST_REBUILD))


class ArrayModel:
    """Counts of one array, and the frequency tables that follow from them.

    Args:
        kind: what the context is.
        centre: the byte that stands for zero.
        present: bool [256], the bytes that occur; at least two.
        bits: frequencies of a context sum to 2 ** bits.
    """

    def __init__(self, kind: Kind, centre: int, present: np.ndarray, bits: int) -> None:
        self.kind, self.bits = kind, bits
        self.class_of = _classes(centre)
        self.present = present.astype(np.int64)
        self._members = (self.class_of[:, None] == np.arange(_CLASSES)).astype(np.float64)
        self._classes_seen = np.zeros((kind.contexts, _CLASSES), np.int64)
        self._seen = np.zeros(256, np.int64)

    def count(self, contexts: np.ndarray, values: np.ndarray) -> None:
        """Take in values, uint8, and the contexts that they had; arrays of the same size."""
        if self.kind is Kind.UNIFORM:
            return
        pairs = np.bincount(contexts.astype(np.int64).ravel() << 8 | values.ravel(), minlength=self.kind.contexts << 8)
        pairs = pairs.reshape(-1, 256)
        self._seen += pairs.sum(0)
        # Counts are far below 2 ** 53, so that the product in floating point is exact, and it is ten times as fast.
        self._classes_seen += (pairs.astype(np.float64) @ self._members).astype(np.int64)

    def frequencies(self) -> np.ndarray:
        """int64 [contexts, 256]: shares of 2 ** bits; 0 exactly for bytes that are not present."""
        if self.kind is Kind.UNIFORM:
            return np.full((1, 256), (1 << self.bits) >> 8, np.int64)
        weight = (self._seen + 1) * self.present
        of_class = np.bincount(self.class_of, weight, _CLASSES).astype(np.int64)
        classes = (self._classes_seen << 8) + (of_class * (_PRIOR << 8)) // of_class.sum()
        share = (classes << 16) // classes.sum(1, keepdims=True)
        within = (weight << 16) // np.maximum(of_class, 1)[self.class_of]
        room = (1 << self.bits) - int(self.present.sum())
        table = ((share[:, self.class_of] * within >> 16) * room >> 16) + self.present
        largest = table.argmax(1)
        table[np.arange(len(table)), largest] += (1 << self.bits) - table.sum(1)
        return table
