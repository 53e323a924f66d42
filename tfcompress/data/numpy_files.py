"""`.npz` and `.npy` files, read row by row, never unpickled.

An `.npz` is a zip of `.npy` members.  Each member is a header (format description: numpy.lib.format, "Format Version
1.0") and then the rows; a C-ordered member can therefore be streamed straight out of the zip, compressed or not.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from tfcompress.data.arrays import ArraySource, named_sample
from tfcompress.data.files import sha256_of_file
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError

__all__ = ["NpzSource", "open_npy", "open_npz"]


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize


def _read_header(stream: IO[bytes], where: str) -> _Header:
    """The header of a .npy stream, which is left at the first row."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        raise DataError(f"{where}: not a .npy array: {error}") from None
    if dtype.hasobject:
        raise DataError(f"{where}: holds pickled Python objects, expected numbers; save it with plain numeric arrays")
    if not shape:
        raise DataError(f"{where}: is a single number, expected samples along the first dimension")
    if fortran and len(shape) > 1:
        raise DataError(f"{where}: is in Fortran order and cannot be streamed; save np.ascontiguousarray(array)")
    return _Header(tuple(shape), dtype)


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
            archive = stack.enter_context(zipfile.ZipFile(self.path))
            rows = {
                name: self._rows(stack.enter_context(archive.open(f"{name}.npy")), name, indices)
                for name in (*self.inputs, *self.labels)
            }
            for values in zip(*rows.values(), strict=True):
                row = dict(zip(rows, values, strict=True))
                yield named_sample({name: row[name] for name in self.inputs}, {name: row[name] for name in self.labels})

    def _rows(self, stream: IO[bytes], name: str, indices: Sequence[int] | None) -> Iterator[np.ndarray]:
        where = f"{self.path}: array {name!r}"
        header = _read_header(stream, where)
        wanted = None if indices is None else frozenset(indices)
        end = header.shape[0] if indices is None else max(indices, default=-1) + 1
        for row in range(end):
            try:
                data = stream.read(header.row_bytes)
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                raise DataError(f"{where}: row {row} cannot be read: {error}; the file is damaged") from None
            if len(data) != header.row_bytes:
                raise DataError(f"{where}: ends in row {row} of {header.shape[0]}; the file is cut off")
            if wanted is None or row in wanted:
                yield np.frombuffer(data, header.dtype).reshape(header.shape[1:])


def open_npz(path: Path, input_names: Collection[str], output_names: Collection[str]) -> NpzSource:
    """An `.npz` with arrays named ``x`` and ``y``, or after the model's inputs and outputs.

    Raises:
        DataError: not an .npz, pickled members, no usable names, or different numbers of rows.
    """
    members = _headers(path)
    chosen_inputs = {name: members[name] for name in input_names if name in members}
    if not chosen_inputs and "x" in members and len(input_names) == 1:
        chosen_inputs = {"x": members["x"]}
    if len(chosen_inputs) != len(input_names):
        raise DataError(
            f"{path}: has arrays {', '.join(members)}, expected {' and '.join(input_names)} or, for one input, x"
        )
    labels = {name: members[name] for name in output_names if name in members and name not in chosen_inputs}
    if not labels and "y" in members and "y" not in chosen_inputs:
        labels = {"y": members["y"]}
    sizes = {name: header.shape[0] for name, header in {**chosen_inputs, **labels}.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(f"{path}: arrays have different numbers of rows: {sizes}")
    return NpzSource(path, chosen_inputs, labels)


def _headers(path: Path) -> dict[str, _Header]:
    try:
        with zipfile.ZipFile(path) as archive:
            found = {}
            for member in archive.namelist():
                if member.endswith(".npy"):
                    with archive.open(member) as stream:
                        found[member[:-4]] = _read_header(stream, f"{path}: array {member[:-4]!r}")
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError) as error:
        raise DataError(f"{path}: not a readable .npz: {error}") from None
    if not found:
        raise DataError(f"{path}: holds no arrays, expected x (and y)")
    return found


def open_npy(path: Path) -> ArraySource:
    """A `.npy` file of inputs, mapped into memory and never read whole.

    Raises:
        DataError: not a .npy, or pickled.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path}: not a readable .npy array of numbers: {error}") from None
    if array.ndim == 0:
        raise DataError(f"{path}: is a single number, expected samples along the first dimension")
    return ArraySource(str(path), {"x": array}, {}, sha256_of_file(path))
