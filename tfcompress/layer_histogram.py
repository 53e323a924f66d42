"""How the values of a layer lie in the range of its integers: what the accuracy diff counts, and the report shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LayerHistogram"]


@dataclass(frozen=True, kw_only=True)
class LayerHistogram:
    """Float values of a layer beside what its integers can hold.

    Attributes:
        layer: its Keras name.
        what: its outputs, or its kernel.
        low: lower edge of the first bin.
        high: upper edge of the last.
        counts: values in each of the bins, which are equally wide.
        range: lowest and highest value that the integers can hold; of a kernel, in its widest channel.
        narrowest: of a kernel with a scale per channel, the largest value of the channel that holds least; else None.
    """

    layer: str
    what: Literal["activations", "weights"]
    low: float
    high: float
    counts: tuple[int, ...]
    range: tuple[float, float]
    narrowest: float | None = None
