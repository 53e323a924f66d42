"""Builders that are one call of a collection's own function."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from benchmarks.zoo.entry import Entry

__all__ = ["attribute", "called", "entries_of"]

Table = dict[str, tuple[str, dict[str, Any]] | Callable[[], Any]]


def attribute(place: str) -> Any:
    """What ``module:name`` names."""
    module, _, path = place.partition(":")
    value: Any = importlib.import_module(module)
    for part in path.split(".") if path else ():
        value = getattr(value, part)
    return value


def called(place: str, /, *arguments: Any, **settings: Any) -> Callable[[], Any]:
    """A builder that calls ``module:name``."""
    return lambda: attribute(place)(*arguments, **settings)


def entries_of(collection: str, table: Table, **common: Any) -> list[Entry]:
    """The entries of a collection from {name: builder, or the place of a function and its arguments}."""
    entries = []
    for name, builder in table.items():
        build = called(builder[0], **builder[1]) if isinstance(builder, tuple) else builder
        entries.append(Entry(collection=collection, name=name, build=build, **common))
    return entries
