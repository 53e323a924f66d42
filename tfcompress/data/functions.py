"""Data from Python: ``package.module:function``, a `tf.data.Dataset`, or any iterable of ``x`` or ``(x, y)``."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.data.fit_forms import in_names, is_array, is_list_of_all, split
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, InputError, TfCompressError, one_line
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
    except Exception as error:  # the user's own module; the cause shows its line
        raise InputError(
            f"{flag}={spec}: importing {module_name} failed: {type(error).__name__}: {one_line(error, 200)}"
        ) from error


_END = object()
ENDLESS = -1  # tf.data.INFINITE_CARDINALITY


@dataclass(frozen=True)
class FunctionSource:
    """What a function returns, called anew for every pass.

    Attributes:
        name: for messages.
        function: returns what `model.fit` takes: arrays of all samples, a `tf.data.Dataset`, a Keras `PyDataset`, a
            loader of PyTorch, or an iterable of ``x``, ``(x, y)`` or ``(x, y, sample_weight)``; each item is one
            sample or one batch, told apart by the rank of the model's first input.
        inputs: the model's inputs.
        outputs: the model's outputs.
    """

    name: str
    function: Callable[[], Iterable[Any]]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...] = ()

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
        if not callable(self.function):
            raise DataError(f"{self.name}: is a {type(self.function).__name__}, expected a function that returns data")
        with self._explained():
            data = self.function()
        self._refuse_endless(data)
        try:
            stream = iter([data]) if self._is_whole(data) else _in_order(data)
        except TypeError as error:
            raise DataError(
                f"{self.name}: cannot be read as data: {error}; return an iterable of x or (x, y)"
            ) from None
        for item in self._items(stream):
            x, y = split(item, self.inputs, self.outputs)
            labels = [] if y is None else in_names(y, self.outputs, f"{self.name}: labels")
            yield from self._rows(in_names(x, self.inputs, self.name), labels)

    def _is_whole(self, data: Any) -> bool:
        """Whether the function returned arrays of all samples at once, rather than what gives them piece by piece."""
        if isinstance(data, Mapping):
            return bool(data)
        if is_list_of_all(data, self.inputs):
            return True
        if not isinstance(data, tuple) or not data or not _is_of_arrays(data[0]):
            return False
        flat = len(self.inputs) > 1 and is_array(data[0])
        if not flat and len(data) > 3:
            return False
        x, y = split(data if flat else data[:2], self.inputs, self.outputs)
        inputs = _listed(in_names(x, self.inputs, self.name))
        if not flat and len(inputs) != len(self.inputs):
            return False
        if not all(map(_is_batch, inputs[:1], self.inputs)):
            return False
        labels = [] if y is None else _listed(in_names(y, self.outputs, f"{self.name}: labels"))
        if len({np.shape(value)[:1] for value in (*inputs, *labels)}) != 1:
            return False
        return flat or _sample_shapes(inputs) != _sample_shapes(labels) or self._are_targets(data, inputs, labels)

    def _are_targets(self, data: tuple[Any, ...], inputs: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> bool:
        """Whether labels that look like inputs are labels, as an autoencoder's are, and not the next batch."""
        if len(data) == 3 and data[2] is not None:
            third = _listed(in_names(data[2], self.outputs, f"{self.name}: weights"))
            if _sample_shapes(third) == _sample_shapes(inputs):
                return False
        if data[0] is data[1] or all(x is y for x, y in zip(inputs, labels, strict=True)):
            return True
        return len(labels) == len(self.outputs) and all(map(_is_label_of, labels, self.outputs))

    def _items(self, stream: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self._explained():
                item = next(stream, _END)
            if item is _END:
                return
            yield item

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """What the user's own code raises is said in one line; its traceback stays behind it as the cause."""
        try:
            yield
        except TfCompressError:
            raise
        except Exception as error:
            raise DataError(
                f"{self.name}: the function failed: {type(error).__name__}: {one_line(error, 200)}; expected one that "
                "needs no arguments and returns an iterable of x or (x, y)"
            ) from error

    def _refuse_endless(self, data: object) -> None:
        """A `tf.data.Dataset` behind ``repeat()``, which `model.fit` takes with ``steps_per_epoch``, has no end."""
        cardinality = getattr(data, "cardinality", None)
        if callable(cardinality) and np.array_equal(np.asarray(cardinality()), ENDLESS):
            raise DataError(
                f"{self.name}: the dataset repeats for ever, and every sample is read; give it without .repeat(), or "
                "with .take(NUMBER)"
            )

    def _rows(self, x: Any, y: Any) -> Iterator[Sample]:
        if not x:
            raise DataError(f"{self.name}: an item has no inputs, expected an array for each input of the model")
        info = self.inputs[0]
        value = x[info.name] if isinstance(x, Mapping) and info.name in x else _listed(x)[0]
        if not _is_batch(value, info):
            yield Sample(x, y)
            return
        shapes = [array.shape for array in (*_listed(x), *_listed(y))]
        if any(shape[:1] != value.shape[:1] for shape in shapes):
            raise DataError(
                f"{self.name}: arrays of the same samples have shapes {', '.join(map(str, shapes))}; expected as many "
                "samples in each"
            )
        for row in range(len(value)):
            yield Sample(_row(x, row), _row(y, row))


def _is_of_arrays(value: object) -> bool:
    """Whether a value is an array, or a list, tuple or dict of arrays."""
    if isinstance(value, Mapping):
        return all(map(is_array, value.values()))
    return is_array(value) or (isinstance(value, list | tuple) and all(map(is_array, value)))


def _listed(values: Mapping[str, np.ndarray] | Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays of what `in_names` gives."""
    return list(values.values()) if isinstance(values, Mapping) else list(values)


def _sample_shapes(values: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
    return [value.shape[1:] for value in values]


def _is_label_of(value: np.ndarray, output: TensorInfo) -> bool:
    """Whether the samples of an array have an output's shape, or that of numbers of classes along its last axis."""
    sizes = output.shape[1:]
    return any(
        len(shape) == value.ndim - 1
        and all(size in (None, given) for size, given in zip(shape, value.shape[1:], strict=True))
        for shape in (sizes, sizes[:-1], (*sizes[:-1], 1))
    )


def _in_order(data: Any) -> Iterator[Any]:
    """The items of an iterable, or of something with a length and items by number, as a `PyDataset` is."""
    by_number = hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, Mapping)
    if by_number and not hasattr(data, "__iter__"):
        return (data[index] for index in range(len(data)))
    return iter(data)


def _is_batch(value: np.ndarray, info: TensorInfo) -> bool:
    """Whether an array has one more dimension than a sample; one of size 1 at its end may be left out."""
    if value.ndim != len(info.shape) - 1 or info.shape[-1] != 1:
        return value.ndim == len(info.shape)
    want, have = info.shape[1:], value.shape
    fits = all(size in (None, given) for size, given in zip(want, have, strict=True))
    without = all(size in (None, given) for size, given in zip(want[:-1], have[1:], strict=True))
    return without and not fits


def _row(values: Any, row: int) -> Any:
    if isinstance(values, Mapping):
        return {name: value[row] for name, value in values.items()}
    return [value[row] for value in values]
