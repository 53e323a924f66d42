"""The process that keeps Python, and once needed TensorFlow, ready for caged processes: it forks one for each file.

Importing TensorFlow takes seconds, forking takes milliseconds.  This process touches no model file itself.  It is
started by `tfcompress.load.safety.cage_client`, reads one JSON request a line from standard input, and answers each
with one line on standard output.  It ends when standard input does.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

from tfcompress.load.safety.cage import SAID
from tfcompress.unneeded_imports import leave_out

__all__ = ["main"]

_IDLE_SECONDS = 300
_LONGEST_PAUSE = 0.1
# The limit is on processor time: a busy machine must not make a sound file fail.  A process that only waits is given
# this many times as long.
_PATIENCE = 5


def main() -> None:
    """Serve requests until standard input ends, or nothing came for five minutes."""
    leave_out()
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    while select.select([requests], [], [], _IDLE_SECONDS)[0]:
        line = requests.readline()
        if not line:
            return
        answers.write(json.dumps(_serve(json.loads(line), requests, answers)).encode() + b"\n")


def _serve(request: dict[str, Any], requests: BinaryIO, answers: BinaryIO) -> dict[str, object]:
    """Fork, wait and tell how it ended; `warm` only imports."""
    module = importlib.import_module(request["module"])
    if request["task"] == "warm":
        return {}
    child = os.fork()
    if child == 0:
        try:
            requests.close()
            answers.close()
            _die_with_parent()
            _keep_what_it_says(Path(request["scratch"]))
            module.run(request)
            os._exit(0)
        finally:
            os._exit(1)
    return _wait(child, request, requests)


def _keep_what_it_says(scratch: Path) -> None:
    """Standard error goes to a file: native code says there why it gives up."""
    said = os.open(scratch / SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(said, 2)
    os.close(said)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


def _wait(child: int, request: dict[str, Any], requests: BinaryIO) -> dict[str, object]:
    """Watch the child's time and memory; its memory also counts what the kernel's own limit does not."""
    deadline, pause = time.monotonic() + _PATIENCE * request["seconds"], 0.002
    before, peak, data, why = _memory(child)[0], 0, 0, None
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return {"code": code, "why": why, "peak": peak, "data": data, "seconds": usage.ru_utime + usage.ru_stime}
        resident, private = _memory(child)
        peak, data = max(peak, resident), max(data, private)
        if why is None and (_processor_seconds(child) > request["seconds"] or time.monotonic() > deadline):
            why = "time"
        if why is None and resident - before > request["memory"]:
            why = "memory"
        # The parent sends nothing while it waits: what can be read now is its end.
        gone = bool(select.select([requests], [], [], pause)[0])
        pause = min(_LONGEST_PAUSE, pause * 1.5)
        if why or gone:
            os.kill(child, signal.SIGKILL)
        if gone:
            os._exit(0)


def _processor_seconds(process: int) -> float:
    """What all threads of a process took together; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(process: int) -> tuple[int, int]:
    """Bytes resident, and bytes of private data."""
    try:
        fields = Path(f"/proc/{process}/statm").read_text().split()
    except OSError:
        return 0, 0
    page = os.sysconf("SC_PAGE_SIZE")
    return int(fields[1]) * page, int(fields[5]) * page


if __name__ == "__main__":
    main()
