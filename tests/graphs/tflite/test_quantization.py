"""Real values and integers stand for one another as LiteRT's specification says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tfcompress.graphs.tflite.quantization import dequantize, fake_quantize, quantize, real_limits

# float32 has 24 bits, of which 16-bit integers and a division take most.
ROUNDING = 1e-3

scales = some.floats(2.0**-20, 2.0**10, width=32)
dtypes = some.sampled_from([np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int16)])


@settings(max_examples=200, deadline=None)
@given(scales, dtypes, some.data())
def test_every_integer_comes_back(scale: float, dtype: np.dtype, data: some.DataObject) -> None:
    limits = np.iinfo(dtype)
    zero_point = 0 if dtype == np.int16 else data.draw(some.integers(limits.min, limits.max))
    integers = np.linspace(limits.min, limits.max, 300).astype(dtype)
    assert np.array_equal(quantize(dequantize(integers, scale, zero_point), scale, zero_point, dtype), integers)


@settings(max_examples=200, deadline=None)
@given(scales, dtypes, some.lists(some.floats(-(2.0**20), 2.0**20, width=32), min_size=1, max_size=20))
def test_a_value_is_half_a_step_off_at_most_or_at_the_end_of_the_range(
    scale: float, dtype: np.dtype, values: list[float]
) -> None:
    real, zero_point = np.array(values, np.float32), 0 if dtype == np.int16 else int(np.iinfo(dtype).min) + 100
    low, high = real_limits(dtype.name, scale, zero_point)
    restored = dequantize(quantize(real, scale, zero_point, dtype), scale, zero_point)
    wanted = np.clip(real, low, high)
    assert np.all(np.abs(restored - wanted) <= (0.5 + ROUNDING) * scale + ROUNDING * np.abs(wanted))


def test_zero_is_exact_and_halves_go_to_even() -> None:
    assert quantize(np.array([0.0, 0.25, 0.75], np.float32), 0.5, 3, np.dtype(np.int8)).tolist() == [3, 3, 5]
    assert dequantize(np.array([3], np.int8), 0.5, 3).tolist() == [0.0]


@pytest.mark.parametrize("zero_point", [0, -5])
def test_fake_quantization_is_there_and_back(zero_point: int) -> None:
    values = np.random.default_rng(0).normal(size=100).astype(np.float32) * 20
    there = quantize(values, 0.25, zero_point, np.dtype(np.int8))
    back = fake_quantize(values, 0.25, zero_point=zero_point, limits=(-128, 127))
    assert np.array_equal(back, dequantize(there, 0.25, zero_point))
    assert not np.array_equal(fake_quantize(values, 0.25, zero_point=zero_point), values)
