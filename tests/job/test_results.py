"""The report that a conversion builds: a mistake in a fact costs the fact, never the artifact."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.accuracy_diff import CandidateResult, Gate
from tfcompress.accuracy_diff.causes import Cause
from tfcompress.converters.artifact import Artifact
from tfcompress.job.options import ConvertOptions
from tfcompress.job.results import build_report, model_section
from tfcompress.job.state import State
from tfcompress.load import load_model
from tfcompress.report.schema import NOT_COMPARED, Report
from tfcompress.runtime import keras


def built(
    tmp_path: Path,
    *,
    result: CandidateResult | None = None,
    repaired: tuple[Cause, ...] = (),
    suggest: bool = False,
    **facts: object,
) -> Report:
    """The report of a conversion for Cloud TPU whose converter gave these facts."""
    folder = tmp_path / "cloud_tpu"
    (folder / "saved_model").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_bytes(bytes(100))
    values = keras.Input((4,))
    model = keras.Model(values, keras.layers.Dense(2, kernel_initializer="zeros")(values))
    artifact = Artifact("cloud_tpu", folder, folder / "saved_model", facts, ("a note",))
    start = State.start(ConvertOptions(model=model, output=tmp_path, suggest=suggest), tmp_path)
    attempt = dataclasses.replace(
        start,
        artifacts={"cloud_tpu": artifact},
        results={} if result is None else {"cloud_tpu": result},
        repaired={"cloud_tpu": repaired},
    )
    return build_report(model_section(load_model(model)), attempt, warnings=("labels are missing",))


def test_what_was_not_compared_is_undecided_not_ok(tmp_path: Path) -> None:
    report = built(tmp_path)
    section = report.targets["cloud_tpu"]
    assert (section.status, section.reason, section.bytes) == ("undecided", NOT_COMPARED, 100)
    assert section.files == ("cloud_tpu/saved_model/saved_model.pb",)
    assert report.targets["phone"].status == "skipped"
    assert (report.exit_code(), report.exit_code(strict_gate=True)) == (0, 3)


def test_a_cause_that_a_repair_took_away_is_kept_and_marked(tmp_path: Path) -> None:
    gone = Cause("range_too_wide", "conv", "an outlier takes half of it")
    left = Cause("pooling_rescaled", "pool", "scales differ")
    gate = Gate("failed", "accuracy drop 0.0200", 0.01)
    result = CandidateResult({"accuracy": 0.9}, {"accuracy_drop": 0.02}, gate, causes=(left,))
    report = built(tmp_path, result=result, repaired=(gone, left), suggest=True)
    rows = [(row.cause, row.repaired, row.flag) for row in report.targets["cloud_tpu"].causes]
    assert rows == [
        ("pooling_rescaled", False, left.repair),
        ("range_too_wide", True, gone.repair),
    ]


def test_what_numpy_counted_is_a_json_number(tmp_path: Path) -> None:
    section = built(tmp_path, batch_sizes=np.array([1, 8]), bytes=np.int64(7)).targets["cloud_tpu"]
    assert (section.batch_sizes, section.bytes) == ((1, 8), 7)


def test_a_fact_that_the_schema_does_not_know_is_kept_among_the_targets_own(tmp_path: Path) -> None:
    report = built(tmp_path, arena_bytes=93500)
    assert report.targets["cloud_tpu"].figures == {"arena_bytes": 93500}
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("fact", [{"batch_sizes": "eight"}, {"where": Path("a")}])
def test_a_fact_of_a_wrong_type_is_left_out_with_a_warning(fact: dict[str, Any], tmp_path: Path) -> None:
    report = built(tmp_path, **fact)
    assert report.targets["cloud_tpu"].bytes == 100
    assert report.warnings[0] == "labels are missing"
    assert report.warnings[1].startswith("left out of the report: report: cloud_tpu")


def test_the_float_models_zeros_are_counted_in_its_kernels(tmp_path: Path) -> None:
    assert built(tmp_path).model.sparsity == 1.0
