"""Texts with places for what differs from model to model: ``samples/NAME.md``, with places written ``@NAME@``."""

from __future__ import annotations

import re
from importlib import resources

from tfcompress.errors import one_line

__all__ = ["cell", "page", "sample"]

_PLACE = re.compile(r"@([a-z_]+)@")


def sample(name: str, /, **values: object) -> str:
    """A section of a page.

    Args:
        name: of the file in `samples`, without its ending.
        values: {place: what stands there}; several lines take the place's indentation.

    Raises:
        KeyError: the text has a place without a value.
        ValueError: a value has no place in it.
    """
    text = (resources.files("tfcompress.converters.usage") / "samples" / f"{name}.md").read_text(encoding="utf-8")
    unused = set(values) - set(_PLACE.findall(text))
    if unused:
        raise ValueError(f"samples/{name}.md has no place for {', '.join(sorted(unused))}")
    return "\n".join(_filled(line, values) for line in text.rstrip().split("\n"))


def _filled(line: str, values: dict[str, object]) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return _PLACE.sub(lambda result: str(values[result[1]]).replace("\n", f"\n{indent}"), line)


def cell(name: str) -> str:
    """A name out of a model as code in a line of a table, whatever characters it has."""
    return "`{}`".format(one_line(name, 120).replace("`", "'").replace("|", "¦"))


def page(title: str, *sections: str | None) -> str:
    """A page of the sections that there are."""
    return "\n\n".join([f"# {title}", *(section.strip("\n") for section in sections if section)]) + "\n"
