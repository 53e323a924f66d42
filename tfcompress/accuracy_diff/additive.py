"""Statistics that add up: what a batch contributes is added to what is known, so memory does not grow with the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.detection_table import DetectionTable
from tfcompress.accuracy_diff.score_table import ScoreTable

__all__ = ["Statistics", "added", "as_tree", "from_tree", "total"]

# Values are numpy numbers or arrays, or one of these, which have a `+` of their own.
_TABLES = (ScoreTable, DetectionTable)
Statistics = Mapping[str, Any]


def added(first: Statistics, second: Statistics) -> dict[str, object]:
    """Both together: extremes by their names (`largest_*`, `highest`, `lowest`), everything else summed."""
    return {name: _combined(name, first[name], second[name]) for name in first}


def _combined(name: str, first: Any, second: Any) -> Any:
    if name.startswith("largest_") or name.endswith("highest"):
        return np.maximum(first, second)
    return np.minimum(first, second) if name.endswith("lowest") else first + second


def total(parts: Iterable[Statistics]) -> dict[str, Any]:
    """All parts together.

    Raises:
        ValueError: there is no part.
    """
    result: dict[str, Any] | None = None
    for part in parts:
        result = dict(part) if result is None else added(result, part)
    if result is None:
        raise ValueError("no statistics to add up")
    return result


def as_tree(statistics: Statistics) -> dict[str, Any]:
    """The same as nested arrays, to be kept in a file."""
    return {name: vars(value) if isinstance(value, _TABLES) else value for name, value in statistics.items()}


def from_tree(tree: Mapping[str, object]) -> dict[str, object]:
    """The statistics of which `as_tree` made `tree`."""
    return {name: _table(value) if isinstance(value, Mapping) else value for name, value in tree.items()}


def _table(columns: Mapping[str, Any]) -> object:
    kind = next(kind for kind in _TABLES if {item.name for item in fields(kind)} == set(columns))
    return kind(**columns)
