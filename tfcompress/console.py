"""Progress bars, notes and warnings for people; always on standard error, never on standard output."""

from __future__ import annotations

import contextlib
import html
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment

from tfcompress import native_output
from tfcompress.printable import printable
from tfcompress.progress import ProgressEvent, counted, listening, tell

__all__ = ["SafeConsole", "note", "progress", "set_quiet", "show_progress", "warn"]

_quiet = True


def set_quiet(quiet: bool) -> None:
    """Choose whether progress and notes are shown.  A library user sees neither unless asked for; the CLI asks."""
    global _quiet
    _quiet = quiet


@contextlib.contextmanager
def show_progress() -> Iterator[None]:
    """Show what `convert` and the other functions do while the block runs: one line that changes in a notebook, notes
    and bars on standard error in a terminal.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        before = _quiet
        set_quiet(False)
        try:
            yield
        finally:
            set_quiet(before)
        return
    with listening(_NotebookLine()):
        yield


class _NotebookLine:
    """A line in a notebook's output that says what is being done; a warning stays as a line of its own."""

    def __init__(self) -> None:
        self._ipython: Any = importlib.import_module("IPython.display")
        self._line = self._ipython.display(self._html(""), display_id=True)

    def __call__(self, event: ProgressEvent) -> None:
        if event.kind == "warning":
            self._ipython.display(self._html(f"warning: {event.message}"))
            return
        count = "" if event.done is None else f": {event.done:,}" + (f" of {event.total:,}" if event.total else "")
        self._line.update(self._html(event.message + count))

    def _html(self, text: str) -> object:
        return self._ipython.HTML(f"<small>{html.escape(text)}</small>")


class SafeConsole(Console):
    """A `rich` console that escapes what it prints, but for the control sequences of its own styles and progress."""

    def __init__(self, stream: TextIO, *, soft_wrap: bool = True) -> None:
        super().__init__(file=stream, highlight=False, soft_wrap=soft_wrap, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As `Console.render`, escaped."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))

    def on_broken_pipe(self) -> None:
        """Leave it to the caller what a reader who has gone away means; rich ends the process."""
        raise BrokenPipeError

    def print(self, *objects: object, **options: Any) -> None:
        """As `Console.print`, never reading markup in what is printed."""
        super().print(*objects, **{"markup": False, **options})


def _console() -> SafeConsole:
    return SafeConsole(native_output.err())


def note(message: str) -> None:
    """One line of progress; like a progress bar it is for a person who waits: only on a terminal, unless quiet.

    Who listens or logs gets it in any case; so for warnings and progress.
    """
    tell(ProgressEvent("note", message))
    if not _quiet and native_output.err().isatty():
        with contextlib.suppress(OSError):  # nobody reads it
            _console().print(message)


def warn(message: str) -> None:
    """One line that begins with ``warning:``; shown unless quiet."""
    tell(ProgressEvent("warning", message))
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
    with counted(description, total) as advance, _bar(description, total) as draw:

        def both(steps: int) -> None:
            advance(steps)
            draw(steps)

        yield both


@contextlib.contextmanager
def _bar(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
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
