"""Our own dataclasses as bytes and back, by their type annotations: what is read is data of a known type, never code.

The bytes are JSON, or those of bytes themselves.  Arrays and bytes in it are base64; floats are written as Python does,
which reads back the same bits, and infinities and NaN as ``Infinity`` and ``NaN``.  `typed_json` is for files that
people write and read: it has no arrays, refuses what JSON lacks, and says where a mistake is.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from tfcompress.typed_json import field_hints

__all__ = ["decode", "encode"]

_T = TypeVar("_T")


def encode(value: object) -> bytes:
    """Bytes that `decode` reads back to an equal value.

    Raises:
        TypeError: a value that has no JSON form here.
    """
    return value if isinstance(value, bytes) else json.dumps(_plain(value), separators=(",", ":")).encode()


def decode(hint: type[_T], content: bytes) -> _T:
    """The value of type `hint` in bytes that `encode` made.

    Raises:
        ValueError: the bytes hold something else.
    """
    if hint is bytes:
        return content  # type: ignore[return-value]
    try:
        value: _T = _built(hint, json.loads(content))
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no {hint}: {type(error).__name__}: {error}") from error
    return value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        _require(value.dtype.kind in "biufc", f"an array of {value.dtype} cannot be kept")
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"dtype": value.dtype.str, "shape": list(value.shape), "data": data}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _built(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = field_hints(hint)
        return hint(**{item.name: _built(hints[item.name], value[item.name]) for item in dataclasses.fields(hint)})
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is np.ndarray or origin is np.ndarray:
        return _array(value)
    if hint is bytes:
        return base64.b64decode(value, validate=True)
    if origin in (typing.Union, types.UnionType):
        return _one_of(inner, value)
    if origin is tuple:
        return _tuple(inner, value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {_key(inner[0], key): _built(inner[1], item) for key, item in value.items()}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [_built(inner[0], item) for item in value]
    return _scalar(hint, origin, inner, value)


def _scalar(hint: Any, origin: Any, inner: tuple[Any, ...], value: Any) -> Any:
    if origin is Literal:
        _require(value in inner, f"{value!r} is none of {inner}")
        return value
    if hint in (Any, object):
        return value
    if hint is float and type(value) is int:
        return value  # an int where a float is asked for was one before, too
    _require(type(value) is hint, f"{value!r} is no {hint}")
    return value


def _one_of(hints: tuple[Any, ...], value: Any) -> Any:
    if value is None and type(None) in hints:
        return None
    problems = []
    for hint in hints:
        try:
            return _built(hint, value)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            problems.append(str(error))
    raise TypeError("; ".join(problems))


def _tuple(inner: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    _require(isinstance(value, list), f"{value!r} is no list")
    hints = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
    return tuple(_built(hint, item) for hint, item in zip(hints, value, strict=True))


def _key(hint: Any, key: str) -> Any:
    return int(key) if hint is int else key


def _array(value: Any) -> np.ndarray:
    dtype = np.dtype(value["dtype"])
    _require(dtype.kind in "biufc", f"an array of {dtype} is no data")
    data = base64.b64decode(value["data"], validate=True)
    return np.frombuffer(data, dtype).reshape(value["shape"]).copy()


def _require(ok: bool, problem: str) -> None:
    if not ok:
        raise TypeError(problem)
