"""Files for other tools: read back with those tools' own readers."""

import json
from pathlib import Path

from tests.report.sample import changed, report
from tfcompress.report import write_model_explorer, write_tensorboard
from tfcompress.runtime import tf

LAYERS = [
    {"layer": "conv", "tensor_name": "net/conv/Relu;net/conv", "sqnr_db": 12.0, "saturation": 0.1},
    {"layer": "a_layer_of_a_saved_model", "sqnr_db": 40.0},
]


def test_a_file_for_model_explorer_is_one_figure_of_the_graph_main(tmp_path: Path) -> None:
    written = write_model_explorer(changed("phone", layers=LAYERS), tmp_path / "layers.json")
    assert [path.name for path in written] == ["layers.json", "layers.phone.saturation.json"]
    first, second = (json.loads(path.read_text()) for path in written)
    assert first["main"]["results"] == {"net/conv/Relu;net/conv": {"value": 12.0}}
    assert second["main"]["results"] == {"net/conv/Relu;net/conv": {"value": 0.1}}
    # As its reader tells this form from another: results are one level down, and stops run from 0 to 1.
    assert "results" not in first
    assert [stop["stop"] for stop in first["main"]["gradient"]] == [0, 0.5, 1]


def test_nothing_is_written_where_no_artifact_has_tensors_to_colour(tmp_path: Path) -> None:
    assert write_model_explorer(report(), tmp_path / "layers.json") == ()
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_reads_the_scalars_back(tmp_path: Path) -> None:
    write_tensorboard(report(), tmp_path)
    scalars: dict[str, float] = {}
    for file in (tmp_path / "phone").glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            scalars |= {value.tag: float(tf.make_ndarray(value.tensor)) for value in event.summary.value}
    assert abs(scalars["metrics/accuracy"] - 0.74) < 1e-6
    assert abs(scalars["layers/sqnr_db"] - 12.0) < 1e-6
