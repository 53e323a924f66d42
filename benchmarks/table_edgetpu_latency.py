"""Published Edge TPU latencies against what a fit to the other figures says, and its interval: USB 3 and PCIe."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.edgetpu_latency import FIGURES, LINKS, intervals, left_out

SECONDS = 60
WITHIN = 0.25


def names() -> list[str]:
    """Every model with a published figure."""
    return [row["model"] for row in json.loads(FIGURES.read_text(encoding="utf-8"))]


def row(name: str) -> dict[str, Any]:
    """One model: published and foretold milliseconds with the interval, for each link; None where none is published."""
    measured = {link: {model: (ms, source) for model, ms, source in left_out(link)}.get(name) for link in LINKS}
    errors = {link: source / ms - 1 for link, pair in measured.items() if pair is not None for ms, source in (pair,)}
    far = [f"{link} {error:+.0%}" for link, error in errors.items() if abs(error) > WITHIN]
    figures: dict[str, Any] = {}
    for link in LINKS:
        ms, source = measured[link] or (None, None)
        low, high = next(((low, high) for model, _, low, high in intervals(link) if model == name), (None, None))
        figures |= {f"{link}_published_ms": ms, f"{link}_foretold_ms": _rounded(source)}
        figures |= {f"{link}_low_ms": _rounded(low), f"{link}_high_ms": _rounded(high)}
    return {"status": "partly" if far else "ok", "reason": ", ".join(far) or None, **figures}


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 2)
