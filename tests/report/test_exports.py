"""Files for other tools: read back with those tools' own readers."""

import json
from pathlib import Path
from xml.etree import ElementTree

from tests.report.test_page import REPORT
from tfcompress.report import junit_xml, markdown_summary, node_data, write_tensorboard
from tfcompress.runtime import tf


def test_junit_counts_a_failed_gate_as_a_failure() -> None:
    suite = ElementTree.fromstring(junit_xml(REPORT).split("\n", 1)[1])
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "0")
    failed = suite.find("testcase[@name='phone']/failure")
    assert failed is not None
    assert "over the limit" in (failed.get("message") or "")
    assert suite.find("testcase[@name='edgetpu']/failure") is None


def test_markdown_has_a_row_a_target_and_cannot_be_broken_out_of() -> None:
    text = markdown_summary({**REPORT, "model": {"name": "a|b<script>"}})
    assert text.count("\n| ") == 4
    assert "<script>" not in text
    assert "| Phone | gate failed | 1.2 kB | +1.23 (+0.40 to +2.10) | 95.00 % | 21.5 dB |" in text


def test_node_data_has_a_value_a_layer() -> None:
    data = node_data(REPORT["targets"]["phone"], "model.tflite")
    assert data["model.tflite sqnr_db"]["model.tflite"]["results"] == {"conv<1>": {"value": 12.0}}
    json.dumps(data, allow_nan=False)


def test_tensorboard_reads_the_scalars_back(tmp_path: Path) -> None:
    write_tensorboard(REPORT, tmp_path)
    found = {}
    for file in (tmp_path / "phone").glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            found |= {value.tag: float(tf.make_ndarray(value.tensor)) for value in event.summary.value}
    assert abs(found["metrics/accuracy"] - 0.74) < 1e-6
    assert abs(found["layers/sqnr_db"] - 12.0) < 1e-6
