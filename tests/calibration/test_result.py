"""A calibration survives its file, and is refused for anything but what it was made for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfcompress.calibration import Calibration, Range
from tfcompress.errors import DataError


def example(data: str | None = "d" * 64) -> Calibration:
    return Calibration("a" * 64, data, 12, "min_max", {"x": Range(-1.5, 2.25), "y": Range(0.0, 0.1)})


def test_json_brings_back_an_equal_calibration(tmp_path: Path) -> None:
    example().save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json") == example()


def test_a_calibration_of_another_model_is_refused() -> None:
    example().check_fresh(model_sha256="a" * 64, data_sha256="d" * 64)
    with pytest.raises(DataError, match=r"made for model aaaa.*bbbb.*calibrate again"):
        example().check_fresh(model_sha256="b" * 64)


def test_a_calibration_on_other_data_is_refused() -> None:
    with pytest.raises(DataError, match="made for data dddd"):
        example().check_fresh(model_sha256="a" * 64, data_sha256="e" * 64)
    with pytest.raises(DataError, match="made for data None"):
        example(data=None).check_fresh(model_sha256="a" * 64, data_sha256="e" * 64)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 9}', '{"version": 1, "ranges": {}, "surprise": 1}'])
def test_a_damaged_file_is_one_line(text: str) -> None:
    with pytest.raises(DataError, match=r"^calibration: "):
        Calibration.from_json(text)


@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_range_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(DataError, match="low <= high"):
        Range(low, high)
