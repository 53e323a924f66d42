"""Values read from JSON turned into what a dataclass's types say, with errors that name the place."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Mapping
from typing import Literal, NoReturn, TypeVar

from tfcompress.errors import RecipeError

__all__ = ["MAX_BYTES", "dataclass_from_plain", "parse_object"]

MAX_BYTES = 2**20  # a recipe is written by hand or by a search; a megabyte is far above both
_Class = TypeVar("_Class")


def parse_object(text: str, what: str) -> dict[str, object]:
    """The JSON object in `text`.

    Args:
        text: at most `MAX_BYTES` characters.
        what: names the text in an error, such as ``recipe``.

    Raises:
        RecipeError: not JSON, too large, nested too deeply, a repeated key, a number that is not finite, or not
            an object.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        repeated = next((key for key in keys if keys.count(key) > 1), None)
        if repeated is not None:
            raise RecipeError(f"{what}: key {repeated!r} appears twice, expected each key once")
        return dict(pairs)

    def not_finite(constant: str) -> NoReturn:
        raise RecipeError(f"{what}: got {constant}, expected finite numbers")

    if len(text) > MAX_BYTES:
        raise RecipeError(f"{what}: got {len(text)} characters, expected at most {MAX_BYTES}")
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=not_finite)
    except RecursionError:
        raise RecipeError(f"{what}: nested too deeply, expected a few levels") from None
    except ValueError as error:  # also an integer of more digits than Python converts
        raise RecipeError(f"{what}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise RecipeError(f"{what}: got {_shown(value)}, expected an object with keys")
    return value


def dataclass_from_plain(target: type[_Class], value: object, where: str) -> _Class:
    """A dataclass made from a JSON object.

    Args:
        target: a dataclass.
        value: what was read.
        where: path of `value`, for errors.

    Raises:
        RecipeError: an unknown key, or a value of the wrong type.
    """
    hints = typing.get_type_hints(target)
    names = {item.name: hints[item.name] for item in dataclasses.fields(typing.cast(type, target))}  # no ClassVars
    checked = checked_keys(value, names, where)
    return target(**{key: from_plain(names[key], item, f"{where}.{key}") for key, item in checked.items()})


def checked_keys(value: object, allowed: Mapping[str, object], where: str) -> dict[str, object]:
    """`value` if it is an object with known keys only.

    Raises:
        RecipeError: not an object, or an unknown key.
    """
    if not isinstance(value, dict):
        raise RecipeError(f"{where}: got {_shown(value)}, expected an object with keys")
    for key in value:
        if key not in allowed:
            close = difflib.get_close_matches(key, allowed, n=1)
            advice = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(allowed)}"
            raise RecipeError(f"{where}: unknown key {_shown(key)}; {advice}")
    return value


def from_plain(hint: object, value: object, where: str) -> object:
    """`value`, as read from JSON, turned into what the type `hint` says.

    Raises:
        RecipeError: the value is of another type.
    """
    origin = typing.get_origin(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return dataclass_from_plain(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        inner = next(choice for choice in typing.get_args(hint) if choice is not type(None))
        return None if value is None else from_plain(inner, value, where)
    if origin is tuple:
        return _tuple_from_plain(typing.get_args(hint), value, where)
    if origin is Literal:
        return value  # the section itself says which values are allowed
    if hint is float and type(value) is int:
        return _as_float(value, where)
    if type(value) is not hint:
        raise RecipeError(f"{where}: got {_shown(value)}, expected {getattr(hint, '__name__', hint)}")
    return value


def _tuple_from_plain(inner: tuple[object, ...], value: object, where: str) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise RecipeError(f"{where}: got {_shown(value)}, expected a list")
    repeated = len(inner) == 2 and inner[1] is Ellipsis
    if not repeated and len(value) != len(inner):
        raise RecipeError(f"{where}: got {len(value)} items, expected {len(inner)}")
    hints = [inner[0]] * len(value) if repeated else inner
    return tuple(
        from_plain(hint, item, f"{where}[{index}]") for index, (hint, item) in enumerate(zip(hints, value, strict=True))
    )


def _as_float(value: int, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise RecipeError(f"{where}: got an integer of {value.bit_length()} bits, expected a float") from None


def _shown(value: object) -> str:
    """A value as an error quotes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
