"""What a concatenation joins while others read it too: simulation and file give it one range."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compression.models import QUANTIZED, Int8File, functional, largest_and_share_of_errors, samples_for
from tfcompress.compression import finetune, wrap
from tfcompress.data import Samples
from tfcompress.recipe import Quantization, Recipe, Training
from tfcompress.runtime import tf, tf_keras

L = tf_keras.layers

ONE_STEP = 1.01


def narrow_and_wide(join: Callable[[Any, Any], Any]) -> Any:
    """A model of two branches, the one with values fifty times the other's, that are joined and read on their own."""

    def branch(name: str, deviation: float) -> Any:
        return L.Dense(8, name=name, kernel_initializer=tf_keras.initializers.RandomNormal(0.0, deviation, seed=1))

    def body(x: Any) -> Any:
        narrow, wide = branch("narrow", 0.02)(x), branch("wide", 1.0)(x)
        return L.Dense(4)(L.Concatenate()([L.Dense(3)(each) for each in (narrow, wide, join(narrow, wide))]))

    tf_keras.utils.set_random_seed(0)
    return functional((8,), body)


def wrapped_with_inputs(model: Any) -> tuple[Any, np.ndarray]:
    """The model wrapped with ranges from some inputs, and these."""
    samples = samples_for(model, 64, labels=False)
    return wrap(model, QUANTIZED, calibration=samples), inputs_of(samples)


def inputs_of(samples: Samples) -> np.ndarray:
    return next(iter(next(samples.batches(64)).inputs.values()))


JOINED: dict[str, Callable[[Any, Any], Any]] = {
    "Concatenate": lambda narrow, wide: L.Concatenate()([narrow, wide]),
    "Concatenate, the wide first": lambda narrow, wide: L.Concatenate()([wide, narrow]),
    "Maximum": lambda narrow, wide: L.Maximum()([narrow, wide]),
    "tf.stack": lambda narrow, wide: L.Flatten()(tf.stack([narrow, wide], 1)),
    "a chain": lambda narrow, wide: L.Concatenate()([narrow, L.Concatenate()([narrow, wide])]),
}


@pytest.mark.parametrize("name", JOINED)
def test_joined_values_are_simulated_exactly_and_not_rescaled(name: str) -> None:
    wrapped, x = wrapped_with_inputs(narrow_and_wide(JOINED[name]))
    file = Int8File(wrapped)
    assert largest_and_share_of_errors(wrapped, file, x) == (0.0, 0.0)
    assert "QUANTIZE" not in file.operators


def test_the_joined_range_is_the_widest() -> None:
    model = narrow_and_wide(JOINED["tf.stack"])
    wrapped, x = wrapped_with_inputs(model)
    narrow, wide = (float(wrapped.get_layer(name).quantizer.scale()) for name in ("narrow", "wide"))
    assert narrow == wide == pytest.approx(np.ptp(np.asarray(model.get_layer("wide")(x))) / 255, rel=0.2)


def test_ranges_that_training_finds_are_joined_too() -> None:
    model = narrow_and_wide(JOINED["Concatenate"])
    samples = samples_for(model, 64)
    recipe = Recipe(quantization=Quantization(calibrate=False), training=Training(epochs=2, batch_size=8))
    trained = finetune(model, recipe, samples).trained
    largest, share = largest_and_share_of_errors(trained, Int8File(trained), inputs_of(samples))
    assert largest <= ONE_STEP
    assert share < 0.02


def gate_beside(deviation: float) -> tuple[Any, np.ndarray]:
    """A wrapped model that concatenates a sigmoid with values of that deviation, and its inputs."""

    def join(narrow: Any, wide: Any) -> Any:
        scaled = L.Rescaling(deviation, name="beside")(wide)
        return L.Concatenate(name="joined")([L.Activation("sigmoid", name="gate")(narrow), scaled])

    return wrapped_with_inputs(narrow_and_wide(join))


def test_a_range_that_a_kernel_fixes_is_kept_and_rescaled_exactly() -> None:
    wrapped, x = gate_beside(1.0)
    assert float(wrapped.get_layer("gate").quantizer.scale()) == 1 / 256
    assert largest_and_share_of_errors(wrapped, Int8File(wrapped), x) == (0.0, 0.0)


def test_a_range_is_not_widened_for_one_that_is_far_narrower() -> None:
    wrapped, x = gate_beside(10.0)
    scale = float(wrapped.get_layer("joined").quantizer.scale())
    beside = np.asarray(tf_keras.Model(wrapped.inputs, wrapped.get_layer("beside").output)(x))
    assert scale == pytest.approx(np.ptp(beside) / 255, rel=0.02)
