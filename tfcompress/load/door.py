"""The one door: every file from a stranger goes through here before anything of ours opens it.

A file is read, judged by the lists of `tfcompress.load.safety.lists`, loaded and run once in a process that can reach
nothing else (`tfcompress.load.safety.cage`); only then is it loaded here.  What a run of ours has just written itself
needs no door.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.cache import fingerprint, store_in_use
from tfcompress.cache.fingerprints import surroundings
from tfcompress.errors import ModelError, one_line
from tfcompress.file_hashes import sha256_of
from tfcompress.load.files.limits import LoadLimits, physical_memory
from tfcompress.load.files.source import CHANGED, ModelFile, file_kind, model_file, refuse_hollow
from tfcompress.load.safety.cage import OnlyHereError
from tfcompress.load.safety.cage_client import TENSORFLOW, run_caged

__all__ = [
    "admit",
    "admit_saved_model",
    "is_trusted",
    "read_admitted",
    "read_flat_file",
    "read_model_file",
    "trust",
    "try_model_file",
    "was_admitted",
]

CustomObjects = str | Mapping[str, Any] | None


class _Verdicts:
    """The contents that were admitted: in this process, and in earlier ones as far as the cache in use has kept them.

    A verdict holds for our code and the libraries' versions.  A refusal is never kept.
    """

    def __init__(self) -> None:
        self._here: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._here or store_in_use().get(self._name(key)) == _ADMITTED

    def add(self, key: str) -> None:
        """Keep that a content was admitted; `key` names the task and holds the content's SHA-256."""
        self._here.add(key)
        store_in_use().put(self._name(key), _ADMITTED)

    @staticmethod
    def _name(key: str) -> str:
        return "" if store_in_use().folder is None else fingerprint("admitted", key, surroundings())


_ADMITTED = b"admitted"
_admitted = _Verdicts()


def was_admitted(path: Path) -> bool:
    """Whether a model of this content was admitted before, so that it need not be tried again."""
    try:
        file_kind(path)  # also refuses what would take hours to read
    except ModelError:
        return False
    sha256 = sha256_of(path)
    return any(_model_key(task, sha256, keras) in _admitted for task, keras in _MODEL_TASKS)


# (task, whether the Keras model in a SavedModel is restored too; None for a file)
_MODEL_TASKS: tuple[tuple[str, object], ...] = (("restore_model", None), ("saved_model", True), ("saved_model", False))


def _model_key(task: str, sha256: str, keras: object) -> str:
    return f"{task} {sha256} {keras}"


def admit(
    path: Path, *, run: bool = True, allow_unsafe_deserialization: bool = False, limits: LoadLimits | None = None
) -> Path:
    """Judge a .tflite or .onnx in the cage.

    Args:
        path: of the file; which of the two it is, its name says.
        run: it is going to be run, and not only described.
        allow_unsafe_deserialization: operators that are not on the list are let in.
        limits: of time and memory; None means the defaults.

    Returns:
        `path`.

    Raises:
        UnsafeModelError: an operator is not on the list, or the file points elsewhere.
        ModelError: no such file, damaged; or it takes too long, too much memory, or crashes what runs it.
    """
    require_file(path, "a .tflite or .onnx")
    _try_artifact(path, sha256_of(path), run=run, trusted=allow_unsafe_deserialization, limits=limits or LoadLimits())
    return path


def read_admitted(
    path: Path, *, run: bool = True, allow_unsafe_deserialization: bool = False, limits: LoadLimits | None = None
) -> bytes:
    """The content of a .tflite that was judged in the cage: those bytes, whatever becomes of the file meanwhile.

    Args:
        path: of the file.
        run: it is going to be run, and not only described.
        allow_unsafe_deserialization: operators that are not on the list are let in.
        limits: of time and memory; None means the defaults.

    Raises:
        UnsafeModelError: an operator is not on the list.
        ModelError: no such file, damaged; or it takes too long, too much memory, or crashes what runs it.
    """
    content = read_flat_file(path, "a .tflite")
    sha256 = hashlib.sha256(content).hexdigest()
    _try_artifact(path, sha256, run=run, trusted=allow_unsafe_deserialization, limits=limits or LoadLimits())
    return content


def read_flat_file(path: Path, expected: str) -> bytes:
    """The content of a file that is read as a whole.

    Args:
        path: of the file.
        expected: what it should be, for messages: "a .tflite".

    Raises:
        ModelError: no regular file, nothing but a hole, larger than this machine's memory, or it cannot be read.
    """
    require_file(path, expected)
    if path.stat().st_size > physical_memory() // 2:
        raise ModelError(f"{path}: {path.stat().st_size:,} bytes, more than half of this machine's memory")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def _try_artifact(path: Path, sha256: str, *, run: bool, trusted: bool, limits: LoadLimits) -> None:
    arguments = {"run": run, "trusted": trusted}
    task = "onnx" if path.suffix == ".onnx" else "tflite"
    key = f"{task} {sha256} {sorted(arguments.items())}"
    if key in _admitted:
        return
    result = run_caged(task, path, limits, arguments={**arguments, "run": run and task != "onnx"})
    if task == "onnx" and run:
        beside = [path.parent / str(name) for name in result.get("external_files", [])]
        result = run_caged(task, path, limits, arguments=arguments, readable=beside)
    if result.get("sha256") != sha256:
        raise ModelError(f"{path}: {CHANGED}")
    _admitted.add(key)


_trusted: set[str] = set()


def trust(path: Path) -> None:
    """Let a SavedModel of this content in, in this process, whatever it does: the user said so."""
    file_kind(path)
    _trusted.add(sha256_of(path))


def is_trusted(path: Path) -> bool:
    """Whether the user said so of this content."""
    return bool(_trusted) and sha256_of(path) in _trusted


def require_file(path: Path, expected: str) -> None:
    """Refuse what is no regular file.

    Raises:
        ModelError: says what is there.
    """
    try:
        problem = "no such file or folder" if not path.exists() else None if path.is_file() else "not a regular file"
    except OSError as error:
        raise ModelError(f"{one_line(path, 200)}: cannot be read: {error.strerror}") from error
    if problem:
        raise ModelError(f"{path}: {problem}, expected {expected}")
    refuse_hollow(path)


def read_model_file(path: Path, limits: LoadLimits) -> ModelFile:
    """A `.keras` or `.h5` whose container was read in full and found sound; its configuration is not judged yet.

    Raises:
        UnsafeModelError: a bomb, or it points outside itself.
        ModelError: missing, damaged or of another format.
    """
    file_kind(path)
    facts = run_caged("read_model", path, limits)
    return model_file(path, facts, sha256=sha256_of(path))


def try_model_file(file: ModelFile, custom_objects: CustomObjects, limits: LoadLimits) -> None:
    """Load a `.keras` or `.h5` in the cage and run it once.

    Args:
        file: whose configuration was judged.
        custom_objects: the user's; where they only exist in this process, the file cannot be tried, and a warning
            says so.
        limits: of time and memory.

    Raises:
        ModelError: what loading it here would have raised; or it takes too long, too much memory, or crashes.
    """
    assert file.stored is not None
    facts = {
        "format": file.format,
        "keras_version": file.keras_version,
        "config": file.config,
        "stored": [file.stored.total, file.stored.largest],
    }
    _try("restore_model", file.path, custom_objects, limits, {"facts": facts}, sha256=file.sha256)


def admit_saved_model(
    path: Path,
    *,
    custom_objects: CustomObjects = None,
    keras: bool = False,
    limits: LoadLimits | None = None,
) -> None:
    """Judge a SavedModel, load it and run its signatures once, in the cage.

    Args:
        path: the folder.
        custom_objects: the user's, for the Keras model in it.
        keras: its Keras model is going to be restored too.
        limits: of time and memory; None means the defaults.

    Raises:
        UnsafeModelError: an operator is not on the list, or it reaches files.
        ModelError: damaged; or it takes too long, too much memory, or crashes.
    """
    file_kind(path)
    _try("saved_model", path, custom_objects, limits or LoadLimits(), {"keras": keras}, sha256=sha256_of(path))


def _try(
    task: str,
    path: Path,
    custom_objects: CustomObjects,
    limits: LoadLimits,
    arguments: Mapping[str, object],
    sha256: str,
) -> None:
    key = None if custom_objects else _model_key(task, sha256, arguments.get("keras"))
    if key is not None and key in _admitted:
        return
    try:
        run_caged(task, path, limits, module=TENSORFLOW, arguments=arguments, custom_objects=custom_objects)
    except (OnlyHereError, pickle.PicklingError, AttributeError, TypeError) as error:
        if not custom_objects:
            raise
        console.warn(f"{path}: is not tried in a process of its own first: its custom objects are only known here: "
                     f"{one_line(error, 200)}")  # fmt: skip
    if key is not None:
        _admitted.add(key)
