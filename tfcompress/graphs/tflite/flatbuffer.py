"""Checked access to a flatbuffer: what the generated accessors do not verify themselves.

Layout (FlatBuffers documentation, "FlatBuffer Internals"): a table begins with a signed 32-bit distance back to its
vtable; a vtable is a list of unsigned 16-bit numbers: its own size, the size of the table, then one field offset
each, 0 for a field that is absent.  A vector is an unsigned 32-bit length followed by its elements.
"""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["BAD_BYTES", "FlatbufferError", "check_length", "check_table", "text"]

# What the generated accessors raise on offsets that point outside the file or that have an impossible value.
BAD_BYTES = (struct.error, IndexError, OverflowError, TypeError, ValueError)

_SOFFSET = struct.Struct("<i")
_VTABLE_HEAD = struct.Struct("<HH")


class FlatbufferError(ValueError):
    """The bytes are not the flatbuffer that they should be."""


def check_table(table: Any) -> Any:
    """`table` itself, once its vtable and its fields are known to lie inside the file.

    Args:
        table: an object of the generated classes, such as `schema.Tensor`.

    Raises:
        FlatbufferError: the table or its vtable lies outside the file, or a field outside the table.
    """
    data, position = table._tab.Bytes, table._tab.Pos
    size = len(data)
    if not 0 < position <= size - 4:
        raise FlatbufferError(f"a table lies at byte {position} of {size}")
    vtable = position - _SOFFSET.unpack_from(data, position)[0]
    if vtable == position or not 0 <= vtable <= size - 4:
        raise FlatbufferError(f"the vtable of the table at byte {position} lies at byte {vtable} of {size}")
    vtable_size, table_size = _VTABLE_HEAD.unpack_from(data, vtable)
    if vtable_size < 4 or vtable_size % 2 or vtable + vtable_size > size:
        raise FlatbufferError(f"the vtable at byte {vtable} claims {vtable_size} bytes")
    if table_size < 4 or position + table_size > size:
        raise FlatbufferError(f"the table at byte {position} claims {table_size} bytes")
    fields = struct.unpack_from(f"<{vtable_size // 2 - 2}H", data, vtable + 4)
    if any(field >= table_size for field in fields):
        raise FlatbufferError(f"a field of the table at byte {position} lies outside the table")
    return table


def check_length(table: Any, length: int, element_bytes: int, what: str) -> int:
    """`length` itself, once that many elements could lie in the file at all.

    Args:
        table: any table of the file.
        length: the number of elements that a vector claims.
        element_bytes: size of one element in the vector.
        what: the vector's name, for the message.

    Raises:
        FlatbufferError: the vector would be longer than the file.
    """
    size = len(table._tab.Bytes)
    if length * element_bytes > size:
        raise FlatbufferError(f"{what} claims {length} elements in a file of {size} bytes")
    return length


def text(value: bytes | None) -> str:
    """A flatbuffer string; bytes that are not UTF-8 are replaced, and None is an empty string."""
    return "" if value is None else value.decode("utf-8", "replace")
