"""Flags made from the options' own field metadata, and options made from parsed flags."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from tfcompress.recipe import Recipe
from tfcompress.recipe.options import Option, options_of
from tfcompress.recipe.section import Section

__all__ = ["GivenFlag", "add_options", "add_recipe_flags", "given_flags", "options_from", "recipe_from"]

_Options = TypeVar("_Options")


@dataclass(frozen=True)
class GivenFlag:
    """A flag that sets an option of a recipe section.

    Attributes:
        section: class of the section; `Recipe` itself for its own options.
        name: of the option.
        flag: without dashes.
        value: what it was given.
    """

    section: type[Section]
    name: str
    flag: str
    value: object

    def __str__(self) -> str:
        """As it was written."""
        if self.value is True:
            return f"--{self.flag}"
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        return f"--{self.flag}={','.join(map(str, values))}"


def add_options(parser: argparse.ArgumentParser, options: type, title: str = "", several: str = "") -> None:
    """Give the parser a positional or a flag for each option of a command.

    Args:
        parser: of the command.
        options: a dataclass whose fields were made by `recipe.options.option`.
        title: heading of the flags' group in ``--help``; empty puts them in none.
        several: name of a positional that may be given more than once.
    """
    group = parser.add_argument_group(title) if title else parser
    for item in sorted(options_of(options), key=lambda item: not item.positional):
        if item.positional:
            listed = typing.get_origin(item.hint) is tuple
            nargs = "+" if listed or item.name == several else None
            reader = _text if listed else _reader(item.hint)
            parser.add_argument(item.name, type=reader, metavar=item.metavar, help=_escaped(item.help), nargs=nargs)
        elif item.hint is bool:
            group.add_argument(f"--{item.name}", action="store_true", help=_escaped(item.help))
        else:
            group.add_argument(
                f"--{item.name}",
                type=_reader(item.hint),
                default=None if item.required else item.default,
                required=item.required,
                metavar=item.metavar,
                help=_escaped(item.help + _shown_default(item)),
            )


def add_recipe_flags(
    parser: argparse.ArgumentParser, section: type[Section], title: str, names: tuple[str, ...] | None = None
) -> None:
    """Give the parser a group with a flag for each option of a recipe section that has one.

    A flag that was not given is None, so that the recipe file's value stays.

    Args:
        parser: of the command.
        section: class of the section.
        title: heading of the group in ``--help``.
        names: the options that get a flag; None for all that have one.
    """
    group = parser.add_argument_group(title)
    for item in options_of(section):
        if item.flag is None or (names is not None and item.name not in names):
            continue
        text = _escaped(item.help + _shown_default(item))
        if item.hint is bool:
            group.add_argument(f"--{item.flag}", action="store_const", const=True, help=text)
        else:
            group.add_argument(f"--{item.flag}", type=_reader(item.hint), metavar=item.metavar, help=text)


def options_from(parsed: argparse.Namespace, options: type[_Options], **changed: object) -> _Options:
    """The command's options as its dataclass, which checks them.

    Args:
        parsed: what the parser returned.
        options: the dataclass given to `add_options`.
        changed: values that replace the parsed ones.

    Raises:
        InputError: a value is out of range.
    """
    values = {item.name: getattr(parsed, item.name) for item in options_of(options)} | changed
    return options(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def recipe_from(parsed: argparse.Namespace, sections: Sequence[type[Section]]) -> Recipe | None:
    """The recipe file with the flags on top: a flag that was given wins.

    Args:
        parsed: what the parser returned, with ``--recipe``.
        sections: classes of the sections whose flags the command has; `Recipe` itself for its own flags.

    Returns:
        The recipe; None where neither a file nor a flag was given.

    Raises:
        RecipeError: the file cannot be used, or a value is out of range.
    """
    recipe = Recipe.load(parsed.recipe) if parsed.recipe else None
    for section in sections:
        given = {flag.name: getattr(parsed, flag.flag) for flag in given_flags(parsed, [section])}
        if given:
            recipe = recipe or Recipe()
            changed = given if section is Recipe else {section.key: _replaced(recipe, section, given)}
            recipe = dataclasses.replace(recipe, **changed)
    return recipe


def given_flags(parsed: argparse.Namespace, sections: Sequence[type[Section]]) -> list[GivenFlag]:
    """The flags of recipe sections that are on the command line.

    Args:
        parsed: what the parser returned.
        sections: as in `recipe_from`.
    """
    return [
        GivenFlag(section, item.name, item.flag, value)
        for section in sections
        for item in options_of(section)
        if item.flag and (value := getattr(parsed, item.flag, None)) is not None
    ]


def _replaced(recipe: Recipe, section: type[Section], given: dict[str, object]) -> object:
    return dataclasses.replace(getattr(recipe, section.key), **given)


def _escaped(text: str) -> str:
    """As argparse wants it, which formats help texts with ``%``."""
    return text.replace("%", "%%")


def _shown_default(item: Option) -> str:
    default = item.default
    if (
        item.required
        or isinstance(default, bool)
        or not isinstance(default, str | int | float | tuple)
        or default == ()
    ):
        return ""
    text = ",".join(map(str, default)) if isinstance(default, tuple) else default
    return f" (default: {text})"


def _reader(hint: object) -> Callable[[str], object]:
    """What turns a flag's text into a value of the type `hint`; argparse words the error that it raises."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _reader(next(choice for choice in typing.get_args(hint) if choice is not type(None)))
    if origin is tuple:
        inner = _reader(typing.get_args(hint)[0])
        return lambda text: tuple(inner(part.strip()) for part in text.split(",") if part.strip())
    if origin is Literal:
        return _one_of(typing.get_args(hint))
    if hint is int:
        return _number(int, "a whole number")
    if hint is float:
        return _number(float, "a number")
    return _text


def _text(text: str) -> str:
    if not text.strip():  # most often a shell's variable that is not set
        raise argparse.ArgumentTypeError("got nothing, expected a value; leave the flag out to keep the default")
    return text


def _one_of(allowed: tuple[object, ...]) -> Callable[[str], object]:
    def read(text: str) -> object:
        if text not in allowed:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected one of {', '.join(map(str, allowed))}")
        return text

    return read


def _number(kind: type[int] | type[float], expected: str) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected {expected}") from None

    return read
