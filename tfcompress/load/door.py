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
    "sample_bytes_of",
    "trust",
    "try_model_file",
    "was_admitted",
]

CustomObjects = str | Mapping[str, Any] | None
_SHARE_OF_TENSORS = 0.7  # of the memory that a file may take


class _Verdicts:
    """The contents that were admitted: in this process, and in earlier ones as far as the cache in use has kept them.

    A verdict holds for our code and the libraries' versions.  A refusal is never kept.
    """

    def __init__(self) -> None:
        self._here: dict[str, int] = {}

    def get(self, key: str) -> int | None:
        """The bytes that the tensors of one sample take; None for a content that was not admitted yet."""
        if key in self._here:
            return self._here[key]
        kept = store_in_use().get(self._name(key)) or b""
        return int(kept.removeprefix(_ADMITTED)) if kept.startswith(_ADMITTED) else None

    def add(self, key: str, sample_bytes: int = 0) -> None:
        """Keep that a content was admitted; `key` names the task and holds the content's SHA-256."""
        self._here[key] = sample_bytes
        store_in_use().put(self._name(key), _ADMITTED + str(sample_bytes).encode())

    @staticmethod
    def _name(key: str) -> str:
        return "" if store_in_use().folder is None else fingerprint("admitted", key, surroundings())


_ADMITTED = b"admitted "
_admitted = _Verdicts()


def was_admitted(path: Path) -> bool:
    """Whether a model of this content was admitted before, so that it need not be tried again."""
    try:
        file_kind(path)  # also refuses what would take hours to read
    except ModelError:
        return False
    sha256 = sha256_of(path)
    return any(_admitted.get(_model_key(task, sha256, keras)) is not None for task, keras in _MODEL_TASKS)


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
    task, key = _task_of(path), _artifact_key(path, sha256, run=run, trusted=trusted)
    if _admitted.get(key) is not None:
        return
    result = run_caged(task, path, limits, arguments={**arguments, "run": run and task != "onnx"})
    if task == "onnx" and run:
        beside = [path.parent / str(name) for name in result.get("external_files", [])]
        result = run_caged(task, path, limits, arguments=arguments, readable=beside)
    if result.get("sha256") != sha256:
        raise ModelError(f"{path}: {CHANGED}")
    _refuse_large_tensors(path, int(result["sample_bytes"]), limits)
    _admitted.add(key, int(result["sample_bytes"]))


def _task_of(path: Path) -> str:
    return "onnx" if path.suffix == ".onnx" else "tflite"


def _artifact_key(path: Path, sha256: str, *, run: bool, trusted: bool) -> str:
    return f"{_task_of(path)} {sha256} run={run} trusted={trusted}"


def sample_bytes_of(path: Path) -> int:
    """What all tensors of one sample take in a .tflite or .onnx that was admitted and run; 0 for any other file."""
    if not path.is_file():
        return 0
    sha256 = sha256_of(path)
    keys = (_artifact_key(path, sha256, run=True, trusted=trusted) for trusted in (False, True))
    return max((_admitted.get(key) or 0 for key in keys), default=0)


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


def try_model_file(file: ModelFile, custom_objects: CustomObjects, limits: LoadLimits) -> int:
    """Load a `.keras` or `.h5` in the cage and run it once.

    Args:
        file: whose configuration was judged.
        custom_objects: the user's; where they only exist in this process, the file cannot be tried, and a warning
            says so.
        limits: of time and memory.

    Returns:
        See `FloatModel.sample_bytes`.

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
    return _try("restore_model", file.path, custom_objects, limits, {"facts": facts}, sha256=file.sha256)


def admit_saved_model(
    path: Path,
    *,
    custom_objects: CustomObjects = None,
    keras: bool = False,
    limits: LoadLimits | None = None,
) -> int:
    """Judge a SavedModel, load it and run its signatures once, in the cage.

    Args:
        path: the folder.
        custom_objects: the user's, for the Keras model in it.
        keras: its Keras model is going to be restored too.
        limits: of time and memory; None means the defaults.

    Returns:
        See `FloatModel.sample_bytes`; of the signature, or of the Keras model, that takes most.

    Raises:
        UnsafeModelError: an operator is not on the list, or it reaches files.
        ModelError: damaged, or a model of another kind; or it takes too long, too much memory, or crashes.
    """
    if file_kind(path) != "saved_model":
        raise ModelError(f"{path}: a single file, expected a SavedModel: write one with model.export(...)")
    return _try("saved_model", path, custom_objects, limits or LoadLimits(), {"keras": keras}, sha256=sha256_of(path))


def _try(
    task: str,
    path: Path,
    custom_objects: CustomObjects,
    limits: LoadLimits,
    arguments: Mapping[str, object],
    sha256: str,
) -> int:
    key = None if custom_objects else _model_key(task, sha256, arguments.get("keras"))
    if key is not None and (before := _admitted.get(key)) is not None:
        return before
    sample_bytes = 0
    try:
        given = {**arguments, "most_bytes": limits.memory_for(path)}
        result = run_caged(task, path, limits, module=TENSORFLOW, arguments=given, custom_objects=custom_objects)
        sample_bytes = int(result["sample_bytes"])
        _refuse_large_tensors(path, sample_bytes, limits)
    except (OnlyHereError, pickle.PicklingError, AttributeError, TypeError) as error:
        if not custom_objects:
            raise
        console.warn(f"{path}: is not tried in a process of its own first: its custom objects are only known here: "
                     f"{one_line(error, 200)}")  # fmt: skip
    if key is not None:
        _admitted.add(key, sample_bytes)
    return sample_bytes


def _refuse_large_tensors(path: Path, sample_bytes: int, limits: LoadLimits) -> None:
    """What is done with a model needs all tensors of a sample at once, and more than one copy of some."""
    most = int(_SHARE_OF_TENSORS * limits.memory_for(path))
    if sample_bytes > most:
        flag = f"--max_load_memory={sample_bytes / _SHARE_OF_TENSORS / (1 << 20) + 1:.0f}"
        raise ModelError(
            f"{path}: refused: its tensors take {sample_bytes >> 20} MiB a sample, expected at most {most >> 20}; "
            f"if the model is sound, {flag} allows it"
        )
