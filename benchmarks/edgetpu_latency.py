"""Fits the rates of `tfcompress.converters.edgetpu.latency` to published figures, and leaves each figure out in turn.

The fit makes the sum of relative errors small (absolute ones, so that a few figures that cannot be explained do not
bend the rates), with rates that are not negative and multiplications no faster than the chip's peak.  A rate that a
link's figures cannot tell is taken from the other link: the Dev Board's figures have no operators on the CPU.

The interval is one factor to either side of the estimate, for both links: the quantile of the errors of figures that
were left out, with the correction for few of them that conformal prediction has (Vovk, Gammerman and Shafer 2005).
Whether it holds is asked of each model in turn with a factor, and rates, from the other models alone (`intervals`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from tfcompress.converters.edgetpu.latency import Link, Rates

__all__ = ["FIGURES", "all_rates", "figures", "fit", "intervals", "left_out", "spread"]

FIGURES = Path(__file__).parent / "edgetpu_figures.json"
PEAK = 64 * 64 * 500e6 / 1e9 / 1e3  # 10**9 multiplications a millisecond
HELD = 0.9  # share of figures that the interval is to hold
SOFT = 0.05  # relative error below which figures count by its square
UNITS = {
    "call": (None, 1.0),
    "multiplications": ("multiplications", 1e9),
    "activations": ("activation_bytes", 1e6),
    "streamed": ("streamed_bytes", 1e6),
    "transferred": ("transferred_bytes", 1e6),
    "operators": ("operators", 1.0),
    "cpu": ("cpu_elements", 1e6),
}
LINKS: tuple[Link, ...] = ("usb3", "pcie")
FITTED: dict[Link, tuple[str, ...]] = {
    "usb3": tuple(UNITS),
    "pcie": ("call", "multiplications", "activations", "streamed"),
}


def figures(link: Link) -> list[dict[str, Any]]:
    """The published figures of a link."""
    rows: list[dict[str, Any]] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return [row for row in rows if row[f"{link}_ms"] is not None]


def fit(rows: list[dict[str, Any]], link: Link) -> dict[str, float]:
    """Rates by name, for those that the link's figures can tell.

    Args:
        rows: figures to fit to.
        link: whose.
    """
    names = FITTED[link]
    times = np.array([row[f"{link}_ms"] for row in rows], float)
    shares = np.array([[_amount(row, name) for name in names] for row in rows]) / times[:, None]
    least = np.array([1 / PEAK if name == "multiplications" else 0.0 for name in names])
    wanted = 1 - shares @ least
    rates = nnls(shares, wanted)[0]
    for _ in range(50):
        weights = np.sqrt(1 / np.maximum(np.abs(shares @ rates - wanted), SOFT))
        rates = nnls(shares * weights[:, None], wanted * weights)[0]
    return {name: float(rate) for name, rate in zip(names, rates + least, strict=True)}


def _amount(row: dict[str, Any], name: str) -> float:
    field, unit = UNITS[name]
    return 1.0 if field is None else row[field] / unit


def estimate(rates: dict[str, float], row: dict[str, Any]) -> float:
    """Milliseconds of a figure's work."""
    return sum(rate * _amount(row, name) for name, rate in rates.items())


@functools.cache
def left_out(link: Link, without: str | None = None) -> list[tuple[str, float, float]]:
    """(model, published, foretold by a fit without it) of every figure of a link.

    Args:
        link: whose.
        without: a model that takes no part in anything.
    """
    rows = [row for row in figures(link) if row["model"] != without]
    return [
        (row["model"], row[f"{link}_ms"], estimate(fit([other for other in rows if other is not row], link), row))
        for row in rows
    ]


def spread(without: str | None = None) -> float:
    """The factor that the interval reaches to either side, from figures that were left out, of both links.

    Args:
        without: a model that takes no part in it.
    """
    errors = sorted(
        abs(math.log(published / foretold)) for link in LINKS for _, published, foretold in left_out(link, without)
    )
    rank = math.ceil(HELD * (len(errors) + 1))
    return math.exp(errors[min(rank, len(errors)) - 1])


def intervals(link: Link) -> list[tuple[str, float, float, float]]:
    """(model, published, low, high), where rates and interval are from the other models alone."""
    factors = {row["model"]: spread(row["model"]) for row in figures(link)}
    return [
        (model, published, foretold / factors[model], foretold * factors[model])
        for model, published, foretold in left_out(link)
    ]


def all_rates() -> dict[Link, Rates]:
    """The rates of both links as `latency.RATES` has them."""
    usb = fit(figures("usb3"), "usb3")
    pcie = {**dict.fromkeys(UNITS, 0.0), "cpu": usb["cpu"], **fit(figures("pcie"), "pcie")}
    return {"usb3": Rates(**usb), "pcie": Rates(**pcie)}


def main() -> None:
    """Print the rates and the errors."""
    for link, rates in all_rates().items():
        print(link, {key: round(value, 4) for key, value in dataclasses.asdict(rates).items()})
        results = left_out(link)
        errors = np.array([foretold / published - 1 for _, published, foretold in results])
        for (model, published, foretold), error in zip(results, errors, strict=True):
            print(f"  {model:42} {published:7} ms, foretold {foretold:7.2f} ({error:+.0%})")
        print(f"  median {np.median(np.abs(errors)):.3f}, {np.mean(np.abs(errors) <= 0.25):.0%} within 25 %")
        held = [low <= published <= high for _, published, low, high in intervals(link)]
        print(f"  the interval holds {sum(held)} of {len(held)}")
    print(f"the interval reaches a factor of {spread():.4f} to either side")


if __name__ == "__main__":
    main()
