"""``package.module:function`` in a flag, looked at without importing anything of the user's."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tokenize
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder

__all__ = ["why_no_function"]


def why_no_function(text: str) -> str | None:
    """What is certainly wrong with the name of a function.

    Whether the module has such a function shows when it is imported.  Modules that a package makes while it is
    imported, as ``tensorflow.keras``, have no file; so only what cannot be there in any case is refused.

    Args:
        text: expected to be ``package.module:function``.

    Returns:
        The rest of a message; None where nothing is certain.
    """
    module, _, function = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        return "expected package.module:function"
    with _current_folder_first():
        missing = _missing_module(module)
    return None if missing is None else f"no module {missing!r} in the current folder or among the installed packages"


@contextlib.contextmanager
def _current_folder_first() -> Iterator[None]:
    """As when the function is imported; see `data.functions.import_attribute`."""
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def _missing_module(name: str) -> str | None:
    """The first part of a module's name that is certainly not there."""
    parts = name.split(".")
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):  # ValueError: a module that was made without a specification
        return None
    if spec is None:
        return parts[0]
    for end in range(2, len(parts) + 1):
        if not _holds_only_its_files(spec):
            return None
        spec = PathFinder.find_spec(".".join(parts[:end]), spec.submodule_search_locations)
        if spec is None:
            return ".".join(parts[:end])
    return None


def _holds_only_its_files(package: ModuleSpec) -> bool:
    """Whether a package has no other modules than the files in its folder: its code does nothing about modules."""
    if package.submodule_search_locations is None or not package.has_location:
        return package.submodule_search_locations is not None  # a folder without code, or a module that is no package
    try:
        with tokenize.open(str(package.origin)) as source:
            text = source.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return False
    return not any(word in text for word in ("__path__", "modules", "import_hook", "lazy", "Lazy", "meta_path"))
