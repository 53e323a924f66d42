"""How far one output's values are from the reference's, whatever the task: needs no labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfcompress.accuracy_diff.channel_error import channel_statistics, pieces, sample_statistics

__all__ = ["is_constant", "signal_metrics", "signal_statistics", "sqnr_db"]

LARGEST_SQNR_DB = 200.0  # beyond float32's own resolution: reported for identical outputs, as infinity is not JSON
TINY = 1e-12
MOST_EXTREMES = 1 << 23


def signal_statistics(reference: np.ndarray, candidate: np.ndarray, *, extremes: bool = True) -> dict[str, object]:
    """Additive statistics of one batch.

    Args:
        reference: (samples, ...) float32.
        candidate: the same shape.
        extremes: keep the extremes of each value over the samples, by which `is_constant` judges; never of more than
            `MOST_EXTREMES` values.

    Returns:
        Sums over the samples whose values are finite in both (`largest_*`, `lowest` and `highest` are extremes), with
        the number of the others under `not_finite`.
    """
    rows, shape = len(reference), reference.shape[1:]
    ref, cand = reference.reshape(rows, -1), candidate.reshape(rows, -1)
    not_finite = ~np.isfinite(cand).all(axis=1)
    usable = ~not_finite & np.isfinite(ref).all(axis=1)
    if not usable.all():
        ref, cand = ref[usable], cand[usable]
    sums = _row_sums(ref, cand)
    norms = np.sqrt(sums.reference_power * sums.candidate_power)
    equal = (sums.reference_power == sums.candidate_power).astype(float)
    cosine = np.where(norms > TINY, sums.products / np.maximum(norms, TINY), equal)
    kl = _divergence(ref, cand)
    return {
        "samples": np.int64(rows),
        "usable": np.int64(len(ref)),
        "not_finite": np.int64(not_finite.sum()),
        "power": sums.reference_power.sum(),
        "noise": sums.noise.sum(),
        "cosine": cosine.sum(),
        "largest_error": np.float64(sums.largest_error),
        "divergence": kl.sum() if kl is not None else np.float64(np.nan),
        **(_extremes(ref, cand) if extremes and ref.shape[1] <= MOST_EXTREMES else {}),
        **channel_statistics(ref.reshape(-1, *shape), cand.reshape(-1, *shape)),
        **sample_statistics(sums.reference_power, sums.noise),
    }


@dataclass(frozen=True)
class _RowSums:
    """Sums over the values of each sample, in float64."""

    products: np.ndarray
    reference_power: np.ndarray
    candidate_power: np.ndarray
    noise: np.ndarray
    largest_error: float


def _row_sums(ref: np.ndarray, cand: np.ndarray) -> _RowSums:
    products, reference_power, candidate_power, noise = np.zeros((4, len(ref)))
    largest = 0.0
    for part in pieces(ref.shape[1], len(ref)):
        a, b = ref[:, part].astype(np.float64), cand[:, part].astype(np.float64)
        products += np.einsum("ij,ij->i", a, b)
        reference_power += np.einsum("ij,ij->i", a, a)
        candidate_power += np.einsum("ij,ij->i", b, b)
        error = np.abs(b - a)
        noise += np.square(error).sum(axis=1)
        largest = max(largest, float(error.max(initial=0.0)))
    return _RowSums(products, reference_power, candidate_power, noise, largest)


def _extremes(ref: np.ndarray, cand: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "lowest": cand.min(axis=0, initial=np.inf),
        "highest": cand.max(axis=0, initial=-np.inf),
        "reference_lowest": ref.min(axis=0, initial=np.inf),
        "reference_highest": ref.max(axis=0, initial=-np.inf),
    }


def _divergence(ref: np.ndarray, cand: np.ndarray) -> np.ndarray | None:
    """Kullback-Leibler divergence of each sample in nats; None when the outputs are not distributions."""
    for values in (ref, cand):
        sums = values.sum(axis=1, dtype=np.float64)
        if values.shape[1] < 2 or values.min(initial=0.0) < 0 or np.abs(sums - 1).max(initial=0.0) > 0.05:
            return None
    parts = list(pieces(ref.shape[1], len(ref)))
    total = sum(np.maximum(cand[:, part].astype(np.float64), 1e-7).sum(axis=1, keepdims=True) for part in parts)
    divergence = np.zeros(len(ref))
    for part in parts:
        p, q = np.maximum(ref[:, part].astype(np.float64), TINY), np.maximum(cand[:, part].astype(np.float64), 1e-7)
        divergence += (p * np.log(p / (q / total))).sum(axis=1)
    return divergence


def signal_metrics(total: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """`sqnr_db`, `cosine`, `kl_divergence` (nats), `max_abs_error` from summed statistics; None where undefined."""
    usable = int(total["usable"])
    if usable == 0:
        return dict.fromkeys(("sqnr_db", "cosine", "kl_divergence", "max_abs_error"))
    kl = float(total["divergence"]) / usable
    return {
        "sqnr_db": sqnr_db(float(total["power"]), float(total["noise"])),
        "cosine": float(total["cosine"]) / usable,
        "kl_divergence": kl if np.isfinite(kl) else None,
        "max_abs_error": float(total["largest_error"]),
    }


def is_constant(total: Mapping[str, np.ndarray]) -> bool:
    """Whether the candidate gave the very same output for every sample, of at least two; False where nobody knows."""
    if int(total["usable"]) < 2 or "lowest" not in total:
        return False
    return bool(np.array_equal(total["lowest"], total["highest"]))


def sqnr_db(power: float, noise: float) -> float | None:
    """Signal to quantization noise ratio in dB, at most LARGEST_SQNR_DB; None for a signal that is zero."""
    if power <= 0:
        return None
    if noise <= 0:
        return LARGEST_SQNR_DB
    return min(LARGEST_SQNR_DB, 10 * float(np.log10(power / noise)))
