"""Compile results kept between runs in the cache, by the hash of all that they depend on."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

from tfcompress.cache import fingerprint, store_in_use

__all__ = ["Result", "get_result", "kept_or_made", "put_result", "result_key"]

Result = tuple[dict[str, Any], bytes | None]  # facts as JSON values, and the compiled file where there is one
_HEADER = struct.Struct("<Q")  # length of the facts; behind them stands the compiled file


def result_key(compiler: str, content: bytes, *parts: str) -> str:
    """Name of a result, without the rest of our code, which the compiler does not see.

    Args:
        compiler: whose result it is.
        content: what it was given.
        parts: chip, options, and the compiler's version.
    """
    return fingerprint(f"{compiler} compile", content, *parts)


def kept_or_made(key: str, compile: Callable[[], Result], *, use_cache: bool) -> Result:
    """What an earlier run kept under `key`, or else what `compile` returns.

    That is kept where the compiler ended well: a crash or a time limit may be the machine's, and the next run tries
    again.

    Args:
        key: see `result_key`.
        compile: runs the compiler; the facts have its exit status as `code`.
        use_cache: whether to look for a result and to keep one.
    """
    kept = get_result(key) if use_cache else None
    if kept is not None:
        return kept
    facts, content = compile()
    if use_cache and facts["code"] == 0:
        put_result(key, facts, content)
    return facts, content


def get_result(key: str) -> Result | None:
    """What the compiler said and the file that it made (None where it made none); None where nothing is kept."""
    entry = store_in_use().get(key)
    if entry is None or len(entry) < _HEADER.size:
        return None
    (size,) = _HEADER.unpack_from(entry)
    try:
        facts = json.loads(entry[_HEADER.size : _HEADER.size + size])
    except ValueError:
        return None
    content = entry[_HEADER.size + size :]
    return (facts, content or None) if isinstance(facts, dict) else None


def put_result(key: str, facts: Mapping[str, object], content: bytes | None) -> None:
    """Keep a result; `facts` are JSON values."""
    head = json.dumps(dict(facts)).encode()
    store_in_use().put(key, _HEADER.pack(len(head)) + head + (content or b""))
