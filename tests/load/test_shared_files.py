"""Every real model file at hand: what loads predicts, and what does not load says why in one line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from benchmarks.custom_layers import CUSTOM_OBJECTS
from benchmarks.table_load import entries, row
from tfcompress.load import load_model, to_keras3, to_tf_keras
from tfcompress.runtime import keras

LAMBDA_PYTHON = (3, 11)  # wrote the bytecode in the one file that is trusted; another may crash on it, and says so
# What the one line has to name for each file that cannot be loaded.
TRUE_CAUSES = {
    "hls4ml_ic_rn07_qkeras": r"custom objects .*QConv2DBatchnorm.*--custom_objects=package.module:dict",
    "dtln_lstm": "weights only",
    "portrait_slim_seg": r"layer 'lambda' holds marshalled Python bytecode .*--allow_unsafe_deserialization",
    "portrait_gpucom_toys": r"custom objects .*kernel_init\d.*--custom_objects",
    "ecg_cnn_qkeras8": r"custom objects .*QConv1D.*--custom_objects",
    "dl4j_sequential_lambda": r"layer 'lambda_1' holds marshalled Python bytecode",
    "keras3_nested_container": r"custom objects .*NestedDenseModel.*--custom_objects",
    "kotlindl_lstm": "weights only",
    "kotlindl_lenet": "weights only",
    "kotlindl_batchnorm": "weights only",
}


@pytest.fixture(scope="module")
def table(shared: Path) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """(entry of the index, what happened) for each file."""
    return [(entry, row(name) | {"model": name}) for name, entry in entries().items()]


def test_every_loadable_file_loads_and_predicts(
    table: list[tuple[dict[str, str], dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        for _, load in table:
            print(
                f"\n{load['status']:8} {load['model']:70} {load.get('loaded_as', '')} {load['reason'] or ''}"[:200],
                end="",
            )
    for entry, load in table:
        if "safe_mode" in entry["loads_in"] and sys.version_info[:2] != LAMBDA_PYTHON:
            assert load["status"] == "ok" or "Python version does that" in load["reason"], load
        elif entry["loads_in"] != "NONE":
            assert load["status"] == "ok", load
            if entry["params"]:
                assert load["parameters"] == int(entry["params"])


def test_every_other_file_names_the_true_cause_in_one_line(table: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    refused = [(entry, outcome) for entry, outcome in table if entry["loads_in"] == "NONE"]
    assert len(refused) == 13
    for entry, outcome in refused:
        assert outcome["status"] == "refused"
        assert re.search(TRUE_CAUSES[entry["name"]], outcome["reason"]), outcome["reason"]
        assert "\n" not in outcome["reason"]


def test_old_model_computes_what_its_tflite_computes(shared: Path) -> None:
    folder = shared / "models/mltk_kws_heygecko"
    model = load_model(folder / "keyword_spotting_heygecko.h5", custom_objects=CUSTOM_OBJECTS)
    interpreter = Interpreter(str(folder / "keyword_spotting_heygecko.float32.tflite"))
    interpreter.allocate_tensors()
    x = np.random.default_rng(0).random((1, 248, 1, 108), dtype=np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    (actual,) = model.predict({"input_1": x}).values()
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info[:2] != LAMBDA_PYTHON, reason="the file's bytecode is of another Python version")
def test_lambda_model_computes_what_its_rebuilt_form_computes(shared: Path) -> None:
    folder = shared / "models/derived_pilotnet"
    trusted = load_model(folder / "pilotnet_lambda_tfkeras.h5", allow_unsafe_deserialization=True)
    rebuilt = load_model(folder / "pilotnet_rescaling_k3.keras")
    x = np.random.default_rng(0).integers(0, 256, (2, 66, 200, 3)).astype("float32")
    (ours,) = trusted.predict({trusted.inputs[0].name: x}).values()
    (theirs,) = rebuilt.predict({rebuilt.inputs[0].name: x}).values()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert all(type(layer).__name__ != "Lambda" for layer in trusted.keras_model.layers)


@pytest.mark.slow
def test_python2_bytecode_is_refused_even_when_trusted(shared: Path) -> None:
    path = shared / "models/dl4j_sequential_lambda/sequential_lambda.h5"
    with pytest.raises(Exception, match="made by another Python version"):
        load_model(path, allow_unsafe_deserialization=True)


@pytest.mark.parametrize(
    "name",
    ["mlperf_ic_resnet8/pretrainedResnet.h5", "har_esp32_lstm/lstm_model.keras", "derived_mtcnn/onet_tfkeras.h5",
     "dl4j_gaperror/GAPError.h5", "malaria_lstm/LSTM.keras", "mltk_kws_mobilenetv2/keyword_spotting_mobilenetv2.h5"],
)  # fmt: skip
def test_real_model_goes_to_the_other_keras_and_back(shared: Path, name: str) -> None:
    model = load_model(shared / "models" / name, custom_objects=CUSTOM_OBJECTS if "malaria" in name else None)
    if isinstance(model.keras_model, keras.Model):
        assert isinstance(to_keras3(to_tf_keras(model.keras_model)), keras.Model)
    else:
        assert to_tf_keras(to_keras3(model.keras_model)).count_params() == model.parameters
