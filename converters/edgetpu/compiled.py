"""What a compiled ``_edgetpu.tflite`` contains.

The compiler replaces the mapped operators by one custom operator.  Its options are a FlexBuffer map whose key ``4``
holds a DarwiNN package, a flatbuffer with identifier ``DWN1``; that holds a MultiExecutable, and each executable says
by its type whether its parameters are cached on the chip or streamed.

Layouts: google-coral/libedgetpu, tflite/custom_op_data.cc and executable/executable.fbs.  In a flatbuffer the n-th
field of a table, counted from 0, has its entry at byte 4 + 2n of the vtable.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers.table
from flatbuffers import flexbuffers
from flatbuffers import number_types as numbers

from tfcompress.converters.edgetpu.mapping import Mapping, OperatorMapping
from tfcompress.converters.edgetpu.memory import LARGEST_LAYER
from tfcompress.errors import ModelError
from tfcompress.graphs.tflite import Operator, Subgraph
from tfcompress.graphs.tflite.flatbuffer import BAD_BYTES

__all__ = ["CUSTOM_OPERATOR", "Executable", "Package", "compiled_mapping", "read_package"]

CUSTOM_OPERATOR = "edgetpu-custom-op"
_IDENTIFIER = b"DWN1"
_TYPES = ("STAND_ALONE", "PARAMETER_CACHING", "EXECUTION_ONLY")
# FlexBuffer readers recurse and index freely: what they raise on broken bytes.
_BAD_PACKAGE = (*BAD_BYTES, AttributeError, KeyError, RecursionError)


@dataclass(frozen=True)
class Executable:
    """One program of a package.

    Attributes:
        type: `PARAMETER_CACHING` loads parameters into the chip, `EXECUTION_ONLY` runs with them, `STAND_ALONE` does
            both.
        parameter_bytes: size of its parameters.
        instruction_bytes: size of its instructions.
        scratch_bytes: host memory it needs while running.
        caching_token: executables with one token share the cache.
    """

    type: str
    parameter_bytes: int
    instruction_bytes: int
    scratch_bytes: int
    caching_token: int


@dataclass(frozen=True)
class Package:
    """The content of one compiled operator.

    Attributes:
        min_runtime: oldest runtime that loads it.
        compiler: the compiler's own version text; blanked (``cl/``) in most public files.
        executables: its programs.
    """

    min_runtime: int
    compiler: str
    executables: tuple[Executable, ...]

    @property
    def cached_bytes(self) -> int:
        """Parameters that stay on the chip."""
        return sum(e.parameter_bytes for e in self.executables if e.type == "PARAMETER_CACHING")

    @property
    def streamed_bytes(self) -> int:
        """Parameters that are sent in every inference."""
        return sum(e.parameter_bytes for e in self.executables if e.type != "PARAMETER_CACHING")

    def to_json(self) -> dict[str, object]:
        """One entry of `mapping.compiled.packages`."""
        return {
            "min_runtime": self.min_runtime,
            "compiler": self.compiler,
            "cached_bytes": self.cached_bytes,
            "streamed_bytes": self.streamed_bytes,
            "executables": [vars(executable) for executable in self.executables],
        }


def read_package(operator: Operator) -> Package:
    """The package inside a compiled operator.

    Raises:
        ModelError: the operator holds no whole package.
    """
    if operator.custom_options is None:
        raise ModelError(f"operator {operator.index} {operator.name}: it has no custom options, expected a package")
    try:
        return _package(bytearray(operator.custom_options.tobytes()))
    except _BAD_PACKAGE:
        raise ModelError(f"operator {operator.index} {operator.name}: its Edge TPU package is damaged") from None


def _root(data: bytes) -> Any:
    (position,) = struct.unpack_from("<I", data, 0)
    return flatbuffers.table.Table(data, position)


def _number(table: Any, field: int, flags: Any) -> int:
    return int(table.GetSlot(4 + 2 * field, 0, flags))


def _bytes(table: Any, field: int) -> bytes:
    offset = table.Offset(4 + 2 * field)
    return b"" if offset == 0 else table.GetVectorAsNumpy(numbers.Uint8Flags, offset).tobytes()


def _children(table: Any, field: int) -> list[int]:
    """Positions of the offsets in a vector of tables or strings."""
    offset = table.Offset(4 + 2 * field)
    if offset == 0:
        return []
    length, start = table.VectorLen(offset), table.Vector(offset)
    if 4 * length > len(table.Bytes):
        raise ValueError("a vector is longer than the package")
    return [start + 4 * index for index in range(length)]


def _package(options: bytearray) -> Package:
    content = flexbuffers.GetRoot(options).AsMap["4"]
    data = bytes(content.AsStringBytes)
    if data[4:8] != _IDENTIFIER:
        raise ValueError("not a DarwiNN package")
    package = _root(data)
    many = _root(_bytes(package, 1))
    return Package(
        min_runtime=_number(package, 0, numbers.Int32Flags),
        compiler=_text(package, 4),
        executables=tuple(_executable(_root(many.String(position))) for position in _children(many, 0)),
    )


def _text(table: Any, field: int) -> str:
    offset = table.Offset(4 + 2 * field)
    return "" if offset == 0 else table.String(table.Pos + offset).decode("utf-8", "replace")


def _executable(table: Any) -> Executable:
    kind = _number(table, 13, numbers.Int16Flags)
    streams = [flatbuffers.table.Table(table.Bytes, table.Indirect(position)) for position in _children(table, 5)]
    return Executable(
        type=_TYPES[kind] if 0 <= kind < len(_TYPES) else str(kind),
        parameter_bytes=len(_bytes(table, 6)),
        instruction_bytes=sum(len(_bytes(stream, 0)) for stream in streams),
        scratch_bytes=_number(table, 4, numbers.Int32Flags),
        caching_token=_number(table, 14, numbers.Uint64Flags),
    )


def compiled_mapping(graph: Subgraph, layer_of: Callable[[str], str | None]) -> Mapping:
    """The mapping of a file that the compiler has written: a fact, not a forecast.

    Each compiled operator stands for all the operators that it replaced.

    Args:
        graph: the main subgraph.
        layer_of: the Keras layer of a tensor's name, or None.

    Raises:
        ModelError: a compiled operator holds no whole package.
    """
    compiled = [op for op in graph.operators if op.custom and op.name == CUSTOM_OPERATOR]
    packages = [read_package(operator) for operator in compiled]
    return Mapping(
        operators=tuple(_compiled_row(graph, operator, layer_of) for operator in graph.operators),
        subgraphs=len(compiled),
        on_chip_bytes=sum(package.cached_bytes for package in packages),
        off_chip_bytes=sum(package.streamed_bytes for package in packages),
        min_runtime=max(package.min_runtime for package in packages),
        lowest_runtime=max(package.min_runtime for package in packages),
        warnings=tuple(_sharing(packages)),
        compiled={"packages": [package.to_json() for package in packages]},
    )


def _sharing(packages: Sequence[Package]) -> Iterator[str]:
    """One line for each caching token: with which files this one can stay on the chip."""
    executables = [executable for package in packages for executable in package.executables]
    for token in dict.fromkeys(each.caching_token for each in executables if each.caching_token):
        yield (
            f"caching token {token}: files that have it too were compiled together with this one and keep their"
            " parameters on the chip beside it; a file with another token replaces them (inspect several compiled"
            " files at once to see which share)"
        )
    cached, streamed = (
        sum(getattr(package, name) for package in packages) for name in ("cached_bytes", "streamed_bytes")
    )
    if cached and streamed and cached + streamed < LARGEST_LAYER:
        yield (
            f"{streamed:,} bytes are streamed although the chip could hold them beside the {cached:,} that are cached:"
            " the room was shared with models that were compiled together with this one, or a layer is always streamed"
        )


def _compiled_row(graph: Subgraph, operator: Operator, layer_of: Callable[[str], str | None]) -> OperatorMapping:
    mapped = operator.custom and operator.name == CUSTOM_OPERATOR
    result = graph.tensors[operator.outputs[0]] if operator.outputs else None
    return OperatorMapping(
        index=operator.index,
        operator=operator.name,
        version=operator.version,
        mapped=mapped,
        status="Mapped to Edge TPU" if mapped else "left on the CPU by the compiler",
        explanation="this file is compiled already" if mapped else "the compiler's log says why",
        certainty="observed",
        rule="compiled",
        source="the file itself",
        tensor="" if result is None else result.name,
        shape=() if result is None else result.shape,
        keras_layer=None if result is None else layer_of(result.name),
        fix="" if mapped else "inspect the uncompiled model for the reason",
    )
