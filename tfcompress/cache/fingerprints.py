"""The one way to make a name from all that a result depends on."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import importlib.metadata
import os
import platform
import struct
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

import numpy as np

__all__ = ["ENGINES", "fingerprint", "our_code", "surroundings", "this_machine", "versions_of"]

ENGINES = (
    "tensorflow",
    "tf_keras",
    "keras",
    "tensorflow-model-optimization",
    "litert-quantizer",
    "ai-edge-litert",
    "numpy",
)

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
        _feed({item.name: getattr(value, item.name) for item in dataclasses.fields(value)}, feed)
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


def _tagged(kind: str, content: bytes, feed: _Feed) -> None:
    feed(f"{kind}:{len(content)}:".encode())
    feed(content)


@functools.cache
def our_code() -> str:
    """A hash of every source file of ours: results of other code are not trusted, whatever it calls itself."""
    root = Path(__file__).parents[1]
    folders = [root, *(root / name for name in ("converters", "calibration", "example_models"))]  # three may be links
    digest = hashlib.sha256()
    seen = {path.resolve(): path for folder in folders for path in folder.resolve().rglob("*.py")}
    for path in sorted(seen):
        digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@functools.cache
def this_machine() -> str:
    """What of the machine shapes results and times: its processor and how many cores it has."""
    model = platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return f"{platform.machine()}, {model}, {os.cpu_count()} cores"


@functools.cache
def surroundings() -> tuple[str, str, tuple[tuple[str, str | None], ...]]:
    """What every result depends on: our code, the machine, and the versions of the libraries that compute."""
    return our_code(), this_machine(), tuple(versions_of(ENGINES).items())


def versions_of(packages: Sequence[str]) -> dict[str, str | None]:
    """{package: version}; None for one that is not installed."""
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions
