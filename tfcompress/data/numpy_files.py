"""`.npz` and `.npy` files, read row by row, never unpickled.

An `.npz` is a zip of `.npy` members.  Each member is a header (format description: numpy.lib.format, "Format Version
1.0") and then the rows; a C-ordered member can therefore be streamed straight out of the zip, compressed or not.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from tfcompress.data.arrays import ArraySource, named_sample
from tfcompress.data.files import ARCHIVE_ERRORS
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, one_line
from tfcompress.file_hashes import sha256_of_file
from tfcompress.tensor_info import same_names

__all__ = ["NpzSource", "open_npy", "open_npz"]


MOST_ROW_BYTES = 1 << 30  # one sample
MOST_RATIO, LEAST_BOMB = 200, 1 << 30  # what the arrays may unpack to: so many times the file's size, or so many bytes
_SKIPPED_AT_ONCE = 1 << 20
# What numpy's reader of headers, which parses Python text, may raise for one that is damaged.
_HEADER_ERRORS = (
    *ARCHIVE_ERRORS,
    SyntaxError,
    TypeError,
    AttributeError,
    RecursionError,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def _read_header(stream: IO[bytes], where: str) -> _Header:
    """The header of a .npy stream, which is left at the first row."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        sizes = tuple(int(size) for size in shape)
    except _HEADER_ERRORS as error:
        raise DataError(f"{where}: not a .npy array: {one_line(error, 160)}") from None
    if dtype.hasobject:
        raise DataError(f"{where}: holds pickled Python objects, expected numbers; save it with plain numeric arrays")
    if not shape:
        raise DataError(f"{where}: is a single number, expected samples along the first dimension")
    if fortran and len(shape) > 1:
        raise DataError(f"{where}: is in Fortran order and cannot be streamed; save np.ascontiguousarray(array)")
    header = _Header(sizes, dtype)
    if min(sizes) < 0 or not 0 < header.row_bytes <= MOST_ROW_BYTES:
        raise DataError(
            f"{where}: says that it has shape {sizes} and dtype {dtype}; expected samples of 1 byte to 1 GiB each"
        )
    return header


@dataclass(frozen=True)
class NpzSource:
    """A `.npz` file whose arrays hold one sample a row.

    Attributes:
        path: the file.
        inputs: {member name: header} of the arrays that are inputs.
        labels: the same of those that are labels.
    """

    path: Path
    inputs: Mapping[str, _Header]
    labels: Mapping[str, _Header]

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def count(self) -> int:
        """Number of rows."""
        return next(iter(self.inputs.values())).shape[0]

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return sha256_of_file(self.path)

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """One sample a row, read from the zip as it is asked for."""
        with ExitStack() as stack:
            rows = {name: self._rows(stream, name, indices) for name, stream in self._opened(stack).items()}
            for values in zip(*rows.values(), strict=True):
                row = dict(zip(rows, values, strict=True))
                yield named_sample({name: row[name] for name in self.inputs}, {name: row[name] for name in self.labels})

    def _opened(self, stack: ExitStack) -> dict[str, IO[bytes]]:
        try:
            archive = stack.enter_context(zipfile.ZipFile(self.path))
            names = (*self.inputs, *self.labels)
            return {name: stack.enter_context(archive.open(f"{name}.npy")) for name in names}
        except ARCHIVE_ERRORS as error:
            raise DataError(f"{self.path}: not a readable .npz: {one_line(error, 160)}") from None

    def _rows(self, stream: IO[bytes], name: str, indices: Sequence[int] | None) -> Iterator[np.ndarray]:
        where = f"{self.path}: array {name!r}"
        header = _read_header(stream, where)
        place = 0
        for row in range(header.shape[0]) if indices is None else sorted(frozenset(indices)):
            try:
                _skip(stream, (row - place) * header.row_bytes)
                data = stream.read(header.row_bytes)
            except ARCHIVE_ERRORS as error:
                raise DataError(f"{where}: row {row} cannot be read: {one_line(error, 160)}; it is damaged") from None
            if len(data) != header.row_bytes:
                raise DataError(f"{where}: ends before row {row} of {header.shape[0]}; the file is cut off")
            place = row + 1
            yield np.frombuffer(data, header.dtype).reshape(header.shape[1:])


def _skip(stream: IO[bytes], size: int) -> None:
    while size > 0 and (skipped := len(stream.read(min(size, _SKIPPED_AT_ONCE)))):
        size -= skipped


def open_npz(path: Path, input_names: Collection[str], output_names: Collection[str]) -> NpzSource:
    """An `.npz` with arrays named ``x`` and ``y``, or after the model's inputs and outputs.

    Raises:
        DataError: not an .npz, pickled members, no usable names, or different numbers of rows.
    """
    members = _member_names(path)
    unlabelled = [name for name in members if name not in output_names and name != "y"]
    own_names = same_names(list(input_names), unlabelled) or {name: name for name in input_names}
    chosen = [name for name in own_names.values() if name in members]
    if not chosen and "x" in members and len(input_names) == 1:
        chosen = ["x"]
    if len(chosen) != len(input_names):
        raise DataError(
            f"{path}: has arrays {', '.join(members)}, expected {' and '.join(input_names)} or, for one input, x"
        )
    labels = [name for name in output_names if name in members and name not in chosen]
    if not labels and "y" in members and "y" not in chosen:
        labels = ["y"]
    headers = _headers(path, (*chosen, *labels))  # of these alone: what else lies in the file may be of any kind
    sizes = {name: header.shape[0] for name, header in headers.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{path}: arrays have different numbers of rows: {sizes}")
    return NpzSource(path, {name: headers[name] for name in chosen}, {name: headers[name] for name in labels})


def _member_names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            names = list(dict.fromkeys(name[:-4] for name in archive.namelist() if name.endswith(".npy")))
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: not a readable .npz: {one_line(error, 160)}") from None
    if unpacked > max(LEAST_BOMB, MOST_RATIO * path.stat().st_size):
        raise DataError(
            f"{path}: unpacks to {unpacked} bytes, more than {MOST_RATIO} times its size; if it is sound, "
            "save it with numpy.savez, uncompressed"
        )
    if not names:
        raise DataError(f"{path}: holds no arrays, expected x (and y)")
    return names


def _headers(path: Path, names: Sequence[str]) -> dict[str, _Header]:
    try:
        with zipfile.ZipFile(path) as archive:
            headers = {}
            for name in names:
                with archive.open(f"{name}.npy") as stream:
                    headers[name] = _read_header(stream, f"{path}: array {name!r}")
            return headers
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: not a readable .npz: {one_line(error, 160)}") from None


def open_npy(path: Path) -> ArraySource:
    """A `.npy` file of inputs, mapped into memory and never read whole.

    Raises:
        DataError: not a .npy, or pickled.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _HEADER_ERRORS as error:
        raise DataError(f"{path}: not a readable .npy array of numbers: {one_line(error, 160)}") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path}: is an .npz file; rename it to {path.with_suffix('.npz').name}")
    if array.ndim == 0:
        raise DataError(f"{path}: is a single number, expected samples along the first dimension")
    if array.size == 0 and len(array):
        raise DataError(f"{path}: has shape {array.shape}, expected samples that are not empty")
    return ArraySource(str(path), {"x": array}, {}, sha256_of_file(path))
