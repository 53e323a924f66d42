"""The sections of a recipe that belong to targets: the table of targets says which there are.

A target's section lives with the target, and recipes are below targets and must not import them.  So the package says
here, when it is imported, where a recipe can ask; nothing is imported before one does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcompress.recipe.section import Section

__all__ = ["Sections", "target_sections", "use_target_sections"]

Sections = Mapping[str, "type[Section]"]  # {key in a recipe: class}

_ask: Callable[[], Sections] = dict


def use_target_sections(ask: Callable[[], Sections]) -> None:
    """Ask this function, from now on, which sections belong to targets; it is called when a recipe has one."""
    global _ask
    _ask = ask


def target_sections() -> Sections:
    """{key in a recipe: class} of the sections that belong to targets."""
    return _ask()
