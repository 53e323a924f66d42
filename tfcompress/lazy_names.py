"""Names of a package that are imported when they are first asked for.

Describing a target and ``--help`` must not bring TensorFlow, and most modules of ours do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence

__all__ = ["lazy_names"]


def lazy_names(package: str, places: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """A package's ``__getattr__`` (PEP 562).

    Args:
        package: its ``__name__``.
        places: {module below the package: names to be had from it}.
    """
    module_of = {name: module for module, names in places.items() for name in names}

    def get(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{module_of[name]}"), name)

    return get
