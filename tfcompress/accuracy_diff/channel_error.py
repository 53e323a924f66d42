"""The columns of one output measured one by one, and its samples: so that loud ones do not hide quiet ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["channel_rows", "channel_statistics", "destroyed_channel", "pieces", "quiet_sqnr_db", "sample_statistics"]

MOST_CHANNELS = 64  # beyond, a column is a position of a signal and no thing of its own
MOST_ROWS = 10  # in report.json
DESTROYED_DB = 3.0  # of a column: half of what it says is noise
LARGEST_DB = 200.0
BINS = np.arange(-20.0, 121.0, 1.0)  # dB, of the histogram of samples
QUIET_SHARE = 0.05  # of the samples
TINY = 1e-12
MOST_VALUES = 1 << 22  # that are copied in float64 at once


def channel_statistics(reference: np.ndarray, candidate: np.ndarray) -> dict[str, Any]:
    """Additive statistics of the last axis; empty for outputs without one, or with too many columns.

    Args:
        reference: (samples, ..., channels) float, finite.
        candidate: the same shape.
    """
    if reference.ndim < 2 or not 2 <= reference.shape[-1] <= MOST_CHANNELS:
        return {}
    ref = reference.reshape(-1, reference.shape[-1])
    cand = candidate.reshape(ref.shape)
    power, noise = np.zeros((2, ref.shape[1]))
    for part in pieces(len(ref), ref.shape[1]):
        a = ref[part].astype(np.float64)
        power += np.square(a).sum(axis=0)
        noise += np.square(cand[part].astype(np.float64) - a).sum(axis=0)
    return {
        "channel_power": power,
        "channel_noise": noise,
        "channel_lowest": ref.min(axis=0, initial=np.inf).astype(np.float64),
        "channel_highest": ref.max(axis=0, initial=-np.inf).astype(np.float64),
    }


def pieces(length: int, width: int) -> Iterator[slice]:
    """Parts of a long axis, so that copies of a part in float64 stay small.

    Args:
        length: of the axis.
        width: values for each of its positions.
    """
    step = max(1, MOST_VALUES // max(1, width))
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def sample_statistics(power: np.ndarray, noise: np.ndarray) -> dict[str, Any]:
    """How many samples have which SQNR; `power` and `noise` are (samples,)."""
    live = power > TINY
    decibels = 10 * np.log10(power[live] / np.maximum(noise[live], TINY * power[live]))
    counts, _ = np.histogram(np.clip(decibels, BINS[0], BINS[-1]), BINS)
    return {"samples_by_db": counts}


def quiet_sqnr_db(total: Mapping[str, Any]) -> float | None:
    """The SQNR in whole dB that all but `QUIET_SHARE` of the samples reach; None where no output had a signal."""
    counts = total.get("samples_by_db")
    if counts is None or counts.sum() == 0:
        return None
    return float(BINS[int(np.searchsorted(np.cumsum(counts), QUIET_SHARE * counts.sum(), side="right"))])


def channel_rows(total: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`channel`, `sqnr_db`, `low` and `high` of the float values, the worst first; at most `MOST_ROWS`."""
    if "channel_power" not in total:
        return []
    decibels = _decibels(total)
    rows = [
        {
            "channel": index,
            "sqnr_db": None if np.isnan(decibels[index]) else float(decibels[index]),
            "low": float(total["channel_lowest"][index]),
            "high": float(total["channel_highest"][index]),
        }
        for index in range(len(decibels))
        if np.isfinite(total["channel_lowest"][index])
    ]
    return sorted(rows, key=lambda row: LARGEST_DB if row["sqnr_db"] is None else row["sqnr_db"])[:MOST_ROWS]


def _decibels(total: Mapping[str, Any]) -> np.ndarray:
    """SQNR of each channel; NaN for one that is zero."""
    power, noise = total["channel_power"], total["channel_noise"]
    live = power > TINY
    ratio = power / np.maximum(noise, 10 ** (-LARGEST_DB / 10) * np.maximum(power, TINY))
    return np.where(live, 10 * np.log10(np.maximum(ratio, TINY)), np.nan)


def destroyed_channel(total: Mapping[str, Any]) -> str | None:
    """One line on the worst column that is noise more than signal, where the outputs are no shares of one; else None.

    A share that is never above a step of 8 bits is zero in any 8-bit file, as that of a class that no sample shows; a
    column of another kind is zero only where its range was not its own.
    """
    rows = channel_rows(total)
    if not rows or rows[0]["sqnr_db"] is None or rows[0]["sqnr_db"] > DESTROYED_DB:
        return None
    if total["channel_lowest"].min() >= 0 and total["channel_highest"].max() <= 1 + 1e-3:
        return None
    worst = rows[0]
    if worst["low"] == worst["high"]:
        return None
    lost = int((np.nan_to_num(_decibels(total), nan=LARGEST_DB) <= DESTROYED_DB).sum())
    where = f"column {worst['channel']}, {worst['low']:.3g} to {worst['high']:.3g} in float"
    return f"{lost} of its {len(total['channel_power'])} columns are lost: {where}, keeps {worst['sqnr_db']:.1f} dB"
