"""What the report says of a file: latency beside the float model's, what XNNPACK takes, ranges to reuse, engines."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from tests.converters.litert.models import converted, images, layers, run, samples_for, small_cnn
from tfcompress.calibration import Calibration
from tfcompress.converters.litert import latency, to_float_tflite
from tfcompress.converters.litert.latency import xnnpack_share
from tfcompress.converters.phone import convert
from tfcompress.errors import ConversionError, DataError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf, tf_keras

PROBABILITY_TOLERANCE = 0.03


def test_latency_is_given_for_one_thread_and_for_all_beside_the_float_files(tmp_path: Path) -> None:
    facts: Any = converted(small_cnn(), images(), tmp_path).facts
    for key in ("latency_ms", "float_latency_ms"):
        assert 0 < facts[key]["median"] <= facts[key]["p90"]
        assert facts[f"{key}_all_threads"]["median"] > 0
        assert facts[f"{key}_all_threads"]["threads"] >= 1


def test_a_file_whose_runs_take_long_is_run_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    content = to_float_tflite(small_cnn())
    assert len(latency._by_turns([content], 1, 0.0, latency.RUNS)[0]) == latency.LEAST_RUNS
    monkeypatch.setattr(latency, "MOST_SECONDS", 0.0)
    assert len(latency._by_turns([content], 1, 0.0, latency.RUNS)[0]) == 1


def test_a_float_network_is_all_xnnpacks_and_of_its_int8_file_all_but_the_softmax(tmp_path: Path) -> None:
    model = small_cnn()
    facts: Any = converted(model, images(), tmp_path).facts
    count = len(read_tflite(tmp_path / "model.tflite").main.operators)
    assert xnnpack_share(to_float_tflite(model)) == {"operators": count, "taken": count, "left": {}, "reasons": {}}
    assert facts["xnnpack"] == {
        "operators": count,
        "taken": count - 1,
        "left": {"SOFTMAX": 1},
        "reasons": {"SOFTMAX": "it has no SOFTMAX of int8"},
    }


def test_operators_that_xnnpack_does_not_take_are_listed(tmp_path: Path) -> None:
    artifact = converted(small_cnn(), images(), tmp_path, Recipe(keep_int16=("scores",)))
    facts: Any = artifact.facts
    assert facts["xnnpack"]["left"]["FULLY_CONNECTED"] == 1
    assert facts["xnnpack"]["taken"] + sum(facts["xnnpack"]["left"].values()) == facts["xnnpack"]["operators"]
    assert any("XNNPACK does not take 1 FULLY_CONNECTED" in note for note in artifact.notes)


def test_operators_on_both_sides_of_one_that_xnnpack_does_not_take_are_taken() -> None:
    image = tf_keras.Input((8, 8, 3))
    first = layers.Conv2D(4, 3)(image)
    middle = layers.Lambda(lambda x: tf.math.floormod(x, 0.5))(first)
    model = float_model_from_keras(tf_keras.Model(image, layers.Conv2D(2, 3)(middle)))
    share: Any = xnnpack_share(to_float_tflite(model))
    assert share["left"] == {"FLOOR_MOD": 1}
    assert share["taken"] == share["operators"] - 1 >= 2


def with_ranges(path: Path, quality: Literal["balanced", "best"] = "balanced") -> Recipe:
    return Recipe(post_training=PostTraining(calibration_ranges=str(path), quality=quality))


@pytest.mark.parametrize("quality", ["balanced", pytest.param("best", marks=pytest.mark.slow)])
def test_ranges_of_an_earlier_run_give_the_same_file(quality: Literal["balanced", "best"], tmp_path: Path) -> None:
    model = small_cnn()
    plain = Recipe(post_training=PostTraining(quality=quality))
    first = converted(model, images(), tmp_path, plain).runnable.read_bytes()
    ranges = tmp_path / "calibration.json"
    again = tmp_path / "again"
    again.mkdir()
    assert converted(model, images(), again, with_ranges(ranges, quality)).runnable.read_bytes() == first
    calibration = Calibration.load(ranges)
    doubled = {name: type(item)(2 * item.low, 2 * item.high) for name, item in calibration.ranges.items()}
    dataclasses.replace(calibration, ranges=doubled).save(ranges)
    changed = converted(model, images(), again, with_ranges(ranges, quality)).runnable.read_bytes()
    assert changed != first, "they are used"


def test_ranges_of_another_model_other_data_or_another_number_of_samples_are_refused(tmp_path: Path) -> None:
    converted(small_cnn(), images(), tmp_path)
    recipe = with_ranges(tmp_path / "calibration.json")
    with pytest.raises(DataError, match=r"made for model .* calibrate again"):
        converted(small_cnn(seed=1), images(), tmp_path, recipe)
    unimproved = Recipe(post_training=PostTraining(quality="fast"))
    converted(small_cnn(), images(), tmp_path, unimproved)
    fast = dataclasses.replace(unimproved.post_training, calibration_ranges=str(tmp_path / "calibration.json"))
    with pytest.raises(DataError, match=r"made for data .* calibrate again"):
        converted(small_cnn(), images(seed=1), tmp_path, Recipe(post_training=fast))
    model = small_cnn()
    with pytest.raises(DataError, match="made with 64 samples, but 32 are to be used"):
        convert(model, samples_for(model, images()).take(32), Recipe(post_training=fast), tmp_path)


@pytest.mark.parametrize("scheme", ["float16", "dynamic"])
def test_tflite_converter_can_be_forced_for_schemes_that_only_store(
    scheme: Literal["float16", "dynamic"], tmp_path: Path
) -> None:
    tf_keras.utils.set_random_seed(0)
    network = [tf_keras.Input((8, 8, 3), name="image"), layers.Conv2D(32, 3), layers.Conv2D(32, 3), layers.Flatten()]
    model = float_model_from_keras(tf_keras.Sequential([*network, layers.Dense(4, "softmax", name="scores")]))
    recipe = Recipe(post_training=PostTraining(scheme=scheme, engine="tflite_converter"))
    artifact = converted(model, images(), tmp_path, recipe)
    assert artifact.facts["engine"] == {"name": "tflite_converter", "reason": "asked for"}
    assert artifact.facts["input_dtypes"] == ["float32"]
    stored = {tensor.dtype for tensor in read_tflite(artifact.runnable).main.tensors if tensor.data is not None}
    assert ("float16" if scheme == "float16" else "int8") in stored
    unseen = {"image": images(8, seed=1)}
    scores, wanted = run(artifact.runnable.read_bytes(), unseen)["scores"], model.predict(unseen)["scores"]
    assert np.abs(scores - wanted).max() < PROBABILITY_TOLERANCE


@pytest.mark.parametrize("scheme", ["int16x8", "int4_weights"])
def test_a_scheme_that_the_forced_engine_lacks_names_the_one_that_has_it(
    scheme: Literal["int16x8", "int4_weights"], tmp_path: Path
) -> None:
    recipe = Recipe(post_training=PostTraining(scheme=scheme, engine="tflite_converter"))
    with pytest.raises(ConversionError, match="--engine=litert"):
        converted(small_cnn(), images(), tmp_path, recipe)
