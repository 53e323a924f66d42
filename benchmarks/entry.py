"""One row of ``results.json``, and the peak memory that some of them compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["entry", "peak_mib"]


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


def peak_mib() -> float:
    """Peak resident memory of this process, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")  # getrusage's peak is inherited from the parent
    return float(status.split("VmHWM:")[1].split()[0]) / 1024
