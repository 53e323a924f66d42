"""Data from Python: ``package.module:function``, a `tf.data.Dataset`, or any iterable of ``x`` or ``(x, y)``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, InputError
from tfcompress.tensor_info import TensorInfo

__all__ = ["FunctionSource", "import_attribute"]


def import_attribute(spec: str, flag: str) -> Any:
    """The object that ``package.module:name`` names; the current folder is searched first, as `python -m` does.

    Raises:
        InputError: the module cannot be imported or has no such name.
    """
    module_name, _, attribute = spec.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
        return getattr(module, attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{flag}={spec}: cannot import it: {error}; expected package.module:name") from None


@dataclass(frozen=True)
class FunctionSource:
    """What a function returns, called anew for every pass.

    Attributes:
        name: for messages.
        function: returns a `tf.data.Dataset` or an iterable of ``x`` or ``(x, y)``; each item is one sample or one
            batch, told apart by the rank of the model's first input.
        inputs: the model's inputs.
    """

    name: str
    function: Callable[[], Iterable[Any]]
    inputs: tuple[TensorInfo, ...]

    @property
    def count(self) -> int | None:
        """Not known without a pass."""
        return None

    @property
    def sha256(self) -> str | None:
        """There are no bytes behind a function."""
        return None

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """One sample at a time, whether the function gives samples or batches."""
        wanted = None if indices is None else frozenset(indices)
        for index, sample in enumerate(self._all()):
            if wanted is None or index in wanted:
                yield sample

    def _all(self) -> Iterator[Sample]:
        try:
            stream = iter(self.function())
        except TypeError as error:
            raise DataError(
                f"{self.name}: cannot be read as data: {error}; return an iterable of x or (x, y)"
            ) from None
        for item in stream:
            x, y = (item[0], item[1]) if isinstance(item, tuple) and len(item) == 2 else (item, None)
            yield from self._rows(_named(x), _named(y) if y is not None else [])

    def _rows(self, x: Any, y: Any) -> Iterator[Sample]:
        first = next(iter(x.values())) if isinstance(x, Mapping) else x[0]
        name = self.inputs[0].name
        rank = (x[name] if isinstance(x, Mapping) and name in x else first).ndim
        if rank != len(self.inputs[0].shape):
            yield Sample(x, y)
            return
        for row in range(len(first)):
            yield Sample(_row(x, row), _row(y, row))


def _named(value: Any) -> Mapping[str, np.ndarray] | list[np.ndarray]:
    """Arrays by name, or in order."""
    if isinstance(value, Mapping):
        return {str(key): np.asarray(item) for key, item in value.items()}
    if isinstance(value, list | tuple) and value and all(hasattr(item, "shape") for item in value):
        return [np.asarray(item) for item in value]
    return [np.asarray(value)]


def _row(values: Any, row: int) -> Any:
    if isinstance(values, Mapping):
        return {name: value[row] for name, value in values.items()}
    return [value[row] for value in values]
