"""Progress bars, notes and warnings for people; always on standard error, never on standard output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment

from tfcompress import native_output
from tfcompress.printable import printable

__all__ = ["SafeConsole", "note", "progress", "set_quiet", "warn"]

_quiet = True


def set_quiet(quiet: bool) -> None:
    """Choose whether progress and notes are shown.  A library user sees neither unless asked for; the CLI asks."""
    global _quiet
    _quiet = quiet


class SafeConsole(Console):
    """A `rich` console that escapes what it prints, but for the control sequences of its own styles and progress."""

    def __init__(self, stream: TextIO, *, soft_wrap: bool = True) -> None:
        super().__init__(file=stream, highlight=False, soft_wrap=soft_wrap)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As `Console.render`, escaped."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))

    def on_broken_pipe(self) -> None:
        """Leave it to the caller what a reader who has gone away means; rich ends the process."""
        raise BrokenPipeError

    def print(self, *objects: Any, **options: Any) -> None:
        """As `Console.print`, never reading markup in what is printed."""
        super().print(*objects, **{"markup": False, **options})


def _console() -> SafeConsole:
    return SafeConsole(native_output.err())


def note(message: str) -> None:
    """One line of progress; like a progress bar it is for a person who waits: only on a terminal, unless quiet."""
    if not _quiet and native_output.err().isatty():
        with contextlib.suppress(OSError):  # nobody reads it
            _console().print(message)


def warn(message: str) -> None:
    """One line that begins with ``warning:``; shown unless quiet."""
    if not _quiet:
        with contextlib.suppress(OSError):
            _console().print(f"warning: {message}", style="yellow")


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
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console(), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda steps: bar.advance(task, steps)
