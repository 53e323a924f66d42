"""How many parameter bytes the compiler caches on the chip and how many it streams.

What an operator's parameters take is in `parameters`; here is the room for all of them together.

* A layer is cached whole or streamed whole.  In 138 published figures of chains of Dense layers and convolutions
  (Jorgitou98/EdgeTPU-QuantRL-Evaluation on GitHub, results of FC_MACs and CONV_MACs, compiler 16) the streamed bytes
  go up by whole layers; taking the layers that together fill the room best gives 131 of them within 5 and 10 %.
* The room is not documented, and it is not a constant (see `_room`).  Logs of large networks that stream have 0 to
  8 KiB left, as the best filling by very many layers has.
* A layer that is larger than 7 MiB is streamed even where the room is empty: 6.80 MiB are cached, 7.09 are not.
* A layer that is always streamed (see `parameters`) needs twice its size for a buffer where that fits the chip.
* The parameters of Dense layers are loaded 64 outputs at a time; no more than 159 such loads were seen, and layers
  after them are streamed: 79 layers of 100 outputs or 53 of 150 are cached, however many there are.
* Compiler 1 may leave less room beside large pictures (see `_PICTURES`); the forecast has an interval for it.
* Models that are compiled together share the room: compiler 16 in proportion to what they need, earlier ones in the
  order of the command line (see `share`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfcompress.converters.edgetpu.lifetimes import long_lived_bytes
from tfcompress.converters.edgetpu.parameters import OperatorBytes, dense_groups, operator_bytes
from tfcompress.converters.edgetpu.view import OperatorView

__all__ = [
    "CHIP_BYTES",
    "LARGEST_LAYER",
    "ROOMS",
    "Demand",
    "Layer",
    "ParameterBytes",
    "demand",
    "largest_activation",
    "share",
]

CHIP_BYTES = 8 * 2**20  # SRAM of the Edge TPU, for executable, activations and cached parameters together
LARGEST_LAYER = 7 * 2**20
_ROOM_OF_CHAIN = round(7.75 * 2**20)
_ROOM = round(7.3 * 2**20)
# {network with branches: (room, what waits)} in MiB: "used" and "remaining" together in public logs of compilers 2 to
# 16, and the network's largest shortcut.  Others, whose networks are not known so well, have 6.08 to 7.24 MiB.
ROOMS = {
    "ResNet50 at 224": (6.25, 0.77),
    "SSD MobileNet v2 at 300": (7.62, 0.13),
    "EfficientDet-Lite0 at 320": (7.50, 0.15),
    "EfficientDet-Lite3 at 512": (7.04, 0.50),
    "FaceNet at 160": (7.04, 0.07),
    "EfficientNet-EdgeTPU S and M": (7.41, 0.11),
}
# Not explained: of a chain of 75 convolutions on pictures of 128 x 128, runtime 10, 2,622,400 bytes are cached and
# 1,106,688 streamed, where all would fit.  22 kernels of 7 x 7 x 32 for 32 outputs, 50,304 bytes each, are the streamed
# bytes; 52 of them and 6,592 others (a first kernel for three channels and 192 more) the cached ones.
# Tried:
# * a limit of loads, as of Dense layers: a public pair of runtime 10 has 159 convolutions, a load each, all cached;
# * the room less k times what the largest operator reads and writes: k of 2.90 to 3.00 would do, but a public pair of
#   runtime 10 caches all its 1.5 MB beside pictures of 184 x 216 x 96, so that k is at most 1.43 there; and compiler 16
#   leaves 7.75 MiB beside pictures of 64 x 64 x 700, so that k is 0;
# * a limit of cached bytes, or of the largest layer: other pairs cache more.
# So the most that compiler 1 is said to stream is what is left with k = 3, and the least what fits as for the others.
_PICTURES = 3
_DENSE_LOADS = 159
_UNIT = 64  # bytes; all sizes are multiples of it
_MANY_LAYERS = 2000  # with more of them a coarser unit, so that `_fullest` takes no more than about 40 MB


@dataclass(frozen=True)
class ParameterBytes:
    """Parameter memory of the mapped operators.

    Attributes:
        on_chip: bytes cached in the chip's memory across inferences.
        off_chip: bytes streamed from the host in every inference.
    """

    on_chip: int
    off_chip: int


@dataclass(frozen=True)
class Layer:
    """One operator whose parameters can be cached.

    Attributes:
        position: of the operator among the mapped ones.
        cacheable: its parameter bytes.
        occupied: bytes of the chip's memory that they take.
        loads: load instructions of a Dense layer; 0 for any other.
    """

    position: int
    cacheable: int
    occupied: int
    loads: int


@dataclass(frozen=True)
class Demand:
    """What a model asks of the parameter memory.

    Attributes:
        layers: what is cached where there is room, in order.
        streamed: bytes that are streamed whatever the room.
        room: bytes of the chip's memory that are left for cached parameters.
        waiting: bytes that results take on the chip which a later operator reads.
        least_room: as `room` where it is sure; else the least that it may be.
    """

    layers: tuple[Layer, ...]
    streamed: int
    room: int
    waiting: int
    least_room: int

    @property
    def wanted(self) -> int:
        """Bytes of the chip's memory that all layers take."""
        return sum(layer.occupied for layer in self.layers)

    def cached(self, room: int) -> tuple[Layer, ...]:
        """The layers that are cached with this much room."""
        kept, loads = [], 0
        for layer in _fullest([layer for layer in self.layers if layer.occupied <= LARGEST_LAYER], room):
            loads += layer.loads
            if not layer.loads or loads <= _DENSE_LOADS or loads == layer.loads:  # one large layer is no chain
                kept.append(layer)
        return tuple(kept)

    def within(self, room: int) -> ParameterBytes:
        """Cached and streamed bytes with this much room."""
        cached = sum(layer.cacheable for layer in self.cached(room))
        return ParameterBytes(cached, self.streamed + sum(layer.cacheable for layer in self.layers) - cached)


def _fullest(layers: Sequence[Layer], room: int) -> list[Layer]:
    """The layers that together fill the room best; of two such choices the one with the earlier layers."""
    if sum(layer.occupied for layer in layers) <= room:
        return list(layers)
    unit = _UNIT * -(-len(layers) // _MANY_LAYERS)
    units = [-(-layer.occupied // unit) for layer in layers]
    within = (1 << (max(0, room) // unit + 1)) - 1
    reached = [1]  # bit n: n units can be filled by the layers so far
    for size in units:
        reached.append((reached[-1] | reached[-1] << size) & within)
    left = reached[-1].bit_length() - 1
    chosen: list[Layer] = []
    for layer, size, before in zip(reversed(layers), reversed(units), reversed(reached[:-1]), strict=True):
        if not before >> left & 1:
            chosen.append(layer)
            left -= size
    return chosen[::-1]


def largest_activation(views: Iterable[OperatorView]) -> int:
    """The largest sum of one operator's inputs and outputs, in bytes."""
    return max((sum(t.bytes for t in view.activations) for view in views), default=0)


def demand(views: Iterable[OperatorView], *, compiler: int) -> Demand:
    """What the mapped operators ask for.

    Args:
        views: the mapped operators, in order.
        compiler: major version of the compiler.
    """
    views = list(views)
    sizes = [operator_bytes(view, compiler=compiler) for view in views]
    layers = tuple(
        Layer(position, size.cacheable, size.occupied, dense_groups(view))
        for position, (view, size) in enumerate(zip(views, sizes, strict=True))
        if size.cacheable
    )
    waiting = long_lived_bytes(views)
    streamed = sum(size.streamed for size in sizes)
    room = _room(waiting, sizes)
    least = min(room, _room_beside_pictures(views)) if compiler == 1 else room
    return Demand(layers=layers, streamed=streamed, room=room, waiting=waiting, least_room=least)


def _room_beside_pictures(views: Iterable[OperatorView]) -> int:
    """The least that compiler 1 leaves for parameters."""
    return max(0, CHIP_BYTES - _PICTURES * largest_activation(views))


def _room(waiting: int, sizes: Iterable[OperatorBytes]) -> int:
    """Bytes for cached parameters.

    Chains of layers leave 7.74 to 7.79 MiB (the figures named above).  In a network with branches, what waits for a
    later operator is kept on the chip: 7.3 MiB less what waits is within 6 % of all `ROOMS`.
    A layer that is always streamed, 7 x 7 x 576 inputs and 128 outputs, leaves 8 MiB - 2 x 3.45 MiB
    (google-coral/edgetpu issue 572).
    """
    buffers = [2 * size.streamed for size in sizes if 2 * size.streamed < CHIP_BYTES]
    room = max(0, _ROOM - waiting) if waiting else _ROOM_OF_CHAIN
    return min([room, *(CHIP_BYTES - size for size in buffers)])


def share(demands: Sequence[Demand], *, compiler: int) -> list[ParameterBytes]:
    """Cached and streamed bytes of models that are compiled together.

    Coral's compiler page says that models share the cache; issue 518 of google-coral/edgetpu shows that compiler 15
    serves the first one first.  In a log of compiler 16 two EfficientNet-EdgeTPU models that need 8.37 and 6.57 MiB
    cache 4.21 and 3.20 MiB: each half of its own.

    Args:
        demands: one per model, in the order of the command line.
        compiler: major version of the compiler.
    """
    if not demands:
        return []
    room = min(each.room for each in demands)
    wanted = sum(each.wanted for each in demands)
    if compiler >= 16:
        rooms = [each.wanted * room // max(wanted, room) for each in demands]
        return [each.within(part) for each, part in zip(demands, rooms, strict=True)]
    result: list[ParameterBytes] = []
    for each in demands:
        result.append(each.within(room))
        room -= sum(layer.occupied for layer in each.cached(room))
    return result
