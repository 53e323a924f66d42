"""Files for other tools: read back with those tools' own readers."""

import json
from pathlib import Path

from tests.report.sample import report
from tfcompress.report import node_data, write_tensorboard
from tfcompress.runtime import tf


def test_node_data_has_a_value_a_layer() -> None:
    data = node_data(report().targets["phone"], "model.tflite")
    assert data["model.tflite sqnr_db"]["model.tflite"]["results"] == {"conv<1>": {"value": 12.0}}
    json.dumps(data, allow_nan=False)


def test_tensorboard_reads_the_scalars_back(tmp_path: Path) -> None:
    write_tensorboard(report(), tmp_path)
    found: dict[str, float] = {}
    for file in (tmp_path / "phone").glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            found |= {value.tag: float(tf.make_ndarray(value.tensor)) for value in event.summary.value}
    assert abs(found["metrics/accuracy"] - 0.74) < 1e-6
    assert abs(found["layers/sqnr_db"] - 12.0) < 1e-6
