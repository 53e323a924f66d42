"""Samples as every stage sees them: a stream that can be read again, always in the same order."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from tfcompress.cache.fingerprints import fingerprint
from tfcompress.data.class_folders import class_numbers
from tfcompress.errors import DataError, one_line
from tfcompress.tensor_info import TRIED_SIZE, TensorInfo, have_open_sizes, same_names

__all__ = ["BATCH_BYTES", "Batch", "Sample", "Samples", "Source"]

BATCH_BYTES = 512 << 20
"""Of all tensors of the samples that are computed at once."""
BOX_COLUMNS = (4, 5, 6)  # of a table of boxes among the labels: corners, class, crowd


@dataclass(frozen=True)
class Sample:
    """One raw sample, before preprocessing and without a batch dimension.

    Attributes:
        inputs: by model input name, or positional when the source does not know names.
        labels: by output name or positional; empty without labels.
    """

    inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray]
    labels: Mapping[str, np.ndarray] | Sequence[np.ndarray] = ()


@dataclass(frozen=True)
class Batch:
    """Consecutive samples, ready for a model.

    Attributes:
        start: index of the first sample in the stream.
        inputs: {input name: array, batch first, of the input's dtype}.
        labels: {output name: array, batch first}; empty without labels.
    """

    start: int
    inputs: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


class Source(Protocol):
    """Where raw samples come from: one implementation a data format.

    One whose samples lie in arrays also has ``stacked()``, all of them as one `Sample` with the sample dimension first.
    """

    @property
    def name(self) -> str:
        """For messages: the path or ``package.module:function``."""
        ...

    @property
    def count(self) -> int | None:
        """Number of samples, or None when only a full pass would tell."""
        ...

    @property
    def sha256(self) -> str | None:
        """Hash of the bytes behind the samples, or None when there are none (a function)."""
        ...

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """A fresh pass in a fixed order over all samples, or only over those at `indices` (ascending)."""
        ...


@dataclass(frozen=True)
class Samples:
    """A `Source` bound to a model's inputs: named, preprocessed, checked and batched.

    Attributes:
        source: where the raw samples come from.
        inputs: the model's inputs.
        outputs: the model's outputs; labels are named after them.
        preprocess: applied to each raw input array (float32 of values as stored) before the model sees it.
        limit: use only the first so many samples; None means all.
        indices: use only the samples at these positions of the source, ascending; None means all.
        content: a fingerprint of all that the source gives and `preprocess` makes of it; None where nobody took it.
        class_names: what the classes are called, in the model's order; empty where nobody said.
        sample_bytes: what all tensors of one sample take in the model, see `FloatModel`; 0 where nobody knows.
    """

    source: Source
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    preprocess: Callable[[np.ndarray], np.ndarray] | None = None
    limit: int | None = None
    indices: tuple[int, ...] | None = None
    content: str | None = None
    class_names: tuple[str, ...] = ()
    sample_bytes: int = 0

    @property
    def identity(self) -> str | None:
        """A fingerprint of these very samples; None where `content` is not known."""
        return None if self.content is None else fingerprint(self.content, self.limit, self.indices, self.class_names)

    @property
    def name(self) -> str:
        """For messages and reports."""
        return self.source.name

    @property
    def count(self) -> int | None:
        """Number of samples this stream gives, or None when only a pass would tell."""
        total = self.source.count if self.indices is None else len(self.indices)
        if total is None or self.limit is None:
            return total
        return min(total, self.limit)

    @property
    def sha256(self) -> str:
        """Hash of the source's bytes, or of the samples themselves when there are no bytes behind them."""
        of_source = self.source.sha256
        if of_source is not None:
            return of_source
        digest = hashlib.sha256()
        for batch in self.batches(64):
            for name in sorted(batch.inputs):
                digest.update(np.ascontiguousarray(batch.inputs[name]).tobytes())
        return digest.hexdigest()

    def take(self, limit: int) -> Samples:
        """The first `limit` samples."""
        return replace(self, limit=limit if self.limit is None else min(limit, self.limit))

    def spread(self, limit: int) -> Samples:
        """At most `limit` samples, spread evenly over the stream where its length is known, else the first ones.

        Data is often sorted by class, so its first samples would calibrate for one class only.
        """
        total = self.count
        if total is None or total <= limit:
            return self.take(limit)
        positions = np.linspace(0, total - 1, limit).round().astype(int).tolist()
        return self.select(positions if self.indices is None else [self.indices[i] for i in positions])

    def select(self, indices: Sequence[int]) -> Samples:
        """Only the samples at `indices` of the source; they come in ascending order."""
        return replace(self, indices=tuple(sorted(indices)), limit=None)

    def measured(self, sample_bytes: int) -> Samples:
        """The same with what their tensors take; reads a sample where the model leaves sizes open.

        Args:
            sample_bytes: see `FloatModel`.
        """
        if sample_bytes and have_open_sizes(self.inputs):
            first = next(self.take(1).batches(1)).inputs
            assumed = sum(math.prod(info.sizes(TRIED_SIZE)) for info in self.inputs)
            sample_bytes = sample_bytes * sum(value.size for value in first.values()) // assumed
        return replace(self, sample_bytes=sample_bytes)

    @property
    def most_at_once(self) -> int | None:
        """Samples whose tensors take `BATCH_BYTES`, at least one; None where nobody knows what they take."""
        return max(1, BATCH_BYTES // self.sample_bytes) if self.sample_bytes else None

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """A fresh pass in batches; the last one may be smaller.  Memory holds one batch.

        Args:
            batch_size: samples in each, at least 1; fewer where `most_at_once` says so.

        Raises:
            DataError: no samples, or a sample of the wrong shape, dtype, or with NaN or infinity.
        """
        start, batch_size = 0, min(batch_size, self.most_at_once or batch_size)
        for batch in self._stacked_batches(batch_size) or self._collected_batches(batch_size):
            yield batch
            start += len(batch)
        if start == 0:
            raise DataError(
                f"{self.name}: no samples, expected at least one; a function must make a new generator at every call"
            )

    def _stacked_batches(self, batch_size: int) -> Iterator[Batch] | None:
        """Batches cut from arrays that are as the model takes them; None where the samples do not lie so."""
        stacked: Callable[[], Sample] | None = getattr(self.source, "stacked", None)
        if self.preprocess is not None or stacked is None:
            return None
        whole = stacked()
        inputs = {}
        for position, info in enumerate(self.inputs):
            array = _given(whole, position, info.name, len(self.inputs))
            if array is None or not _fits(array, info, first=1):
                return None
            inputs[info.name] = array
        return self._cut(inputs, self._labels_of(0, whole), batch_size)

    def _cut(self, inputs: dict[str, np.ndarray], labels: dict[str, np.ndarray], batch_size: int) -> Iterator[Batch]:
        count = self.count or 0
        positions = range(count) if self.indices is None else self.indices
        for start in range(0, count, batch_size):
            chosen = positions[start : min(start + batch_size, count)]
            rows = slice(chosen.start, chosen.stop) if isinstance(chosen, range) else list(chosen)
            batch = Batch(
                start, *({name: np.asarray(array[rows]) for name, array in part.items()} for part in (inputs, labels))
            )
            if not all(np.isfinite(array).all() for array in batch.inputs.values()):
                self._checked_inputs(list(zip(chosen, self.source.samples(chosen), strict=True)))  # says which
            yield batch

    def _collected_batches(self, batch_size: int) -> Iterator[Batch]:
        """Batches of samples that come one by one."""
        positions: Iterable[int] = itertools.count() if self.indices is None else self.indices
        stream = itertools.islice(zip(positions, self.source.samples(self.indices), strict=False), self.limit)
        start = 0
        while chunk := list(itertools.islice(stream, batch_size)):
            labels = [self._labels_of(index, sample) for index, sample in chunk]
            stacked = {
                name: self._stack(_as_long(name, [item.get(name) for item in labels]), start) for name in labels[0]
            }
            yield Batch(start, self._ready_inputs(chunk) or self._checked_inputs(chunk), stacked)
            start += len(chunk)

    def _ready_inputs(self, chunk: Sequence[tuple[int, Sample]]) -> dict[str, np.ndarray] | None:
        """The inputs of samples that are as the model takes them, checked all at once; None where one may not be."""
        ready = {}
        for position, info in enumerate(self.inputs):
            given = [_given(sample, position, info.name, len(self.inputs)) for _, sample in chunk]
            values = [value for value in given if value is not None]
            alike = len(values) == len(chunk) and len({(value.dtype, value.shape) for value in values}) == 1
            if self.preprocess is not None or not alike or not _fits(values[0], info):
                return None
            ready[info.name] = np.stack(values)
            if not np.isfinite(ready[info.name]).all():
                return None
        return ready

    def _checked_inputs(self, chunk: Sequence[tuple[int, Sample]]) -> dict[str, np.ndarray]:
        """The inputs of samples that are checked and brought into form one by one."""
        each = [self._inputs_of(index, sample) for index, sample in chunk]
        return {info.name: self._stack([item[info.name] for item in each], chunk[0][0]) for info in self.inputs}

    def _stack(self, values: Sequence[np.ndarray | None], start: int) -> np.ndarray:
        shapes = {None if value is None else value.shape for value in values}
        if len(shapes) > 1:
            listed = " and ".join("nothing" if shape is None else str(shape) for shape in sorted(shapes, key=str)[:2])
            raise DataError(
                f"{self.name}: samples from {start} on have different shapes, {listed}; bring them to one size"
            )
        return np.stack([value for value in values if value is not None])

    def _inputs_of(self, index: int, sample: Sample) -> dict[str, np.ndarray]:
        where = f"{self.name}: sample {index}"
        given = sample.inputs
        if not isinstance(given, Mapping):
            if len(given) != len(self.inputs):
                raise DataError(f"{where}: got {len(given)} inputs, the model has {len(self.inputs)} ({self._names()})")
            given = {info.name: value for info, value in zip(self.inputs, given, strict=True)}
        names = same_names([info.name for info in self.inputs], list(given))
        given = given if names is None else {name: given[own] for name, own in names.items()}
        ready = {}
        for info in self.inputs:
            if info.name not in given:
                raise DataError(
                    f"{where}: input {info.name!r} is missing, got {', '.join(given)}; the model has {self._names()}"
                )
            ready[info.name] = self._checked_input(info, np.asarray(given[info.name]), where)
        return ready

    def _checked_input(self, info: TensorInfo, value: np.ndarray, where: str) -> np.ndarray:
        wants_text = info.dtype in ("string", "object")
        if value.dtype.kind not in ("OSU" if wants_text else "biuf"):
            wanted = "text" if wants_text else f"numbers for {info.dtype}"
            raise DataError(f"{where}: input {info.name!r} has dtype {value.dtype}, expected {wanted}")
        if self.preprocess is not None and not wants_text:
            value = self._preprocessed(value, where)
        want = info.shape[1:]
        if value.ndim == len(want) - 1 and want[-1] == 1:
            value = value[..., None]  # a grey image or a series without its channel axis
        fits = value.ndim == len(want) and all(w is None or w == got for w, got in zip(want, value.shape, strict=True))
        if not fits:
            raise DataError(
                f"{where}: input {info.name!r} has shape {value.shape}, expected {want}; resize or reshape the data"
            )
        if wants_text:
            return value
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise DataError(
                f"{where}: input {info.name!r} has NaN or infinite values; clean the data or drop the sample"
            )
        dtype = np.dtype(info.dtype if info.dtype != "bfloat16" else "float32")
        if dtype.kind in "iu" and value.dtype.kind == "f" and not np.array_equal(value, np.round(value)):
            raise DataError(f"{where}: input {info.name!r} has fractions, but the model takes {info.dtype}")
        with np.errstate(over="ignore", invalid="ignore"):
            taken = value.astype(dtype)
        fitting = np.isfinite(taken).all() if dtype.kind == "f" else dtype.kind == "b" or np.array_equal(taken, value)
        if not fitting:
            raise DataError(
                f"{where}: input {info.name!r} has values from {value.min()} to {value.max()}, which {dtype} cannot "
                "hold; scale the data"
            )
        return taken

    def _preprocessed(self, value: np.ndarray, where: str) -> np.ndarray:
        assert self.preprocess is not None
        try:
            # A copy: Keras's own functions compute in place, and what lies in a file is read-only.
            value = np.asarray(self.preprocess(np.array(value)))
        except Exception as error:  # the user's own function
            raise DataError(f"{where}: --preprocess failed: {type(error).__name__}: {one_line(error, 200)}") from None
        if value.dtype.kind not in "biuf":
            raise DataError(f"{where}: --preprocess gave {value.dtype}, expected an array of numbers")
        return value

    def _labels_of(self, index: int, sample: Sample) -> dict[str, np.ndarray]:
        given = sample.labels
        where = f"{self.name}: sample {index}"
        if isinstance(given, Mapping):
            names = same_names([info.name for info in self.outputs], list(given)) or {own: own for own in given}
            return {name: self._numbered(np.asarray(given[own]), where) for name, own in names.items()}
        if len(given) > len(self.outputs):
            raise DataError(f"{where}: got {len(given)} labels, the model has {len(self.outputs)} outputs")
        pairs = zip(self.outputs, given, strict=False)
        return {info.name: self._numbered(np.asarray(value), where) for info, value in pairs}

    def _numbered(self, label: np.ndarray, where: str) -> np.ndarray:
        words = self.class_names and label.dtype.kind in "SUO"
        return class_numbers(label, self.class_names, where) if words else label

    def with_numbered_words(self) -> Samples:
        """These samples with words for labels, if there are any, numbered in their sorted order; a pass finds them."""
        first = next(self.take(1).batches(1)).labels
        if not any(value.dtype.kind in "SUO" for value in first.values()):
            return self
        words = {word for batch in self.batches(256) for values in batch.labels.values() for word in values.flat}
        names = sorted(word.decode() if isinstance(word, bytes) else str(word) for word in words)
        return replace(self, class_names=tuple(names))

    def _names(self) -> str:
        return ", ".join(repr(info.name) for info in self.inputs)


def _as_long(name: str, labels: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """Tables of boxes, or their classes, of which images have different numbers, filled up with -1; others as given."""
    tables = [label for label in labels if label is not None and label.dtype.kind in "iuf"]
    boxes = all(table.ndim == 2 and table.shape[1] in BOX_COLUMNS for table in tables)
    if len(tables) < len(labels) or not (boxes or (name == "classes" and all(table.ndim == 1 for table in tables))):
        return labels
    rows = max(len(table) for table in tables)
    fill = [np.full((rows - len(table), *table.shape[1:]), -1, table.dtype) for table in tables]
    if len({table.shape[1:] for table in tables}) > 1:
        return labels
    return [np.concatenate(pair) for pair in zip(tables, fill, strict=True)]


def _given(sample: Sample, position: int, name: str, expected: int) -> np.ndarray | None:
    """A sample's array for an input; None where it is missing or not an array."""
    if isinstance(sample.inputs, Mapping):
        value = sample.inputs.get(name)
    else:
        value = sample.inputs[position] if len(sample.inputs) == expected else None
    return value if isinstance(value, np.ndarray) else None


def _fits(value: np.ndarray, info: TensorInfo, *, first: int = 0) -> bool:
    """Whether an array is as the model's input takes it, from the axis `first` on."""
    shape = value.shape[first:]
    if value.dtype.name != info.dtype or value.dtype.kind not in "biuf" or len(shape) != len(info.shape) - 1:
        return False
    return all(size in (None, have) for size, have in zip(info.shape[1:], shape, strict=True))
