"""What a conversion does, told to whoever wants to know: Python's logging, and functions that listen.

The logger is ``tfcompress``: notes are INFO, warnings WARNING.  It says nothing unless the program configures logging.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from tfcompress import native_output

__all__ = ["ProgressEvent", "counted", "listening", "tell"]

LOGGER = logging.getLogger("tfcompress")
LOGGER.addHandler(logging.NullHandler())
SECONDS_BETWEEN = 0.1  # of the events of one counted job
_LEVELS = {"note": logging.INFO, "warning": logging.WARNING}
_listeners: list[Callable[[ProgressEvent], object]] = []
_changing = threading.Lock()


@dataclass(frozen=True)
class ProgressEvent:
    """Something that happened.

    Attributes:
        kind: a `note` of what begins, a `warning`, or `steps` of a job that is counted.
        message: one line; of steps, what the job is.
        done: steps done so far; None for notes and warnings.
        total: number of steps in all; None for notes and warnings, and where it is not known.
    """

    kind: Literal["note", "warning", "steps"]
    message: str
    done: int | None = None
    total: int | None = None


@contextlib.contextmanager
def listening(callback: Callable[[ProgressEvent], object]) -> Iterator[None]:
    """Call a function with every `ProgressEvent` while the block runs, in whatever thread it happens.

    Args:
        callback: takes one event.  An error that it raises is logged, and costs no artifact.
    """
    with _changing:
        _listeners.append(callback)
    try:
        yield
    finally:
        with _changing:
            _listeners.remove(callback)


def tell(event: ProgressEvent) -> None:
    """Log a note or a warning, and call everyone who listens."""
    if event.kind in _LEVELS:
        _log(_LEVELS[event.kind], event.message)
    for callback in tuple(_listeners):
        try:
            callback(event)
        except Exception as error:
            _log(logging.ERROR, f"a progress callback raised {type(error).__name__}: {error}")


@contextlib.contextmanager
def counted(message: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Tell of the steps of a job; yields a function that adds `n` of them."""
    done, last = 0, 0.0

    def advance(steps: int) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if done == total or now - last >= SECONDS_BETWEEN:
            last = now
            tell(ProgressEvent("steps", message, done, total))

    tell(ProgressEvent("steps", message, 0, total))
    yield advance


def _log(level: int, message: str) -> None:
    """As `Logger.log`, also inside `native_output.silenced`, where logging is switched off for the other libraries and
    what is written to the standard descriptors is discarded.
    """
    if level < LOGGER.getEffectiveLevel():
        return
    record = LOGGER.makeRecord(LOGGER.name, level, __file__, 0, message, (), None)
    logger: logging.Logger | None = LOGGER
    while logger is not None:
        for handler in logger.handlers:
            # absl puts a handler of its own on the root logger when TensorFlow is imported.
            if level >= handler.level and not type(handler).__module__.startswith("absl"):
                _handle(handler, record)
        logger = logger.parent if logger.propagate else None


def _handle(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Let a handler of a standard stream write to the one that the user sees."""
    seen = {id(sys.stdout): native_output.out, id(sys.stderr): native_output.err}
    stream = seen.get(id(handler.stream)) if isinstance(handler, logging.StreamHandler) else None
    if stream is None or not isinstance(handler, logging.StreamHandler):
        handler.handle(record)
        return
    before = handler.setStream(stream())
    try:
        handler.handle(record)
    finally:
        if before is not None:
            handler.setStream(before)
