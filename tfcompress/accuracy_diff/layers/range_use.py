"""How a layer's float values lie in the range of the artifact's tensor, and what kind of error it makes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics
from tfcompress.accuracy_diff.channel_error import pieces

__all__ = ["range_figures", "range_statistics"]

BULK_TAIL = 0.001  # left out on each side: what an outlier is measured against
TINY = 1e-12
MOST_CHANNELS = 1 << 16  # beyond, the last axis is taken as one channel


def range_statistics(
    wanted: np.ndarray, got: np.ndarray, own: np.ndarray | None, limits: tuple[float, float] | None
) -> dict[str, object]:
    """Additive statistics of one batch of a layer.

    Args:
        wanted: the float layer's values.
        got: the artifact's.
        own: the artifact's with float inputs, or None.
        limits: what the artifact's tensor can hold; None for float.
    """
    values = wanted.ravel()
    seen = got if own is None else own
    statistics: dict[str, Any] = {
        "values": np.int64(values.size),
        "lowest": values.min(),
        "highest": values.max(),
        "got_lowest": seen.min(),
        "got_highest": seen.max(),
    }
    if limits is not None:
        statistics |= _inside(values, limits)
    if own is None:
        return statistics
    x = wanted.reshape(-1, wanted.shape[-1] if wanted.shape[-1] <= MOST_CHANNELS else 1)
    y = own.reshape(x.shape)
    positive, sums = bool(x.min(initial=0.0) >= 0), dict[str, Any]()
    for part in pieces(len(x), x.shape[1]):
        new = _channel_statistics(x[part].astype(np.float64), y[part].astype(np.float64), limits, positive=positive)
        sums = {name: sums.get(name, 0) + value for name, value in new.items()}
    return {**statistics, **sums}


def _channel_statistics(
    x: np.ndarray, y: np.ndarray, limits: tuple[float, float] | None, *, positive: bool
) -> dict[str, np.ndarray]:
    error = {"power": np.square(x).sum(axis=0), "noise": np.square(y - x).sum(axis=0)}
    return {**error, **_affine_statistics(x, y, limits, positive=positive)}


def _inside(values: np.ndarray, limits: tuple[float, float]) -> dict[str, Any]:
    """How the values lie within the limits of the artifact's tensor."""
    low, high = np.quantile(values, [BULK_TAIL, 1 - BULK_TAIL])
    # Up to a step beyond the limit is rounding: 1.0 behind a softmax, whose 8 bits end at 255/256.
    step = 1.001 * (limits[1] - limits[0]) / 255
    return {
        "outside": np.int64(((values < limits[0] - step) | (values > limits[1] + step)).sum()),
        "largest_bulk": max(float(high), 0.0),
        "largest_negative_bulk": max(-float(low), 0.0),
    }


def _affine_statistics(
    x: np.ndarray, y: np.ndarray, limits: tuple[float, float] | None, *, positive: bool
) -> dict[str, np.ndarray]:
    """Sums for a straight line from float values `x` to the artifact's `y`, a channel each (last axis).

    Values at an end of the artifact's range, and zeros behind a ReLU, lie on no line: they are left out.
    """
    low, high = limits if limits is not None else (-np.inf, np.inf)
    step = (high - low) / 255 if limits is not None else 0.0
    inside = (y > low + step / 2) & (y < high - step / 2)
    if positive:
        inside &= (x > 0) & (y > 0)
    x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
    return {
        "count": inside.sum(axis=0),
        "x": x.sum(axis=0),
        "y": y.sum(axis=0),
        "xx": np.square(x).sum(axis=0),
        "yy": np.square(y).sum(axis=0),
        "xy": (x * y).sum(axis=0),
    }


def range_figures(total: Statistics, limits: tuple[float, float] | None) -> dict[str, Any]:
    """The range keys of a `LayerDiff` from summed statistics."""
    low, high = float(total["lowest"]), float(total["highest"])
    figures: dict[str, Any] = {
        "observed": (low, high),
        "range_used": None,
        "bulk_used": None,
        "saturation": None,
        "dead": bool(total["got_lowest"] == total["got_highest"] and low < high),
        "affine_share": _affine_share(total) if "noise" in total else None,
        "channel_sqnr_db": _channel_sqnr(total) if "noise" in total else None,
    }
    if limits is not None:
        width = max(limits[1] - limits[0], TINY)
        bulk = float(total["largest_bulk"] + total["largest_negative_bulk"])
        figures |= {
            "range_used": min(1.0, (max(high, 0.0) - min(low, 0.0)) / width),
            "bulk_used": min(1.0, bulk / width),
            "saturation": int(total["outside"]) / int(total["values"]),
        }
    return figures


def _affine_share(total: Statistics) -> float | None:
    """Share of the squared error that is gone once each channel is scaled and shifted at best."""
    n = np.maximum(total["count"], 1)
    error = (total["yy"] - 2 * total["xy"] + total["xx"]).sum()
    if total["count"].max() < 2 or error <= TINY:
        return None
    spread_x = total["xx"] - total["x"] ** 2 / n
    spread_y = total["yy"] - total["y"] ** 2 / n
    common = total["xy"] - total["x"] * total["y"] / n
    explained = np.where(spread_y > TINY, common**2 / np.maximum(spread_y, TINY), 0.0)
    left = np.maximum(spread_x - explained, 0.0).sum()  # of the float values, given the artifact's
    return float(1 - min(1.0, left / error))


def _channel_sqnr(total: Statistics) -> float | None:
    """SQNR in dB of the channel at the lowest tenth; None where all channels are zero."""
    live = total["power"] > TINY
    if not live.any():
        return None
    power, noise = total["power"][live], np.maximum(total["noise"][live], TINY * total["power"][live])
    return float(np.quantile(10 * np.log10(power / noise), 0.1))
