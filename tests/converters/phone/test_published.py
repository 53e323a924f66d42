"""Vendors' own int8 files beside ours: which is closer to the float model that both were made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.table_estimators import row as estimator_row
from benchmarks.table_phone import has_published, names, row


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if name.startswith("mltk_") and has_published(name)])
def test_our_best_int8_file_is_at_least_as_close_to_float_as_the_vendors(name: str) -> None:
    figures = row(name)
    assert figures["status"] == "fully_integer"
    assert figures["best_agreement"] >= figures["published_agreement"]
    assert figures["best_sqnr_db"] >= figures["published_sqnr_db"]
    assert figures["published_sqnr_db"] > 5, "the inputs are what the vendor's file was made for"


def test_there_are_such_models_where_the_shared_files_are() -> None:
    model_names = names()
    if not model_names:
        pytest.skip("../shared with real models and data is absent")
    assert sum(has_published(name) for name in model_names) >= 11


@pytest.mark.slow
def test_best_agrees_with_float_on_99_of_100_pictures_and_loses_at_most_a_fifth_of_a_point(shared: Path) -> None:
    del shared
    best, own = estimator_row("quality=best"), estimator_row("litert-quantizer's own")
    assert best["agreement"] >= 0.992
    assert best["accuracy_drop_points"] <= 0.2
    assert own["agreement"] < 0.98, "not something that any quantizer reaches"
