"""SIGTERM and SIGHUP end a run as Ctrl-C does: with everything tidied up, and not in the middle of publishing.

Python turns SIGINT into `KeyboardInterrupt` and leaves the other two to kill the process on the spot.  Inside
`stoppable()` they raise `Stopped`; inside `uninterrupted()` all three wait until the block has ended.

Python acts on a signal only when the native code that is running returns, which may take minutes.  So a second signal,
at least a second after the first, ends the process there and then.  That leaves temporary files, which the next run
removes, and the old output as it was: it is only ever replaced as a whole.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["Stopped", "stoppable", "uninterrupted"]

ENDING = (signal.SIGTERM, signal.SIGHUP)
_ALL = (signal.SIGINT, *ENDING)
# `timeout`, a closing terminal and many supervisors send the same request twice within milliseconds.
_SAME_REQUEST_SECONDS = 1.0


_publishing = 0  # blocks of `uninterrupted` that are open


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
def stoppable(*, process_is_ours: bool = False) -> Iterator[None]:
    """Raise `Stopped` on SIGTERM and SIGHUP meanwhile, where nobody else handles them.

    When it comes out of the block, the process ends as it would have without us.  A handler of the caller's stays in
    force, and so does a signal that is ignored (``nohup``).  Only a process's main thread may set handlers; in any
    other this does nothing.

    Args:
        process_is_ours: a second Ctrl-C ends the process too; never in a caller's, which may be a notebook.
    """
    before = _set({number: _stop for number in ENDING if signal.getsignal(number) is signal.SIG_DFL})
    try:
        fatal = _ALL if process_is_ours else ENDING
        with _ended_by_a_second(fatal) if before else contextlib.nullcontext():
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

    global _publishing
    numbers = [number for number in _ALL if signal.getsignal(number) is not signal.SIG_IGN]
    before = _set(dict.fromkeys(numbers, hold))
    _publishing += 1
    try:
        yield
    finally:
        _publishing -= 1
        _set(before)
        if held:
            signal.raise_signal(held[0])


@contextlib.contextmanager
def _ended_by_a_second(fatal: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Watch for a second signal in a thread, which runs also while the main thread is in native code.

    Python's own handler, written in C, puts the number of every signal into a pipe as it arrives.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    if before != -1:  # an event loop of the caller's watches already
        signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
        yield
        return
    watcher = threading.Thread(target=_watch, args=(reading, fatal), name="second signal", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.close(writing)
        watcher.join()
        os.close(reading)


def _watch(reading: int, fatal: tuple[signal.Signals, ...]) -> None:
    first: float | None = None
    while numbers := os.read(reading, 1):
        number = numbers[0]
        if number not in fatal or _publishing:
            continue
        now = time.monotonic()
        if first is None:
            first = now
        elif now - first > _SAME_REQUEST_SECONDS:
            os._exit(128 + number)


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
