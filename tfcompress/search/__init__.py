"""The best artifact within a budget: which recipes are tried, how each is judged, and what the search leaves behind.

The public function has this package's name, so the package itself can be called: ``tfcompress.search(model, ...)``.
"""

import importlib
import sys
from types import ModuleType


class _Callable(ModuleType):
    """A package that is called like the function of its name; see `tfcompress.api.search.search`."""

    def __call__(self, *arguments: object, **options: object) -> object:
        return importlib.import_module("tfcompress.api.search").search(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
