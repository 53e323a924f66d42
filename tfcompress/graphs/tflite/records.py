"""The schema's records behind the editor: a file as a tree of them, and the tables that its graphs share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

__all__ = ["Codes", "as_text", "read_tree", "write_tree"]


def read_tree(content: bytes) -> Any:
    """The `ModelT` of a .tflite; constants that lie behind the flatbuffer are taken into it."""
    return flatbuffer_utils.read_model_from_bytearray(content)


def write_tree(model: Any) -> bytes:
    """The bytes of a `ModelT`; the same tree always gives the same bytes."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def as_text(value: bytes | str | None) -> str:
    """A string of the schema, which its object API gives as bytes; bytes that are not UTF-8 are replaced."""
    if value is None:
        return ""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


class _WithBuffer(Protocol):
    """What is needed of a tensor here."""

    buffer: Any
    put_aside: object


@dataclass(frozen=True)
class _Positions:
    """Where codes and buffers stand while a file is written; new ones are appended on the way."""

    model: Any
    codes: dict[int, int]
    buffers: dict[int, int]

    def code(self, code: Any) -> int:
        return _position(code, self.model.operatorCodes, self.codes)

    def buffer(self, buffer: Any) -> int:
        return _position(buffer, self.model.buffers, self.buffers)


def _position(item: object, table: list[object], positions: dict[int, int]) -> int:
    if id(item) not in positions:
        positions[id(item)] = len(table)
        table.append(item)
    return positions[id(item)]


class Codes:
    """The operator codes and buffers of one file.

    Attributes:
        empty_buffer: the first buffer, which all computed tensors share (schema.fbs, `Model.buffers`).
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.empty_buffer: Any = model.buffers[0]

    def at_least(self, number: int, version: int) -> Any:
        """An operator code of a builtin in this version or a later one; a new one when the file has none."""
        for code in self._model.operatorCodes:
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version >= version:
                return code
        return self._add(number, version)

    def exactly(self, number: int, version: int) -> Any:
        """An operator code of a builtin in this version; a new one when the file has none."""
        for code in self._model.operatorCodes:
            if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version == version:
                return code
        return self._add(number, version)

    def custom(self, name: str) -> Any:
        """A new operator code of a custom operator."""
        code = self._add(schema.BuiltinOperator.CUSTOM, 1)
        code.customCode = name.encode()
        return code

    def _add(self, number: int, version: int) -> Any:
        code: Any = schema.OperatorCodeT()
        code.builtinCode, code.version = number, version
        code.deprecatedBuiltinCode = min(number, 127)  # schema.fbs: higher codes do not fit the deprecated byte
        self._model.operatorCodes.append(code)
        return code

    def replace(self, tensors: Iterable[_WithBuffer]) -> None:
        """Let new constants take the places of the ones that they replaced, where nobody else uses those."""
        tensors, buffers = list(tensors), self._model.buffers
        used = {id(tensor.buffer) for tensor in tensors} | {id(buffer) for buffer in self._kept()}
        places = {id(buffer): index for index, buffer in enumerate(buffers)}
        for tensor in tensors:
            place = places.get(id(tensor.put_aside))
            if place is not None and id(tensor.put_aside) not in used and id(tensor.buffer) not in places:
                buffers[place], tensor.put_aside = tensor.buffer, None
                used.add(id(tensor.buffer))

    def _kept(self) -> list[Any]:
        """Buffers that stay whatever tensors use: the empty one and those that metadata refer to."""
        model = self._model
        numbers = [*(item.buffer for item in model.metadata or []), *(model.metadataBuffer or [])]
        return [self.empty_buffer, *(model.buffers[number] for number in numbers)]

    def keep(self, codes: Iterable[Any], buffers: Iterable[Any]) -> None:
        """Leave out all others; buffers that metadata refer to stay."""
        model, used = self._model, {id(code) for code in codes}
        model.operatorCodes = [code for code in model.operatorCodes if id(code) in used]
        metadata = [model.buffers[item.buffer] for item in model.metadata or []]
        listed = [model.buffers[index] for index in model.metadataBuffer or []]
        needed = {id(buffer) for buffer in (*self._kept(), *buffers)}
        model.buffers = [buffer for buffer in model.buffers if id(buffer) in needed]
        positions = self.positions()
        for item, buffer in zip(model.metadata or [], metadata, strict=True):
            item.buffer = positions.buffer(buffer)
        if model.metadataBuffer is not None:
            model.metadataBuffer = [positions.buffer(buffer) for buffer in listed]

    def positions(self) -> _Positions:
        """Positions to write with."""
        model = self._model
        return _Positions(
            model,
            {id(code): index for index, code in enumerate(model.operatorCodes)},
            {id(buffer): index for index, buffer in enumerate(model.buffers)},
        )
