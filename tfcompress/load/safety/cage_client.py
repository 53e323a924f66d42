"""Running a task on a file in a caged process, and what came of it."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.errors import ModelError, UnsafeModelError, one_line
from tfcompress.keras_backend import ON_TENSORFLOW
from tfcompress.load.files.limits import LoadLimits, bytes_of
from tfcompress.load.safety.cage import SAID, OnlyHereError
from tfcompress.plain_files import real

__all__ = ["PLAIN", "TENSORFLOW", "Product", "run_caged", "start_early"]

PLAIN, TENSORFLOW = "tfcompress.load.safety.tasks", "tfcompress.load.safety.tensorflow_tasks"
"""Modules with tasks: a `run` that takes a request."""
_RESULT_LIMIT = 64 << 20
_LEAST_FILE_BYTES = 256 << 20
# Of the user's environment only what finds libraries and chooses between implementations; never keys or tokens.
_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "TZ", "TMPDIR", "SYSTEMROOT")
_KEPT_BEGINNINGS = ("LC_", "TF_", "KERAS_", "XLA_")
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Product:
    """A file that a task makes in its scratch folder.

    Attributes:
        name: of the file.
        most_bytes: that it may have.
    """

    name: str
    most_bytes: int


class _Server:
    """The one process that forks the caged ones; started when first needed, and again when it has gone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
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
        if self._process is not None and self._process.poll() is not None:
            self.stop()  # an idle server ends by itself
        if self._process is None:
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
                    with contextlib.suppress(OSError):  # it may hold bytes that nobody reads any more
                        stream.close()


_server = _Server()
atexit.register(_server.close)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)}
    paths = os.pathsep.join(path for path in sys.path if path)
    return {
        **kept,
        **_ONE_THREAD,
        **ON_TENSORFLOW,
        "PYTHONPATH": paths,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
    }


def start_early() -> None:
    """Import TensorFlow in the other process while this one does so too; saves seconds where there are two cores."""
    threading.Thread(target=_warm, daemon=True).start()


def _warm() -> None:
    try:
        _server.ask({"task": "warm", "module": TENSORFLOW})
    except ModelError:
        return  # the first real request says so


def run_caged(
    task: str,
    path: Path,
    limits: LoadLimits,
    *,
    module: str = PLAIN,
    arguments: Mapping[str, Any] | None = None,
    custom_objects: str | Mapping[str, Any] | None = None,
    readable: Iterable[Path] = (),
    product: Product | None = None,
) -> dict[str, Any]:
    """Run `task` on the file at `path` in a process of its own that can reach nothing else.

    Args:
        task: the name of one of the module's tasks.
        path: a file, or a folder with all in it.
        limits: of time and memory.
        module: that has the task; imported before the cage closes.
        arguments: of the task, as JSON holds them.
        custom_objects: as the user gave them; imported before the cage closes.
        readable: further files that the task needs.
        product: a file that the task makes; its content is in the result as "product".

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
            "module": module,
            "path": str(path.absolute()),
            "readable": [str(real(each)) for each in (path, *readable)],
            "scratch": str(scratch),
            "seconds": limits.seconds_for(path),
            "memory": limits.memory_for(path),
            "file_bytes": max(_LEAST_FILE_BYTES, 2 * bytes_of(path), product.most_bytes if product else 0),
            "arguments": dict(arguments or {}),
            "custom_objects": custom_objects if isinstance(custom_objects, str) else None,
            "working_folder": os.getcwd(),
        }
        if isinstance(custom_objects, Mapping):
            (folder / "custom_objects.pickle").write_bytes(pickle.dumps(dict(custom_objects)))
            request["pickle"] = str(folder / "custom_objects.pickle")
        result = _result(path, request, scratch)
        if product is not None:
            result["product"] = _taken(path, scratch / product.name, product.most_bytes)
        return result


def _taken(path: Path, file: Path, most_bytes: int) -> bytes:
    """The file that the caged process made, which need not be what it should be."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
            content = stream.read(most_bytes + 1)
    except OSError as error:
        raise ModelError(f"{path}: corrupt: the process that tried it first left no file: {error.strerror}") from None
    if len(content) > most_bytes:
        raise ModelError(f"{path}: corrupt: the process that tried it first made more than {most_bytes} bytes")
    return content


def _result(path: Path, request: Mapping[str, Any], scratch: Path) -> dict[str, Any]:
    answer = _server.ask(request)
    _refuse_if_it_took_too_much(path, request, answer)
    result = _read(scratch / "result.json")
    if result is None and -answer["code"] not in _FAULTS:  # what the machine ended does better the second time
        answer = _server.ask(request)
        _refuse_if_it_took_too_much(path, request, answer)
        result = _read(scratch / "result.json")
    if result is None:
        raise ModelError(_crash_message(path, answer["code"], scratch / SAID))
    for what in result.pop("missing", []):
        _warn_once(what)
    if result.get("memory"):
        raise ModelError(memory_message(path, request["memory"] / (1 << 20)))
    if "error" in result:
        kind = UnsafeModelError if result.get("unsafe") else OnlyHereError if result.get("only_here") else ModelError
        raise kind(str(result["error"]).replace(str(path.absolute()), str(path)))
    return result


def _crash_message(path: Path, code: int, said: Path) -> str:
    """What is said of a file whose process ended twice without a result.

    Only a fault of the processor (SIGSEGV, SIGBUS, SIGILL, SIGFPE) points at the file.  Native code aborts (SIGABRT)
    also where the machine denies it memory or a thread, and whatever else ended the process came from outside.
    """
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    words = _last_words(said)
    cause = f"{how}: {words}" if words else how
    if -code in _FAULTS:
        return f"{path}: corrupt: it crashes the process that tries it first ({cause})"
    return (
        f"{path}: cannot be tried: the process that loads it first was ended twice ({cause}); if the file is sound, "
        "free memory and room for temporary files, or allow more with --max_load_memory (MiB)"
    )


_FAULTS = frozenset({signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, getattr(signal, "SIGBUS", signal.SIGSEGV)})


def _last_words(file: Path) -> str:
    """The last line that the process wrote to standard error; native code says there why it gives up."""
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 4096))
            lines = [line for line in stream.read(4096).decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return one_line(lines[-1], 200) if lines else ""


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


_warned_of: set[str] = set()


def _warn_once(what: object) -> None:
    text = one_line(what, 200)
    if text not in _warned_of:
        _warned_of.add(text)
        console.warn(f"files are tried in a process with {text}: this system does not have it")
