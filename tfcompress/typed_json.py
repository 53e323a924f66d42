"""Frozen dataclasses to JSON values and back, with every key and type checked on the way in.

A field's annotation is its JSON type: ``int``, ``float``, ``bool``, ``str`` and a `Literal` of texts stand for
themselves, ``X | None`` allows null, ``tuple[X, ...]`` is a list, ``tuple[X, Y]`` a list of two, ``Mapping[str, X]`` an
object with free keys, a dataclass an object with these keys, and ``object`` any JSON value.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from tfcompress.errors import InputError

__all__ = ["field_hints", "from_plain", "to_plain"]

T = TypeVar("T")
_LONGEST_QUOTE = 60
_NAMES = {str: "a text", bool: "true or false", int: "an integer", float: "a number"}


def to_plain(value: object, where: str = "value") -> Any:
    """`value` in JSON's own types.

    Args:
        value: a dataclass, or what its fields may hold.
        where: for messages.

    Raises:
        TypeError: something in it is no JSON value, such as a path or an array.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (item.name for item in dataclasses.fields(value))
        return {name: to_plain(getattr(value, name), f"{where}.{name}") for name in names}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, str):
        return str(value)  # an enum's member is a string of another class
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise TypeError(f"{where}: {type(value).__name__} {_quoted(value)} is no JSON value")


def from_plain(kind: type[T], value: object, where: str, *, gather: bool = False) -> T:
    """The dataclass in a JSON object.

    Args:
        kind: a dataclass.
        value: as `json.loads` gives it.
        where: the value's name, for messages.
        gather: put a key that a dataclass does not name into its field `figures`, where it has one, instead of
            refusing it: for facts that a target hands over, not for files.

    Raises:
        InputError: an unknown or a missing key, or a value of another type; the message names the path.
    """
    return typing.cast(T, _decode(kind, value, where, gather))


@functools.cache
def field_hints(kind: type) -> Mapping[str, object]:
    """{field: its annotation, evaluated} of a dataclass."""
    return typing.get_type_hints(kind)


def _decode(hint: object, value: object, where: str, gather: bool) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _dataclass(typing.cast(type, hint), value, where, gather)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, value, where, gather)
    if origin is tuple:
        return _tuple(arguments, value, where, gather)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong(value, where, "an object")
        return {str(key): _decode(arguments[1], item, f"{where}.{key}", gather) for key, item in value.items()}
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _wrong(value, where, "one of " + ", ".join(map(str, arguments)))
        return str(value)
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: object, where: str) -> object:
    if hint is object:
        try:
            return to_plain(value, where)
        except TypeError as error:
            raise InputError(str(error)) from None
    if hint is float and type(value) is int:
        return float(value)
    if hint is str and isinstance(value, str):
        return str(value)
    if type(value) is not hint or (isinstance(value, float) and not math.isfinite(value)):
        raise _wrong(value, where, _NAMES.get(hint, str(hint)))
    return value


def _union(options: tuple[object, ...], value: object, where: str, gather: bool) -> object:
    """One of two types: a list takes the tuple's, anything else the other."""
    if value is None and type(None) in options:
        return None
    real = [option for option in options if option is not type(None)]
    if len(real) > 1:
        real = [option for option in real if (typing.get_origin(option) is tuple) == isinstance(value, list | tuple)]
    if not real:
        raise _wrong(value, where, "an object" if isinstance(value, list | tuple) else "a list")
    try:
        return _decode(real[0], value, where, gather)
    except InputError as error:
        expected_null = type(None) in options and not isinstance(value, Mapping | list | tuple)
        raise InputError(f"{error} or null" if expected_null else str(error)) from None


def _tuple(inner: tuple[object, ...], value: object, where: str, gather: bool) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(value, where, "a list")
    repeated = len(inner) == 2 and inner[1] is Ellipsis
    if not repeated and len(value) != len(inner):
        raise InputError(f"{where}: got a list of {len(value)}, expected {len(inner)} items")
    hints = [inner[0]] * len(value) if repeated else list(inner)
    pairs = zip(hints, value, strict=True)
    return tuple(_decode(hint, item, f"{where}[{index}]", gather) for index, (hint, item) in enumerate(pairs))


def _dataclass(kind: type, value: object, where: str, gather: bool) -> object:
    if dataclasses.is_dataclass(value) and isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise _wrong(value, where, "an object")
    hints = field_hints(kind)
    unknown = [str(key) for key in value if key not in hints]
    given = {str(key): item for key, item in value.items() if key in hints}
    if unknown and gather and "figures" in hints:
        given["figures"] = {**(given.get("figures") or {}), **{key: value[key] for key in unknown}}
    elif unknown:
        close = difflib.get_close_matches(unknown[0], hints, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(hints)}"
        raise InputError(f"{where}: unknown key {unknown[0]!r}; {advice}")
    for item in dataclasses.fields(kind):
        if item.name not in given and item.default is item.default_factory is dataclasses.MISSING:
            raise InputError(f"{where}: misses the key {item.name!r}")
    return kind(**{name: _decode(hints[name], item, f"{where}.{name}", gather) for name, item in given.items()})


def _wrong(value: object, where: str, expected: str) -> InputError:
    return InputError(f"{where}: got {_quoted(value)}, expected {expected}")


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
