"""What is in no array, and the directory before it: by the byte model, or in large files by LZMA.

The byte model is smaller, and slow in Python.  LZMA (LZMA1 without a header, see the LZMA specification of the 7-Zip
SDK) is decoded by the standard library, and by about 150 lines in C and JavaScript; with its positions set for words of
four bytes it comes within a few bytes of the model where the file is large enough for it to learn.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Protocol

from tfcompress.converters.phone.packing.binary_coder import decoder, encoder
from tfcompress.converters.phone.packing.byte_model import ByteModel
from tfcompress.errors import ModelError

__all__ = ["BY_LZMA", "LARGE", "TABLE_BITS", "RestDecoder", "encode_rest", "rest_decoder"]

TABLE_BITS = range(12, 21)
BY_LZMA = 0  # in place of the bits of the byte model's table
LARGE = 1 << 18  # bytes of a file from which on quick decoders are worth a little size
_WORTH = 1000  # LZMA may cost one byte more than the model for so many packed bytes
_MODEL_UP_TO = 1 << 22  # bytes that the model is tried on: Python needs a minute for them
_DICTIONARY = 1 << 20
_FILTER = {"id": lzma.FILTER_LZMA1, "dict_size": _DICTIONARY, "lc": 0, "lp": 2, "pb": 2}
_PIECE = 1 << 16


class RestDecoder(Protocol):
    """Gives the directory and then the rest, from front to back."""

    def take(self, count: int, place: int) -> bytes:
        """The next `count` bytes; the first has its place in the directory or in the file at `place`."""
        ...


def encode_rest(listed: bytes, content: bytes, gaps: Sequence[tuple[int, int]], *, arrays: int) -> tuple[bytes, int]:
    """The coded part, and the bits of the byte model's table, or `BY_LZMA`.

    Args:
        listed: the directory.
        content: the whole .tflite.
        gaps: (offset, length) of what is in no array.
        arrays: bytes of the coded arrays.
    """
    rest = sum(length for _, length in gaps)
    if len(content) < LARGE:
        return _by_model(listed, content, gaps, rest)
    squeezed = _by_lzma(listed, content, gaps)
    if rest > _MODEL_UP_TO:
        return squeezed, BY_LZMA
    modelled, bits = _by_model(listed, content, gaps, rest)
    quick = len(squeezed) - len(modelled) <= (arrays + len(modelled)) // _WORTH
    return (squeezed, BY_LZMA) if quick else (modelled, bits)


def rest_decoder(data: bytes, table_bits: int, directory: int) -> RestDecoder:
    """The decoder of a coded part.

    Args:
        data: the coded part.
        table_bits: of the header.
        directory: bytes of the directory.
    """
    return _LzmaDecoder(data, directory) if table_bits == BY_LZMA else _ModelDecoder(data, table_bits)


def _by_model(listed: bytes, content: bytes, gaps: Sequence[tuple[int, int]], rest: int) -> tuple[bytes, int]:
    bits = min(TABLE_BITS[-1], max(16, (rest * 16).bit_length()))  # about 16 slots a byte
    coded = bytearray()
    code, finish = encoder(coded)
    model = _primed(bits).copy(code)
    for place, byte in enumerate(listed):
        model.code_byte(byte, place & 3)
    for offset, length in gaps:
        for place in range(offset, offset + length):
            model.code_byte(content[place], place & 3)
    finish()
    return bytes(coded), bits


def _by_lzma(listed: bytes, content: bytes, gaps: Sequence[tuple[int, int]]) -> bytes:
    whole = b"".join([listed, bytes(_padding(len(listed))), *(content[at : at + length] for at, length in gaps)])
    return lzma.compress(whole, lzma.FORMAT_RAW, filters=[{**_FILTER, "preset": 9 | lzma.PRESET_EXTREME}])


def _padding(directory: int) -> int:
    """Zeros behind the directory, so that the rest begins at a multiple of four, as words in a flatbuffer do."""
    return -directory % 4


class _ModelDecoder:
    def __init__(self, data: bytes, table_bits: int) -> None:
        self._model = _primed(table_bits).copy(decoder(data))

    def take(self, count: int, place: int) -> bytes:
        code = self._model.code_byte
        return bytes(code(0, at & 3) for at in range(place, place + count))


class _LzmaDecoder:
    def __init__(self, data: bytes, directory: int) -> None:
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_FILTER])
        self._data = data
        self._ready = b""
        self._skip = _padding(directory)  # behind what is taken first

    def take(self, count: int, place: int) -> bytes:
        pieces = bytearray(self._ready)
        while len(pieces) < count:
            pieces += self._more()
        taken, self._ready = bytes(pieces[:count]), bytes(pieces[count:])
        if self._skip:
            skip, self._skip = self._skip, 0
            self.take(skip, 0)
        return taken

    def _more(self) -> bytes:
        try:
            piece = self._decoder.decompress(self._data, _PIECE)
        except (lzma.LZMAError, EOFError):
            piece = b""
        self._data = b""
        if not piece:
            raise ModelError("a damaged .tfcz: its directory or rest ends too early; copy or make the file again")
        return piece


@cache
def _primed(table_bits: int) -> ByteModel:
    """A model that has seen the ordinary parts of a .tflite; to be copied, not used."""
    model = ByteModel(lambda _, bit: bit, table_bits)
    model.learn(resources.files(__name__.rpartition(".")[0]).joinpath("primer.bin").read_bytes())
    return model
