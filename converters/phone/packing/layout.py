"""Where the arrays of a .tflite lie: constants, scales, zero points and ranges, and runs of zeros.

Only offsets and lengths come from here, and the decoder gets them from the directory: what is found wrongly or not at
all costs bytes, never correctness.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.errors import ModelError
from tfcompress.graphs.tflite import TfliteFile, read_tflite
from tfcompress.graphs.tflite.flatbuffer import BAD_BYTES

__all__ = ["Array", "find_arrays"]

_LEAST_BYTES = 48  # what is smaller stays with the rest
_ZEROS = re.compile(rb"\0{80,}")
_BLOB_CHUNK = 4096
_BLOB_BITS = 6.5  # of entropy a byte, above which a chunk of a blob is coded as an array
_WIDTHS = {"float32": 4, "int32": 4, "uint32": 4, "int64": 8, "uint64": 8, "float64": 8}
_WIDTHS |= {"float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2}
_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True)
class Array:
    """A piece of the file that is an array.

    Attributes:
        offset: of its first byte.
        count: of its elements.
        width: bytes of an element.
        role: ``weights``, ``scales``, ``zero_points``, ``ranges``, ``zeros`` or ``blob``.
        dtype: of the elements, as in the schema.
        columns: of the matrix that it is; 0 where it is none.
        name: of the tensor; empty for what belongs to none.
        centre: the byte that means zero, for elements of one byte; None where that is not known.
    """

    offset: int
    count: int
    width: int
    role: str
    dtype: str
    columns: int = 0
    name: str = ""
    centre: int | None = None

    @property
    def behind(self) -> int:
        """The offset behind its last byte."""
        return self.offset + self.count * self.width

    @property
    def is_float(self) -> bool:
        """Whether the elements have a sign bit and an exponent."""
        return self.dtype in _FLOATS


def find_arrays(content: bytes, least: int = _LEAST_BYTES) -> list[Array]:
    """The arrays of a .tflite in the order of the file, none overlapping; none where the file cannot be parsed.

    Args:
        content: of the .tflite.
        least: arrays of fewer bytes are left out.
    """
    try:
        file = read_tflite(content)
        candidates = [*_tensor_arrays(content, file), *_range_arrays(content)]
    except (ModelError, *BAD_BYTES):
        candidates = []
    arrays: list[Array] = []
    for array in sorted(candidates, key=lambda item: (item.offset, item.role)):
        inside = array.offset >= 0 and array.behind <= len(content)
        if inside and array.count * array.width >= least and (not arrays or array.offset >= arrays[-1].behind):
            arrays.append(array)
    return _with_gaps(content, arrays)


def _tensor_arrays(content: bytes, file: TfliteFile) -> Iterator[Array]:
    base = np.frombuffer(content, np.uint8).__array_interface__["data"][0]

    def place(values: np.ndarray) -> int:
        return int(values.__array_interface__["data"][0]) - int(base)

    for graph in file.subgraphs:
        for tensor in graph.tensors:
            if tensor.data is not None:
                width = _WIDTHS.get(tensor.dtype, 1)
                count = len(tensor.data) // width
                shape = tensor.shape
                columns = shape[-1] if len(shape) > 1 and shape[0] == 1 else _product(shape[1:])
                if columns < 2 or count % columns or columns == count:
                    columns = 0
                zero = None if tensor.quantization is None else int(tensor.quantization.zero_points[0]) & 255
                yield Array(
                    place(tensor.data), count, width, "weights", tensor.dtype, columns, tensor.name,
                    zero if tensor.dtype in ("int8", "uint8") else None,
                )  # fmt: skip
            if tensor.quantization is not None:
                scales, zeros = tensor.quantization.scales, tensor.quantization.zero_points
                yield Array(place(scales), len(scales), 4, "scales", "float32", 0, tensor.name)
                yield Array(place(zeros), len(zeros), 8, "zero_points", "int64", 0, tensor.name)


def _product(sizes: tuple[int, ...]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _range_arrays(content: bytes) -> Iterator[Array]:
    """The `min` and `max` that older converters leave in a tensor's quantization."""
    model: Any = schema.Model.GetRootAs(content, 0)
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            parameters = tensor.Quantization()
            if parameters is None:
                continue
            for field in (4, 6):  # of the vtable: min, max
                place = parameters._tab.Offset(field)
                if place:
                    length = parameters._tab.VectorLen(place)
                    name = (tensor.Name() or b"").decode("utf-8", "replace")
                    yield Array(parameters._tab.Vector(place), length, 4, "ranges", "float32", 0, name)


def _with_gaps(content: bytes, arrays: list[Array]) -> list[Array]:
    """The arrays, and what is worth it in the gaps between them."""
    complete: list[Array] = []
    position = 0
    for behind in [*arrays, None]:
        end = len(content) if behind is None else behind.offset
        complete += _gap_arrays(content, position, end)
        if behind is not None:
            complete.append(behind)
            position = behind.behind
    return complete


def _gap_arrays(content: bytes, begin: int, end: int) -> Iterator[Array]:
    """Runs of zeros, and between them what looks like compressed or packed data."""
    position = begin
    for run in _ZEROS.finditer(content, begin, end):
        yield from _blobs(content, position, run.start())
        yield Array(run.start(), run.end() - run.start(), 1, "zeros", "uint8")
        position = run.end()
    yield from _blobs(content, position, end)


def _blobs(content: bytes, begin: int, end: int) -> Iterator[Array]:
    first = None
    for chunk in range(begin, end - _BLOB_CHUNK + 1, _BLOB_CHUNK):
        counts = np.bincount(np.frombuffer(content, np.uint8, _BLOB_CHUNK, chunk))
        shares = counts[counts > 0] / _BLOB_CHUNK
        dense = float(-(shares * np.log2(shares)).sum()) > _BLOB_BITS
        if dense and first is None:
            first = chunk
        elif not dense and first is not None:
            yield Array(first, chunk - first, 1, "blob", "uint8")
            first = None
    if first is not None:
        behind = begin + (end - begin) // _BLOB_CHUNK * _BLOB_CHUNK
        yield Array(first, behind - first, 1, "blob", "uint8")
