"""Compile results kept between runs in the cache, by the hash of all that they depend on."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from tfcompress.cache import fingerprint, store_in_use

__all__ = ["get_result", "put_result", "result_key"]

_HEADER = struct.Struct("<Q")  # length of the facts; behind them stands the compiled file


def result_key(compiler: str, content: bytes, *parts: str) -> str:
    """Name of a result, without the rest of our code, which the compiler does not see.

    Args:
        compiler: whose result it is.
        content: what it was given.
        parts: chip, options, and the compiler's version.
    """
    return fingerprint(f"{compiler} compile", content, *parts)


def get_result(key: str) -> tuple[dict[str, object], bytes | None] | None:
    """What the compiler said and the file that it made (None where it made none); None where nothing is kept."""
    entry = store_in_use().get(key)
    if entry is None or len(entry) < _HEADER.size:
        return None
    (size,) = _HEADER.unpack_from(entry)
    try:
        facts = json.loads(entry[_HEADER.size : _HEADER.size + size])
    except ValueError:
        return None
    made = entry[_HEADER.size + size :]
    return (facts, made or None) if isinstance(facts, dict) else None


def put_result(key: str, facts: Mapping[str, object], made: bytes | None) -> None:
    """Keep a result; `facts` are JSON values."""
    told = json.dumps(dict(facts)).encode()
    store_in_use().put(key, _HEADER.pack(len(told)) + told + (made or b""))
