"""Diagnoses are extras: one that fails costs a line in the report, never the artifact that it was about.

What was lost is collected here, wherever in a run it happened, and stands among the warnings of the report.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from contextvars import ContextVar

from tfcompress import console, native_output
from tfcompress.errors import MissingExtraError, one_line

__all__ = ["missing_extras", "optional", "report_missing"]

_missing: ContextVar[list[str] | None] = ContextVar("missing", default=None)


@contextlib.contextmanager
def missing_extras() -> Iterator[list[str]]:
    """The list, still empty, that collects what is lost while the block runs, a line each."""
    found: list[str] = []
    token = _missing.set(found)
    try:
        yield found
    finally:
        _missing.reset(token)


@contextlib.contextmanager
def optional(what: str) -> Iterator[None]:
    """Turn any error of the block into a warning: the block makes something that nobody's artifact depends on.

    Args:
        what: is missing then, for the reader of the report, such as ``phone: the diff of its layers``.
    """
    try:
        yield
    except MissingExtraError as error:
        report_missing(str(error))
    except Exception as error:
        if native_output.is_shown():
            traceback.print_exception(error, file=native_output.err())
        report_missing(f"{what} could not be made: {type(error).__name__}: {one_line(error, 300)}")


def report_missing(line: str) -> None:
    """Warn at once, and remember it for the report."""
    console.warn(line)
    found = _missing.get()
    if found is not None and line not in found:
        found.append(line)
