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

__all__ = ["optional", "remark", "remarks"]

_remarks: ContextVar[list[str] | None] = ContextVar("remarks", default=None)


@contextlib.contextmanager
def remarks() -> Iterator[list[str]]:
    """The list, still empty, that collects the remarks made while the block runs, a line each."""
    found: list[str] = []
    token = _remarks.set(found)
    try:
        yield found
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
        remark(str(error))
    except Exception as error:
        if native_output.is_shown():
            traceback.print_exception(error, file=native_output.err())
        remark(f"{what} could not be made: {type(error).__name__}: {one_line(error, 300)}")


def remark(line: str) -> None:
    """Warn at once, and remember it for the report."""
    found = _remarks.get()
    if found is not None and line in found:
        return
    console.warn(line)
    if found is not None:
        found.append(line)
