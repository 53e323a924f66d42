"""A quantization-aware model has a float file to be measured beside, and its artifact says how the two compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.compression.models import QUANTIZED, small_cnn
from tfcompress import wrap
from tfcompress.compression.in_float import in_float
from tfcompress.converters.litert.float_tflite import without_quantizers
from tfcompress.converters.phone.conversion import convert
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel

SAME = 1e-5  # probabilities; the two differ in the order of sums alone
CLOSE = 2e-3  # to the model before: its biases were corrected for what 8 bits shift
PICTURES = np.random.default_rng(0).uniform(0, 1, (8, 8, 8, 1)).astype(np.float32)


def aware_of(model: FloatModel) -> FloatModel:
    samples = samples_from_arrays(PICTURES, model_inputs=model.inputs, model_outputs=model.outputs)
    return float_model_from_keras(wrap(model.keras_model, QUANTIZED, calibration=samples))


def test_without_quantizers_it_computes_what_the_float_model_does_and_with_them_it_does_not() -> None:
    model = float_model_from_keras(small_cnn())
    aware = aware_of(model)
    content = without_quantizers(aware)
    (scores,) = run(new_interpreter(content), [PICTURES[:1]])
    with in_float():
        expected = aware.predict({"image": PICTURES[:1]})["scores"]
    assert np.abs(scores - expected).max() < SAME
    assert np.abs(aware.predict({"image": PICTURES[:1]})["scores"] - expected).max() > SAME
    assert np.abs(scores - model.predict({"image": PICTURES[:1]})["scores"]).max() < CLOSE
    assert "QUANTIZE" not in [operator.name for operator in read_tflite(content).main.operators]


def test_the_first_note_of_a_trained_file_compares_its_speed_with_float(tmp_path: Path) -> None:
    artifact = convert(aware_of(float_model_from_keras(small_cnn())), None, QUANTIZED, tmp_path)
    assert "the float file" in artifact.notes[0]
    assert isinstance(artifact.facts["float_latency_ms"], dict)
