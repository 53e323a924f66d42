"""An empty shared library of a given name, written byte by byte: no C compiler is needed on the user's machine.

LiteRT's Qualcomm plugin is linked against ``libQnnLpai.so``, Qualcomm's backend for its low-power island, so the
dynamic loader refuses the plugin where that name cannot be found.  onnxruntime-qnn does not carry that library, and
compiling for the HTP calls nothing of it.  A library that defines nothing under that name is all the loader asks for.
The name is found on ``LD_LIBRARY_PATH`` behind the SDK's own folder, so a real library, where there is one, wins.

Layout: System V ABI, "Object Files" (ELF header, program headers, dynamic section), AMD64 supplement.
"""

from __future__ import annotations

import struct

__all__ = ["empty_library"]

_HEADER_BYTES, _PROGRAM_BYTES, _SYMBOL_BYTES = 64, 56, 24
_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551  # PT_LOAD, PT_DYNAMIC, PT_GNU_STACK
_READ, _READ_WRITE = 4, 6
_PAGE = 0x1000
# Dynamic tags: DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_SONAME, DT_NULL.
_HASH, _STRINGS, _SYMBOLS, _STRINGS_BYTES, _SYMBOL_ENTRY, _SONAME, _END = 4, 5, 6, 10, 11, 14, 0


def empty_library(soname: str) -> bytes:
    """An x86-64 Linux shared library that is called `soname` and defines no symbol."""
    strings = b"\0" + soname.encode() + b"\0"
    hashes = struct.pack("<4I", 1, 1, 0, 0)  # one bucket, one chain: the table of the null symbol alone
    symbols_at = _HEADER_BYTES + 3 * _PROGRAM_BYTES
    hashes_at = symbols_at + _SYMBOL_BYTES
    strings_at = hashes_at + len(hashes)
    dynamic_at = -(-(strings_at + len(strings)) // 8) * 8
    dynamic = b"".join(
        struct.pack("<qQ", tag, value)
        for tag, value in (
            (_SONAME, 1),
            (_HASH, hashes_at),
            (_STRINGS, strings_at),
            (_SYMBOLS, symbols_at),
            (_STRINGS_BYTES, len(strings)),
            (_SYMBOL_ENTRY, _SYMBOL_BYTES),
            (_END, 0),
        )
    )
    size = dynamic_at + len(dynamic)
    programs = (
        _program(_LOAD, _READ_WRITE, 0, size, _PAGE)  # writable: the loader relocates the dynamic section in place
        + _program(_DYNAMIC, _READ_WRITE, dynamic_at, len(dynamic), 8)
        + _program(_STACK, _READ_WRITE, 0, 0, 16)  # without it the loader would make every stack executable
    )
    body = _header() + programs + bytes(_SYMBOL_BYTES) + hashes + strings
    return body.ljust(dynamic_at, b"\0") + dynamic


def _header() -> bytes:
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little-endian, version 1
    shared_object, x86_64, version, no_entry, no_sections, flags = 3, 62, 1, 0, 0, 0
    sizes = (_HEADER_BYTES, _PROGRAM_BYTES, 3, 0, 0, 0)  # three program headers and no section headers
    return identity + struct.pack(
        "<HHIQQQI6H", shared_object, x86_64, version, no_entry, _HEADER_BYTES, no_sections, flags, *sizes
    )


def _program(kind: int, flags: int, at: int, size: int, alignment: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, alignment)
