"""What a converter leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Artifact"]


@dataclass(frozen=True)
class Artifact:
    """One target's files.

    Attributes:
        target: name of the target that they are for.
        folder: holds all the files, and nothing else.
        runnable: the file or SavedModel folder that runs.
        facts: the target's own keys of report.json (`fully_integer`, `input_dtypes`, `mapping`, `compile`, ...).
        notes: one line each for people: which engine and why, what was rewritten, what stayed float.
    """

    target: str
    folder: Path
    runnable: Path
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
