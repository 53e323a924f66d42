"""Histograms of the layers to blame, as shapes for the page: bars, and the ends of the range drawn in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfcompress.layer_histogram import LayerHistogram

__all__ = ["BASE", "HEIGHT", "WIDTH", "HistogramBar", "HistogramPicture", "histogram_pictures"]

WIDTH, HEIGHT = 360, 132  # of a picture
SIDE, TOP = 10, 16
BASE = HEIGHT - 22  # where the bars stand


@dataclass(frozen=True)
class HistogramBar:
    """One bar: its left edge, upper edge, width and height, and whether its values fit into the range."""

    x: float
    y: float
    width: float
    height: float
    inside: bool


@dataclass(frozen=True)
class HistogramPicture:
    """One histogram.

    Attributes:
        layer: the Keras layer.
        title: what its values are, and how many lie outside the range.
        bars: from the lowest value to the highest; those without a value are left out.
        ends: where the range begins and ends.
        narrowest: where that of the narrowest channel begins and ends; empty where there is one range for all.
        ticks: (where, text) of the extremes and of zero.
    """

    layer: str
    title: str
    bars: tuple[HistogramBar, ...]
    ends: tuple[float, float]
    narrowest: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


def histogram_pictures(histograms: Sequence[LayerHistogram]) -> tuple[HistogramPicture, ...]:
    """Pictures of the histograms that hold any value."""
    return tuple(_picture(histogram) for histogram in histograms if any(histogram.counts))


def _picture(histogram: LayerHistogram) -> HistogramPicture:
    def place(value: float) -> float:
        share = (value - histogram.low) / (histogram.high - histogram.low)
        return round(SIDE + share * (WIDTH - 2 * SIDE), 1)

    low, high = histogram.range
    bars = tuple(_bars(histogram))
    outside = sum(
        count
        for count, (left, right) in zip(histogram.counts, _bins(histogram), strict=True)
        if not _fits(histogram, left, right)
    )
    what = "Outputs" if histogram.what == "activations" else "Weights"
    said = f", {100 * outside / sum(histogram.counts):.3g} % of them beyond the range" if outside else ""
    least = histogram.narrowest
    marks = {histogram.low, histogram.high} | ({0.0} if histogram.low < 0 < histogram.high else set())
    return HistogramPicture(
        layer=histogram.layer,
        title=f"{what} in float{said}",
        bars=bars,
        ends=(place(low), place(high)),
        narrowest=() if least is None else (place(-least), place(least)),
        ticks=tuple((place(value), f"{value:.3g}".replace("-", "−")) for value in sorted(marks)),
    )


def _bins(histogram: LayerHistogram) -> Iterator[tuple[float, float]]:
    width = (histogram.high - histogram.low) / len(histogram.counts)
    for place in range(len(histogram.counts)):
        yield histogram.low + place * width, histogram.low + (place + 1) * width


def _fits(histogram: LayerHistogram, left: float, right: float) -> bool:
    """Whether the middle of a bin lies in the range."""
    return histogram.range[0] <= (left + right) / 2 <= histogram.range[1]


def _bars(histogram: LayerHistogram) -> Iterator[HistogramBar]:
    """Heights grow with the logarithm, so that a few outliers are seen."""
    tallest = math.log1p(max(histogram.counts))
    width = (WIDTH - 2 * SIDE) / len(histogram.counts)
    for place, (count, (left, right)) in enumerate(zip(histogram.counts, _bins(histogram), strict=True)):
        if count:
            height = round((BASE - TOP) * math.log1p(count) / tallest, 1)
            x = round(SIDE + place * width, 1)
            yield HistogramBar(x, round(BASE - height, 1), round(width - 0.6, 1), height, _fits(histogram, left, right))
