"""A read-only view of a .tflite, made from its flatbuffer without copying weights.

Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs; field names follow it in snake case.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.errors import ModelError

__all__ = ["Operator", "Quantization", "Signature", "Subgraph", "Tensor", "TfliteFile", "read_tflite"]

_OPERATOR_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
_TYPE_NAMES = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
_OPTION_NAMES = {code: name for name, code in vars(schema.BuiltinOptions).items() if isinstance(code, int)}


@dataclass(frozen=True)
class Quantization:
    """Affine quantization, real = scale * (integer - zero_point).

    Attributes:
        scales: float32 [1], or one a channel.
        zero_points: int64, as many.
        dimension: axis of the channels; only meaningful where there are several scales.
    """

    scales: np.ndarray
    zero_points: np.ndarray
    dimension: int


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
        return int(np.prod(self.shape, dtype=np.int64))

    def array(self) -> np.ndarray | None:
        """The constant in its shape, as a view of the file; None when computed or when its dtype is below 8 bits."""
        if self.data is None or self.dtype in ("int4", "uint4", "int2", "string", "resource", "variant"):
            return None
        dtype = np.dtype("uint16" if self.dtype == "bfloat16" else self.dtype)
        return self.data.view(dtype).reshape(self.shape)


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
    """

    index: int
    name: str
    custom: bool
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any = field(repr=False)


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
        return tuple(op for op in self.operators if tensor in op.inputs)

    def producer(self, tensor: int) -> Operator | None:
        """The operator that computes a tensor; None for inputs and constants."""
        return next((op for op in self.operators if tensor in op.outputs), None)


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


def read_tflite(model: str | Path | bytes) -> TfliteFile:
    """Parse a .tflite.

    Args:
        model: a path, or the content.

    Raises:
        ModelError: it cannot be read or is not a whole .tflite.
    """
    where = "model" if isinstance(model, bytes) else str(model)
    try:
        content = model if isinstance(model, bytes) else Path(model).read_bytes()
    except OSError as error:
        raise ModelError(f"{where}: cannot be read: {error.strerror}") from None
    if len(content) < 8 or content[4:8] != b"TFL3":
        raise ModelError(f"{where}: not a .tflite: the identifier TFL3 is missing at byte 4")
    try:
        return _parse(content)
    except (struct.error, IndexError, ValueError, TypeError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise ModelError(f"{where}: a damaged .tflite: {type(error).__name__}: {error}; copy the file again") from None


def _parse(content: bytes) -> TfliteFile:
    table = schema.Model.GetRootAs(content, 0)
    codes = [_operator_code(table.OperatorCodes(i)) for i in range(table.OperatorCodesLength())]
    graphs = tuple(_subgraph(table, content, codes, i) for i in range(table.SubgraphsLength()))
    if not graphs:
        raise ValueError("it holds no graph")
    signatures = tuple(_signature(table.SignatureDefs(i)) for i in range(table.SignatureDefsLength()))
    return TfliteFile(graphs, signatures, len(content))


def _operator_code(code: Any) -> tuple[str, bool, int]:
    # schema.fbs: files older than v3a set the deprecated field alone; newer ones set both, so the larger one holds.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return (code.CustomCode() or b"").decode(), True, code.Version()
    return _OPERATOR_NAMES.get(number, f"BUILTIN_{number}"), False, code.Version()


def _subgraph(model: Any, content: bytes, codes: list[tuple[str, bool, int]], index: int) -> Subgraph:
    graph = model.Subgraphs(index)
    return Subgraph(
        index,
        (graph.Name() or b"").decode(),
        tuple(_tensor(model, content, graph.Tensors(i), i) for i in range(graph.TensorsLength())),
        tuple(_operator(graph.Operators(i), codes, i) for i in range(graph.OperatorsLength())),
        _integers(graph.InputsAsNumpy()),
        _integers(graph.OutputsAsNumpy()),
    )


def _tensor(model: Any, content: bytes, tensor: Any, index: int) -> Tensor:
    shape = _integers(tensor.ShapeAsNumpy())
    return Tensor(
        index,
        (tensor.Name() or b"").decode(),
        shape,
        _integers(tensor.ShapeSignatureAsNumpy()) or shape,
        _TYPE_NAMES[tensor.Type()],
        _quantization(tensor.Quantization()),
        _buffer(model.Buffers(tensor.Buffer()), content),
        bool(tensor.IsVariable()),
    )


def _quantization(parameters: Any) -> Quantization | None:
    if parameters is None or parameters.ScaleLength() == 0:
        return None
    return Quantization(
        parameters.ScaleAsNumpy(), np.atleast_1d(parameters.ZeroPointAsNumpy()), parameters.QuantizedDimension()
    )


def _buffer(buffer: Any, content: bytes) -> np.ndarray | None:
    if buffer.Offset() > 1:  # the data of files above 2 GB lies behind the flatbuffer
        return np.frombuffer(content, np.uint8, buffer.Size(), buffer.Offset())
    return buffer.DataAsNumpy() if buffer.DataLength() else None


def _operator(operator: Any, codes: list[tuple[str, bool, int]], index: int) -> Operator:
    name, custom, version = codes[operator.OpcodeIndex()]
    return Operator(
        index,
        name,
        custom,
        version,
        _integers(operator.InputsAsNumpy()),
        _integers(operator.OutputsAsNumpy()),
        _options(operator),
    )


def _options(operator: Any) -> Any:
    kind = _OPTION_NAMES.get(operator.BuiltinOptionsType(), "NONE")
    table = operator.BuiltinOptions()
    if kind == "NONE" or table is None:
        return None
    options = getattr(schema, kind)()
    options.Init(table.Bytes, table.Pos)
    return options


def _signature(signature: Any) -> Signature:
    return Signature(
        (signature.SignatureKey() or b"").decode(),
        signature.SubgraphIndex(),
        {
            signature.Inputs(i).Name().decode(): signature.Inputs(i).TensorIndex()
            for i in range(signature.InputsLength())
        },
        {
            signature.Outputs(i).Name().decode(): signature.Outputs(i).TensorIndex()
            for i in range(signature.OutputsLength())
        },
    )


def _integers(values: Any) -> tuple[int, ...]:
    """A flatbuffer vector, which reads as the number 0 where it is absent."""
    return () if isinstance(values, int) else tuple(int(value) for value in values)
