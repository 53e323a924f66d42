"""Published Edge TPU latencies against what a fit to the other figures says: USB 3 and PCIe."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.edgetpu_latency import FIGURES, left_out
from tfcompress.converters.edgetpu.latency import Link

SECONDS = 60
WITHIN = 0.25
LINKS: tuple[Link, ...] = ("usb3", "pcie")


def names() -> list[str]:
    """Every model with a published figure."""
    return [row["model"] for row in json.loads(FIGURES.read_text(encoding="utf-8"))]


def row(name: str) -> dict[str, Any]:
    """One model: published and foretold milliseconds, a link a pair; None where nothing was published."""
    measured = {link: {model: (ms, source) for model, ms, source in left_out(link)}.get(name) for link in LINKS}
    errors = {link: source / ms - 1 for link, pair in measured.items() if pair is not None for ms, source in (pair,)}
    far = [f"{link} {error:+.0%}" for link, error in errors.items() if abs(error) > WITHIN]
    figures: dict[str, Any] = {}
    for link in LINKS:
        ms, source = measured[link] or (None, None)
        figures |= {f"{link}_published_ms": ms, f"{link}_foretold_ms": None if source is None else round(source, 2)}
    return {"status": "partly" if far else "ok", "reason": ", ".join(far) or None, **figures}
