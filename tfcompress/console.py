"""Progress bars, notes and warnings for people; always on standard error, never on standard output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tfcompress import native_output

__all__ = ["note", "progress", "set_quiet", "warn"]

_quiet = True


def set_quiet(quiet: bool) -> None:
    """Choose whether progress and notes are shown.  A library user sees neither unless asked for; the CLI asks."""
    global _quiet
    _quiet = quiet


def _console() -> Console:
    return Console(file=native_output.err(), highlight=False, soft_wrap=True)


def note(message: str) -> None:
    """One line of progress; like a progress bar it is for a person who waits: only on a terminal, unless quiet."""
    if not _quiet and native_output.err().isatty():
        _console().print(message, markup=False)


def warn(message: str) -> None:
    """One line that begins with ``warning:``; shown unless quiet."""
    if not _quiet:
        _console().print(f"warning: {message}", markup=False, style="yellow")


@contextlib.contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar with the time left; yields a function that advances it by `n` steps.

    Args:
        description: what is being done.
        total: the number of steps, or None when it is not known.
    """
    if _quiet or not native_output.err().isatty():
        yield lambda steps: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console(), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda steps: bar.advance(task, steps)
