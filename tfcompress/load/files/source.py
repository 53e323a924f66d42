"""What a model file is, read from its content and never from its name."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from tfcompress.errors import ModelError, one_line

__all__ = [
    "CHANGED",
    "FileFormat",
    "FileKind",
    "ModelFile",
    "StoredWeights",
    "file_kind",
    "head_of",
    "model_file",
    "refuse_hollow",
    "sha256_of",
    "unchanged",
]

FileFormat = Literal["keras_v3", "keras_v2", "h5", "saved_model"]
FileKind = Literal["zip", "hdf5", "saved_model"]

CHANGED = "it changed while it was read: copy it to a place where nothing else writes to it"

# A file may say that it is larger than what is on the disk, by as much as compressed content may expand.
_LARGE, _EXPANSION, _BLOCK = 1 << 30, 100, 512
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK\x03\x04"
_EMPTY_ZIP_MAGIC = b"PK\x05\x06"
# An HDF5 file may begin with a user block of 512, 1024, 2048, ... bytes (HDF5 file format specification, II.A).
_HDF5_OFFSETS = (0, 512, 1024, 2048)

_OTHER_FORMATS = {
    b"\x80\x02": "a Python pickle, which is never loaded because it can run any code",
    b"\x80\x03": "a Python pickle, which is never loaded because it can run any code",
    b"\x80\x04": "a Python pickle, which is never loaded because it can run any code",
    b"\x80\x05": "a Python pickle, which is never loaded because it can run any code",
    b"\x93NUMPY": "a numpy array",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"BZh": "a bzip2 archive: unpack it first",
    b"{": "JSON text, which holds no weights: give the saved model",
}


@dataclass(frozen=True)
class StoredWeights:
    """How many numbers a file really holds; bounds what its configuration may ask for.

    Attributes:
        total: elements of all the stored weight arrays together.
        largest: elements of the largest one.
    """

    total: int
    largest: int


@dataclass(frozen=True)
class ModelFile:
    """A model file whose container has been read and found sound.

    Attributes:
        path: the file, or the folder of a SavedModel.
        format: of the content.
        keras_version: that wrote it, such as ``2.4.0``; None when the file does not say.
        config: the Keras configuration as parsed JSON; None for a SavedModel without Keras metadata.
        stored: what the weight arrays declare; None where that is not known before loading.
        sha256: of the file's bytes, or of a folder's names and bytes.
    """

    path: Path
    format: FileFormat
    keras_version: str | None
    config: Mapping[str, Any] | None = field(repr=False)
    stored: StoredWeights | None
    sha256: str

    @property
    def keras_major(self) -> int | None:
        """1, 2 or 3; None when the file does not say or says nonsense."""
        digits = (self.keras_version or "").split(".")[0]
        return int(digits) if digits.isdecimal() and digits in {"0", "1", "2", "3"} else None


def model_file(path: Path, facts: Mapping[str, Any], *, sha256: str) -> ModelFile:
    """A `ModelFile` from the facts that the caged process found, as JSON holds them.

    Raises:
        ModelError: the facts are not of the kind that it would have sent.
    """
    config, stored, version = facts.get("config"), facts.get("stored"), facts.get("keras_version")
    if not isinstance(config, dict) or not isinstance(stored, list) or facts.get("format") not in get_args(FileFormat):
        raise ModelError(f"{path}: corrupt: reading it in a process of its own gave nonsense")
    total, largest = (int(number) for number in stored)
    version = version if isinstance(version, str) else None
    return ModelFile(path, facts["format"], version, config, StoredWeights(total, largest), sha256)


def file_kind(path: Path) -> FileKind:
    """The container that `path` is: the one rule, for what looks into a file and for what loads it.

    A file that begins as a zip archive does is one, whatever else it holds: a sound `.keras` may have its weights, an
    HDF5 file, at a place where another HDF5 file would begin.

    Raises:
        ModelError: nothing is there, it is empty, or it is something else; the message says what.
    """
    try:
        exists = path.exists()
    except OSError as error:  # a folder on the way that may not be read, or a name that no file can have
        raise ModelError(f"{one_line(path, 200)}: cannot be read: {error.strerror}") from error
    if not exists:
        raise ModelError(f"{path}: no such file or folder, expected a .keras, .h5 or SavedModel")
    if path.is_dir():
        kind = _folder_kind(path)
        for file in path.rglob("*"):
            refuse_hollow(file)
        return kind
    refuse_hollow(path)
    if not path.is_file():
        raise ModelError(f"{path}: not a regular file, expected a .keras, .h5 or SavedModel")
    head = head_of(path)
    if not head:
        raise ModelError(f"{path}: the file is empty, expected a .keras, .h5 or SavedModel")
    if head.startswith(_ZIP_MAGIC):
        return "zip"
    if any(head[offset:].startswith(_HDF5_MAGIC) for offset in _HDF5_OFFSETS):
        return "hdf5"
    raise ModelError(f"{path}: {_what_it_is(path, head)}")


def refuse_hollow(path: Path) -> None:
    """Refuse a large file that is a hole: reading its zeros takes hours, and no model has them.

    Raises:
        ModelError: less than a hundredth of its bytes is on the disk.
    """
    try:
        facts = path.lstat() if path.is_symlink() and not path.exists() else path.stat()
    except (OSError, ValueError):
        return  # who opens it says so
    if facts.st_size > _LARGE and getattr(facts, "st_blocks", facts.st_size) * _BLOCK * _EXPANSION < facts.st_size:
        raise ModelError(
            f"{path}: refused: {facts.st_size:,} bytes, of which hardly any are on the disk; copy the file again"
        )


def head_of(path: Path) -> bytes:
    """The first bytes of a file, enough to tell what it is.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(_HDF5_OFFSETS[-1] + len(_HDF5_MAGIC))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def _folder_kind(path: Path) -> FileKind:
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    inner = sorted(path.glob("*/saved_model.pb")) + sorted(path.glob("*/*/saved_model.pb"))
    hint = f"; a SavedModel is in {inner[0].parent}" if inner else ""
    raise ModelError(f"{path}: a folder without saved_model.pb, so not a SavedModel{hint}")


def _what_it_is(path: Path, head: bytes) -> str:
    expected = "expected a .keras, .h5 or SavedModel"
    if head[4:8] == b"TFL3":
        return f"a .tflite file has no float graph, {expected}; `tfcompress diff` and `tfcompress inspect` take .tflite"
    if head.startswith(_EMPTY_ZIP_MAGIC):
        return f"an empty zip archive, {expected}"
    for magic, name in _OTHER_FORMATS.items():
        if head.startswith(magic):
            return f"{name}; {expected}"
    if path.suffix == ".pb":
        return "a .pb file is only a part of a SavedModel: give its folder"
    if path.suffix in {".keras", ".h5", ".hdf5"}:
        return f"corrupt: the content is neither a zip archive nor HDF5 although the name ends in {path.suffix}"
    return f"unknown format, {expected}"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, or of a folder's relative names, sizes and bytes in sorted order."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if os.path.isdir(path) else [path]:  # False for an impossible name
        if not file.is_file():
            continue
        if path.is_dir():
            entry = f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0"
            digest.update(entry.encode("utf-8", "surrogateescape"))  # a name may be any bytes
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Refuse what was opened in the block where the file, or one of the folder, was exchanged or written meanwhile.

    What was tried and what was loaded are then the same.  The kernel keeps the time of the last change (`st_ctime`),
    which no user can set.

    Raises:
        ModelError: it changed.
    """
    before = _identity(path)
    yield
    if _identity(path) != before:
        raise ModelError(f"{path}: {CHANGED}")


def _identity(path: Path) -> list[tuple[str, int, int, int, int, int]]:
    result = []
    for file in sorted(path.rglob("*")) if os.path.isdir(path) else [path]:  # False for an impossible name
        try:
            facts = file.stat()
        except (OSError, ValueError):
            continue  # who opens it says so
        numbers = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        result.append((str(file), *numbers))
    return result
