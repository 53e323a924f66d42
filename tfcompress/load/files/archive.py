"""`.keras` archives: a zip of ``config.json``, ``metadata.json`` and ``model.weights.h5``; read inside the cage."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tfcompress.errors import ModelError, UnsafeModelError, one_line
from tfcompress.load.files.hdf5 import parse_json, probe_archive
from tfcompress.load.files.limits import JSON_LIMIT, expanded_limit
from tfcompress.load.files.source import ModelFile

__all__ = ["read_keras_archive"]

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_BLOCK = 1 << 20
_MOST_MEMBERS = 10_000


def read_keras_archive(path: Path) -> ModelFile:
    """The `.keras` model at `path`, its container checked in full.

    Raises:
        ModelError: truncated, damaged, or a zip archive of something else.
        UnsafeModelError: a member would be written outside its folder, or the archive is a bomb.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_unsafe_members(path, archive)
            _require_members(path, archive)
            _check_checksums(path, archive)
            config = parse_json(path, _CONFIG, archive.read(_CONFIG))
            metadata = parse_json(path, _METADATA, archive.read(_METADATA)) if _has(archive, _METADATA) else {}
            stored = probe_archive(path, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: corrupt or truncated .keras archive: {one_line(error)}") from error
    version = metadata.get("keras_version")
    return ModelFile(
        path=path,
        format="keras_v2" if str(version).startswith("2.") else "keras_v3",
        keras_version=version if isinstance(version, str) else None,
        config=config,
        stored=stored,
        sha256="",
    )


def _has(archive: zipfile.ZipFile, member: str) -> bool:
    return member in archive.NameToInfo


def _refuse_unsafe_members(path: Path, archive: zipfile.ZipFile) -> None:
    limit = expanded_limit(path)
    declared = 0
    names: set[str] = set()
    if len(archive.infolist()) > _MOST_MEMBERS:
        raise UnsafeModelError(f"{path}: refused: the archive has more than {_MOST_MEMBERS} members")
    for info in archive.infolist():
        name = PurePosixPath(info.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in info.filename or "\0" in info.orig_filename:
            raise UnsafeModelError(f"{path}: refused: the archive member {info.filename!r} leaves the archive's folder")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise UnsafeModelError(f"{path}: refused: the archive member {info.filename!r} is a symbolic link")
        if info.filename in names:
            raise UnsafeModelError(f"{path}: refused: the archive has two members named {info.filename!r}")
        names.add(info.filename)
        declared += info.file_size
        if declared > limit or (info.filename.endswith(".json") and info.file_size > JSON_LIMIT):
            raise UnsafeModelError(
                f"{path}: refused: its {path.stat().st_size} bytes expand to over {declared} (at {info.filename!r}), "
                f"more than the {limit} allowed for an archive of that size"
            )


def _require_members(path: Path, archive: zipfile.ZipFile) -> None:
    if not _has(archive, _CONFIG):
        names = archive.namelist()
        if any(name.endswith("saved_model.pb") for name in names):
            raise ModelError(f"{path}: a zip archive of a SavedModel: unpack it and give the folder")
        if any(name.endswith(".npy") for name in names):
            raise ModelError(f"{path}: a zip archive of numpy arrays (.npz): that is data, not a model")
        raise ModelError(f"{path}: a zip archive without {_CONFIG}, so not a .keras model; it has {names[:3]}")
    if not _has(archive, _WEIGHTS):
        raise ModelError(f"{path}: the .keras archive has no {_WEIGHTS}, so no weights; save the whole model again")


def _check_checksums(path: Path, archive: zipfile.ZipFile) -> None:
    """Read every member once, block by block, so that damage is found before any of it is used."""
    for info in archive.infolist():
        with archive.open(info) as member:
            while member.read(_BLOCK):
                pass
