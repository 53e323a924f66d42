"""Whether an .onnx only computes: a walk over its protocol buffer, without the `onnx` package.

Source of the field numbers: onnx/onnx.proto (ONNX 1.23).  Wire format: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tfcompress.errors import ModelError, UnsafeModelError
from tfcompress.load.safety.lists.onnx_operators import OPERATORS

__all__ = ["external_files", "refuse_unsafe_onnx"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 64
# Domains of ONNX Runtime's own operators, the empty one too: it would run its own and not the model's function.
_OF_THE_RUNTIME = ("ai.onnx", "com.microsoft", "com.ms.", "org.pytorch.aten")

# {message: {field: message inside}}: the paths by which a model holds operators and tensors.
_CHILDREN = {
    "model": {7: "graph", 25: "function", 20: "training"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
}


def refuse_unsafe_onnx(path: Path, content: bytes, *, trusted: bool) -> None:
    """Refuse operators that are not on the list, and tensors that lie in files elsewhere.

    Raises:
        ModelError: not a whole .onnx.
        UnsafeModelError: names the operator or the file.
    """
    messages = list(_messages(path, content))
    if not any(kind == "graph" for kind, _ in messages):
        raise ModelError(f"{path}: not an .onnx: it holds no graph")
    functions = {_name(fields, 10, 1) for kind, fields in messages if kind == "function"}
    own = {(domain, name) for domain, name in functions if domain and not domain.startswith(_OF_THE_RUNTIME)}
    for kind, fields in messages:
        if kind == "node" and not trusted:
            domain, operator = _name(fields, 7, 4)
            if operator not in OPERATORS.get(domain, ()) and (domain, operator) not in own:
                raise UnsafeModelError(
                    f"{path}: the operator {operator[:100]!r} of the domain {domain[:100]!r} is not on the list of "
                    "operators that only compute. Nothing was run. --allow_unsafe_deserialization allows it"
                )
    for location in external_files(path, content):
        _require_beside(path, location)


def external_files(path: Path, content: bytes) -> list[str]:
    """The names of the files in which tensors of the model lie, as the model gives them."""
    names = set()
    for kind, fields in _messages(path, content):
        if kind == "tensor":
            entries = [dict(_text_fields(path, value)) for number, value in fields if number == 13]
            names |= {entry.get(2, "") for entry in entries if entry.get(1) == "location"}
    return sorted(names)


def _require_beside(path: Path, location: str) -> None:
    """External data lies beside the model (onnx/docs/ExternalData.md), here: in the same folder, as a plain file."""
    beside = path.parent / location
    plain = location and "/" not in location and "\\" not in location and location not in {".", ".."}
    if not plain or "\0" in location or beside.is_symlink() or not beside.is_file():
        raise UnsafeModelError(
            f"{path}: refused: a tensor lies in {location[:100]!r}, which is no file in the model's own folder"
        )


_Fields = list[tuple[int, bytes]]


def _messages(path: Path, content: bytes) -> Iterator[tuple[str, _Fields]]:
    """(kind, its length-delimited fields) of every message that can hold an operator or a tensor."""
    stack = [("model", content, 0)]
    while stack:
        kind, data, depth = stack.pop()
        if depth > _DEEPEST:
            raise ModelError(f"{path}: corrupt: graphs are nested more than {_DEEPEST} deep")
        fields = list(_fields(path, data))
        yield kind, fields
        children = _CHILDREN.get(kind, {})
        stack += [(children[number], value, depth + 1) for number, value in fields if number in children]


def _fields(path: Path, data: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, value) of the fields of a message that are bytes, text or messages."""
    position = 0
    while position < len(data):
        tag, position = _varint(path, data, position)
        if tag >> 32:  # ONNX Runtime would drop the bits above and read another field than this walk
            raise ModelError(f"{path}: corrupt, or not an .onnx: a field's tag has more than 32 bits")
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(path, data, position)
        elif kind in {_FIXED64, _FIXED32}:
            position += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            length, position = _varint(path, data, position)
            if position + length > len(data):
                raise ModelError(f"{path}: corrupt or truncated .onnx: a field is longer than the file")
            yield tag >> 3, data[position : position + length]
            position += length
        else:
            raise ModelError(f"{path}: corrupt, or not an .onnx: a field of the kind {kind}")
    if position > len(data):
        raise ModelError(f"{path}: corrupt or truncated .onnx")


def _varint(path: Path, data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ModelError(f"{path}: corrupt or truncated .onnx")


def _text_fields(path: Path, data: bytes) -> Iterator[tuple[int, str]]:
    for number, value in _fields(path, data):
        yield number, value.decode("utf-8", "replace")


def _name(fields: _Fields, domain: int, name: int) -> tuple[str, str]:
    """(domain, name): the last of each, as protocol buffers have it."""
    values = dict(fields)
    return tuple(values.get(number, b"").decode("utf-8", "replace") for number in (domain, name))  # type: ignore[return-value]
