"""report.json: written and read back without loss, checked key by key, version 1 included."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from tests.report.sample import PLAIN, changed, report
from tfcompress.errors import InputError
from tfcompress.graphs.tflite.rewriting import AppliedRewrite
from tfcompress.report.schema import ConfigurationMapping, DeviceMapping, DiffReport, Report, TargetSection
from tfcompress.report.schema.target import Rewrite
from tfcompress.typed_json import from_plain, to_plain

# Every key of schema version 1, as a conversion for all three targets wrote it.
VERSION_1 = {
    "": "schema_version model reference targets compression warnings gate recipe seed command versions",
    "model": "name format sha256 parameters macs float_bytes",
    "reference": "metrics samples task",
    "compression": "notes",
    "gate": "max_accuracy_drop",
    "targets.phone": (
        "status reason files bytes fully_integer input_dtypes output_dtypes float_ops metrics latency_ms diff "
        "select_ops resizable_batch xnnpack latency_ms_all_threads float_latency_ms float_latency_ms_all_threads "
        "engine bit_widths weights layers causes gate flipped notes rewrites repairs mapping mapping_svg batch_sizes "
        "compile"
    ),
    "targets.phone.diff": (
        "metric accuracy_drop accuracy_drop_ci95 top1_agreement p_value lost gained sqnr_db cosine kl_divergence "
        "max_abs_error not_finite constant_output retrieval_agreement retrieval_overlap outputs"
    ),
    "targets.phone.latency_ms": "median p90",
    "targets.phone.weights": "count sparsity clusters gzip_bytes",
    "targets.phone.gate": "verdict reason max_accuracy_drop samples_needed",
    "targets.phone.flipped": "total samples",
    "targets.edgetpu.mapping": (
        "mapped_ops cpu_ops subgraphs on_chip_bytes off_chip_bytes streamed_between min_runtime lowest_runtime failure "
        "warnings tail compiled measured ops"
    ),
}


def at(value: Any, path: str) -> Any:
    for key in filter(None, path.split(".")):
        value = value[key]
    return value


def test_a_report_is_read_back_as_it_was_written() -> None:
    assert Report.from_json(report().to_json()) == report()


@pytest.mark.parametrize("path", VERSION_1)
def test_every_key_of_version_1_is_kept(path: str) -> None:
    written = json.loads(report().to_json())
    assert set(VERSION_1[path].split()) <= at(written, path).keys()
    assert written["schema_version"] == 2


def test_what_is_not_known_is_null_and_never_left_out() -> None:
    phone = json.loads(report().to_json())["targets"]["phone"]
    assert phone["packed_bytes"] is None
    assert phone["mapping"] is None
    assert phone["causes"][0]["flag"] is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("targets.phone.byte", 1, "report.json.targets.phone: unknown key 'byte'; did you mean 'bytes'?"),
        ("targets.phone.bytes", "1", "report.json.targets.phone.bytes: got '1', expected an integer or null"),
        ("targets.phone.bytes", True, "report.json.targets.phone.bytes: got True, expected an integer or null"),
        ("targets.phone.status", "fine", "status: got 'fine', expected one of ok, undecided, failed, gate_failed"),
        ("targets.phone.diff.accuracy_drop_ci95", [1.0], "got a list of 1, expected 2 items"),
        ("targets.phone.layers", {}, "report.json.targets.phone.layers: got {}, expected a list"),
        ("targets.edgetpu.mapping", 3, "report.json.targets.edgetpu.mapping: got 3, expected an object"),
        ("model", None, "report.json.model: got None, expected an object"),
        ("schema_version", 3, "report.json: schema_version is 3, expected 1 to 2"),
        ("targets.phone.metrics", {"accuracy": float("nan")}, "metrics.accuracy: got nan, expected a number or null"),
    ],
)
def test_a_wrong_key_or_type_is_one_line_that_names_it(path: str, value: object, message: str) -> None:
    plain = json.loads(json.dumps(PLAIN))
    *parents, last = path.split(".")
    at(plain, ".".join(parents))[last] = value
    with pytest.raises(InputError) as refused:
        Report.from_plain(plain)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, '{"schema_version": 2}'])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^report\.json"):
        Report.from_json(text)


def test_version_1_is_read_and_its_undecided_gates_are_not_ok() -> None:
    verdicts = {"passed": "ok", "undecidable": "undecided"}
    gates = {name: {"verdict": name, "reason": "r", "max_accuracy_drop": 0.01} for name in verdicts}
    sections = {name: {"status": "ok", "reason": None, "gate": gates[name]} for name in verdicts}
    old = {**PLAIN, "schema_version": 1, "targets": {**sections, "bare": {"status": "ok", "reason": None}}}
    old["compression"] = {"notes": []}
    read = Report.from_plain(old)
    assert {name: read.targets[name].status for name in sections} == verdicts
    assert read.targets["bare"].status == "undecided"
    assert read.compression.stages == ("pruning",)
    assert read.schema_version == 2


def test_a_mapping_is_of_one_device_or_of_several_configurations() -> None:
    rows = [{"name": "u65", "mapped_ops": 1, "cpu_ops": 0, "cycles": 7}]
    assert isinstance(report().targets["edgetpu"].mapping, DeviceMapping)
    several = changed("edgetpu", mapping=rows).targets["edgetpu"]
    assert [type(entry) for entry in several.mappings] == [ConfigurationMapping]
    assert report().targets["phone"].mappings == ()


def test_facts_of_a_target_that_no_field_takes_are_gathered_but_only_where_asked() -> None:
    fact = {"name": "u65", "mapped_ops": 1, "cpu_ops": 0, "arena": 7}
    gathered = from_plain(ConfigurationMapping, fact, "entry", gather=True)
    assert gathered.figures == {"arena": 7}
    with pytest.raises(InputError, match="unknown key 'arena'"):
        from_plain(ConfigurationMapping, fact, "entry")


def test_what_is_no_json_value_is_not_written_as_its_text() -> None:
    with pytest.raises(TypeError, match=r"section\.figures\.where: PosixPath .* is no JSON value"):
        to_plain(TargetSection(status="ok", figures={"where": Path("a")}), "section")


@pytest.mark.parametrize(
    ("statuses", "code", "strict"),
    [
        (["ok", "skipped"], 0, 0),
        (["ok", "undecided"], 0, 3),
        (["undecided", "gate_failed"], 3, 3),
        (["gate_failed", "failed"], 1, 1),
    ],
)
def test_an_undecided_gate_fails_only_a_strict_run(statuses: list[str], code: int, strict: int) -> None:
    result = report(targets={str(number): {"status": status} for number, status in enumerate(statuses)})
    assert (result.exit_code(), result.exit_code(strict_gate=True)) == (code, strict)


def test_a_diff_has_an_exit_code_too() -> None:
    plain = {"reference": {}, "candidate": {"status": "undecided", "name": "b"}, "warnings": ["no layers"]}
    diff = DiffReport.from_plain(plain)
    assert DiffReport.from_plain(diff.to_plain()) == diff
    assert (diff.exit_code(), diff.exit_code(strict_gate=True)) == (0, 3)


def test_the_schema_needs_no_tensorflow() -> None:
    code = "import tfcompress.report.schema, sys; assert not {'tensorflow', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_what_a_target_says_of_a_rewrite_has_a_place_in_the_report() -> None:
    assert {field.name for field in fields(AppliedRewrite)} == {field.name for field in fields(Rewrite)}
