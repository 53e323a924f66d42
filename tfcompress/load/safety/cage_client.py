"""Running a task on a file in a caged process, and what came of it."""

from __future__ import annotations

import atexit
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.errors import ModelError, UnsafeModelError, one_line
from tfcompress.load.files.limits import LoadLimits, bytes_of
from tfcompress.load.safety.cage import OnlyHereError

__all__ = ["run_caged", "start_early"]

_PLAIN, _TENSORFLOW = "tfcompress.load.safety.tasks", "tfcompress.load.safety.tensorflow_tasks"
_RESULT_LIMIT = 64 << 20
_LEAST_FILE_BYTES = 256 << 20
# Of the user's environment only what finds libraries and chooses between implementations; never keys or tokens.
_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "TZ", "TMPDIR", "SYSTEMROOT")
_KEPT_BEGINNINGS = ("LC_", "TF_", "KERAS_", "XLA_")
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class _Server:
    """The one process that forks the caged ones; started when first needed, and again when it has gone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def ask(self, request: Mapping[str, object]) -> dict[str, object]:
        """Send a request and wait for its answer.

        Raises:
            ModelError: the process cannot be started.
        """
        with self._lock:
            for _ in range(2):  # an idle server ends; so the first attempt may meet a closed pipe
                try:
                    return self._exchange(request)
                except (OSError, ValueError):
                    self.stop()
                except BaseException:
                    self.stop()
                    raise
        raise ModelError("the process in which files are tried before they are loaded cannot be started")

    def _exchange(self, request: Mapping[str, object]) -> dict[str, object]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise ModelError("the program is ending")
        if self._process is None or self._process.poll() is not None:
            # -P keeps the folder that a script lies in off the path: a file beside a model must not pose as a library.
            command = [sys.executable, "-P", "-m", "tfcompress.load.safety.cage_server"]
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )
        return self._process

    def close(self) -> None:
        """End the server for good."""
        self._closed = True
        self.stop()

    def stop(self) -> None:
        """End the server, and with it whatever it has forked."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


_server = _Server()
atexit.register(_server.close)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)}
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**kept, **_ONE_THREAD, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def start_early() -> None:
    """Import TensorFlow in the other process while this one does so too; saves seconds where there are two cores."""
    threading.Thread(target=_warm, daemon=True).start()


def _warm() -> None:
    try:
        _server.ask({"task": "warm", "module": _TENSORFLOW})
    except ModelError:
        return  # the first real request says so


def run_caged(
    task: str,
    path: Path,
    limits: LoadLimits,
    *,
    tensorflow: bool,
    arguments: Mapping[str, Any] | None = None,
    custom_objects: str | Mapping[str, Any] | None = None,
    readable: Iterable[Path] = (),
) -> dict[str, Any]:
    """Run `task` on the file at `path` in a process of its own that can reach nothing else.

    Args:
        task: the name of a function in `tasks`, or in `tensorflow_tasks`.
        path: a file, or a folder with all in it.
        limits: of time and memory.
        tensorflow: the task needs TensorFlow.
        arguments: of the task, as JSON holds them.
        custom_objects: as the user gave them; imported before the cage closes.
        readable: further files that the task needs.

    Returns:
        What the task returned.

    Raises:
        UnsafeModelError: the task refused the file.
        ModelError: the file is damaged; the task crashed, or took more time or memory than it may.
    """
    with tempfile.TemporaryDirectory(prefix="tfcompress_") as name:
        folder = Path(name).resolve()
        scratch = folder / "scratch"
        scratch.mkdir()
        request = {
            "task": task,
            "module": _TENSORFLOW if tensorflow else _PLAIN,
            "path": str(path.absolute()),
            "readable": [str(each.resolve()) for each in (path, *readable)],
            "scratch": str(scratch),
            "seconds": limits.seconds_for(path),
            "memory": limits.memory_for(path),
            "file_bytes": max(_LEAST_FILE_BYTES, 2 * bytes_of(path)),
            "arguments": dict(arguments or {}),
            "custom_objects": custom_objects if isinstance(custom_objects, str) else None,
            "working_folder": os.getcwd(),
        }
        if isinstance(custom_objects, Mapping):
            (folder / "custom_objects.pickle").write_bytes(pickle.dumps(dict(custom_objects)))
            request["pickle"] = str(folder / "custom_objects.pickle")
        answer = _server.ask(request)
        return _result(path, request, answer, scratch / "result.json")


def _result(path: Path, request: Mapping[str, Any], answer: Mapping[str, Any], file: Path) -> dict[str, Any]:
    _refuse_if_it_took_too_much(path, request, answer)
    result = _read(file)
    if result is None:
        code = answer["code"]
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        raise ModelError(
            f"{path}: corrupt, or it needs more memory: the process that tried it first crashed ({how}); "
            "if the file is sound, --max_load_memory allows more (MiB)"
        )
    for what in result.pop("missing", []):
        _tell_once(what)
    if result.get("memory"):
        raise ModelError(memory_message(path, request["memory"] / (1 << 20)))
    if "error" in result:
        kind = UnsafeModelError if result.get("unsafe") else OnlyHereError if result.get("only_here") else ModelError
        raise kind(str(result["error"]).replace(str(path.absolute()), str(path)))
    return result


def _refuse_if_it_took_too_much(path: Path, request: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    memory = request["memory"] / (1 << 20)
    out_of_memory = answer["code"] != 0 and answer["data"] > 0.9 * request["memory"]
    if answer["why"] == "time":
        raise ModelError(
            f"{path}: refused: loading it and running it once takes more than {request['seconds']:.0f} s of processor "
            "time; if the model is sound, --max_load_seconds allows more"
        )
    if answer["why"] == "memory" or out_of_memory:
        raise ModelError(memory_message(path, memory))


def memory_message(path: object, memory: float) -> str:
    """What is said of a file that wants too much memory (MiB)."""
    return (
        f"{path}: refused: loading it and running it once needs more than {memory:.0f} MiB of memory; "
        "if the model is sound, --max_load_memory allows more (MiB)"
    )


def _read(file: Path) -> dict[str, Any] | None:
    """What the caged process wrote; None where it is not one JSON object of a reasonable size."""
    try:
        if file.is_symlink() or file.stat().st_size > _RESULT_LIMIT:
            return None
        value = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_told: set[str] = set()


def _tell_once(what: object) -> None:
    text = one_line(what, 200)
    if text not in _told:
        _told.add(text)
        console.warn(f"files are tried in a process with {text}: this system does not have it")
