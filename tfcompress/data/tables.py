"""`.csv` files: one sample a row, numbers in the columns, the label in one of them."""

from __future__ import annotations

import csv
import gzip
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from tfcompress.data.class_folders import class_number
from tfcompress.data.files import ARCHIVE_ERRORS
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, one_line
from tfcompress.file_hashes import sha256_of_file
from tfcompress.tensor_info import TensorInfo

__all__ = ["CsvSource", "open_csv"]

LONGEST_LINE = 1 << 26  # characters
MOST_RATIO, LEAST_BOMB = 200, 1 << 30  # what a .gz may unpack to: so many times its size, or so many characters
MOST_CLASSES = 100_000
LARGEST_LABEL = 2.0**53
LEAST_NUMBERED = 4  # columns; the first row of few may be 0, 1, 2 by chance
_NO_LABEL = frozenset({"na", "n/a", "nan", "null", "none", "?", "-", "inf", "-inf", "infinity", "-infinity"})


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
        rows = _rows(self.path)
        if self.has_header:
            next(rows)
        for index, row in enumerate(rows):
            if wanted is None or index in wanted:
                yield self._sample(index, row)

    def _sample(self, index: int, row: list[str]) -> Sample:
        where = f"{self.path}: row {index + 1}"
        cells = [cell for column, cell in enumerate(row) if column != self.label]
        try:
            values = np.array(cells, np.float32)
        except ValueError:
            raise DataError(f"{where}: {_why_no_numbers(row, self.label)}") from None
        if values.size != math.prod(self.shape):
            hint = _other_delimiter(row)
            raise DataError(f"{where}: {values.size} input columns, the model takes {self.shape}{hint}")
        if self.label is not None and self.label >= len(row):
            raise DataError(f"{where}: has no column {self.label}, where the label is expected")
        labels = [] if self.label is None else [self._label(row[self.label])]
        return Sample([values.reshape(self.shape)], labels)

    def _label(self, cell: str) -> np.ndarray:
        if self.classes:
            return np.asarray(self.classes.index(cell.strip()), np.int64)
        number = float(cell.strip())
        return np.asarray(int(number) if number.is_integer() and abs(number) < LARGEST_LABEL else number)


def open_csv(
    path: Path, inputs: Sequence[TensorInfo], label_column: str | None, *, class_names: Sequence[str] = ()
) -> CsvSource:
    """A `.csv`; one pass finds its header, its labels and its length.

    Args:
        path: the file.
        inputs: the model's inputs.
        label_column: a name or a number (0 first, -1 last); None means the last one when there is one column more
            than the model takes, and no label otherwise.
        class_names: what words in the label column are numbered by; empty takes their sorted order.

    Raises:
        DataError: no rows, a model with several inputs, or no such column.
    """
    if len(inputs) != 1:
        raise DataError(f"{path}: a .csv feeds one input, the model has {len(inputs)}; give an .npz")
    shape = inputs[0].sizes()
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: is empty, expected rows of numbers")
    label = _label_index(path, first, math.prod(shape), label_column)
    has_header = _is_header(first, label)
    words, count = _labels_in(path, rows if has_header else itertools.chain([first], rows), label)
    for word in words if class_names else ():
        class_number(word, class_names, f"{path}: column {label}")
    words = tuple(class_names) if words and class_names else words
    if count == 0:
        hint = _other_delimiter(first)
        raise DataError(f"{path}: no samples below the header, expected at least one row{hint}")
    return CsvSource(path, has_header, label, words, shape, count)


def _rows(path: Path) -> Iterator[list[str]]:
    """The rows that are not empty.

    Raises:
        DataError: not text, or damaged.
    """
    try:
        with _open(path) as stream:
            yield from (row for row in csv.reader(_lines(path, stream)) if row)
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; save it with that encoding") from None
    except (csv.Error, *ARCHIVE_ERRORS) as error:
        raise DataError(f"{path}: not a readable .csv: {one_line(error, 160)}") from None


def _open(path: Path) -> IO[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    return cast(IO[str], opener(path, "rt", encoding="utf-8-sig", newline=""))  # -sig: Excel writes a mark at the start


def _lines(path: Path, stream: IO[str]) -> Iterator[str]:
    most, seen = max(LEAST_BOMB, MOST_RATIO * path.stat().st_size), 0
    while line := stream.readline(LONGEST_LINE):
        seen += len(line)
        if len(line) == LONGEST_LINE or seen > most:
            raise csv.Error(f"a line of {LONGEST_LINE} characters, or unpacked more than {MOST_RATIO} times its size")
        yield line


def _why_no_numbers(row: list[str], label: int | None) -> str:
    """What keeps a row's input cells from being numbers, and the remedy."""
    cells = [(column, cell) for column, cell in enumerate(row) if column != label]
    column, cell = next((each for each in cells if not _is_number(each[1])), cells[0])
    where = f"column {column}"
    if hint := _other_delimiter(row):
        return f"{where}: {cell!r} is no number{hint}"
    if re.fullmatch(r"\s*[+-]?\d+,\d+\s*", cell):
        return f"{where}: {cell!r} has a decimal comma, expected a point; in pandas: read_csv(..., decimal=',')"
    if not cell.strip():
        return f"{where}: is empty, expected a number; fill it or drop the row"
    return f"{where}: {cell!r} is no number; expected numbers in every input column"


def _other_delimiter(row: list[str]) -> str:
    """A remark where cells look as if another delimiter stood between them; empty where they do not."""
    for delimiter, name in {";": "';'", "\t": "a tab", "|": "'|'"}.items():
        if any(delimiter in cell for cell in row):
            remedy = f"in pandas: read_csv(..., sep={delimiter!r}" + (", decimal=','" if delimiter == ";" else "")
            return f": columns are separated by {name}, expected ','; {remedy}).to_csv(..., index=False)"
    return ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_header(first: list[str], label: int | None) -> bool:
    """Whether the first row holds names, or the numbers of the columns from 0, which are pandas's names for them."""
    numbered = [cell == str(column) for column, cell in enumerate(first) if column != label]
    if len(numbered) >= LEAST_NUMBERED and all(numbered):
        return True
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


def _labels_in(path: Path, rows: Iterator[list[str]], label: int | None) -> tuple[tuple[str, ...], int]:
    """(sorted distinct labels if they are words, number of rows).

    Raises:
        DataError: a label is missing, which would give every class behind it another number.
    """
    words: dict[str, int] = {}  # the row in which each was seen first
    count = 0
    for row in rows:
        count += 1
        if label is not None and label < len(row):
            cell = row[label].strip()
            if not cell:
                raise DataError(f"{path}: row {count}, column {label}: the label is empty; fill it or drop the row")
            if len(words) < MOST_CLASSES:
                words.setdefault(cell, count)
    numbers = [word for word in words if _is_number(word)]
    missing = [word for word in words if word.lower() in _NO_LABEL and (numbers or _is_number(word))]
    if missing:
        raise DataError(
            f"{path}: row {words[missing[0]]}, column {label}: the label is {missing[0]!r}, expected a class or a "
            "number; fill it or drop the row"
        )
    return (() if len(numbers) == len(words) else tuple(sorted(words))), count
