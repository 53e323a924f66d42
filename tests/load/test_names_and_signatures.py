"""Inputs and outputs called what TensorFlow's operations cannot be called, and SavedModels of several signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tfcompress import load_model
from tfcompress.accuracy_diff import runner_for
from tfcompress.errors import ModelError
from tfcompress.load import float_model_from_keras
from tfcompress.runtime import keras, tf
from tfcompress.tensor_info import TensorInfo, same_names, with_graph_names

WHOLE_DB = 25.0  # two swapped inputs have -6 dB
BFLOAT16 = 0.02


class TwoFunctions(tf.Module):
    """A matrix, and two functions of it."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = tf.Variable(np.ones((4, 2), np.float32))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="tower-a.x")])
    def predict(self, x: Any) -> Any:
        return {"out:0": x @ self.matrix}

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def embed(self, x: Any) -> Any:
        return {"embedding": -x @ self.matrix}


class ManyOutputs(tf.Module):
    """Outputs whose order a SavedModel does not keep."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def serve(self, x: Any) -> Any:
        return {f"output_{number}": x * number for number in range(1, 13)}


def test_outputs_of_a_signature_have_the_order_of_their_numbers_in_every_process(tmp_path: Path) -> None:
    module = ManyOutputs()
    tf.saved_model.save(module, str(tmp_path / "many"), {"serving_default": module.serve})
    names = [f"output_{number}" for number in range(1, 13)]
    assert [info.name for info in load_model(tmp_path / "many").outputs] == names
    assert [info.name for info in runner_for(tmp_path / "many").outputs] == names


def saved(path: Path, **signatures: str) -> Path:
    module = TwoFunctions()
    tf.saved_model.save(module, str(path), {name: getattr(module, own) for name, own in signatures.items()})
    return path


def test_names_that_no_operation_can_have_are_changed_and_stay_unique() -> None:
    given = ["x:0", "x", "tower-a.x", "_hidden", "Eingang ü"]
    infos = with_graph_names(TensorInfo(name, (None, 1), "float32") for name in given)
    assert [info.name for info in infos] == ["x", "x_1", "tower-a.x", "x_hidden", "Eingang__"]


def test_inputs_that_keras_takes_and_tensorflow_does_not_can_be_recorded() -> None:
    x, y = keras.Input((4,), name="x:0"), keras.Input((4,), name="tower-a.x")
    model = float_model_from_keras(keras.Model([x, y], keras.layers.Dense(2)(x + y)))
    assert [info.name for info in model.inputs] == ["x", "tower-a.x"]
    assert model.concrete_function(1) is not None


def test_inputs_that_differ_by_case_alone_convert_and_take_the_users_data(tmp_path: Path) -> None:
    first, second = keras.Input((4,), name="left"), keras.Input((4,), name="Left")
    model = keras.Model(
        [first, second], keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(first - second)
    )
    low, high = (
        np.linspace(0.5, 1.5, 256, dtype=np.float32).reshape(64, 4),
        np.linspace(3.0, 5.0, 256, dtype=np.float32).reshape(64, 4),
    )
    result = tfcompress.convert(
        model, targets="phone,cloud_tpu", calibration={"Left": high, "left": low}, output=tmp_path / "out"
    )
    assert [target.converted for target in result.targets.values()] == [True, True]
    assert all((row.diff.sqnr_db or 0) > WHOLE_DB for row in result.targets.values() if row.diff is not None)
    loaded = load_model(tmp_path / "out/cloud_tpu/saved_model/1")
    predicted = loaded.predict({"left": low[:1], "Left_1": high[:1]})
    assert float(next(iter(predicted.values()))[0, 0]) == pytest.approx(float((low - high)[0].sum()), rel=BFLOAT16)


@pytest.mark.parametrize(
    ("wanted", "given", "pairs"),
    [
        (["left", "Left_1"], ["Left", "left"], {"left": "left", "Left_1": "Left"}),
        (["x", "x_1"], ["x", "x_1"], {"x": "x", "x_1": "x_1"}),
        (["left", "Left_1"], ["left", "right"], None),
    ],
)
def test_names_that_differ_by_case_alone_are_matched_as_they_are_first(
    wanted: list[str], given: list[str], pairs: dict[str, str] | None
) -> None:
    assert same_names(wanted, given) == pairs


def test_a_signature_with_odd_names_runs(tmp_path: Path) -> None:
    model = load_model(saved(tmp_path / "model", serving_default="predict"))
    assert [info.name for info in (*model.inputs, *model.outputs)] == ["tower_a_x", "out"]  # TensorFlow's form
    assert model.predict({"tower_a_x": np.ones((3, 4), np.float32)})["out"].tolist() == [[4.0, 4.0]] * 3
    assert model.concrete_function(2) is not None


def test_of_several_signatures_the_usual_one_is_used_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = load_model(saved(tmp_path / "model", predict="predict", embed="embed"))
    assert [info.name for info in model.outputs] == ["out"]
    assert "of its signatures 'predict' is used, not embed" in caplog.text


def test_several_signatures_of_which_none_is_usual_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has the signatures"):
        load_model(saved(tmp_path / "model", first="predict", second="embed"))


def test_a_damaged_fingerprint_is_passed_over_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(tmp_path / "saved", serving_default="predict")
    (path / "fingerprint.pb").write_bytes(b"\xff" * 1000)
    model = load_model(path)
    assert model.inputs[0].shape == (None, 4)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
