"""Options as dataclass fields that carry their own help: one source for the parser, ``--help``, the docs and recipes.

A field made by `option` says in its metadata what the option means and which flag sets it.  `options_of` reads the
fields back, and `documented` writes them into a docstring, so that each text stands once.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

__all__ = ["Option", "documented", "names_file", "option", "options_of"]

_KEY = "tfcompress.option"
_Target = TypeVar("_Target", bound=Callable[..., object])


@dataclass(frozen=True)
class _Text:
    help: str
    flag: str | None
    metavar: str | None
    positional: bool
    choices: Callable[[], Iterable[str]] | None
    is_file: bool


@dataclass(frozen=True)
class Option:
    """One option of a dataclass.

    Attributes:
        name: the field's name, which is also the key in a recipe's JSON.
        help: what the option means, with its choices, and without a final full stop.
        flag: name of the command-line flag without dashes; None where only a recipe sets the option.
        metavar: what stands for the value in ``--help``; None leaves that to the type.
        positional: whether the command line takes the option by its place instead of by a flag.
        hint: the field's resolved type.
        default: the default value; `dataclasses.MISSING` where the option must be given.
    """

    name: str
    help: str
    flag: str | None
    metavar: str | None
    positional: bool
    hint: object
    default: object

    @property
    def required(self) -> bool:
        """Whether the option must be given."""
        return self.default is dataclasses.MISSING


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    flag: str | None = None,
    metavar: str | None = None,
    positional: bool = False,
    choices: Callable[[], Iterable[str]] | None = None,
    is_file: bool = False,
) -> Any:
    """A dataclass field that documents itself.

    Args:
        default: the field's default; without one the option must be given.
        help: what the option means; shown by ``--help`` and in docstrings.
        flag: the command-line flag, without dashes; None means that only a recipe sets the option.
        metavar: what stands for the value in ``--help``.
        positional: the command line takes the option by its place.
        choices: gives the names that may be chosen from, where they are known only when they are asked for.
        is_file: the value is the path of a file or folder, whose content counts in every fingerprint of the dataclass.

    Returns:
        A `dataclasses.Field`, typed as `Any` because it stands where the field's own value is annotated.
    """
    return field(default=default, metadata={_KEY: _Text(help, flag, metavar, positional, choices, is_file)})


def names_file(item: dataclasses.Field[object]) -> bool:
    """Whether a field was made by `option` with `is_file`."""
    text = item.metadata.get(_KEY)
    return isinstance(text, _Text) and text.is_file


def options_of(section: type) -> tuple[Option, ...]:
    """The options of a dataclass, in the order of its fields; fields not made by `option` are left out."""
    hints = typing.get_type_hints(section)
    return tuple(
        Option(
            item.name,
            _full_help(text, hints[item.name]),
            text.flag,
            text.metavar,
            text.positional,
            hints[item.name],
            item.default,
        )
        for item in dataclasses.fields(section)
        if isinstance(text := item.metadata.get(_KEY), _Text)
    )


def _full_help(text: _Text, hint: object) -> str:
    choices = list(text.choices()) if text.choices is not None else [str(value) for value in _literals(hint)]
    return f"{text.help} (choices: {', '.join(choices)})" if choices else text.help


def _literals(hint: object) -> tuple[object, ...]:
    """The values of a `Literal`, alone or beside None; empty for any other type."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)
    return next((values for inner in typing.get_args(hint) if (values := _literals(inner))), ())


def documented(of: type | None = None) -> Callable[[_Target], _Target]:
    """A decorator that writes options into a docstring.

    Args:
        of: the dataclass whose options are a function's arguments, which go before the docstring's ``Returns``; None
            lists a decorated class's own options at its end, as ``Attributes``.
    """

    def decorate(target: _Target) -> _Target:
        listed = of if of is not None else typing.cast(type, target)
        lines = [f"{item.name}: {item.help}." for item in options_of(listed)]
        text = (target.__doc__ or "").rstrip()
        if of is None:
            target.__doc__ = "\n    ".join([f"{text}\n\n    Attributes:", *(f"    {line}" for line in lines)]) + "\n"
        else:
            before, mark, after = text.partition("    Returns:\n")
            arguments = "\n    ".join(["    Args:", *(f"    {line}" for line in lines)])
            target.__doc__ = f"{before}{arguments}\n\n{mark}{after}\n"
        return target

    return decorate
