"""Choosing samples, and warnings about them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.phone.models import images, samples_for, small_cnn
from tfcompress.calibration import calibrate, diagnose, select_representative
from tfcompress.converters.phone import to_float_tflite
from tfcompress.errors import DataError
from tfcompress.tflite import read_tflite


def warnings_for(inputs: np.ndarray) -> str:
    model = small_cnn()
    content = to_float_tflite(model)
    return "\n".join(diagnose(calibrate(content, samples_for(model, inputs)), read_tflite(content).main))


def test_enough_well_scaled_samples_raise_no_warning() -> None:
    assert warnings_for(images(64)) == ""


def test_too_few_samples_are_warned_about() -> None:
    assert "only 8 calibration samples" in warnings_for(images(8))


def test_a_constant_input_is_warned_about() -> None:
    assert "is the same in all samples" in warnings_for(np.full((64, 8, 8, 3), 0.5, np.float32))


def test_inputs_of_the_wrong_scale_are_warned_about() -> None:
    assert "--preprocess=unit" in warnings_for(images(64) * 10_000)


def test_a_chosen_subset_keeps_the_ranges_of_the_whole_and_is_the_same_each_time() -> None:
    model = small_cnn()
    content, everything = to_float_tflite(model), samples_for(model, images(200))
    subset = select_representative(content, everything, 40)
    assert subset.count == 40
    assert calibrate(content, subset).ranges == calibrate(content, everything).ranges
    assert calibrate(content, everything.take(40)).ranges != calibrate(content, everything).ranges
    assert select_representative(content, everything, 40).indices == subset.indices
    with pytest.raises(DataError, match="at least 1"):
        select_representative(content, everything, 0)
