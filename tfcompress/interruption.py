"""SIGTERM and SIGHUP end a run as Ctrl-C does: with everything tidied up, and not in the middle of publishing.

Python turns SIGINT into `KeyboardInterrupt` and leaves the other two to kill the process on the spot.  Inside
`stoppable()` they raise `Stopped`; inside `uninterrupted()` all three wait until the block has ended.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["Stopped", "stoppable", "uninterrupted"]

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The process was asked to end; like `KeyboardInterrupt`, no error that a program should handle.

    Attributes:
        signal: which one asked.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)

    @property
    def exit_code(self) -> int:
        """What a shell reports for a process that the signal ended: 128 and its number."""
        return 128 + int(self.signal)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` on SIGTERM and SIGHUP meanwhile, where nobody else handles them.

    When it comes out of the block, the process ends as it would have without us.  A handler of the caller's stays in
    force, and so does a signal that is ignored (``nohup``).  Only a process's main thread may set handlers; in any
    other this does nothing.
    """
    before = _set({number: _stop for number in ENDING if signal.getsignal(number) is signal.SIG_DFL})
    try:
        yield
    except Stopped as stop:
        _set(before)
        if before:
            signal.raise_signal(stop.signal)
        raise
    finally:
        _set(before)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back SIGINT, SIGTERM and SIGHUP until the block has ended; then do what they would have done."""
    held: list[int] = []

    def hold(number: int, frame: object) -> None:
        held.append(number)

    numbers = [number for number in (signal.SIGINT, *ENDING) if signal.getsignal(number) is not signal.SIG_IGN]
    before = _set(dict.fromkeys(numbers, hold))
    try:
        yield
    finally:
        _set(before)
        if held:
            signal.raise_signal(held[0])


def _stop(number: int, frame: object) -> None:
    for each in ENDING:  # a second one must not end the tidying up that the first one began
        if signal.getsignal(each) is _stop:
            signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def _set(handlers: dict[signal.Signals, Any]) -> dict[signal.Signals, Any]:
    """Set handlers and give back those before; outside the main thread nothing is set."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number, handler in handlers.items() if handler is not None}
