"""Numbers as people read them; what is not known is a dash."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = [
    "UNKNOWN",
    "amount",
    "change",
    "count",
    "decibel",
    "interval",
    "milliseconds",
    "percent",
    "points",
    "size",
    "value",
    "with_unit",
]

UNKNOWN = "–"


def size(number: float | None) -> str:
    """Bytes with a decimal unit: ``98.5 kB``."""
    if number is None:
        return UNKNOWN
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g} {unit}" if number < 999.5 * scale else f"{number / scale:.0f} {unit}"
    return f"{number:.0f} B"


def count(number: float | None) -> str:
    """A whole number with thousands separated."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def amount(number: float | None) -> str:
    """A large number with three significant digits: ``8.24 M``."""
    if number is None:
        return UNKNOWN
    for unit, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g} {unit}" if number < 999.5 * scale else f"{number / scale:.0f} {unit}"
    return f"{number:.0f}"


def percent(share: float | None, digits: int = 2) -> str:
    """A share as percent."""
    return UNKNOWN if share is None else f"{100 * share:.{digits}f} %"


def points(share: float | None, digits: int = 2) -> str:
    """A difference of shares, with its sign, in percentage points."""
    if share is None:
        return UNKNOWN
    rounded = round(100 * share, digits)
    return f"{rounded or 0.0:+.{digits}f}".replace("-", "−") if rounded else f"{0.0:.{digits}f}"


def change(drop: float | None) -> str:
    """A drop as what happened to the score: a loss is below zero, a gain above: ``−1.23``."""
    return UNKNOWN if drop is None else points(-drop)


def interval(bounds: Sequence[float] | None) -> str:
    """The interval of a drop as that of the change, in percentage points: ``−0.88 to +0.24``."""
    return UNKNOWN if not bounds else f"{change(bounds[1])} to {change(bounds[0])}"


def decibel(number: float | None) -> str:
    """dB with one digit."""
    return UNKNOWN if number is None else f"{round(number, 1) + 0.0:.1f} dB"  # 0.0: never minus zero


def milliseconds(number: float | None) -> str:
    """Milliseconds with three significant digits."""
    return UNKNOWN if number is None else f"{number:.3g} ms"


def value(number: object) -> str:
    """Any JSON value: four significant digits for a float."""
    if number is None:
        return UNKNOWN
    if isinstance(number, bool):
        return "yes" if number else "no"
    if isinstance(number, float):
        return f"{number:.4g}"
    if isinstance(number, list | tuple):
        return ", ".join(value(item) for item in number) or UNKNOWN
    if isinstance(number, dict):
        return "; ".join(f"{key}: {value(item)}" for key, item in number.items()) or UNKNOWN
    return str(number)


def with_unit(number: float | str | None, unit: str) -> str:
    """A figure of a target's own, see `converters.target.ReportRow`."""
    if number is None or isinstance(number, str):
        return number or UNKNOWN
    writers: dict[str, Callable[[float], str]] = {
        "count": count,
        "bytes": size,
        "milliseconds": milliseconds,
        "share": percent,
    }
    return writers.get(unit, value)(number)
