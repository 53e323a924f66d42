"""A process in the emulation that runs .tflite files, and instructions of each inference, counted from QEMU's log."""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from benchmarks.arm.environment import Unavailable, command, environment_of, folder

__all__ = ["Emulator", "Measured", "instructions"]

_GUEST = Path(__file__).with_name("guest.py")
_RUN_SECONDS = 600.0


@dataclass(frozen=True)
class Measured:
    """What came of one file.

    Attributes:
        outputs: one array for each output, one sample a row.
        instructions: of one inference, the first sample's, in the library that has LiteRT and XNNPACK; copies and
            functions of the C library are not among them.
    """

    outputs: tuple[np.ndarray, ...]
    instructions: int


class Emulator:
    """Python with LiteRT for ARM; use it as a context.

    Raises:
        Unavailable: it cannot be had on this machine.
    """

    def __init__(self) -> None:
        self._home = folder()
        self._code = self._home / "code.json"
        self._counts: queue.Queue[int] = queue.Queue()
        self._process = self._started()

    def __enter__(self) -> Emulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(self._process)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def run(self, content: bytes, inputs: Sequence[np.ndarray]) -> Measured:
        """One file.

        Args:
            content: the .tflite.
            inputs: one array for each input in the file's order and dtypes, one sample a row.

        Raises:
            ValueError: LiteRT cannot run it there; the text says why.
        """
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            (place / "model.tflite").write_bytes(content)
            np.savez(place / "inputs.npz", *inputs)
            assert self._process.stdin is not None
            self._process.stdin.write(f"{name}\n".encode())
            self._process.stdin.flush()
            answer: dict[str, str] = json.loads(self._line())
            if "error" in answer:
                raise ValueError(answer["error"])
            with np.load(place / "outputs.npz") as file:
                outputs = tuple(file[name] for name in file.files)
        return Measured(outputs, self._counts.get(timeout=_RUN_SECONDS))

    def _started(self) -> subprocess.Popen[bytes]:
        """The process, its log narrowed to the library's code; a second try where that lies elsewhere by now."""
        for _ in range(2):
            begin, length = json.loads(self._code.read_text(encoding="utf-8")) if self._code.exists() else (0, 1)
            log = ("-d", "exec,nochain,in_asm", "-dfilter", f"{begin:#x}+{length:#x}")
            process = subprocess.Popen(
                [*command(self._home, *log), str(_GUEST)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment_of(self._home),
            )
            threading.Thread(target=self._listen, args=(process,), daemon=True).start()
            self._process = process
            code: list[int] = json.loads(self._line())
            if code == [begin, length]:
                return process
            self._code.write_text(json.dumps(code), encoding="utf-8")
            self._end(process)
        raise Unavailable("the library lies at another address each time")

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as log:
            for count in instructions(log):
                self._counts.put(count)

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ValueError(f"the process ended with {self._process.wait()}")
        return line


def instructions(log: Iterable[bytes]) -> Iterable[int]:
    """The instructions between each pair of marks in QEMU's log.

    Args:
        log: lines of `-d exec,nochain,in_asm`: a block's instructions where it is translated, and its address whenever
            it is executed.
    """
    lengths: dict[int, int] = {}
    block, count, marked = -1, 0, False
    for line in log:
        if line.startswith(b"Trace"):
            if marked:
                count += lengths.get(int(line.split(b"/", 2)[1], 16), 0)
        elif line.startswith(b"IN:"):
            block = -1
        elif line.startswith(b"0x") and block < 0:
            block = int(line[: line.index(b":")], 16)
            lengths[block] = 1
        elif line.startswith(b"0x"):
            lengths[block] += 1
        elif line.startswith(b"MARK begin"):
            count, marked = 0, True
        elif line.startswith(b"MARK end"):
            marked = False
            yield count
