"""Before and after: what the float model takes, and what each artifact takes instead, as bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tfcompress.report import figures
from tfcompress.report.schema import Report, TargetSection

__all__ = ["Bar", "BarGroup", "bar_groups"]


@dataclass(frozen=True)
class Bar:
    """One bar: what it belongs to, its figure, `share` percent of the longest, and whether it is the float model's."""

    label: str
    figure: str
    share: float
    is_float: bool


@dataclass(frozen=True)
class BarGroup:
    """Bars of one quantity."""

    title: str
    bars: tuple[Bar, ...]


def bar_groups(report: Report) -> tuple[BarGroup, ...]:
    """The quantities that are known of two or more."""
    sections = {section.title or name: section for name, section in report.asked.items() if section.converted}
    on_cpu = {title: s for title, s in sections.items() if not s.mappings and not s.compile}
    float_ms = next((s.float_latency_ms.median for s in on_cpu.values() if s.float_latency_ms is not None), None)
    model = report.model
    quantities: tuple[tuple[str, Callable[[float], str], float | None, dict[str, float | None]], ...] = (
        ("Size", figures.size, model.float_bytes, {t: s.bytes for t, s in sections.items()}),
        ("Download size", figures.size, None, {t: _packed(s) for t, s in sections.items()}),
        (
            "Time of a sample on this machine's CPU, one thread",
            figures.milliseconds,
            float_ms,
            {t: None if s.latency_ms is None else s.latency_ms.median for t, s in on_cpu.items()},
        ),
        ("Multiply-accumulates", figures.amount, model.macs, {t: s.macs for t, s in sections.items()}),
    )
    groups = (BarGroup(title, tuple(_bars(write, before, after))) for title, write, before, after in quantities)
    return tuple(group for group in groups if len(group.bars) > 1)


def _packed(section: TargetSection) -> int | None:
    """Bytes of the smallest download that is known: packed, else the file after gzip."""
    if section.packed_bytes is not None:
        return section.packed_bytes
    return None if section.weights is None else section.weights.gzip_bytes


def _bars(write: Callable[[float], str], before: float | None, after: dict[str, float | None]) -> Iterator[Bar]:
    values = {title: value for title, value in {"float": before, **after}.items() if value is not None}
    longest = max(values.values(), default=0.0) or 1.0
    for title, value in values.items():
        saved = f" ({before / value:.1f}× less)" if before and 0 < value < before else ""
        yield Bar(title, write(value) + saved, round(100 * value / longest, 1), title == "float")
