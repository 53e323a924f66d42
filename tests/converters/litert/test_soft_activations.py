"""Softplus, Mish and SELU on a phone: 8 bits of exp(x) would leave nothing to the smaller x."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.litert.models import run, samples_for
from tests.converters.rewriting.test_edgetpu_rows import SHAPE, mish
from tfcompress.converters.litert import int8, quantize_int8
from tfcompress.converters.phone.conversion import INTEGERS_ALONE
from tfcompress.converters.rewriting import PHONE, rewrite_graph, rows_for
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter
from tfcompress.graphs.tflite.interpreter import run as run_file
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras

SOFT = ["softplus", "log_sigmoid", "mish", "selu"]
LEAST_DB = 30.0
SAME = 2e-6  # of float32, relative to the largest value
RECIPE = Recipe(post_training=PostTraining(quality="fast", wider_activations="never"))


def decibels(activation: str) -> float:
    """Signal to noise of the activation alone, in integers, over inputs from -6 to 6."""
    inputs = keras.Input((16,), name="x")
    model = float_model_from_keras(keras.Model(inputs, keras.layers.Activation(activation)(inputs)))
    values = np.random.default_rng(0).uniform(-6, 6, (64, 16)).astype(np.float32)
    content = quantize_int8(model, samples_for(model, values), RECIPE, abilities=INTEGERS_ALONE).content
    results = np.concatenate([next(iter(run(content, {"x": row[None]}).values())) for row in values])
    (truth,) = model.predict({"x": values}).values()
    return 10 * float(np.log10(np.sum(truth**2) / np.sum((truth - results) ** 2)))


@pytest.mark.parametrize("activation", SOFT)
def test_integers_keep_soft_activations(activation: str) -> None:
    assert decibels(activation) > LEAST_DB


@pytest.mark.parametrize("activation", SOFT)
def test_without_the_rewrite_they_do_not(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(int8, "rows_for", lambda _: ())
    assert decibels(activation) < LEAST_DB


@pytest.mark.parametrize("unit_first", [False, True])
@pytest.mark.parametrize("reach", [0.5, 30.0])
def test_the_function_stays_the_same_for_small_and_for_large_inputs(reach: float, unit_first: bool) -> None:
    before = mish(unit_first=unit_first)
    after = rewrite_graph(before, rows_for(PHONE)).content
    values = np.linspace(-reach, reach, 256, dtype=np.float32).reshape(SHAPE)
    (first,), (second,) = (run_file(new_interpreter(content), [values]) for content in (before, after))
    assert np.abs(first - second).max() <= SAME * max(1.0, float(np.abs(first).max()))
    assert "EXP" not in {operator.name for operator in read_tflite(after).main.operators}
