"""What TensorFlow, LiteRT and libtpu print on their own is kept from the user.

Their native code writes straight to file descriptors 1 and 2, so silencing has to happen there.  Our own output
goes to `out()` and `err()`, which keep pointing at the user's terminal meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import TextIO

from tfcompress.errors import OutputError, one_line

__all__ = ["err", "is_shown", "out", "results", "show_native_output", "silenced"]

_changing = threading.Lock()
_inside = 0  # how many `silenced()` are open, in all threads
_redirection = contextlib.ExitStack()
_kept = False
_real: dict[int, TextIO] = {}
_LOGGERS = ("absl", "tensorflow")  # TensorFlow logs through both
_no_stream: TextIO = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # never read: see `_nowhere`


def show_native_output() -> None:
    """Make every later `silenced()` do nothing: the user asked for ``--verbosity=1``."""
    global _kept
    _kept = True


def is_shown() -> bool:
    """Whether the user asked for everything, tracebacks included."""
    return _kept


def out() -> TextIO:
    """The user's standard output, also inside `silenced()`."""
    return _real.get(1, sys.stdout) or _nowhere()


def err() -> TextIO:
    """The user's standard error, also inside `silenced()`."""
    return _real.get(2, sys.stderr) or _nowhere()


@contextlib.contextmanager
def results() -> Iterator[TextIO]:
    """The user's standard output, for a result; a reader who has gone away (``| head -1``) is no failure.

    Raises:
        OutputError: the output cannot take the result, as on a full disk.
    """
    stream = out()
    try:
        yield stream
        stream.flush()
    except BrokenPipeError:
        _discard(stream)
    except (OSError, ValueError) as error:
        if getattr(stream, "closed", False):
            return
        _discard(stream)
        raise OutputError(f"standard output: the result cannot be written: {one_line(error)}") from None


def _discard(stream: TextIO) -> None:
    """Send what a stream still holds, and all that comes, nowhere: else Python complains of it when it ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, stream.fileno())
        os.close(sink)


def _nowhere() -> TextIO:
    """For a process without that stream (``>&-``, or started by a window system)."""
    return _no_stream


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError, AttributeError):
        return False


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discard what anything but us writes to file descriptors 1 and 2; may be nested, and entered by several threads.

    Python warnings and log records below ERROR are dropped too, and all of TensorFlow's: what a file makes it log, with
    a traceback, is no failure, or else it raises.  The user's `sys.stdout` and `sys.stderr` are swapped for streams on
    the real descriptors only where they *are* those descriptors, so a notebook or pytest that replaced them is not
    disturbed.
    """
    global _inside
    if _kept:
        yield
        return
    with _changing:
        if not _inside:
            _redirection.enter_context(_redirected())
        _inside += 1
    try:
        yield
    finally:
        with _changing:
            _inside -= 1
            if not _inside:
                _redirection.close()


@contextlib.contextmanager
def _redirected() -> Iterator[None]:
    """The descriptors belong to the whole process: the first to be silenced redirects them, the last restores them."""
    streams: dict[int, TextIO | None] = {1: sys.stdout, 2: sys.stderr}
    _flush(streams)
    saved = {number: _duplicate(number) for number in streams}
    for number, stream in streams.items():
        descriptor = saved[number]
        if stream is not None and descriptor is not None and _is_descriptor(stream, number):
            # A name that is no UTF-8 must not end the run that prints it.
            copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
            _real[number] = os.fdopen(copy, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
        elif stream is not None:
            _real[number] = stream
    lowest = os.open(os.devnull, os.O_WRONLY)
    sink = fcntl.fcntl(lowest, fcntl.F_DUPFD, 3)  # the lowest may be a standard descriptor that was closed
    os.close(lowest)
    for number in saved:
        os.dup2(sink, number)
    os.close(sink)
    previous_level = logging.root.manager.disable
    logging.disable(max(previous_level, logging.WARNING))
    loggers = {logger: logger.disabled for logger in map(logging.getLogger, _LOGGERS)}
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous_level)
        for logger, disabled in loggers.items():
            logger.disabled = disabled
        # Python-level writers (absl, tqdm) hold what they wrote in a buffer: it must go where it was meant to.
        _flush(streams)
        for number, descriptor in saved.items():
            real = _real.pop(number, None)
            with contextlib.suppress(OSError, ValueError):
                if real is not None and real is not streams[number]:
                    real.close()
            if descriptor is None:
                with contextlib.suppress(OSError):
                    os.close(number)
            else:
                os.dup2(descriptor, number)
                os.close(descriptor)


def _flush(streams: Mapping[int, TextIO | None]) -> None:
    for stream in streams.values():
        with contextlib.suppress(OSError, ValueError):  # closed, or its reader has gone
            if stream is not None:
                stream.flush()


def _duplicate(number: int) -> int | None:
    """A copy of a descriptor, never one of the three standard ones that is closed; None where it is closed itself."""
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    except OSError:
        return None
