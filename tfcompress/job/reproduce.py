"""The command line that does a conversion again."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from contextvars import ContextVar
from numbers import Real
from pathlib import Path

from tfcompress.job.options import ConvertOptions
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import Option, options_of

__all__ = ["from_memory", "reproduce_command", "why_no_command"]

_from_memory: ContextVar[frozenset[str]] = ContextVar("tfcompress_from_memory", default=frozenset())


@contextlib.contextmanager
def from_memory(*names: str) -> Iterator[None]:
    """Take options for values from memory within the block, though they are paths: of files that will be gone."""
    token = _from_memory.set(frozenset(names))
    try:
        yield
    finally:
        _from_memory.reset(token)


def reproduce_command(options: ConvertOptions) -> str | None:
    """The command line that does a conversion again, with the ``recipe.json`` that the run leaves in its folder.

    Returns:
        The command, for the folder that the conversion ran in; None where `why_no_command` says why.
    """
    words = ["tfcompress", "convert"]
    for item, value in _given(options):
        text = _as_text(item, value)
        if text is None:
            return None
        words.append(text if item.positional else f"--{item.name}" if value is True else f"--{item.name}={text}")
    return shlex.join(words)


def why_no_command(options: ConvertOptions) -> str | None:
    """Why no command line does a conversion again; None where one does."""
    names = [item.name for item, value in _given(options) if _as_text(item, value) is None]
    return f"{', '.join(names)}: given as Python values, which no command line can name" if names else None


def _given(options: ConvertOptions) -> list[tuple[Option, object]]:
    """The options that are not at their defaults, positional ones first."""
    given = []
    for item in sorted(options_of(ConvertOptions), key=lambda item: not item.positional):
        value = getattr(options, item.name)
        if isinstance(value, Recipe):
            value = Path(options.output) / "recipe.json"
        if type(value) is not type(item.default) or value != item.default:  # an array would compare its elements
            given.append((item, value))
    return given


def _as_text(item: Option, value: object) -> str | None:
    """A value as the command line takes it; None where no text can name it."""
    if item.name in _from_memory.get():
        return None
    if isinstance(value, str | Path | Real):
        text = str(value)
        return f"./{text}" if item.positional and text.startswith("-") else text  # no flag
    if isinstance(value, tuple | list) and "," in (item.metavar or ""):
        words = [word.strip() for word in value if isinstance(word, str) and "," not in word and word.strip()]
        return ",".join(words) if len(words) == len(value) else None
    return None
