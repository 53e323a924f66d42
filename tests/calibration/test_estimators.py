"""Each estimator against its definition, computed the long way on the values themselves."""

from __future__ import annotations

import itertools

import hypothesis.strategies as some
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as numpy_strategies

from tfcompress.calibration.estimators import (
    ANYTHING,
    EntropyEstimator,
    EstimatorName,
    MeanSquaredErrorEstimator,
    MinMaxEstimator,
    MovingAverageEstimator,
    PercentileEstimator,
    RangeEstimator,
    estimator_factory,
    quantization_error,
)
from tfcompress.calibration.histogram import MAX_BINS, Histogram

NAMES: tuple[EstimatorName, ...] = ("min_max", "moving_average", "percentile", "entropy", "mse")
# A histogram of 4096 bins over 256 levels places a value within a sixteenth of a quantization step.
HISTOGRAM_TOLERANCE = 0.02
SEARCH_TOLERANCE = 1.02
ROUNDING = 1e-6  # of the range: histograms count in float64, values are float32


def normal(count: int = 20_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count // 100, 100)).astype(np.float32)


def fed(estimator: RangeEstimator, values: np.ndarray, batch: int = 7) -> RangeEstimator:
    for start in range(0, len(values), batch):
        estimator.update(values[start : start + batch])
    return estimator


def test_min_max_is_the_smallest_and_largest_value() -> None:
    values = normal()
    interval = fed(MinMaxEstimator(), values).range()
    assert (interval.low, interval.high) == (values.min(), values.max())


def test_min_max_does_not_lose_a_value_after_one_end_reached_its_limit() -> None:
    values = np.array([[0.0, 1.0], [0.0, 6.0], [0.5, 2.0]], np.float32)
    interval = fed(MinMaxEstimator((0.0, 6.0)), values, 1).range()
    assert (interval.low, interval.high) == (0.0, 6.0)
    late = np.array([[0.0, 1.0], [0.0, 3.0]], np.float32)
    assert fed(MinMaxEstimator((0.0, 6.0)), late, 1).range().high == 3.0


def test_moving_average_follows_its_recursion_sample_by_sample() -> None:
    values = normal()
    low, high = float(values[0].min()), float(values[0].max())
    for row in values[1:]:
        low, high = 0.99 * low + 0.01 * float(row.min()), 0.99 * high + 0.01 * float(row.max())
    interval = fed(MovingAverageEstimator(), values).range()
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-6)


def test_percentile_agrees_with_numpy() -> None:
    values = normal()
    interval = fed(PercentileEstimator(percentile=99.0), values).range()
    wanted = np.percentile(values, [0.5, 99.5])
    assert np.allclose([interval.low, interval.high], wanted, atol=HISTOGRAM_TOLERANCE)
    assert not np.allclose([interval.low, interval.high], np.percentile(values, [1.0, 99.0]), atol=HISTOGRAM_TOLERANCE)


def test_percentile_of_values_of_one_sign_is_cut_at_the_far_end_only() -> None:
    values = np.abs(normal())
    interval = fed(PercentileEstimator(percentile=99.0), values).range()
    assert interval.low == values.min()
    assert interval.high == pytest.approx(np.percentile(values, 99.0), abs=HISTOGRAM_TOLERANCE)


def brute_force_error(values: np.ndarray, low: float, high: float) -> float:
    flat = values.reshape(-1).astype(np.float64)
    return quantization_error(flat, np.ones_like(flat), low, high)


def test_mse_range_is_as_good_as_the_best_of_an_exhaustive_search_on_the_values() -> None:
    values = np.concatenate([normal(5000), np.full((1, 100), 9.0, np.float32)])
    interval = fed(MeanSquaredErrorEstimator(), values).range()
    ends = np.linspace(0.3, 1.0, 36)
    best = min(
        brute_force_error(values, low * float(values.min()), high * float(values.max()))
        for low in ends
        for high in ends
    )
    assert brute_force_error(values, interval.low, interval.high) <= best * SEARCH_TOLERANCE
    full = brute_force_error(values, float(values.min()), float(values.max()))
    assert full >= best, "the search includes the full range"


def test_mse_range_cuts_off_what_few_values_reach_and_min_max_does_not() -> None:
    values = normal(200_000)
    values[0, 0] = 6.0
    interval = fed(MeanSquaredErrorEstimator(), values, 500).range()
    assert interval.high < 5.5
    assert brute_force_error(values, interval.low, interval.high) < brute_force_error(values, float(values.min()), 6.0)


def test_entropy_threshold_minimises_the_divergence_that_scipy_computes() -> None:
    stats = pytest.importorskip("scipy.stats")
    estimator = EntropyEstimator()
    values = normal(50_000)
    values[0, 0] = 12.0
    fed(estimator, values)
    threshold = estimator.threshold()
    bins, largest = EntropyEstimator.BINS, max(-estimator.histogram.low, estimator.histogram.high)
    counts, _ = np.histogram(
        np.abs(estimator.histogram.centers), bins, (0.0, largest), weights=estimator.histogram.counts
    )
    counts[0] = counts[1]

    def divergence(kept: int) -> float:
        reference = counts[:kept].astype(float)
        inside = reference.copy()
        reference[-1] += counts[kept:].sum()
        candidate = np.zeros(kept)
        edges = [level * kept // 128 for level in range(129)]
        for start, end in itertools.pairwise(edges):
            filled = inside[start:end] > 0
            if filled.any():
                candidate[start:end][filled] = inside[start:end].sum() / filled.sum()
        return float(stats.entropy(reference, candidate))  # infinite where the candidate lacks mass

    steps = range(128, bins + 1, 16)
    best = min(steps, key=divergence)
    chosen = round(threshold / largest * bins)
    assert divergence(chosen) <= divergence(best) + 1e-9
    assert threshold < 12.0, "the outlier is cut off"
    assert divergence(chosen) < divergence(bins), "the full range diverges more"
    assert divergence(chosen) < divergence(round(0.8 * chosen)), "and so does a tighter one"


@pytest.mark.parametrize("name", NAMES)
def test_the_result_does_not_depend_on_the_batch_size(name: EstimatorName) -> None:
    values = normal(4000)
    first = fed(estimator_factory(name)((-np.inf, np.inf)), values, 1).range()
    second = fed(estimator_factory(name)((-np.inf, np.inf)), values, 40).range()
    assert (first.low, first.high) == pytest.approx((second.low, second.high), rel=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_of_zeros_has_a_range(name: EstimatorName) -> None:
    interval = fed(estimator_factory(name)((-np.inf, np.inf)), np.zeros((4, 3), np.float32)).range()
    assert (interval.low, interval.high) == (0.0, 0.0)


def test_a_growing_histogram_counts_every_value_once_in_bounded_memory() -> None:
    histogram, random = Histogram(), np.random.default_rng(0)
    seen = []
    for power in range(-3, 6):
        values = (random.normal(size=1000) * 10.0**power).astype(np.float32)
        histogram.update(values)
        seen.append(values)
    values = np.concatenate(seen)
    assert histogram.total == len(values)
    assert len(histogram.counts) <= MAX_BINS
    bins = np.floor(values.astype(np.float64) / histogram.width).astype(np.int64) - histogram.first
    assert np.abs(np.bincount(bins, minlength=len(histogram.counts)) - histogram.counts).sum() <= 2  # float32 edges


BATCHES = some.lists(
    numpy_strategies.arrays(
        np.float32, some.tuples(some.integers(1, 4), some.integers(1, 30)), elements=some.floats(-1e4, 1e4, width=32)
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(batches=BATCHES)
def test_a_range_never_leaves_the_values_and_their_zero(name: EstimatorName, batches: list[np.ndarray]) -> None:
    estimator = estimator_factory(name)(ANYTHING)
    for batch in batches:
        estimator.update(batch)
    result = estimator.range()
    low = min(0.0, *(float(batch.min()) for batch in batches))
    high = max(0.0, *(float(batch.max()) for batch in batches))
    slack = ROUNDING * (high - low)
    assert low - slack <= result.low <= result.high <= high + slack


@settings(max_examples=30, deadline=None)
@given(batches=BATCHES, name=some.sampled_from(["min_max", "moving_average"]))
def test_a_range_does_not_depend_on_how_samples_are_batched(batches: list[np.ndarray], name: EstimatorName) -> None:
    width = min(batch.shape[1] for batch in batches)
    values = np.concatenate([batch[:, :width] for batch in batches])
    whole, single = fed(estimator_factory(name)(ANYTHING), values, batch=len(values)), estimator_factory(name)(ANYTHING)
    assert fed(single, values, batch=1).range() == whole.range()


@settings(max_examples=30, deadline=None)
@given(batches=BATCHES)
def test_all_of_the_values_are_the_widest_percentile(batches: list[np.ndarray]) -> None:
    widest, full = PercentileEstimator(percentile=100), MinMaxEstimator()
    for batch in batches:
        widest.update(batch)
        full.update(batch)
    wanted, got = full.range(), widest.range()
    slack = ROUNDING * (wanted.high - wanted.low)
    assert abs(got.low - wanted.low) <= slack
    assert abs(got.high - wanted.high) <= slack
