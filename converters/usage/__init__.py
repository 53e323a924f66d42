"""USE.md: how an artifact is used, with the names, shapes, types, scales and labels of this very model.

`ports` reads what a sample has to know out of the file; `languages` writes the lines that differ from model to model,
and `pages` puts them into the texts of `samples/`.  Each target says which samples its page has.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfcompress.converters.usage.pages import page, sample
    from tfcompress.converters.usage.ports import Port, Ports, ports_of

__all__ = ["Port", "Ports", "page", "ports_of", "sample"]

_PLACES = {"Port": "ports", "Ports": "ports", "page": "pages", "ports_of": "ports", "sample": "pages"}


def __getattr__(name: str) -> object:
    """Modules are imported when they are asked for: `ports` brings LiteRT, which the page of a SavedModel needs not."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{place}"), name)
