"""Summaries for continuous integration."""

import xml.etree.ElementTree as ET
from typing import Any

from tests.report.sample import report
from tfcompress.report import DiffReport
from tfcompress.report.ci import render_junit, render_markdown


def section(status: str, reason: str | None = None) -> dict[str, Any]:
    diff = {"accuracy_drop": 0.02, "accuracy_drop_ci95": [0.01, 0.03], "top1_agreement": 0.97, "sqnr_db": 20.0}
    return {"status": status, "reason": reason, "bytes": 1000, "diff": diff}


REPORT = report(
    targets={
        "phone": section("gate_failed", "drop 0.02 is above 0.01"),
        "edgetpu": section("ok"),
        "cloud_tpu": section("failed", "XLA refuses <Cholesky>"),
        "onnx": section("undecided", "not decidable with this data"),
    }
)


def test_junit_counts_a_failed_gate_as_failure_and_a_failed_conversion_as_error() -> None:
    suite = ET.fromstring(render_junit(REPORT))
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]
    cases = {case.get("name"): case for case in suite}
    assert cases["phone"].find("failure").get("message") == "drop 0.02 is above 0.01"  # type: ignore[union-attr]
    assert cases["cloud_tpu"].find("error").get("message") == "XLA refuses <Cholesky>"  # type: ignore[union-attr]
    assert cases["edgetpu"].find("failure") is None


def test_a_diff_is_one_test_case() -> None:
    diff = DiffReport.from_plain({"reference": {"samples": 5}, "candidate": section("ok")})
    suite = ET.fromstring(render_junit(diff))
    assert [case.get("name") for case in suite] == ["candidate"]


def test_markdown_has_a_row_an_artifact_and_says_why_one_failed() -> None:
    text = render_markdown(REPORT)
    assert text.startswith("### tfcompress: 500 samples\n")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "gate" not in line]
    assert [row.split("|")[1].strip() for row in rows] == ["phone", "edgetpu", "cloud_tpu", "onnx"]
    assert "❌ failed" in rows[0]
    assert "- **phone**: drop 0.02 is above 0.01" in text


def test_an_undecided_gate_is_neither_a_success_nor_a_failure_unless_strict() -> None:
    case = next(case for case in ET.fromstring(render_junit(REPORT)) if case.get("name") == "onnx")
    assert case.find("skipped").get("message") == "not decidable with this data"  # type: ignore[union-attr]
    strict = ET.fromstring(render_junit(REPORT, strict_gate=True))
    assert (strict.get("failures"), strict.get("skipped")) == ("2", "0")
    row = next(line for line in render_markdown(REPORT).splitlines() if line.startswith("| onnx"))
    assert "undecided" in row
    assert "ok" not in row


def test_a_loss_is_below_zero_in_the_table() -> None:
    assert "−2.00 (−3.00 to −1.00)" in render_markdown(REPORT)


def test_a_target_that_was_not_asked_for_is_left_out() -> None:
    some = report(targets={"phone": section("ok"), "edgetpu": section("skipped")})
    assert "edgetpu" not in render_markdown(some)
    assert "edgetpu" not in render_junit(some)


HOSTILE = "the layer '![x](http://evil/?q) @all <img src=x> ``` `a` \x1b[31m\n# big' cannot be converted"


def test_names_in_a_reason_are_no_markdown_and_no_broken_xml() -> None:
    some = report(targets={"phone": section("failed", HOSTILE)})
    line = render_markdown(some).splitlines()[-1]
    assert line.startswith("- **phone**: ```` the layer")
    assert line.endswith(" ````")
    assert line.isprintable()
    case = ET.fromstring(render_junit(some))[0]
    assert "http://evil" in str(case.find("error").get("message"))  # type: ignore[union-attr]
