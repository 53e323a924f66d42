"""One row of ``results.json``."""

from __future__ import annotations

from typing import Any

__all__ = ["entry"]


def entry(name: str, ours: float, other: float, other_name: str, unit: str) -> dict[str, Any]:
    """A measurement of ours beside another tool's in the same run; `ratio` is ours / other, smaller is better."""
    return {
        "name": name,
        "ours": round(ours, 4),
        "other": round(other, 4),
        "other_name": other_name,
        "unit": unit,
        "ratio": round(ours / other, 4),
    }
