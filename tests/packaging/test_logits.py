"""What the table of latency says of a network beside its time: logits, and means by the CPU."""

from __future__ import annotations

import numpy as np

from benchmarks.latency_summary import latency_summary
from benchmarks.logits import without_last_softmax
from tests.converters.litert.models import layers, samples_for
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.converters.litert.quality import output_error
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.runtime import tf_keras

CLASSES = 1000
NOTHING, MUCH = 0.3, 1e-2  # of the outputs' power: errors of shares that are all zeros, and of logits in 8 bits


def network(activation: str | None) -> FloatModel:
    """A thousand classes, none of which an untrained layer prefers."""
    tf_keras.utils.set_random_seed(0)
    x = tf_keras.Input((16,), name="x")
    return float_model_from_keras(tf_keras.Model(x, layers.Dense(CLASSES, activation=activation)(x)))


def test_shares_of_a_thousand_classes_are_lost_in_8_bits_and_logits_are_not() -> None:
    model = network("softmax")
    samples = samples_for(model, np.random.default_rng(0).normal(0, 0.3, (32, 16)).astype(np.float32))
    floating, integers = to_float_tflite(model), quantize_int8(model, samples, Recipe()).content
    assert output_error(floating, integers, samples) > NOTHING
    float_logits, logits = without_last_softmax(floating), without_last_softmax(integers)
    for content in (float_logits, logits):
        assert "SOFTMAX" not in {operator.name for operator in read_tflite(content).main.operators}
    assert output_error(float_logits, logits, samples) < MUCH


def test_a_file_without_a_softmax_stays_as_it_is() -> None:
    content = to_float_tflite(network(None))
    assert without_last_softmax(content) == content


def test_means_are_told_apart_by_the_cpu_where_there_are_several() -> None:
    rows = [{"model": name, "over_float": 0.5, "instructions": kind} for name, kind in (("a", "avx2"), ("b", None))]
    text = " ".join(latency_summary(rows))
    assert "avx2: 0.500 over 1, not recorded: 0.500 over 1" in text
    assert "By the CPU" not in " ".join(latency_summary(rows[:1]))
