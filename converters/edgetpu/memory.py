"""How many parameter bytes the compiler caches on the chip and how many it streams.

What an operator's parameters take is in `parameters`; here is the room for all of them together.  The room is not
documented, and it is not a constant: public logs of vision models have 6.1 to 7.2 MiB of "used" and "remaining"
together where something is streamed, whatever the size of their pictures.

* The room is filled to the last few kilobytes (logs of compilers 2.0 to 16: 0 to 8 KiB remain where anything is
  streamed for want of room), but a layer that is larger than the room is streamed whole: 8192 x 8192 weights leave
  the cache empty (ricardodeazambuja/LibrEdgeTPU, docs/HARDWARE_ANALYSIS.md, section 17).
* A layer that is always streamed (see `parameters`) needs twice its size for a buffer where that fits the chip.
* The parameters of Dense layers are loaded 64 outputs at a time; no more than 159 such loads were seen, and layers
  after them are streamed: 79 layers of 100 outputs or 53 of 150 are cached, however many there are.
* Models that are compiled together share the room: compiler 16 in proportion to what they need, earlier ones in the
  order of the command line (see `share`).

Nothing was fitted to Keras's ResNet50 at 224 x 224: cached and streamed together are forecast as 24.6 MiB, and 24.7 MiB
in a public log of compiler 2.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfcompress.converters.edgetpu.parameters import OperatorBytes, dense_groups, operator_bytes
from tfcompress.converters.edgetpu.view import OperatorView

__all__ = ["CHIP_BYTES", "Demand", "ParameterBytes", "demand", "largest_activation", "share"]

CHIP_BYTES = 8 * 2**20  # SRAM of the Edge TPU, for executable, activations and cached parameters together
# Median of "used + remaining" in ten public logs: ResNet50 6.25, YOLOv5s 6.08, 6.74, 6.89 and 7.02 (at 224 to 512), SSD
# MobileNet v2 FPNLite at 640 6.99, EfficientDet-Lite3 7.04, FaceNet 7.04, a detector at 224 7.14, YOLOX-tiny 7.24 MiB.
_ROOM = round(7.0 * 2**20)
_DENSE_LOADS = 159


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
class Demand:
    """What a model asks of the parameter memory.

    Attributes:
        wanted: bytes that are cached where there is room.
        streamed: bytes that are streamed whatever the room.
        room: bytes of the chip's memory that are left for cached parameters.
    """

    wanted: int
    streamed: int
    room: int

    def within(self, room: int) -> ParameterBytes:
        """Cached and streamed bytes with this much room."""
        cached = min(self.wanted, max(0, room))
        return ParameterBytes(cached, self.streamed + self.wanted - cached)


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
    room = _room(sizes)
    late = _late_dense_layers(views)
    cached = [s.cacheable for i, s in enumerate(sizes) if i not in late and s.cacheable <= room]
    total = sum(size.cacheable + size.streamed for size in sizes)
    return Demand(wanted=sum(cached), streamed=total - sum(cached), room=room)


def _room(sizes: Iterable[OperatorBytes]) -> int:
    """Bytes for cached parameters beside the buffers of a layer that is always streamed.

    7 x 7 x 576 inputs and 128 outputs leave 8 MiB - 2 x 3.45 MiB (google-coral/edgetpu issue 572).
    """
    buffers = [2 * size.streamed for size in sizes if 2 * size.streamed < CHIP_BYTES]
    return min([_ROOM, *(CHIP_BYTES - size for size in buffers)])


def _late_dense_layers(views: Sequence[OperatorView]) -> set[int]:
    """Positions of the Dense layers from the first on that needs more loads than there are.

    One large layer is no chain: it is cached or streamed by its size.
    """
    late: set[int] = set()
    loads = layers = 0
    for position, view in enumerate(views):
        groups = dense_groups(view)
        loads, layers = loads + groups, layers + (groups > 0)
        if groups and layers > 1 and loads > _DENSE_LOADS:
            late.add(position)
    return late


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
        room -= result[-1].on_chip
    return result
