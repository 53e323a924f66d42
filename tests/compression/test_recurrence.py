"""Recurrent layers of many steps are trained as one layer, and the file computes what the simulation does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfcompress import wrap
from tfcompress.compression import strip
from tfcompress.compression.lowering.passes import lower
from tfcompress.compression.lowering.recurrence import Recurrence
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.facts import float_operators
from tfcompress.converters.litert.limits import Abilities
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.load import float_model_from_keras, to_tf_keras
from tfcompress.recipe import Distillation, Quantization, Recipe
from tfcompress.runtime import keras, tf_keras

STEPS = 12
QUANTIZED = Recipe(quantization=Quantization(), distillation=Distillation())
# Steps of the output's 8-bit grid between the simulation and the file with loops.
STEPS_APART = 1.01
UNROLLED_STEPS_APART = 6.0  # the file without loops rounds every step to 8 bits, of which the simulation knows nothing
FUNCTION_TOLERANCE = 1e-5
FLOAT_TOLERANCE = 0.02  # what rounding 8-bit weights moves a kernel's values by, at most

LAYERS: dict[str, Callable[[Any], Any]] = {
    "LSTM": lambda k: [k.LSTM(8)],
    "stacked": lambda k: [k.LSTM(8, return_sequences=True), k.GRU(6)],
    "both directions": lambda k: [k.Bidirectional(k.LSTM(4, return_sequences=True)), k.Bidirectional(k.GRU(4))],
    "GRU that resets before": lambda k: [k.GRU(8, reset_after=False)],
    "LSTM with hard gates": lambda k: [k.LSTM(8, recurrent_activation="hard_sigmoid")],
    "SimpleRNN": lambda k: [k.SimpleRNN(8)],
}
SERIES = np.random.default_rng(0).normal(size=(48, STEPS, 5)).astype(np.float32)


def wrapped(name: str, library: Any) -> tuple[Any, Any]:
    """The float network and the wrapped one."""
    library.utils.set_random_seed(0)
    network = library.Sequential(
        [library.Input((STEPS, 5)), *LAYERS[name](library.layers), library.layers.Dense(3, name="head")]
    )
    model = float_model_from_keras(network)
    samples = samples_from_arrays(SERIES, model_inputs=model.inputs, model_outputs=model.outputs)
    return network, wrap(network, QUANTIZED, calibration=samples)


def answers(content: bytes, series: np.ndarray = SERIES) -> tuple[np.ndarray, float]:
    """Real outputs of an int8 file for the first series, and their step."""
    interpreter = new_interpreter(content)
    (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = given["quantization"]
    rows = [np.clip(np.round(row[None] / scale) + zero, -128, 127).astype(np.int8) for row in series[:16]]
    step, middle = wanted["quantization"]
    return (np.concatenate([run(interpreter, [row])[0] for row in rows]).astype(np.float32) - middle) * step, step


@pytest.mark.parametrize("library", [keras, pytest.param(tf_keras, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n == "LSTM" else pytest.mark.slow) for n in LAYERS])
def test_the_file_is_integer_and_computes_what_the_simulation_does(name: str, library: Any) -> None:
    network, trained = wrapped(name, library)
    simulated = np.asarray(trained(SERIES[:16], training=False))
    result = quantize_int8(float_model_from_keras(trained), None, Recipe(), abilities=Abilities(loops=True))
    assert float_operators(read_tflite(result.content)) == ()
    assert "WHILE" in {operator.name for operator in read_tflite(result.content).main.operators}
    outputs, step = answers(result.content)
    assert np.abs(outputs - simulated).max() < STEPS_APART * step
    plain = strip(trained)
    recurrent = [layer for layer in plain.layers if isinstance(layer, tf_keras.layers.RNN)]
    assert recurrent
    assert np.abs(np.asarray(plain(SERIES[:4])) - np.asarray(network(SERIES[:4]))).max() < FLOAT_TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LSTM", "GRU that resets before", "SimpleRNN"])
def test_for_accelerators_without_loops_every_step_is_integer(name: str) -> None:
    _, trained = wrapped(name, keras)
    result = quantize_int8(float_model_from_keras(trained), None, Recipe())
    file = read_tflite(result.content)
    assert float_operators(file) == ()
    assert "WHILE" not in {operator.name for operator in file.main.operators}


@pytest.mark.parametrize("steps", [3, 6])
def test_few_steps_of_a_gru_that_resets_before_are_trained_too(steps: int) -> None:
    """Written out, only the GRU that resets behind the product has operators of its own."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.GRU(6, reset_after=False), keras.layers.Dense(2)]
    network = keras.Sequential([keras.Input((steps, 5)), *layers])
    series = SERIES[:, :steps]
    model = float_model_from_keras(network)
    samples = samples_from_arrays(series, model_inputs=model.inputs, model_outputs=model.outputs)
    trained = wrap(network, QUANTIZED, calibration=samples)
    simulated = np.asarray(trained(series[:16], training=False))
    for abilities in (Abilities(loops=True), Abilities()):
        result = quantize_int8(float_model_from_keras(trained), None, Recipe(), abilities=abilities)
        assert float_operators(read_tflite(result.content)) == ()
        outputs, step = answers(result.content, series)
        assert np.abs(outputs - simulated).max() < UNROLLED_STEPS_APART * step


MASKED: dict[str, Callable[[Any], Any]] = {
    "LSTM": lambda k: [k.LSTM(8)],
    "few features": lambda k: [k.Dense(5, activation="relu"), k.Dropout(0.1), k.GRU(8)],
    "both directions": lambda k: [k.Bidirectional(k.LSTM(4))],
    "stacked": lambda k: [k.LSTM(8, return_sequences=True), k.SimpleRNN(6)],
}


def sentences(library: Any, name: str) -> tuple[Any, np.ndarray]:
    """A network of words of which 0 stands for none, and some sentences of 3 to 12 words."""
    library.utils.set_random_seed(0)
    layers = library.layers
    words = layers.Embedding(20, 6, mask_zero=True)
    network = library.Sequential(
        [library.Input((STEPS,), dtype="int32"), words, *MASKED[name](layers), layers.Dense(3, name="head")]
    )
    random = np.random.default_rng(0)
    texts = random.integers(1, 20, (48, STEPS)).astype(np.int32)
    texts[np.arange(STEPS) >= random.integers(3, STEPS + 1, 48)[:, None]] = 0
    return network, texts


@pytest.mark.parametrize("library", [keras, tf_keras])
@pytest.mark.parametrize("name", MASKED)
def test_a_lowered_network_heeds_the_masks(name: str, library: Any) -> None:
    network, texts = sentences(library, name)
    lowered = lower(to_tf_keras(network))
    assert np.abs(np.asarray(lowered(texts)) - np.asarray(network(texts))).max() < FUNCTION_TOLERANCE
    assert any(isinstance(layer, Recurrence) for layer in lowered.layers)
    unmasked = np.where(texts == 0, 1, texts)
    assert np.abs(np.asarray(lowered(unmasked)) - np.asarray(network(texts))).max() > FUNCTION_TOLERANCE


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_a_masked_layer_is_trained_and_every_step_is_integer(library: Any) -> None:
    network, texts = sentences(library, "LSTM")
    model = float_model_from_keras(network)
    trained = wrap(
        network,
        QUANTIZED,
        calibration=samples_from_arrays(texts, model_inputs=model.inputs, model_outputs=model.outputs),
    )
    for abilities in (Abilities(loops=True), Abilities()):
        result = quantize_int8(float_model_from_keras(trained), None, Recipe(), abilities=abilities)
        assert float_operators(read_tflite(result.content)) == ()
    assert np.abs(np.asarray(strip(trained)(texts)) - np.asarray(network(texts))).max() < FLOAT_TOLERANCE
