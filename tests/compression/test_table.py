"""The committed table of quantization-aware training, and some of its rows made anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.models import PREFIX
from benchmarks.table_qat import row

TABLE = Path(__file__).parents[2] / "benchmarks" / "tables" / "qat.json"

ONE_STEP = 1.01


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return entries


def test_every_model_that_is_not_fully_integer_says_why(rows: list[dict[str, Any]]) -> None:
    assert all(item["reason"] for item in rows if item["status"] != "fully_integer")


def test_at_least_95_percent_are_fully_integer(rows: list[dict[str, Any]]) -> None:
    assert sum(item["status"] == "fully_integer" for item in rows) >= 0.95 * len(rows)


def test_simulation_and_file_choose_the_same_class(rows: list[dict[str, Any]]) -> None:
    judged = [item for item in rows if item.get("top1_agreement") is not None]
    random = [item for item in judged if item["model"].startswith(PREFIX) and item.get("float_accuracy") is None]
    trained = [item for item in judged if item not in random]
    assert len(trained) > 30
    # No more can be asked than that the file agrees with itself when its input is nudged.
    assert all(item["top1_agreement"] >= min(0.99, item["nudged_agreement"]) for item in trained)
    assert sum(item["top1_agreement"] < 0.99 for item in trained) <= 1
    # With random weights a network is chaotic; twice the standard error of a share of 256.
    assert all(item["top1_agreement"] >= item["nudged_agreement"] - 0.05 for item in random)


def test_every_operator_of_every_file_computes_what_the_simulation_computes(rows: list[dict[str, Any]]) -> None:
    errors = {item["model"]: item["operator_max_error_steps"] for item in rows if item.get("operators_compared")}
    assert errors
    assert max(errors.values()) <= ONE_STEP


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["mlperf_ic_resnet8/pretrainedResnet.h5", "mltk_image_example1/image_example1.h5", "ecg_cnn/cnn_model.keras"],
)
def test_a_row_made_anew_is_fully_integer_and_agrees(shared: Path, name: str) -> None:
    figures = row(name)
    assert figures["status"] == "fully_integer"
    assert figures["top1_agreement"] is None or figures["top1_agreement"] >= 0.99
    assert figures["operator_max_error_steps"] <= ONE_STEP
