"""Remarks for the reader of a report, and diagnoses: one that fails costs a remark, never the artifact.

Remarks are collected here, wherever in a run they are made, and stand among the warnings of the report.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from contextvars import ContextVar

from tfcompress import console, native_output
from tfcompress.errors import MissingExtraError, one_line

__all__ = ["Remarks", "optional", "remark", "remarks"]


class Remarks(list[str]):
    """Remarks for the report, a line each, in the order in which they were made.

    Attributes:
        notes: warnings that stand elsewhere in the report, as notes on an artifact.
        lost: how many of the remarks say that something could not be made.
    """

    def __init__(self, outer: Remarks | None = None) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.lost = 0
        self._outer = outer

    def add(self, line: str, *, is_note: bool = False, is_loss: bool = False) -> bool:
        """Add a line here and to the list around this one; returns whether it is new to both."""
        new = self._outer is None or self._outer.add(line, is_note=is_note, is_loss=is_loss)
        lines = self.notes if is_note else self
        self.lost += is_loss
        if line in lines:
            return False
        lines.append(line)
        return new


_remarks: ContextVar[Remarks | None] = ContextVar("remarks", default=None)


@contextlib.contextmanager
def remarks(*, shared: bool = False) -> Iterator[Remarks]:
    """The list, still empty, that collects the remarks made while the block runs.

    Args:
        shared: a list around this one gets them too.
    """
    collected = Remarks(_remarks.get() if shared else None)
    token = _remarks.set(collected)
    try:
        yield collected
    finally:
        _remarks.reset(token)


@contextlib.contextmanager
def optional(what: str) -> Iterator[None]:
    """Turn any error of the block into a warning: the block makes something that nobody's artifact depends on.

    Args:
        what: is missing then, for the reader of the report, such as ``phone: the diff of its layers``.
    """
    try:
        yield
    except MissingExtraError as error:
        _say(str(error), is_loss=True)
    except Exception as error:
        if native_output.is_shown():
            traceback.print_exception(error, file=native_output.err())
        _say(f"{what} could not be made: {type(error).__name__}: {one_line(error, 300)}", is_loss=True)


def remark(line: str, *, is_note: bool = False) -> None:
    """Warn at once, and remember it for the report.

    Args:
        line: for the reader.
        is_note: the line stands among an artifact's notes already, and is not repeated among the report's warnings.
    """
    _say(line, is_note=is_note)


def _say(line: str, *, is_note: bool = False, is_loss: bool = False) -> None:
    collected = _remarks.get()
    if collected is None or collected.add(line, is_note=is_note, is_loss=is_loss):
        console.warn(line)
