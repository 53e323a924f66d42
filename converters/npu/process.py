"""Runs a vendor's compiler in a process group of its own, with a time limit: it may crash, hang or fork."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Finished", "run_limited"]


@dataclass(frozen=True)
class Finished:
    """How a process ended.

    Attributes:
        code: exit status; negative for a signal, as `subprocess` has it; None where it was stopped at the time limit
            or could not be started.
        output: what it printed to standard output.
        errors: what it printed to standard error.
        seconds: how long it took.
    """

    code: int | None
    output: str
    errors: str
    seconds: float

    def failure(self, name: str) -> str | None:
        """What happened in a few words, ``NAME was killed by SIGKILL``; None where the exit status is 0."""
        if self.code is None:
            return f"{name} did not finish within {self.seconds:.0f} seconds and was stopped"
        if self.code < 0:
            return f"{name} was killed by {signal.Signals(-self.code).name}"
        return f"{name} ended with status {self.code}" if self.code else None


def run_limited(
    command: Sequence[str],
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    memory: int | None = None,
) -> Finished:
    """Run a command to its end, or stop it and all its children when the time is over.

    Args:
        command: program and arguments.
        seconds: time limit.
        environment: variables to set or to replace; None leaves all as they are.
        folder: to run in; None is the current one.
        memory: bytes of data that each of its processes may hold (Linux); None sets no limit.

    Returns:
        How it ended.  A program that cannot be started has the code 127, as in a shell.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
            cwd=folder,
        )
    except OSError as error:
        return Finished(127, "", f"{command[0]} cannot be run: {error.strerror}", 0.0)
    _limit_memory(process.pid, memory)
    code: int | None
    try:
        texts = process.communicate(timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        texts = process.communicate()
        code = None
    except BaseException:  # the user interrupts: the compiler has a session of its own and would not hear of it
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()  # waits, and closes both pipes
        raise
    output, errors = (text.decode("utf-8", "replace") for text in texts)
    return Finished(code, output, errors, time.monotonic() - started)


def _limit_memory(process: int, memory: int | None) -> None:
    if memory is not None and sys.platform == "linux":
        import resource

        with contextlib.suppress(ProcessLookupError):  # it has ended
            resource.prlimit(process, resource.RLIMIT_DATA, (memory, memory))
