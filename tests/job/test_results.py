"""The report that a conversion builds: a mistake in a fact costs the fact, never the artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfcompress.converters.artifact import Artifact
from tfcompress.job.options import ConvertOptions
from tfcompress.job.results import build_report
from tfcompress.job.state import State
from tfcompress.load import inspect_model, load_model
from tfcompress.recipe import Recipe
from tfcompress.report.schema import NOT_COMPARED, Report
from tfcompress.runtime import keras


def built(tmp_path: Path, **facts: object) -> Report:
    """The report of a conversion for Cloud TPU whose converter gave these facts."""
    folder = tmp_path / "cloud_tpu"
    (folder / "saved_model").mkdir(parents=True)
    (folder / "saved_model" / "saved_model.pb").write_bytes(bytes(100))
    values = keras.Input((4,))
    model = keras.Model(values, keras.layers.Dense(2, kernel_initializer="zeros")(values))
    artifact = Artifact("cloud_tpu", folder, folder / "saved_model", facts, ("a note",))
    options = ConvertOptions(model=model, output=tmp_path, targets="cloud_tpu")
    state = State(
        options=options, targets=("cloud_tpu",), recipe=Recipe(), work=tmp_path, artifacts={"cloud_tpu": artifact}
    )
    return build_report(
        {**inspect_model(load_model(model))["model"], "sparsity": 0.25},
        Recipe(),
        state,
        notes=(),
        warnings=("labels are missing",),
        command=None,
        max_accuracy_drop=0.01,
        seed=0,
    )


def test_what_was_not_compared_is_undecided_not_ok(tmp_path: Path) -> None:
    report = built(tmp_path)
    section = report.targets["cloud_tpu"]
    assert (section.status, section.reason, section.bytes) == ("undecided", NOT_COMPARED, 100)
    assert section.files == ("cloud_tpu/saved_model/saved_model.pb",)
    assert report.targets["phone"].status == "skipped"
    assert (report.exit_code(), report.exit_code(strict_gate=True)) == (0, 3)


def test_what_numpy_counted_is_a_json_number(tmp_path: Path) -> None:
    section = built(tmp_path, batch_sizes=np.array([1, 8]), bytes=np.int64(7)).targets["cloud_tpu"]
    assert (section.batch_sizes, section.bytes) == ((1, 8), 7)


def test_a_fact_that_the_schema_does_not_know_is_kept_among_the_targets_own(tmp_path: Path) -> None:
    report = built(tmp_path, arena_bytes=93500)
    assert report.targets["cloud_tpu"].figures == {"arena_bytes": 93500}
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("fact", [{"batch_sizes": "eight"}, {"where": Path("a")}])
def test_a_fact_of_a_wrong_type_is_left_out_with_a_warning(fact: dict[str, object], tmp_path: Path) -> None:
    report = built(tmp_path, **fact)
    assert report.targets["cloud_tpu"].bytes == 100
    assert report.warnings[0] == "labels are missing"
    assert report.warnings[1].startswith("left out of the report: report: cloud_tpu")


def test_the_models_own_facts_are_typed(tmp_path: Path) -> None:
    model = built(tmp_path).model
    assert (model.parameters, model.sparsity, model.sha256) == (10, 0.25, None)
