"""The child process that runs a .tflite in TensorFlow Lite Micro: ``python -m ...micro.worker FILE``.

TFLM is made for devices: it says what is wrong on standard error alone, and where the arena is too small some of its
kernels write to address 0 and end the process.  So each size of arena is tried in a process of its own.

The protocol is that of `npu.worker`.  The first answer is one int64 array: the smallest arena in which the file is
prepared and runs; of that the bytes in use, those of them for activations, and those for what lives as long as the
interpreter; and the microseconds of one inference here.  Command 0 runs one sample, from inputs in the file's order to
outputs in the file's order.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from typing import Any, BinaryIO

import numpy as np

from tfcompress.converters.npu.pipes import read, write

FIRST_ARENA = 1 << 16
LARGEST_ARENA = 1 << 31
STEP = 16  # TFLM aligns the arena, and what it gives out of it, at 16 bytes
_TOO_SMALL = re.compile(r"Failed to (resize|allocate)|missing: \d+|Too many buffers")
_USED = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


class Micro:
    """A .tflite in TFLM, and what TFLM prints.

    Args:
        content: the file.
        log: where this process's standard error goes.
    """

    def __init__(self, content: bytes, log: BinaryIO) -> None:
        self._content, self._log = content, log

    def said(self) -> str:
        """What was printed since the last call."""
        sys.stderr.flush()
        return self._log.read().decode("utf-8", "replace")

    def open(self, arena: int) -> Any | None:
        """An interpreter with so many bytes of arena; None where they do not suffice.

        Raises:
            RuntimeError: TFLM cannot run the file for another reason, in its own words.
        """
        from tflite_micro import runtime

        self.said()
        try:
            return runtime.Interpreter.from_bytes(self._content, arena_size=arena)
        except RuntimeError as error:
            said = self.said()
            if _TOO_SMALL.search(said):
                return None
            raise RuntimeError(" ".join(said.split()) or str(error)) from None

    def run(self, interpreter: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Outputs of one sample; a stateful model must not carry one sample into the next.

        Raises:
            RuntimeError: TFLM cannot run the file, in its own words.
        """
        self.said()
        try:
            interpreter.reset()
            for index, value in enumerate(inputs):
                interpreter.set_input(value, index)
            interpreter.invoke()
        except RuntimeError as error:
            raise RuntimeError(" ".join(self.said().split()) or str(error)) from None
        return [np.array(interpreter.get_output(index)) for index in range(self.ports("Outputs"))]

    def ports(self, side: str) -> int:
        """Number of the main graph's `Inputs` or `Outputs`."""
        from tflite_micro.python.tflite_micro.runtime import schema_fb

        return int(getattr(schema_fb.Model.GetRootAsModel(self._content, 0).Subgraphs(0), f"{side}Length")())

    def zeros(self, interpreter: Any) -> list[np.ndarray]:
        """Inputs of zeros."""
        details = [interpreter.get_input_details(index) for index in range(self.ports("Inputs"))]
        return [np.zeros(detail["shape"], detail["dtype"]) for detail in details]

    def with_room(self) -> tuple[Any, int]:
        """An interpreter with an arena that suffices, and its size."""
        size = FIRST_ARENA
        while size <= LARGEST_ARENA:
            interpreter = self.open(size)
            if interpreter is not None:
                return interpreter, size
            size *= 4
        raise RuntimeError(f"an arena of {LARGEST_ARENA} bytes is not enough")

    def suffices(self, arena: int, inputs: list[np.ndarray]) -> bool:
        """Whether the file is prepared and runs in so many bytes, tried in a process of its own."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                interpreter = self.open(arena)
                if interpreter is not None:
                    self.run(interpreter, inputs)
                    status = 0
            finally:
                os._exit(status)
        return os.waitpid(child, 0)[1] == 0

    def smallest(self, high: int, inputs: list[np.ndarray]) -> int:
        """The smallest arena that suffices, a multiple of 16 bytes, given one that does."""
        below, enough = 0, -(-high // STEP)
        while below + 1 < enough:
            middle = (below + enough) // 2
            if self.suffices(middle * STEP, inputs):
                enough = middle
            else:
                below = middle
        return enough * STEP


def measure(micro: Micro) -> np.ndarray:
    """The first answer; see the module's docstring."""
    interpreter, size = micro.with_room()
    inputs = micro.zeros(interpreter)
    micro.run(interpreter, inputs)
    started = time.perf_counter()
    micro.run(interpreter, inputs)
    microseconds = round(1e6 * (time.perf_counter() - started))
    micro.said()
    interpreter.print_allocations()
    used = {name: int(count) for name, count in _USED.findall(micro.said())}
    del interpreter
    # Preparing takes more for a while than what is left in use, and not much more.
    near = next((room for room in (used["total"] + 256, 2 * used["total"]) if micro.suffices(room, inputs)), size)
    smallest = micro.smallest(near, inputs)
    return np.array([smallest, used["total"], used["head"], used["tail"], microseconds])


def serve(path: str, requests: BinaryIO, answers: BinaryIO, log: BinaryIO) -> None:
    """Answer requests until there are no more."""
    with open(path, "rb") as stream:
        micro = Micro(stream.read(), log)
    measured = measure(micro)
    interpreter = micro.open(int(measured[0]))
    write(answers, [np.array([1]), measured])
    while True:
        try:
            _, count = read(requests).tolist()
        except EOFError:  # the parent is gone
            return
        outputs = micro.run(interpreter, [read(requests) for _ in range(count)])
        write(answers, [np.array([len(outputs)]), *outputs])


def main(path: str) -> None:
    """Serve; a failure is the answer."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)  # TFLM's reasons
        os.dup2(2, 1)  # what native code prints must not get between the arrays
        with os.fdopen(os.open(f"/proc/self/fd/{printed.fileno()}", os.O_RDONLY), "rb") as log:
            try:
                serve(path, requests, answers, log)
            except Exception as error:  # any failure of a native library is the answer
                text = " ".join(str(error).split()) or type(error).__name__
                write(answers, [np.array([-1]), np.frombuffer(text.encode(), np.uint8)])


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)
