"""How far one output's values are from the reference's, whatever the task: needs no labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfcompress.accuracy_diff.channel_error import channel_statistics, sample_statistics

__all__ = ["is_constant", "signal_metrics", "signal_statistics", "sqnr_db"]

LARGEST_SQNR_DB = 200.0  # beyond float32's own resolution: reported for identical outputs, as infinity is not JSON
TINY = 1e-12


def signal_statistics(reference: np.ndarray, candidate: np.ndarray) -> dict[str, object]:
    """Additive statistics of one batch.

    Args:
        reference: (samples, ...) float32.
        candidate: the same shape.

    Returns:
        Sums over the samples whose values are finite in both (`largest_*`, `lowest` and `highest` are extremes), with
        the number of the others under `not_finite`.
    """
    rows, shape = len(reference), reference.shape[1:]
    ref = reference.reshape(rows, -1).astype(np.float64)
    cand = candidate.reshape(rows, -1).astype(np.float64)
    not_finite = ~np.isfinite(cand).all(axis=1)
    usable = ~not_finite & np.isfinite(ref).all(axis=1)
    ref, cand = ref[usable], cand[usable]
    error = cand - ref
    dot, ref_power, cand_power = (np.einsum("ij,ij->i", a, b) for a, b in ((ref, cand), (ref, ref), (cand, cand)))
    norms = np.sqrt(ref_power * cand_power)
    cosine = np.where(norms > TINY, dot / np.maximum(norms, TINY), (ref_power == cand_power).astype(float))
    kl = _divergence(ref, cand)
    return {
        "samples": np.int64(rows),
        "usable": np.int64(len(ref)),
        "not_finite": np.int64(not_finite.sum()),
        "power": ref_power.sum(),
        "noise": np.square(error).sum(),
        "cosine": cosine.sum(),
        "largest_error": np.float64(np.abs(error).max(initial=0.0)),
        "divergence": kl.sum() if kl is not None else np.float64(np.nan),
        "lowest": cand.min(axis=0, initial=np.inf),
        "highest": cand.max(axis=0, initial=-np.inf),
        "reference_lowest": ref.min(axis=0, initial=np.inf),
        "reference_highest": ref.max(axis=0, initial=-np.inf),
        **channel_statistics(ref.reshape(-1, *shape), cand.reshape(-1, *shape)),
        **sample_statistics(ref_power, np.square(error).sum(axis=1)),
    }


def _divergence(ref: np.ndarray, cand: np.ndarray) -> np.ndarray | None:
    """Kullback-Leibler divergence of each sample in nats; None when the outputs are not distributions."""
    for values in (ref, cand):
        if values.shape[1] < 2 or values.min(initial=0.0) < 0 or np.abs(values.sum(axis=1) - 1).max(initial=0.0) > 0.05:
            return None
    p, q = np.maximum(ref, TINY), np.maximum(cand, 1e-7)
    return (p * np.log(p / (q / q.sum(axis=1, keepdims=True)))).sum(axis=1)


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
    """Whether the candidate gave the very same output for every sample, of at least two."""
    return int(total["usable"]) > 1 and bool(np.array_equal(total["lowest"], total["highest"]))


def sqnr_db(power: float, noise: float) -> float | None:
    """Signal to quantization noise ratio in dB, at most LARGEST_SQNR_DB; None for a signal that is zero."""
    if power <= 0:
        return None
    if noise <= 0:
        return LARGEST_SQNR_DB
    return min(LARGEST_SQNR_DB, 10 * float(np.log10(power / noise)))
