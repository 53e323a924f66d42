"""The place of changes to the model's structure (fewer channels, layers, or lower ranks), before it is trained."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.job.stage import Stage
from tfcompress.job.state import State

__all__ = ["STRUCTURE"]


def _run(state: State, parts: Sequence[str]) -> State:
    """Nothing yet: no section of a recipe asks for it."""
    del parts
    return state


STRUCTURE = Stage(name="structure", run=_run)
