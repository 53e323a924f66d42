"""What TensorFlow, LiteRT and libtpu print on their own is kept from the user.

Their native code writes straight to file descriptors 1 and 2, so silencing has to happen there.  Our own output
goes to `out()` and `err()`, which keep pointing at the user's terminal meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import TextIO

__all__ = ["err", "is_shown", "out", "show_native_output", "silenced"]

_changing = threading.Lock()
_inside = 0  # how many `silenced()` are open, in all threads
_redirection = contextlib.ExitStack()
_kept = False
_real: dict[int, TextIO] = {}


def show_native_output() -> None:
    """Make every later `silenced()` do nothing: the user asked for ``--verbosity=1``."""
    global _kept
    _kept = True


def is_shown() -> bool:
    """Whether the user asked for everything, tracebacks included."""
    return _kept


def out() -> TextIO:
    """The user's standard output, also inside `silenced()`."""
    return _real.get(1, sys.stdout)


def err() -> TextIO:
    """The user's standard error, also inside `silenced()`."""
    return _real.get(2, sys.stderr)


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError, AttributeError):
        return False


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Discard what anything but us writes to file descriptors 1 and 2; may be nested, and entered by several threads.

    Python warnings and log records below ERROR of other libraries are dropped too.  The user's `sys.stdout` and
    `sys.stderr` are swapped for streams on the real descriptors only where they *are* those descriptors, so
    a notebook or pytest that replaced them is not disturbed.
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
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    streams = {1: sys.stdout, 2: sys.stderr}
    for number, stream in streams.items():
        if _is_descriptor(stream, number):
            _real[number] = os.fdopen(os.dup(saved[number]), "w", encoding="utf-8", buffering=1)
        else:
            _real[number] = stream
    sink = os.open(os.devnull, os.O_WRONLY)
    for number in saved:
        os.dup2(sink, number)
    os.close(sink)
    previous_level = logging.root.manager.disable
    logging.disable(max(previous_level, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous_level)
        # Python-level writers (absl, tqdm) hold what they wrote in a buffer: it must go where it was meant to.
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in saved.items():
            real = _real.pop(number)
            real.flush()
            os.dup2(descriptor, number)
            os.close(descriptor)
            if real is not streams[number]:
                real.close()
