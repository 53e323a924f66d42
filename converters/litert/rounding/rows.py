"""Rounding the rows of a layer's weights: to the nearest integers, or to those that change its output least."""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.tflite.quantization import fake_quantize

__all__ = ["LARGEST", "round_rows", "round_to_nearest"]

LARGEST = 127  # int8 weights are symmetric (LiteRT quantization specification)
DAMPING = 0.01  # of the mean diagonal, as in GPTQ
_REACH = 3  # integers to each side of the nearest that are considered where they have costs


def round_to_nearest(rows: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """float64 [out, patch]: the weights as the plain quantizer would represent them with scales [out, 1]."""
    return fake_quantize(rows, scales)


def round_rows(
    rows: np.ndarray, second: np.ndarray, scales: np.ndarray, *, costs: np.ndarray | None = None
) -> np.ndarray:
    """Weights rounded such that the output changes least.

    Args:
        rows: float64 [out, patch].
        second: float64 [patch, patch], second moments (or the covariance) of the input, positive semi-definite.
        scales: float64 [out, 1], at least max|row| / 127.
        costs: float64 [255], what each of the integers -127..127 costs beside the squared change of the output; None
            lets nothing else count.

    Returns:
        float64 [out, patch], each a whole multiple of its row's scale; weights at the end of the range keep theirs,
        so that the plain quantizer finds the same scale again, and zeros stay zero, as pruning left them.
    """
    diagonal = np.diag(second)
    order = np.argsort(-diagonal, kind="stable")
    factor = _factor_of_inverse(second[np.ix_(order, order)])
    original, left = rows[:, order], rows[:, order].copy()
    fixed = (np.abs(original) >= scales * (LARGEST - 1e-9)) | (original == 0)
    result = np.empty_like(left)
    for column in range(left.shape[1]):
        weight = 1 / factor[column, column] ** 2
        rounded = _chosen(left[:, column], scales[:, 0], None if costs is None else costs / weight)
        result[:, column] = np.where(fixed[:, column], original[:, column], rounded)
        error = (left[:, column] - result[:, column]) / factor[column, column]
        left[:, column + 1 :] -= error[:, None] * factor[column, column + 1 :]
    return result[:, np.argsort(order, kind="stable")]


def _chosen(values: np.ndarray, scales: np.ndarray, costs: np.ndarray | None) -> np.ndarray:
    """float64 [out]: multiples of the scales: the nearest, or of those around it the one of least error and cost."""
    nearest = fake_quantize(values, scales, limits=(-LARGEST, LARGEST))
    if costs is None:
        return nearest
    around = np.rint(nearest / scales).astype(np.int64)[:, None] + np.arange(-_REACH, _REACH + 1)
    around = np.clip(around, -LARGEST, LARGEST)
    total = (values[:, None] - around * scales[:, None]) ** 2 + costs[around + LARGEST]
    return np.asarray(around[np.arange(len(values)), total.argmin(axis=1)] * scales)


def _factor_of_inverse(second: np.ndarray) -> np.ndarray:
    """The upper Cholesky factor of the inverse, damped as much as it takes.

    The moments are sums of float32 products: of inputs that hardly vary, nothing is left but their rounding errors.
    """
    strength = max(DAMPING * float(np.diag(second).mean()), 1e-12)
    while True:
        try:
            return np.linalg.cholesky(np.linalg.inv(second + strength * np.eye(len(second)))).T
        except np.linalg.LinAlgError:
            strength *= 10
