"""The command line that does a conversion again."""

from __future__ import annotations

import shlex
from pathlib import Path

from tfcompress.job.options import ConvertOptions
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import options_of

__all__ = ["reproduce_command"]


def reproduce_command(options: ConvertOptions) -> str | None:
    """The command line that does a conversion again, with the ``recipe.json`` that the run leaves in its folder.

    Returns:
        The command; None where something came from memory, which no command line can name.
    """
    words = ["tfcompress", "convert"]
    for item in sorted(options_of(ConvertOptions), key=lambda item: not item.positional):
        value = getattr(options, item.name)
        if isinstance(value, Recipe):
            value = Path(options.output) / "recipe.json"
        if type(value) is type(item.default) and value == item.default:  # an array would compare its elements
            continue
        text = _as_text(value)
        if text is None:
            return None
        words.append(text if item.positional else f"--{item.name}" if value is True else f"--{item.name}={text}")
    return shlex.join(words)


def _as_text(value: object) -> str | None:
    """A value as the command line takes it; None where no text can name it."""
    if isinstance(value, str | Path | int | float):
        return str(value)
    if isinstance(value, tuple | list) and all(isinstance(item, str | int) for item in value):
        return ",".join(map(str, value))
    return None
