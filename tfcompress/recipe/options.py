"""Options as dataclass fields that carry their own help: one source for the parser, ``--help``, the docs and recipes.

A field made by `option` says in its metadata what the option means and which flag sets it.  `options_of` reads the
fields back, and `documented` writes them into the class's docstring, so that each text stands once.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

__all__ = ["Option", "documented", "option", "options_of"]

_KEY = "tfcompress.option"
_Class = TypeVar("_Class", bound=type)


@dataclass(frozen=True)
class _Text:
    help: str
    flag: str | None
    metavar: str | None


@dataclass(frozen=True)
class Option:
    """One option of a dataclass.

    Attributes:
        name: the field's name, which is also the key in a recipe's JSON.
        help: what the option means, in whole sentences without a final full stop.
        flag: name of the command-line flag without dashes; None where only a recipe sets the option.
        metavar: what stands for the value in ``--help``; None leaves that to the type.
        hint: the field's resolved type.
        default: the default value; `dataclasses.MISSING` where the option must be given.
    """

    name: str
    help: str
    flag: str | None
    metavar: str | None
    hint: object
    default: object


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    flag: str | None = None,
    metavar: str | None = None,
) -> Any:
    """A dataclass field that documents itself.

    Args:
        default: the field's default; without one the option must be given.
        help: what the option means; shown by ``--help`` and in the class's docstring.
        flag: the command-line flag, without dashes; None means that only a recipe sets the option.
        metavar: what stands for the value in ``--help``.

    Returns:
        A `dataclasses.Field`, typed as `Any` because it stands where the field's own value is annotated.
    """
    return field(default=default, metadata={_KEY: _Text(help, flag, metavar)})


def options_of(section: type) -> tuple[Option, ...]:
    """The options of a dataclass, in the order of its fields; fields not made by `option` are left out."""
    hints = typing.get_type_hints(section)
    documented_fields = [item for item in dataclasses.fields(section) if _KEY in item.metadata]
    return tuple(
        Option(item.name, text.help, text.flag, text.metavar, hints[item.name], item.default)
        for item in documented_fields
        for text in [item.metadata[_KEY]]
    )


def documented(of: type | None = None) -> Callable[[_Class], _Class]:
    """A decorator that appends the options to the docstring, as `Attributes`.

    Args:
        of: the dataclass whose options are listed; None lists the decorated class's own.
    """

    def decorate(target: _Class) -> _Class:
        lines = [f"    {item.name}: {item.help}." for item in options_of(of or target)]
        target.__doc__ = "\n".join([(target.__doc__ or "").rstrip(), "", "Attributes:", *lines, ""])
        return target

    return decorate
