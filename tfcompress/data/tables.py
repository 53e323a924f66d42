"""`.csv` files: one sample a row, numbers in the columns, the label in one of them."""

from __future__ import annotations

import csv
import gzip
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from tfcompress.data.files import sha256_of_file
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError
from tfcompress.tensor_info import TensorInfo

__all__ = ["CsvSource", "open_csv"]


@dataclass(frozen=True)
class CsvSource:
    """A table of numbers.

    Attributes:
        path: the file; a name ending in .gz is unpacked while reading.
        has_header: the first row holds names.
        label: column of the label, or None.
        classes: the sorted distinct labels when they are words; empty when they are numbers.
        shape: of one sample; the columns are filled into it in order.
        rows: number of samples.
    """

    path: Path
    has_header: bool
    label: int | None
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    rows: int

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.rows

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return sha256_of_file(self.path)

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """One sample a row, float32."""
        wanted = None if indices is None else frozenset(indices)
        with _open(self.path) as stream:
            rows = csv.reader(stream)
            if self.has_header:
                next(rows)
            for index, row in enumerate(row for row in rows if row):
                if wanted is None or index in wanted:
                    yield self._sample(index, row)

    def _sample(self, index: int, row: list[str]) -> Sample:
        cells = [cell for column, cell in enumerate(row) if column != self.label]
        try:
            values = np.array(cells, np.float32)
        except ValueError as error:
            raise DataError(f"{self.path}: row {index + 1}: {error}; expected numbers in every input column") from None
        if values.size != int(np.prod(self.shape)):
            raise DataError(f"{self.path}: row {index + 1}: {values.size} input columns, the model takes {self.shape}")
        if self.label is not None and self.label >= len(row):
            raise DataError(f"{self.path}: row {index + 1}: has no column {self.label}, where the label is expected")
        labels = [] if self.label is None else [self._label(row[self.label])]
        return Sample([values.reshape(self.shape)], labels)

    def _label(self, cell: str) -> np.ndarray:
        if self.classes:
            return np.asarray(self.classes.index(cell.strip()), np.int64)
        number = float(cell)
        return np.asarray(int(number) if number.is_integer() else number)


def open_csv(path: Path, inputs: Sequence[TensorInfo], label_column: str | None) -> CsvSource:
    """A `.csv`; one pass finds its header, its labels and its length.

    Args:
        path: the file.
        inputs: the model's inputs.
        label_column: a name or a number (0 first, -1 last); None means the last one when there is one column more
            than the model takes, and no label otherwise.

    Raises:
        DataError: no rows, a model with several inputs, or no such column.
    """
    if len(inputs) != 1:
        raise DataError(f"{path}: a .csv feeds one input, the model has {len(inputs)}; give an .npz")
    shape = tuple(size or 1 for size in inputs[0].shape[1:])
    try:
        with _open(path) as stream:
            rows = (row for row in csv.reader(stream) if row)
            first = next(rows, None)
            if first is None:
                raise DataError(f"{path}: is empty, expected rows of numbers")
            label = _label_index(path, first, int(np.prod(shape)), label_column)
            has_header = _is_header(first, label)
            words, count = _labels_in(rows if has_header else itertools.chain([first], rows), label)
    except (OSError, UnicodeDecodeError, csv.Error, EOFError) as error:
        raise DataError(f"{path}: not a readable .csv: {error}") from None
    if count == 0:
        raise DataError(f"{path}: no samples below the header, expected at least one row")
    return CsvSource(path, has_header, label, words, shape, count)


def _open(path: Path) -> IO[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    return opener(path, "rt", encoding="utf-8", newline="")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_header(first: list[str], label: int | None) -> bool:
    return not any(_is_number(cell) for column, cell in enumerate(first) if column != label)


def _label_index(path: Path, first: list[str], features: int, wanted: str | None) -> int | None:
    columns = len(first)
    if wanted is None:
        return columns - 1 if columns == features + 1 else None
    if wanted in first:
        return first.index(wanted)
    try:
        index = range(columns)[int(wanted)]
    except (ValueError, IndexError):
        raise DataError(
            f"{path}: --label_column={wanted}: no such column, expected a header's name or a number below {columns}"
        ) from None
    return index


def _labels_in(rows: Iterator[list[str]], label: int | None) -> tuple[tuple[str, ...], int]:
    """(sorted distinct labels if any is not a number, number of rows)."""
    words: set[str] = set()
    numeric = True
    count = 0
    for row in rows:
        count += 1
        if label is not None and label < len(row):
            cell = row[label].strip()
            numeric = numeric and _is_number(cell)
            if len(words) < 100_000:
                words.add(cell)
    return (() if numeric else tuple(sorted(words))), count
