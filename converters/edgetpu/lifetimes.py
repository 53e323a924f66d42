"""What waits in the chip's memory: results that an operator much later reads, as the shortcut of a residual block."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tfcompress.converters.edgetpu.view import OperatorView

__all__ = ["long_lived_bytes"]

# A result that the next two operators use up need never be whole: the compiler computes such operators piece by piece
# (a convolution of 320 x 320 x 96 is compiled, which is larger than the chip).
_SHORT = 2


def long_lived_bytes(views: Sequence[OperatorView]) -> int:
    """The most bytes that wait at once.

    Args:
        views: the mapped operators, in order.
    """
    born = {tensor.index: position for position, view in enumerate(views) for tensor in view.outputs}
    last = {tensor.index: position for position, view in enumerate(views) for tensor in view.inputs}
    changes = [0] * (len(views) + 1)
    for index, position in born.items():
        if last.get(index, position) - position > _SHORT:
            size = views[position].graph.tensors[index].bytes
            changes[position + 1] += size
            changes[last[index]] -= size
    return max(itertools.accumulate(changes))
