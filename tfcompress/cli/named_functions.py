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

    Modules that a package makes while it is imported, as ``tensorflow.keras``, have no file, and a module may get its
    functions from elsewhere; so only what cannot be there in any case is refused.  The rest shows at the import.

    Args:
        text: expected to be ``package.module:function``.

    Returns:
        The rest of a message; None where nothing is certain.
    """
    module, _, function = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        return "expected package.module:function"
    with _current_folder_first():
        missing, spec = _resolved(module)
    if missing is not None:
        return f"no module {missing!r} in the current folder or among the installed packages"
    if spec is not None and _never_names(spec, function):
        return f"the module {module} ({spec.origin}) has no {function!r}"
    return None


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


def _resolved(name: str) -> tuple[str | None, ModuleSpec | None]:
    """The first part of a module's name that is certainly not there, and the module's specification where it is."""
    parts = name.split(".")
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):  # ValueError: a module that was made without a specification
        return None, None
    if spec is None:
        return parts[0], None
    for end in range(2, len(parts) + 1):
        if not _holds_only_its_files(spec):
            return None, None
        spec = PathFinder.find_spec(".".join(parts[:end]), spec.submodule_search_locations)
        if spec is None:
            return ".".join(parts[:end]), None
    return None, spec


def _holds_only_its_files(package: ModuleSpec) -> bool:
    """Whether a package has no other modules than the files in its folder: its code does nothing about modules."""
    if package.submodule_search_locations is None or not package.has_location:
        return package.submodule_search_locations is not None  # a folder without code, or a module that is no package
    text = _source(package)
    words = ("__path__", "modules", "import_hook", "lazy", "Lazy", "meta_path")
    return text is not None and not any(word in text for word in words)


def _never_names(module: ModuleSpec, function: str) -> bool:
    """Whether a module's code has the word nowhere, and nothing that makes names that its code does not have."""
    text = _source(module) if module.has_location else None
    makes_names = ("import *", "__getattr__", "globals(", "setattr(", "exec(", "__dict__", "vars(", "modules")
    return text is not None and function not in text and not any(word in text for word in makes_names)


def _source(module: ModuleSpec) -> str | None:
    try:
        with tokenize.open(str(module.origin)) as file:
            return file.read()
    except (OSError, SyntaxError, UnicodeDecodeError):  # compiled, perhaps
        return None
