"""What a number of bits is expected to keep, against quantizing the values themselves."""

from __future__ import annotations

import numpy as np
import pytest

from tfcompress.calibration.histogram import Histogram
from tfcompress.calibration.precision import activation_sqnr_db, weight_sqnr_db

EXPECTED_TOLERANCE_DB = 0.5


def seen(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in np.array_split(values, 5):
        histogram.update(part)
    return histogram


def measured_db(values: np.ndarray, bits: int) -> float:
    """Of affine quantization to the values' own range, the long way."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if bits == 16:
        low, high = -max(-low, high), max(-low, high)
    scale = (high - low) / (2**bits - 1)
    zero_point = round(-low / scale)
    wide = values.astype(np.float64)
    error = (np.clip(np.round(wide / scale) + zero_point, 0, 2**bits - 1) - zero_point) * scale - wide
    return float(10 * np.log10(np.mean(wide**2) / np.mean(error**2)))


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("kind", ["normal", "relu", "outlier"])
def test_the_expected_ratio_of_activations_is_the_measured_one(bits: int, kind: str) -> None:
    values = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    if kind == "relu":
        values = np.maximum(values + 1, 0)
    if kind == "outlier":
        values[0] = 60.0
    expected_db = activation_sqnr_db(seen(values), bits)
    assert expected_db == pytest.approx(measured_db(values, bits), abs=EXPECTED_TOLERANCE_DB)
    assert expected_db != pytest.approx(measured_db(values * values, bits), abs=EXPECTED_TOLERANCE_DB)


def test_each_bit_is_worth_six_decibels_of_an_evenly_spread_weight() -> None:
    rows = np.random.default_rng(0).uniform(-1, 1, (4, 5000))
    four, eight = weight_sqnr_db(rows, 4), weight_sqnr_db(rows, 8)
    assert four is not None
    assert eight is not None
    assert eight - four == pytest.approx(20 * np.log10(127 / 7), abs=0.1)


def test_weights_are_scaled_channel_by_channel() -> None:
    rows = np.random.default_rng(0).normal(size=(2, 5000))
    together, apart = weight_sqnr_db(rows, 8), weight_sqnr_db(rows * [[1.0], [1000.0]], 8)
    assert together == pytest.approx(apart, abs=1.0), "a large channel does not spoil a small one"
    spoilt = weight_sqnr_db(np.concatenate([rows, np.array([[30.0], [0.0]])], axis=1), 8)
    assert spoilt is not None
    assert together is not None
    assert spoilt < together - 1, "one large weight spoils its own channel"


def test_what_is_represented_exactly_has_no_ratio() -> None:
    assert weight_sqnr_db(np.zeros((2, 3)), 8) is None
    assert weight_sqnr_db(np.array([[127.0, 1.0, -3.0]]), 8) is None
    assert activation_sqnr_db(seen(np.zeros(10, np.float32)), 8) is None
