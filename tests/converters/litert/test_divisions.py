"""A division whose divisor comes near zero stays in float; LiteRT's integer kernel would give up on the sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.converters.edgetpu.graphs import GraphBuilder
from tests.converters.litert.models import converted, run, samples_for
from tfcompress.calibration import Calibration, Range
from tfcompress.converters.litert import engines, quantize_int8
from tfcompress.converters.litert.divisions import with_guarded_divisors
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras

LEAST_SQNR_DB = 25.0
STEPS = 2 * 200 / 255  # two of 8 bits from -100 to 100


def float_divisions(content: bytes) -> list[bool]:
    graph = read_tflite(content).main
    return [graph.tensors[op.outputs[0]].dtype == "float32" for op in graph.operators if op.name == "DIV"]


def shares(offset: float, folder: Path) -> tuple[float, list[bool]]:
    """SQNR in decibels of a network that divides a value by itself plus an offset, and which divisions are float."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,), name="x")
    positive = keras.layers.Dense(8, activation="relu")(inputs)
    network = keras.Model(inputs, keras.layers.Dense(3)(positive / (keras.ops.square(positive) + offset)))
    model = float_model_from_keras(network)
    values = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    content = converted(model, values, folder).runnable.read_bytes()
    results = np.concatenate([next(iter(run(content, {"x": values[i : i + 1]}).values())) for i in range(len(values))])
    (truth,) = model.predict({"x": values}).values()
    return 10 * float(np.log10(np.mean(truth**2) / np.mean((results - truth) ** 2))), float_divisions(content)


def test_a_divisor_near_zero_is_divided_by_in_float(tmp_path: Path) -> None:
    closeness, divisions = shares(0.01, tmp_path)
    assert divisions == [True]
    assert np.isfinite(closeness)


def counted(values: np.ndarray) -> np.ndarray:
    """What 8 bits give where each value is divided by how many are less than 0.3 below the largest one.

    That is one at least; but a step of 8 bits is more than twice as much, and so all comparisons are false.
    """
    inputs = keras.Input((values.shape[1],), name="x")
    largest = keras.ops.max(inputs, axis=-1, keepdims=True)
    count = keras.ops.sum(keras.ops.cast(inputs + 0.3 > largest, "float32"), axis=-1, keepdims=True)
    model = float_model_from_keras(keras.Model(inputs, inputs / count))
    content = quantize_int8(model, samples_for(model, values), Recipe()).content
    return np.concatenate([next(iter(run(content, {"x": values[i : i + 1]}).values())) for i in range(len(values))])


def spread(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-100, 100, (count, 6)).astype(np.float32)


def test_a_count_that_rounding_makes_zero_is_divided_by_as_one() -> None:
    values = spread(20)
    assert np.abs(counted(values) - values).max() < STEPS  # the float model divides each of these by one


def test_without_the_guard_the_run_would_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "with_guarded_divisors", lambda content, _: content)
    with pytest.raises(RuntimeError, match="zero_point"):
        counted(spread(20))


def test_only_a_divisor_of_one_sign_is_kept_from_zero() -> None:
    graph = GraphBuilder()
    numerator, divisor, result = graph.input([1, 4]), graph.input([1, 4]), graph.tensor([1, 4])
    graph.operator("DIV", [numerator, divisor], [result], "DivOptions")
    content = graph.content(result)
    for low, kinds in ((-1.0, ["DIV"]), (0.5, ["MAXIMUM", "DIV"])):
        ranges = {f"t{divisor}": Range(low, 2.0)}
        guarded = with_guarded_divisors(content, Calibration("model", None, 1, "min_max", ranges))
        assert [operator.name for operator in read_tflite(guarded).main.operators] == kinds
        assert (guarded is content) == (kinds == ["DIV"])


def least_divisor(made_by: str) -> int:
    """What a division's guard lets through, in steps of the integers, where calibration saw 0.5 at least."""
    graph = GraphBuilder()
    numerator, result = graph.input([1, 4]), graph.tensor([1, 4])
    divisor = graph.tensor([1, 4]) if made_by else graph.input([1, 4])
    if made_by:
        truth = graph.input([1, 4], "bool")
        either = [graph.input([1, 4]), graph.input([1, 4])] if made_by == "SELECT_V2" else []
        graph.operator(made_by, [truth, *either], [divisor], "SelectV2Options" if either else "CastOptions")
    graph.operator("DIV", [numerator, divisor], [result], "DivOptions")
    ranges = {f"t{divisor}": Range(0.5, 2.0)}
    content = with_guarded_divisors(graph.content(result), Calibration("model", None, 1, "min_max", ranges))
    guard = next(op for op in read_tflite(content).main.operators if op.name == "MAXIMUM")
    least, guarded = (read_tflite(content).main.tensors[index] for index in (guard.inputs[1], guard.inputs[0]))
    values = least.array()
    assert values is not None
    assert guarded.quantization is not None
    return int(values) - int(guarded.quantization.zero_points[0])


def test_a_divisor_below_those_of_calibration_is_divided_by_as_it_is_unless_it_is_a_count() -> None:
    assert least_divisor("") == 1
    assert least_divisor("SELECT_V2") == 1, "what a comparison selects is no count"
    assert least_divisor("CAST") > 1


def test_a_divisor_away_from_zero_is_divided_by_in_integers(tmp_path: Path) -> None:
    closeness, divisions = shares(2.0, tmp_path)
    assert divisions == [False]
    assert closeness > LEAST_SQNR_DB
