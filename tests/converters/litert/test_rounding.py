"""Adaptive rounding against its objective: the output changes less than with rounding to nearest."""

from __future__ import annotations

import numpy as np
import pytest

from tfcompress.converters.litert.rounding.compact import entropy_bits, output_error, round_compactly
from tfcompress.converters.litert.rounding.rows import round_rows, round_to_nearest

SAVED = 0.15  # of the bits, at least, on the layers below


def problem(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights [6, 12], second moments of correlated inputs [12, 12], scales [6, 1]."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(500, 12)) @ random.normal(size=(12, 12))
    rows = random.normal(size=(6, 12))
    return rows, inputs.T @ inputs / 500, np.abs(rows).max(axis=1, keepdims=True) / 7


@pytest.mark.parametrize("seed", range(3))
def test_adaptive_rounding_changes_the_output_less_than_rounding_to_nearest(seed: int) -> None:
    rows, second, scales = problem(seed)
    adapted = round_rows(rows, second, scales)
    nearest = round_to_nearest(rows, scales)
    assert np.allclose(adapted / scales, np.round(adapted / scales))
    assert output_error(rows - adapted, second) < 0.8 * output_error(rows - nearest, second)
    assert np.abs(rows - adapted).mean() > np.abs(rows - nearest).mean(), "the weights themselves move further"


def test_zeros_and_the_ends_of_the_range_stay() -> None:
    rows, second, _ = problem()
    rows[:, ::3] = 0.0
    scales = np.abs(rows).max(axis=1, keepdims=True) / 127
    adapted = round_rows(rows, second, scales)
    assert (adapted[:, ::3] == 0).all()
    assert np.array_equal(np.abs(adapted).max(axis=1), np.abs(rows).max(axis=1))


def test_moments_that_are_nothing_but_rounding_errors_are_survived() -> None:
    rows, second, scales = problem()
    noise = np.random.default_rng(1).normal(size=second.shape) * 1e-7
    adapted = round_rows(rows, noise + noise.T, scales)
    assert np.abs(rows - adapted).max() < 10 * scales.max()
    assert np.array_equal(round_rows(rows, np.zeros_like(second), scales), round_to_nearest(rows, scales))


def layer(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights [40, 64] on an 8-bit grid, with second moments of inputs of which neighbours are alike."""
    random = np.random.default_rng(seed)
    inputs = np.cumsum(random.normal(size=(2000, 64)), axis=1)
    rows = random.normal(size=(40, 64))
    return rows, inputs.T @ inputs / 2000, np.abs(rows).max(axis=1, keepdims=True) / 127


@pytest.mark.parametrize("seed", range(3))
def test_compact_rounding_takes_fewer_bits_at_no_more_error_than_the_nearest_integers(seed: int) -> None:
    rows, second, scales = layer(seed)
    nearest, adapted, compact = (round(rows, second, scales) for round in (_nearest, round_rows, round_compactly))
    assert np.allclose(compact / scales, np.round(compact / scales))
    assert output_error(rows - compact, second) <= output_error(rows - nearest, second)
    assert entropy_bits(compact, scales) < (1 - SAVED) * entropy_bits(nearest, scales)
    assert entropy_bits(adapted, scales) > (1 - SAVED) * entropy_bits(nearest, scales)  # it alone saves nothing


def _nearest(rows: np.ndarray, second: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return round_to_nearest(rows, scales)


def test_compact_rounding_keeps_zeros_and_the_ends_of_the_range() -> None:
    rows, second, scales = layer(5)
    rows[:, ::3] = 0.0
    scales = np.abs(rows).max(axis=1, keepdims=True) / 127
    compact = round_compactly(rows, second, scales)
    assert (compact[:, ::3] == 0).all()
    assert np.array_equal(np.abs(compact).max(axis=1), np.abs(rows).max(axis=1))
