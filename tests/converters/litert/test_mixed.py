"""`--scheme=auto`: float where int8 is many times slower, all integers where the user says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.litert.models import converted, layers, run, samples_for, small_cnn
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.converters.litert.delegable import with_delegable_forms
from tfcompress.converters.litert.latency import medians
from tfcompress.converters.litert.mixed import never_handed_over, never_slower_than_float
from tfcompress.converters.litert.operator_times import OperatorTime, operator_times
from tfcompress.converters.litert.time_ratios import ROUNDS, is_mostly_slower, is_slower, is_surely_quicker
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf_keras

TOLERANCE = 0.05  # of outputs that lie in [-1, 1]: a few steps of 1/128
SIDE, CHANNELS = 48, 32
LEAST_MS = 0.002
INTEGERS = Recipe(post_training=PostTraining(integer_only=True))


def gated() -> FloatModel:
    """A softmax over 48 x 48 x 32 values, which XNNPACK has in float alone, between convolutions."""
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((SIDE, SIDE, 3), name="image")
    wide = layers.Conv2D(CHANNELS, 3, padding="same", name="wide")(image)
    shares = layers.Softmax(name="shares")(wide)
    last = layers.Conv2D(2, 3, strides=4, activation="tanh", name="last")(shares)
    return float_model_from_keras(tf_keras.Model(image, last, name="gated"))


def pictures(count: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, SIDE, SIDE, 3), np.float32)


def dtypes(content: bytes, name: str) -> set[str]:
    graph = read_tflite(content).main
    return {graph.tensors[op.outputs[0]].dtype for op in graph.operators if op.name == name}


def recipe(**options: Any) -> Recipe:
    return Recipe(post_training=PostTraining(scheme="auto", **options))


def test_what_int8_slows_down_is_float_and_the_rest_is_int8(tmp_path: Path) -> None:
    model = gated()
    artifact = converted(model, pictures(), tmp_path, recipe())
    content = artifact.runnable.read_bytes()
    assert dtypes(content, "SOFTMAX") == {"float32"}
    assert any("in float:" in note for note in artifact.notes)
    assert artifact.facts["input_dtypes"] == ["int8"]
    unseen = pictures(4, seed=1)
    wanted = model.predict({"image": unseen})["last"]
    got = np.concatenate([run(content, {"image": unseen[i : i + 1]})["last"] for i in range(4)])
    assert np.abs(got - wanted).max() < TOLERANCE
    assert np.abs(got + wanted).max() > TOLERANCE


def test_integers_alone_stay_integers_whatever_they_cost(tmp_path: Path) -> None:
    artifact = converted(gated(), pictures(), tmp_path, recipe(integer_only=True))
    assert artifact.facts["fully_integer"]
    assert dtypes(artifact.runnable.read_bytes(), "SOFTMAX") == {"int16"}  # which a QUANTIZE makes int8


def test_the_default_is_never_slower_than_float_without_being_asked(tmp_path: Path) -> None:
    artifact = converted(gated(), pictures(), tmp_path)
    assert "times as fast" in artifact.notes[0]
    assert dtypes(artifact.runnable.read_bytes(), "SOFTMAX") == {"float32"}
    why = [note for note in artifact.notes if note.startswith("8 bits alone take")]
    assert len(why) == 1
    assert "--integer_only keeps them" in why[0]


def test_integers_that_are_slower_than_float_say_so_first_and_what_to_choose(tmp_path: Path) -> None:
    artifact = converted(gated(), pictures(), tmp_path, INTEGERS)
    assert artifact.notes[0].startswith("slower than the float file")
    assert "--scheme=auto without --integer_only, or --scheme=" in artifact.notes[0]


@pytest.mark.parametrize(("dynamic_ms", "scheme"), [(0.7, "dynamic"), (1.1, "float16")])
def test_what_to_choose_is_dynamic_where_that_is_quicker_than_float(
    dynamic_ms: float, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfcompress.converters.phone.conversion.in_rounds", lambda *_: [(dynamic_ms, 1.0)] * 2)
    artifact = converted(gated(), pictures(), tmp_path, INTEGERS)
    assert f"--scheme={scheme}, which" in artifact.notes[0]


@pytest.mark.parametrize(
    ("integers_ms", "floats_ms", "worth_a_mix"),
    [(5.0, 4.9, True), (5.0, 5.1, False), (0.006, 0.005, True), (0.006, 0.0057, False), (0.0015, 0.001, False)],
    ids=["slower", "quicker", "short and clearly slower", "short and hardly slower", "nothing but the call"],
)
def test_the_shorter_a_file_the_clearer_it_has_to_be_slower(
    integers_ms: float, floats_ms: float, worth_a_mix: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfcompress.converters.litert.time_ratios.LEAST_MS", LEAST_MS)  # larger in all other tests
    assert is_slower(integers_ms, floats_ms) is worth_a_mix


def rounds_of(ratios: list[float]) -> list[tuple[float, float]]:
    return [(ratio, 1.0) for ratio in ratios]


@pytest.mark.parametrize(
    ("ratios", "slower"),
    [
        ([1.1] * 7 + [0.95] * 2, True),
        ([0.95] * 7 + [1.4] * 2, False),
        ([1.3] * 2, True),
        ([0.7] * 2, False),
        ([], False),
    ],
    ids=["but for two rounds", "in two rounds alone", "far", "far from it", "cannot run"],
)
def test_two_rounds_on_a_busy_machine_do_not_decide_what_is_slower(ratios: list[float], slower: bool) -> None:
    assert is_mostly_slower(rounds_of(ratios)) is slower


@pytest.mark.parametrize(
    ("ratios", "quicker"),
    [
        ([0.95] * 8 + [1.1], True),
        ([0.95] * 7 + [1.1] * 2, False),
        ([0.98] * 9, False),
        ([0.7] * 2, True),
        ([1.3] * 2, False),
        ([], False),
    ],
    ids=["but for one round", "but for two rounds", "by too little", "far", "far from it", "cannot run"],
)
def test_a_mix_has_to_be_quicker_in_nearly_all_rounds(ratios: list[float], quicker: bool) -> None:
    assert is_surely_quicker(rounds_of(ratios)) is quicker


@pytest.mark.parametrize("busy", [range(1), range(ROUNDS)], ids=["one round looks quicker", "all rounds do"])
def test_one_measurement_that_looks_quicker_keeps_no_slow_file(busy: range, monkeypatch: pytest.MonkeyPatch) -> None:
    model = gated()
    samples = samples_for(model, pictures())
    plain = quantize_int8(model, samples, INTEGERS)
    asked: list[int] = []

    def measured(contents: list[bytes], **how: Any) -> tuple[float | None, ...]:
        if contents != [plain.content, plain.float_content]:
            return medians(contents, **how)
        asked.append(len(asked))
        return (0.9, 1.0) if asked[-1] in busy else (1.2, 1.0)

    monkeypatch.setattr("tfcompress.converters.litert.time_ratios.medians", measured)
    mixed = never_slower_than_float(plain, samples, PostTraining())
    assert (mixed != plain) is (len(busy) == 1)


def bent() -> FloatModel:
    """Slopes of either sign behind a convolution."""
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((16, 16, 3), name="image")
    slopes = tf_keras.initializers.RandomUniform(-0.5, 0.5)
    x = layers.PReLU(alpha_initializer=slopes, shared_axes=[1, 2], name="bend")(layers.Conv2D(8, 3)(image))
    return float_model_from_keras(tf_keras.Model(image, layers.Conv2D(2, 3, name="last")(x), name="bent"))


@pytest.mark.parametrize(("mixed_ms", "kinds"), [(0.5, {"float32"}), (1.1, set())], ids=["quicker", "slower"])
def test_prelu_is_float_alone_in_a_default_file_where_that_is_quicker(
    mixed_ms: float, kinds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = bent()
    samples = samples_for(model, np.random.default_rng(0).random((16, 16, 16, 3), np.float32))
    plain = with_delegable_forms(quantize_int8(model, samples, INTEGERS), samples)
    assert dtypes(plain.content, "PRELU") == set()

    def measured(contents: list[bytes], **how: Any) -> tuple[float, ...]:
        del how
        mixed = [dtypes(each, "PRELU") and dtypes(each, "CONV_2D") == {"int8"} for each in contents]
        return tuple(
            mixed_ms if is_mixed else 2.0 if each == plain.float_content else 1.0
            for each, is_mixed in zip(contents, mixed, strict=True)
        )

    monkeypatch.setattr("tfcompress.converters.litert.time_ratios.medians", measured)
    result = never_slower_than_float(plain, samples, PostTraining())
    assert dtypes(result.content, "PRELU") == kinds
    assert dtypes(result.content, "CONV_2D") == {"int8"}
    assert (result == plain) is not bool(kinds)


def test_a_float_root_of_a_variance_gets_the_variance_in_float() -> None:
    """In 8 bits the variance of a dull picture is zero, and its float inverse root is out of all proportion."""
    tf_keras.utils.set_random_seed(0)
    x = tf_keras.Input((4, 8), name="x")
    last = layers.Dense(2, name="last")(layers.LayerNormalization(name="norm")(layers.Dense(8, name="first")(x)))
    model = float_model_from_keras(tf_keras.Model(x, last))
    graph = ModelEditor.read(to_float_tflite(model)).main
    names = set(never_handed_over(graph))
    by_result = {op.result.name: op for op in graph.operators}
    kinds = {by_result[name].name for name in names}
    assert {"MEAN", "ADD", "SQUARED_DIFFERENCE"} <= kinds
    roots = [op for op in graph.operators if op.name == "RSQRT"]
    assert roots
    assert all(op.source.name in names for op in roots)
    squares = [op for op in graph.operators if op.name == "SQUARED_DIFFERENCE"]
    assert all(tensor.name not in names for op in squares for tensor in op.computed_inputs)


def slow_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor on which every operator takes ten times as long in int8, and every later file is quicker."""

    def times(source: GraphEditor, quantized: GraphEditor) -> tuple[OperatorTime, ...]:
        measured = operator_times(source, quantized)
        return tuple(dataclasses.replace(time, int8_ms=1000.0, float_ms=100.0) for time in measured)

    def in_rounds(first: bytes, second: bytes) -> list[tuple[float, float]]:
        del first
        return [(2.0 if dtypes(second, "CONV_2D") == {"float32"} else 0.5, 1.0)] * 2

    monkeypatch.setattr("tfcompress.converters.litert.mixed.operator_times", times)
    monkeypatch.setattr("tfcompress.converters.litert.mixed.in_rounds", in_rounds)


@pytest.mark.parametrize(("scheme", "convolutions"), [("int8", "int8"), ("auto", "float32")])
def test_only_auto_goes_by_this_machines_times_where_xnnpack_takes_integers(
    scheme: Any, convolutions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor without int8 dot products multiplies floats faster; a phone's does not."""
    slow_integers(monkeypatch)
    artifact = converted(gated(), pictures(), tmp_path, Recipe(post_training=PostTraining(scheme=scheme)))
    content = artifact.runnable.read_bytes()
    assert dtypes(content, "SOFTMAX") == {"float32"}
    assert dtypes(content, "CONV_2D") == {convolutions}


def test_what_xnnpack_takes_whole_stays_integers_however_slow_they_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_integers(monkeypatch)
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((SIDE, SIDE, 3), name="image")
    hidden = layers.Conv2D(CHANNELS, 3, activation="relu", name="hidden")(image)
    model = float_model_from_keras(tf_keras.Model(image, layers.Conv2D(2, 3, name="last")(hidden)))
    samples = samples_for(model, pictures())
    plain = quantize_int8(model, samples, Recipe())
    assert never_slower_than_float(plain, samples, PostTraining()) == plain


@pytest.mark.parametrize(("integers_ms", "is_mixed"), [(0.9, False), (1.2, True)])
def test_a_file_that_is_quicker_than_float_stays_all_integers(
    integers_ms: float, is_mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = gated()
    samples = samples_for(model, pictures())
    plain = quantize_int8(model, samples, INTEGERS)

    def in_rounds(first: bytes, second: bytes) -> list[tuple[float, float]]:
        del first
        return [(integers_ms if second == plain.float_content else 0.5, 1.0)] * 9

    monkeypatch.setattr("tfcompress.converters.litert.mixed.in_rounds", in_rounds)
    assert (never_slower_than_float(plain, samples, PostTraining()) != plain) is is_mixed


def test_a_mix_with_uint8_edges_has_them(tmp_path: Path) -> None:
    artifact = converted(gated(), pictures(), tmp_path, recipe(io="uint8"))
    assert artifact.facts["input_dtypes"] == ["uint8"]


def test_what_int8_slows_down_is_named_with_its_layer_and_the_reason(tmp_path: Path) -> None:
    artifact = converted(gated(), pictures(), tmp_path, INTEGERS)
    slow: Any = artifact.facts["slow_operators"]
    assert (slow[0]["layer"], slow[0]["operator"]) == ("shares", "SOFTMAX")  # the worst; others depend on the CPU
    assert slow[0]["int8_ms"] > slow[0]["float_ms"]
    assert slow[0]["reason"] == "it has no SOFTMAX of int8"
    assert any(note.startswith("slow in int8: shares (SOFTMAX)") for note in artifact.notes)


@pytest.mark.parametrize("scheme", ["int8", "auto"])
def test_the_first_note_says_how_fast_the_file_is(scheme: Any, tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).random((16, 8, 8, 3), np.float32)
    artifact = converted(small_cnn(), inputs, tmp_path, Recipe(post_training=PostTraining(scheme=scheme)))
    assert "times as fast" in artifact.notes[0]


@pytest.mark.parametrize("steps", [1, 100])
def test_all_operators_together_are_measured_for_a_few_seconds_at_most(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recurrence that the model unrolls has as many operators as layers times steps."""
    asked: list[float] = []

    def measured(contents: list[bytes], *, seconds: float) -> tuple[float, ...]:
        asked.extend([seconds] * len(contents))
        return (1.0, 1.0)

    monkeypatch.setattr("tfcompress.converters.litert.operator_times.medians", measured)
    x = tf_keras.Input((steps, 4), name="x")
    model = float_model_from_keras(tf_keras.Model(x, layers.SimpleRNN(4, unroll=True)(x)))
    graph = ModelEditor.read(to_float_tflite(model)).main
    assert len(operator_times(graph, graph)) >= 2 * steps
    assert sum(asked) <= 6.1
    assert min(asked) <= 0.02
    assert (min(asked) == 0.02) is (steps == 1)


def test_files_are_measured_by_turns_and_one_that_cannot_run_has_no_figure() -> None:
    model = small_cnn()
    content = quantize_int8(model, samples_for(model, np.zeros((8, 8, 8, 3), np.float32)), Recipe()).content
    first, broken, second = medians([content, b"no tflite", content], seconds=0.05)
    assert broken is None
    assert first is not None
    assert second is not None
