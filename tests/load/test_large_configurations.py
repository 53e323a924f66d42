"""A configuration with millions of numbers is judged in the user's process, so it has to be quick."""

import time
from pathlib import Path

from tests.load.attacks.base import dense_keras
from tfcompress.load.files.restore import judge
from tfcompress.load.files.source import ModelFile
from tfcompress.load.keras_versions.repair import repaired_config
from tfcompress.load.safety.configurations import walk_objects

NUMBERS = 1_000_000
MOST_SECONDS = 8.0  # of processor time, on a busy machine; 20 when every number is looked at on each walk


def configuration() -> dict[str, object]:
    boundaries = [float(number) for number in range(NUMBERS)]
    layer = {"class_name": "Discretization", "config": {"name": "bins", "bin_boundaries": boundaries}}
    return {"class_name": "Sequential", "config": {"name": "model", "layers": [layer]}}


def test_a_million_numbers_are_judged_in_seconds(tmp_path: Path) -> None:
    config = configuration()
    started = time.process_time()
    judge(ModelFile(dense_keras(tmp_path), "keras_v3", "3.10.0", config, None, ""), {})
    assert time.process_time() - started < MOST_SECONDS


def test_objects_behind_numbers_are_still_walked() -> None:
    config = {"a": [1, "text", None, 2.5, True, [3, {"name": "inner"}]], "b": {"c": [{"d": 1}]}}
    assert [value for _, value in walk_objects(config)] == [config, {"name": "inner"}, {"c": [{"d": 1}]}, {"d": 1}]


def test_the_repaired_configuration_shares_nothing_with_the_file(tmp_path: Path) -> None:
    config = configuration()
    repaired = repaired_config(config, keras3=True)
    assert repaired == config
    layers = repaired["config"]["layers"]  # type: ignore[index]
    layers[0]["config"]["bin_boundaries"].append(0.0)
    assert len(config["config"]["layers"][0]["config"]["bin_boundaries"]) == NUMBERS  # type: ignore[index]
