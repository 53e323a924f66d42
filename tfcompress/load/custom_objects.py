"""The user's own layers, losses and functions, which a model file only names."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping

from tfcompress.errors import InputError, one_line

__all__ = ["parse_custom_objects"]


def parse_custom_objects(spec: str | Mapping[str, object] | None) -> dict[str, object]:
    """The dictionary of custom objects that the user gave.

    Args:
        spec: ``package.module:name``, where `name` is a dictionary {name in the file: class or function} or a function
            that returns one; or the dictionary itself; None means none.  The current folder is searched first, as
            ``python -m`` does.

    Raises:
        InputError: the module or the name cannot be found, or it is not such a dictionary.
    """
    if spec is None:
        return {}
    objects = _import(spec) if isinstance(spec, str) else spec
    if not isinstance(objects, Mapping) or not all(isinstance(key, str) for key in objects):
        raise InputError(
            f"--custom_objects={spec}: expected a dictionary {{name: class or function}}, got {type(objects).__name__}"
        )
    return dict(objects)


def _import(spec: str) -> object:
    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute:
        raise InputError(f"--custom_objects={spec}: expected package.module:name, such as my_layers:CUSTOM_OBJECTS")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's module may raise anything while it is imported
        raise InputError(
            f"--custom_objects={spec}: importing {module_name} failed: {type(error).__name__}: {one_line(error)}"
        ) from error
    if not hasattr(module, attribute):
        raise InputError(f"--custom_objects={spec}: the module {module_name} has no {attribute!r}")
    value = getattr(module, attribute)
    return value() if callable(value) else value
