"""A child process that runs somebody's native library for us, one request at a time; killed when a call takes too long.

The child is a module with the protocol of `pipes`: a request is int64 [command, number of arrays] and the arrays, an
answer int64 [number of arrays] and the arrays, or int64 [-1] and a message as uint8.  It answers once before the first
request.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from tfcompress.converters.npu.pipes import read, write
from tfcompress.errors import ConversionError, one_line

__all__ = ["Worker"]


class Worker:
    """The child process and its pipes.

    Args:
        module: import name of the module to run.
        models: contents of the files that it is given, in order.
        suffix: of those files.
        seconds: time limit of one call.
        title: what the child runs, for messages: ``the HTP emulator``.

    Attributes:
        started: the arrays of the answer that the child gives before the first request.

    Raises:
        ConversionError: it cannot be started, or cannot load a file.
    """

    def __init__(self, module: str, models: Sequence[bytes], *, suffix: str, seconds: float, title: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tfcompress_worker_")
        paths = []
        for number, model in enumerate(models):
            path = Path(self._folder.name) / f"part_{number}{suffix}"
            path.write_bytes(model)
            paths.append(str(path))
        self._seconds, self._title = seconds, title
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.name,
            start_new_session=True,
        )
        self._end = weakref.finalize(self, _end, self._process, self._folder)
        self.started = self._answer()

    def run(self, command: int, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The arrays that one request is answered with.

        Raises:
            ConversionError: the child failed, ended or took too long.
        """
        with contextlib.suppress(BrokenPipeError):  # the answer says more
            write(_stream(self._process.stdin), [np.array([command, len(inputs)]), *inputs])
        return self._answer()

    def close(self) -> None:
        """End the child."""
        self._end()

    def _answer(self) -> list[np.ndarray]:
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self._seconds, stop)
        timer.start()
        try:
            stream = _stream(self._process.stdout)
            count = int(read(stream)[0])
            if count < 0:
                message = read(stream).tobytes().decode("utf-8", "replace")
                raise ConversionError(f"{self._title} failed: {one_line(message, 300)}")
            return [read(stream) for _ in range(count)]
        except (EOFError, ValueError, OSError):
            why = f"did not answer within {self._seconds:g} seconds" if late.is_set() else "ended without an answer"
            raise ConversionError(f"{self._title} {why}; the file itself is not affected") from None
        finally:
            timer.cancel()


def _stream(pipe: Any) -> BinaryIO:
    return cast(BinaryIO, pipe)


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    folder.cleanup()
