"""Arrays as the TPU compiler lays them out, read off its text: ``bf16[8,56,56,24]{3,0,2,1:T(8,128)(2,1)}``.

Here dimension 3 lies along the 128 lanes and dimension 0 along the 8 sublanes, each padded up to a multiple; the second
pair of brackets says how narrow numbers are packed and changes no size.
Source: Google Cloud documentation, "Cloud TPU performance guide" (tensor dimensions and padding); the notation is
XLA's (openxla.org, "Shapes and layout", "Tiled layout").
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = ["Array", "TiledDimension", "entry_arguments", "read_array"]

ARRAY = re.compile(r"^(?P<dtype>\w+)\[(?P<sizes>[\d,]*)\](?:\{(?P<order>[\d,]*)(?::(?:T\((?P<tile>[\d,]+)\))?\S*)?\})?")
ARGUMENT = re.compile(r"^\s+(?:ROOT )?%\S+ = (?P<shape>\S+) parameter\((?P<index>\d+)\)")
BITS = re.compile(r"^[a-z]+(\d+)")


@dataclass(frozen=True)
class TiledDimension:
    """One of an array's dimensions that lie along lanes or sublanes.

    Attributes:
        index: in the array's shape.
        size: elements.
        tile: elements that the chip takes at once.
    """

    index: int
    size: int
    tile: int

    @property
    def padded(self) -> int:
        """Elements with padding."""
        return math.ceil(self.size / self.tile) * self.tile


@dataclass(frozen=True)
class Array:
    """An array in the compiler's layout.

    Attributes:
        item_bits: of one element.
        sizes: logical shape.
        tiled: the dimensions that are padded to a tile, lanes first.
    """

    item_bits: int
    sizes: tuple[int, ...]
    tiled: tuple[TiledDimension, ...]

    @property
    def padding(self) -> float:
        """Share of the array in memory that is padding."""
        return 1 - math.prod(axis.size / axis.padded for axis in self.tiled)

    @property
    def bytes(self) -> int:
        """In memory, with padding."""
        sizes = dict(enumerate(self.sizes)) | {axis.index: axis.padded for axis in self.tiled}
        return math.prod(sizes.values()) * self.item_bits // 8


def read_array(text: str) -> Array | None:
    """The array that a shape in HLO text tells of; None for a tuple or an empty array."""
    match = ARRAY.match(text)
    if not match or "0" in match["sizes"].split(","):
        return None
    sizes, order, tile = (_numbers(match[part]) for part in ("sizes", "order", "tile"))
    along = zip(order, reversed(tile), strict=False)  # the minor-most dimension comes first in one, last in the other
    tiled = tuple(TiledDimension(index, sizes[index], length) for index, length in along)
    bits = BITS.match(match["dtype"])
    return Array(int(bits[1]) if bits else 8, sizes, tiled)


def entry_arguments(hlo: str) -> dict[int, Array | None]:
    """{position: array} of the arguments of the program in an HLO text."""
    _, _, entry = hlo.partition("\nENTRY ")
    matches = (ARGUMENT.match(line) for line in entry.splitlines())
    return {int(match["index"]): read_array(match["shape"]) for match in matches if match}


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",")) if text else ()
