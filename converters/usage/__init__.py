"""USE.md: how an artifact is used, with the names, shapes, types, scales and labels of this very model.

`ports` reads what a sample has to know out of the file; `languages` writes the lines that differ from model to model,
and `pages` puts them into the texts of `samples/`.  Each target says which samples its page has.
"""

from typing import TYPE_CHECKING

from tfcompress.lazy_names import lazy_names

if TYPE_CHECKING:
    from tfcompress.converters.usage.pages import page, sample
    from tfcompress.converters.usage.ports import Port, Ports, ports_of

__all__ = ["Port", "Ports", "page", "ports_of", "sample"]

__getattr__ = lazy_names(__name__, {"pages": ["page", "sample"], "ports": ["Port", "Ports", "ports_of"]})
