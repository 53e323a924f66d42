"""One bar a link: how an inference's milliseconds divide between the Edge TPU, streamed parameters and the CPU."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.converters.edgetpu.latency import Latency

__all__ = ["BAR_HEIGHT", "latency_bars"]

BAR_HEIGHT = 24
_GAP, _LABEL_WIDTH = 4, 96
_TITLES = {"usb3": "USB 3", "pcie": "PCIe"}


def latency_bars(latencies: Sequence[Latency], *, top: int, width: int) -> list[str]:
    """SVG groups, drawn to one scale; classes ``mapped``, ``streamed`` and ``refused``.

    Args:
        latencies: one bar each.
        top: of the first bar.
        width: that the longest bar may take, its label included.
    """
    longest = max((latency.estimate for latency in latencies), default=0.0)
    if longest <= 0:
        return []
    scale = (width - _LABEL_WIDTH) / longest
    return [
        part for row, latency in enumerate(latencies) for part in _bar(latency, top + row * (BAR_HEIGHT + _GAP), scale)
    ]


def _bar(latency: Latency, y: int, scale: float) -> list[str]:
    on_chip = latency.estimate - latency.streaming - latency.cpu
    pieces = (("mapped", "Edge TPU", on_chip), ("streamed", "parameters streamed", latency.streaming),
              ("refused", "CPU", latency.cpu))  # fmt: skip
    label = f"{_TITLES[latency.link]}: {latency.estimate:.3g} ms ({latency.low:.3g} to {latency.high:.3g})"
    parts = [f'<g class="label"><title>{label}</title><text x="0" y="{y + 14}">{label.split(" (")[0]}</text></g>']
    x = float(_LABEL_WIDTH)
    for state, name, milliseconds in pieces:
        length = milliseconds * scale
        if milliseconds > 0:
            parts.append(
                f'<g class="{state}"><title>{name}: {milliseconds:.3g} ms</title>'
                f'<rect x="{x:.1f}" y="{y}" width="{max(length, 1):.1f}" height="{BAR_HEIGHT - 4}"/></g>'
            )
        x += length
    return parts
