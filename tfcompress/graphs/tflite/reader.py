"""A read-only view of a .tflite, made from its flatbuffer without copying weights.

The file is mapped into memory and constants are views of it.  It may come from anywhere, and the generated accessors
verify nothing: so every table, length and index is checked here, and a damaged file is a `ModelError` of one line.

Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs; field names follow it in snake case.
"""

from __future__ import annotations

import functools
import math
import mmap
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.errors import ModelError
from tfcompress.graphs.tflite.flatbuffer import BAD_BYTES, FlatbufferError, check_length, check_table, text
from tfcompress.graphs.tflite.names import OPERATOR_NAMES, OPTIONS_NAMES, TYPE_NAMES, numpy_dtype

__all__ = ["Operator", "Quantization", "Signature", "Subgraph", "Tensor", "TfliteFile", "read_tflite"]

_ITEM_BITS = {"int4": 4, "uint4": 4, "int2": 2, "bfloat16": 16, "string": 0, "resource": 0, "variant": 0} | {
    "float8_e4m3fn": 8,
    "float8_e5m2": 8,
}
MOST_GRAPHS = 4_096
"""A loop has two of its own, a composite operator one; describing one may take 10 ms."""
_MOST_TABLES, _MOST_NUMBERS = 300_000, 4_000_000
"""Tensors and operators, and their operands and scales: a file may name the same table or vector any number of times.

An unrolled LSTM of 1,000 steps has about 20,000 operators; describing 300,000 takes a minute."""
_KEPT_FILES, _MOST_KEPT_BYTES = 8, 16 * 2**20
"""A conversion describes the same content many times, in one place after the other; large files have few operators."""
_MAX_RANK = 32  # far above any real tensor's; bounds the work on a damaged file


@dataclass(frozen=True)
class Quantization:
    """Affine quantization, real = scale * (integer - zero_point).

    Attributes:
        scales: float32 [1], or one per channel.
        zero_points: int64, as many.
        dimension: axis of the channels; only meaningful where there are several scales.
    """

    scales: np.ndarray
    zero_points: np.ndarray
    dimension: int

    @functools.cached_property
    def one_scale(self) -> bool:
        """Whether all channels have the same scale."""
        return len(self.scales) <= 1 or bool((self.scales == self.scales[0]).all())

    @functools.cached_property
    def finite(self) -> bool:
        """Whether no scale is infinite or NaN."""
        return bool(np.isfinite(self.scales).all())


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
        index: in its subgraph.
        name: as the converter left it.
        shape: static sizes, for the batch that the file was made with.
        shape_signature: with -1 where a size is open; equal to `shape` where nothing is.
        dtype: lower-case schema name: ``float32``, ``int8``, ``int4``, ``resource``, ...
        quantization: None for a tensor without scales.
        data: raw bytes of a constant as a uint8 view of the file; None for a computed tensor.
        is_variable: keeps its value between invocations.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    dtype: str
    quantization: Quantization | None
    data: np.ndarray | None = field(repr=False)
    is_variable: bool

    @property
    def elements(self) -> int:
        """Number of elements, for the batch that the file was made with."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size as TFLite stores it, for the batch that the file was made with; 0 for a dtype without a fixed width."""
        return _stored_bytes(self.dtype, self.elements)

    @functools.cached_property
    def is_zero(self) -> bool:
        """Whether it is a constant of nothing but zeros."""
        return self.data is not None and not self.data.any()

    def array(self) -> np.ndarray | None:
        """The constant in its shape, as a view of the file; None when computed or when its dtype is below 8 bits."""
        dtype = numpy_dtype(self.dtype)
        return None if self.data is None or dtype is None else self.data.view(dtype).reshape(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator of a subgraph.

    Attributes:
        index: in execution order.
        name: builtin name such as ``CONV_2D``; for a custom operator its own (``FlexSize``).
        custom: it is not a builtin.
        version: of the builtin.
        inputs: tensor indices; -1 is an optional input that is absent.
        outputs: tensor indices.
        options: the generated options table (`schema.Conv2DOptions`, ...), or None; call its accessors (``StrideW()``).
        custom_options: a custom operator's own bytes, as a uint8 view of the file; None where there are none.
    """

    index: int
    name: str
    custom: bool
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any = field(repr=False)
    custom_options: np.ndarray | None = field(repr=False, default=None)


@dataclass(frozen=True)
class Subgraph:
    """One graph; index 0 is the main one, the others are bodies of control flow."""

    index: int
    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def consumers(self, tensor: int) -> tuple[Operator, ...]:
        """The operators that read a tensor."""
        return self._consumers.get(tensor, ())

    def producer(self, tensor: int) -> Operator | None:
        """The operator that computes a tensor; None for inputs and constants."""
        return self._producers.get(tensor)

    def is_input(self, tensor: int) -> bool:
        """Whether a tensor is an input of the graph."""
        return tensor in self._ends[0]

    def is_output(self, tensor: int) -> bool:
        """Whether a tensor is an output of the graph."""
        return tensor in self._ends[1]

    # Made once, because a file may have hundreds of thousands of operators that each ask.
    @functools.cached_property
    def _consumers(self) -> Mapping[int, tuple[Operator, ...]]:
        readers: dict[int, list[Operator]] = {}
        for operator in self.operators:
            for tensor in set(operator.inputs):
                readers.setdefault(tensor, []).append(operator)
        return {tensor: tuple(operators) for tensor, operators in readers.items()}

    @functools.cached_property
    def _producers(self) -> Mapping[int, Operator]:
        return {tensor: operator for operator in reversed(self.operators) for tensor in operator.outputs}

    @functools.cached_property
    def _ends(self) -> tuple[frozenset[int], frozenset[int]]:
        return frozenset(self.inputs), frozenset(self.outputs)


@dataclass(frozen=True)
class Signature:
    """A named way to call a subgraph: {input or output name: tensor index}."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True)
class TfliteFile:
    """A parsed file: its graphs, signatures and size in bytes."""

    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    bytes: int

    @property
    def main(self) -> Subgraph:
        """The graph that runs."""
        return self.subgraphs[0]


_kept: deque[tuple[bytes, TfliteFile]] = deque(maxlen=_KEPT_FILES)


def read_tflite(model: str | Path | bytes) -> TfliteFile:
    """Parse a .tflite.

    Args:
        model: a path, or the content.

    Raises:
        ModelError: it cannot be read, is not a whole .tflite, or has more graphs, operators or tensors than any model.
    """
    if not isinstance(model, bytes):
        return _read(memoryview(_mapped(Path(model))), str(model))
    # By identity, as arrays are views of that content: where they lie in an equal one, their addresses do not tell.
    kept = next((file for content, file in tuple(_kept) if content is model), None)
    if kept is None:
        kept = _read(memoryview(model), "model")
        if len(model) <= _MOST_KEPT_BYTES:
            _kept.append((model, kept))
    return kept


def _read(content: memoryview, where: str) -> TfliteFile:
    if bytes(content[4:8]) != b"TFL3":
        raise ModelError(f"{where}: not a .tflite: the identifier TFL3 is missing at byte 4")
    try:
        return _parse(content, where)
    except BAD_BYTES as cause:
        detail = cause if isinstance(cause, FlatbufferError) else "an offset points outside of the file"
        raise ModelError(f"{where}: a damaged .tflite: {detail}; copy or export the file again") from None


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise ModelError(f"{path}: the file is empty, expected a .tflite") from None


def _parse(content: memoryview, where: str) -> TfliteFile:
    table = check_table(schema.Model.GetRootAs(content, 0))
    if (graphs_in_all := table.SubgraphsLength()) > MOST_GRAPHS:
        raise ModelError(f"{where}: refused: it has {graphs_in_all:,} graphs, expected at most {MOST_GRAPHS:,}")
    codes = [_operator_code(code) for code in _tables(table, "OperatorCodes")]
    buffers = [_buffer(buffer, content) for buffer in _tables(table, "Buffers")]
    size = _Size(where)
    graphs = tuple(_subgraph(graph, codes, buffers, i, size) for i, graph in enumerate(_tables(table, "Subgraphs")))
    if not graphs:
        raise FlatbufferError("it holds no graph")
    signatures = tuple(_signature(signature, graphs) for signature in _tables(table, "SignatureDefs"))
    return TfliteFile(graphs, signatures, len(content))


class _Size:
    """What the graphs of a file have in all."""

    def __init__(self, where: str) -> None:
        self._where, self._tables, self._numbers = where, 0, 0

    def add(self, *, tables: int = 0, numbers: int = 0) -> None:
        """Count on.

        Raises:
            ModelError: it is more than any model has.
        """
        self._tables += tables
        self._numbers += numbers
        for count, most, what in (
            (self._tables, _MOST_TABLES, "tensors and operators"),
            (self._numbers, _MOST_NUMBERS, "operands and scales"),
        ):
            if count > most:
                raise ModelError(f"{self._where}: refused: it has {count:,} {what} or more, expected at most {most:,}")

    def operator(self, operator: Operator) -> Operator:
        """An operator, counted."""
        self.add(numbers=len(operator.inputs) + len(operator.outputs))
        return operator

    def tensor(self, tensor: Tensor) -> Tensor:
        """A tensor, counted."""
        self.add(numbers=0 if tensor.quantization is None else len(tensor.quantization.scales))
        return tensor


def _tables(parent: Any, name: str) -> list[Any]:
    """Every table of a vector of tables, each checked."""
    length = check_length(parent, getattr(parent, f"{name}Length")(), 4, name)
    get = getattr(parent, name)
    return [check_table(get(index)) for index in range(length)]


def _vector(parent: Any, name: str, item_bytes: int) -> Any:
    """A vector of numbers as an array that views the file; empty where it is absent."""
    check_length(parent, getattr(parent, f"{name}Length")(), item_bytes, name)
    values = getattr(parent, f"{name}AsNumpy")()
    return np.empty(0, np.int32) if isinstance(values, int) else values


def _integers(parent: Any, name: str) -> tuple[int, ...]:
    return tuple(_vector(parent, name, 4).tolist())


def _tensor_indices(parent: object, name: str, tensors: int, *, least: int = 0) -> tuple[int, ...]:
    values = _integers(parent, name)
    for value in values:
        if not least <= value < tensors:
            raise FlatbufferError(f"{name} has tensor {value} of {tensors}")
    return values


def _operator_code(code: Any) -> tuple[str, bool, int]:
    # schema.fbs: files older than v3a set the deprecated field alone; newer ones set both, so the larger one holds.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return text(code.CustomCode()), True, code.Version()
    return OPERATOR_NAMES.get(number, f"BUILTIN_{number}"), False, code.Version()


def _buffer(buffer: Any, content: memoryview) -> np.ndarray | None:
    if buffer.Offset() > 1:  # the data of files above 2 GB lies behind the flatbuffer
        return np.frombuffer(content, np.uint8, buffer.Size(), buffer.Offset())
    data = _vector(buffer, "Data", 1)
    return data if len(data) else None


def _subgraph(
    graph: Any, codes: list[tuple[str, bool, int]], buffers: list[np.ndarray | None], index: int, size: _Size
) -> Subgraph:
    size.add(tables=graph.TensorsLength() + graph.OperatorsLength())
    tensors = tuple(size.tensor(_tensor(table, buffers, i)) for i, table in enumerate(_tables(graph, "Tensors")))
    operators = enumerate(_tables(graph, "Operators"))
    return Subgraph(
        index,
        text(graph.Name()),
        tensors,
        tuple(size.operator(_operator(table, codes, len(tensors), i)) for i, table in operators),
        _tensor_indices(graph, "Inputs", len(tensors)),
        _tensor_indices(graph, "Outputs", len(tensors)),
    )


def _shape(tensor: Any, name: str, index: int) -> tuple[int, ...]:
    shape = _integers(tensor, name)
    if len(shape) > _MAX_RANK or min(shape, default=0) < -1:
        raise FlatbufferError(f"tensor {index} has the shape {list(shape[:8])}")
    return shape


def _tensor(tensor: Any, buffers: list[np.ndarray | None], index: int) -> Tensor:
    dtype = TYPE_NAMES.get(tensor.Type())
    if dtype is None or tensor.Buffer() >= len(buffers):
        raise FlatbufferError(f"tensor {index} has type {tensor.Type()} and buffer {tensor.Buffer()} of {len(buffers)}")
    if tensor.ExternalBuffer():
        raise FlatbufferError(f"tensor {index} lies in another file, which no interpreter here reads")
    shape = _shape(tensor, "Shape", index)
    signature = _shape(tensor, "ShapeSignature", index)
    data = buffers[tensor.Buffer()]
    if data is not None and tensor.Sparsity() is None:
        expected = _stored_bytes(dtype, math.prod(shape))
        if expected and len(data) != expected:
            raise FlatbufferError(
                f"tensor {index} has {len(data)} bytes, expected {expected} for {dtype} {list(shape)}"
            )
    return Tensor(
        index,
        text(tensor.Name()),
        shape,
        signature if len(signature) == len(shape) else shape,
        dtype,
        _quantization(tensor.Quantization()),
        data,
        bool(tensor.IsVariable()),
    )


def _stored_bytes(dtype: str, elements: int) -> int:
    bits = _ITEM_BITS[dtype] if dtype in _ITEM_BITS else 8 * np.dtype(dtype).itemsize
    return (elements * bits + 7) // 8


def _quantization(parameters: Any) -> Quantization | None:
    if parameters is None or check_table(parameters).ScaleLength() == 0:
        return None
    scales = _vector(parameters, "Scale", 4)
    zero_points = _vector(parameters, "ZeroPoint", 8)
    return Quantization(
        scales, zero_points if len(zero_points) else np.zeros(len(scales), np.int64), parameters.QuantizedDimension()
    )


def _operator(operator: Any, codes: list[tuple[str, bool, int]], tensors: int, index: int) -> Operator:
    if operator.OpcodeIndex() >= len(codes):
        raise FlatbufferError(f"operator {index} has operator code {operator.OpcodeIndex()} of {len(codes)}")
    name, custom, version = codes[operator.OpcodeIndex()]
    custom_options = _vector(operator, "CustomOptions", 1)
    return Operator(
        index,
        name,
        custom,
        version,
        _tensor_indices(operator, "Inputs", tensors, least=-1),
        _tensor_indices(operator, "Outputs", tensors),
        _options(operator),
        custom_options if len(custom_options) else None,
    )


def _options(operator: Any) -> Any:
    kind = OPTIONS_NAMES.get(operator.BuiltinOptionsType(), "NONE")
    table = operator.BuiltinOptions()
    if kind == "NONE" or table is None:
        return None
    options = getattr(schema, kind)()
    options.Init(table.Bytes, table.Pos)
    return check_table(options)


def _signature(signature: Any, graphs: tuple[Subgraph, ...]) -> Signature:
    if signature.SubgraphIndex() >= len(graphs):
        raise FlatbufferError(f"a signature has subgraph {signature.SubgraphIndex()} of {len(graphs)}")
    tensors = len(graphs[signature.SubgraphIndex()].tensors)
    return Signature(
        text(signature.SignatureKey()),
        signature.SubgraphIndex(),
        _named_tensors(signature, "Inputs", tensors),
        _named_tensors(signature, "Outputs", tensors),
    )


def _named_tensors(signature: Any, name: str, tensors: int) -> dict[str, int]:
    entries = {text(entry.Name()): entry.TensorIndex() for entry in _tables(signature, name)}
    if any(not 0 <= index < tensors for index in entries.values()):
        raise FlatbufferError(f"a signature's {name} have tensors {list(entries.values())[:8]} of {tensors}")
    return entries
