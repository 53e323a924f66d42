"""The one way to make a name from all that a result depends on."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import struct
import sys
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from tfcompress.cache.library_settings import settings_of_libraries
from tfcompress.file_hashes import sha256_of, sha256_of_file
from tfcompress.processor import features, processor_name
from tfcompress.recipe.options import names_file

__all__ = ["ENGINES", "code_of_others", "fingerprint", "our_code", "surroundings", "this_machine", "versions_of"]

ENGINES = (
    "tensorflow",
    "tf_keras",
    "keras",
    "tensorflow-model-optimization",
    "litert-quantizer",
    "ai-edge-litert",
    "numpy",
)

# Read and write files, or hold numbers, for the engines.
_BESIDE = ("flatbuffers", "h5py", "ml_dtypes", "pillow", "protobuf")

_Feed = Callable[[bytes], None]


def fingerprint(*parts: object) -> str:
    """Hexadecimal SHA-256 of values, equal exactly where types and values are.

    Every value is written with its type and its length, so that no two different sequences of values give the same
    bytes.  Mappings count without their order.

    Args:
        parts: None, booleans, numbers, text, bytes, paths, enums, numpy arrays, dataclasses, and mappings, sequences
            and sets of these.

    Raises:
        TypeError: something else, of which nobody can say when it is equal.
    """
    digest = hashlib.sha256()
    _feed(parts, digest.update)
    return digest.hexdigest()


def _feed(value: object, feed: _Feed) -> None:
    if value is None or isinstance(value, bool):
        _tagged("constant", repr(value).encode(), feed)
    elif isinstance(value, enum.Enum):
        _tagged("enum", f"{type(value).__qualname__}.{value.name}".encode(), feed)
    elif isinstance(value, int):
        _tagged("int", str(value).encode(), feed)
    elif isinstance(value, float):
        _tagged("float", struct.pack("<d", value), feed)
    elif isinstance(value, str):
        _tagged("str", value.encode("utf-8", "surrogateescape"), feed)
    elif isinstance(value, bytes | bytearray | memoryview):
        _tagged("bytes", bytes(value), feed)
    elif isinstance(value, Path):
        _tagged("path", os.fsencode(value), feed)
    elif isinstance(value, np.dtype):
        _tagged("dtype", value.str.encode(), feed)
    elif isinstance(value, np.ndarray | np.generic):
        _feed_array(np.asarray(value), feed)
    else:
        _feed_collection(value, feed)


def _feed_array(array: np.ndarray, feed: _Feed) -> None:
    _tagged("array", f"{array.dtype.str} {array.shape}".encode(), feed)
    if array.dtype.kind == "O":
        _feed(array.tolist(), feed)
    else:
        _tagged("data", np.ascontiguousarray(array).tobytes(), feed)


def _feed_collection(value: object, feed: _Feed) -> None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        _tagged("dataclass", type(value).__qualname__.encode(), feed)
        _feed({item.name: _counted(item, getattr(value, item.name)) for item in dataclasses.fields(value)}, feed)
    elif isinstance(value, Mapping):
        pairs = sorted((fingerprint(key), fingerprint(item)) for key, item in value.items())
        _tagged("mapping", "".join(key + item for key, item in pairs).encode(), feed)
    elif isinstance(value, Set):
        _tagged("set", "".join(sorted(fingerprint(item) for item in value)).encode(), feed)
    elif isinstance(value, Sequence):
        _tagged("sequence", str(len(value)).encode(), feed)
        for item in value:
            _feed(item, feed)
    else:
        raise TypeError(f"{type(value).__name__} has no fingerprint: nobody can say when two are equal")


def _counted(item: dataclasses.Field[object], value: object) -> object:
    """A field's value; where an option names a file, its content as well, as the file may be another one next time."""
    if not isinstance(value, str) or not names_file(item):
        return value
    return value, sha256_of(Path(value)) if os.path.exists(value) else None  # False for an impossible name


def _tagged(kind: str, content: bytes, feed: _Feed) -> None:
    feed(f"{kind}:{len(content)}:".encode())
    feed(content)


@functools.cache
def our_code() -> str:
    """A hash of every file of ours: results of other code are not trusted, whatever it calls itself.

    Not Python alone: tables and sample code beside it go into artifacts too.
    """
    root = Path(__file__).parents[1]
    folders = [root, *(root / name for name in ("converters", "calibration", "example_models"))]  # three may be links
    return _hash_of_all(folders)


def _hash_of_all(folders: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted({path.resolve() for folder in folders for path in folder.resolve().rglob("*")}):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.name}\0{sha256_of_file(path)}\n".encode())
    return digest.hexdigest()


@functools.cache
def this_machine() -> str:
    """What of the machine shapes results and times: its processor, what that can compute, and how many cores it has."""
    return f"{platform.machine()}, {processor_name()}, {' '.join(sorted(features()))}, {os.cpu_count()} cores"


def surroundings() -> tuple[str, str, tuple[tuple[str, str | None], ...]]:
    """What every result depends on: our code, the machine, and the libraries that compute, with their settings now."""
    libraries = {**versions_of((*ENGINES, *_BESIDE)), **settings_of_libraries()}
    return our_code(), f"{this_machine()}, Python {platform.python_version()}", tuple(libraries.items())


@functools.cache
def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions_of(packages: Sequence[str]) -> dict[str, str | None]:
    """{package: version}; None for one that is not installed."""
    return {package: _version_of(package) for package in packages}


@functools.cache
def code_of_others(modules: frozenset[str]) -> str | None:
    """A hash of every file of the packages that modules lie in, as far as these are neither ours nor Python's own.

    Args:
        modules: their full names.

    Returns:
        The hash, empty where all the modules are ours or Python's; None where nobody can say what belongs to a module,
        as it stands in no package: a script, a notebook, or a file on its own.
    """
    ours = __name__.partition(".")[0]
    tops = {name.partition(".")[0] for name in modules} - {ours} - sys.stdlib_module_names
    if not tops:
        return ""
    folders = [_folders_of(top) for top in sorted(tops)]
    return None if not all(folders) else _hash_of_all([folder for each in folders for folder in each])


def _folders_of(package: str) -> list[Path]:
    """Where a package's files lie; empty for what is no package."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # ValueError: `__main__`, which has no specification
        return []
    return [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
