"""Masked attention keeps what unmasked attention keeps, in whatever form the mask comes, on both int8 targets."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.calibration.readers import Extent, needed_spans, softmax_span
from tfcompress.converters.edgetpu.conversion import convert as convert_for_edgetpu
from tfcompress.converters.litert import quantize_int8
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import Recipe

STEPS, WIDTH = 16, 32
CAUSAL = np.tril(np.ones((STEPS, STEPS), bool))
LOSS_DB = 2.0  # that a mask may cost beside the unmasked model
UNMASKED_DB = 26.0  # what the unmasked model keeps
DECODER_DB = 25.0

Arrays = dict[str, np.ndarray]


def _attention(mask: Callable[[Any, Any], Any] | None, second: Any = None) -> Any:
    """One head, whose scores `mask(scores, second input)` masks before, or as, the softmax."""
    keras.utils.set_random_seed(0)
    x = keras.Input((STEPS, WIDTH), name="x")
    query, key, value = (layers.Dense(WIDTH, name=name)(x) for name in ("q", "k", "v"))
    product: Any = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
    scores = product * float(2 / np.sqrt(WIDTH))
    shares = ops.softmax(scores) if mask is None else mask(scores, second)
    result = layers.Dense(8, name="head")(ops.matmul(shares, value))
    return keras.Model([x] if second is None else [x, second], result)


def _multi_head(**how: Any) -> Any:
    keras.utils.set_random_seed(0)
    x = keras.Input((STEPS, WIDTH), name="x")
    return keras.Model(x, layers.Dense(8, name="head")(layers.MultiHeadAttention(4, 8, name="attention")(x, x, **how)))


def _mask_input(dtype: str) -> Any:
    return keras.Input((STEPS, STEPS), dtype=dtype, name="m")


def _less_the_sum(scores: Any, _: object) -> Any:
    masked: Any = ops.where(CAUSAL, scores, -1e9)
    return ops.exp(masked - ops.logsumexp(masked, axis=-1, keepdims=True))


FORMS: dict[str, Callable[[], Any]] = {
    "selected": lambda: _attention(lambda s, _: ops.softmax(ops.where(CAUSAL, s, -1e9))),
    "selected minus infinity": lambda: _attention(lambda s, _: ops.softmax(ops.where(CAUSAL, s, -np.inf))),
    "selected float minimum": lambda: _attention(
        lambda s, _: ops.softmax(ops.where(CAUSAL, s, float(np.finfo(np.float32).min)))
    ),
    "added": lambda: _attention(lambda s, _: ops.softmax(s + np.where(CAUSAL, 0, -1e9).astype("float32"))),
    "added -1e4": lambda: _attention(lambda s, _: ops.softmax(s + np.where(CAUSAL, 0, -1e4).astype("float32"))),
    "multiplied": lambda: _attention(
        lambda s, _: ops.softmax(s * CAUSAL.astype("float32") - 1e9 * (1 - CAUSAL.astype("float32")))
    ),
    "of Softmax": lambda: _attention(lambda s, _: layers.Softmax()(s, mask=np.broadcast_to(CAUSAL, (1, STEPS, STEPS)))),
    "through logarithms": lambda: _attention(lambda s, _: ops.exp(ops.log_softmax(ops.where(CAUSAL, s, -1e9)))),
    "less the sum's logarithm": lambda: _attention(_less_the_sum),
    "a boolean input": lambda: _attention(lambda s, m: layers.Softmax()(s, mask=m), _mask_input("bool")),
    "a float input": lambda: _attention(lambda s, m: ops.softmax(s + (1 - m) * -1e9), _mask_input("float32")),
    "an input of logits": lambda: _attention(lambda s, m: ops.softmax(s + m), _mask_input("float32")),
    "causal": lambda: _multi_head(use_causal_mask=True),
    "attention_mask": lambda: _multi_head(attention_mask=CAUSAL[None]),
}
MASKS: dict[str, np.ndarray] = {
    "a boolean input": CAUSAL,
    "a float input": CAUSAL.astype(np.float32),
    "an input of logits": np.where(CAUSAL, 0, -1e9).astype(np.float32),
}
SLOW = pytest.mark.slow
QUICK = ("selected minus infinity", "added", "of Softmax", "through logarithms", "a float input", "causal")


def _data(form: str, count: int, seed: int) -> Arrays:
    x = np.random.default_rng(seed).normal(size=(count, STEPS, WIDTH)).astype(np.float32)
    return {"x": x, "m": np.broadcast_to(MASKS[form], (count, STEPS, STEPS)).copy()} if form in MASKS else {"x": x}


def _kept_db(model: Any, target: str, calibration: Arrays, test: Arrays, folder: Path) -> float:
    """Decibels that the int8 file keeps of a Keras model's output."""
    float_model = float_model_from_keras(model, name="masked")
    samples = samples_from_arrays(calibration, None, model_inputs=float_model.inputs, model_outputs=float_model.outputs)
    if target == "phone":
        content = quantize_int8(float_model, samples, Recipe()).content
    else:
        content = convert_for_edgetpu(float_model, samples, Recipe(), folder).runnable.read_bytes()
    wanted = np.asarray(model(list(test.values()) if len(test) > 1 else test["x"]))
    outputs = next(iter(LiteRtRunner(content).run(test).values()))
    return float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - outputs).sum()))


@pytest.mark.parametrize("target", ["phone", pytest.param("edgetpu", marks=SLOW)])
@pytest.mark.parametrize("form", [form if form in QUICK else pytest.param(form, marks=SLOW) for form in FORMS])
def test_a_mask_costs_little(form: str, target: str, tmp_path: Path) -> None:
    unmasked = _multi_head() if form in ("causal", "attention_mask") else _attention(None)
    before = _kept_db(unmasked, target, _data("", 200, 1), _data("", 100, 2), tmp_path)
    assert before > UNMASKED_DB
    after = _kept_db(FORMS[form](), target, _data(form, 200, 1), _data(form, 100, 2), tmp_path)
    assert after > before - LOSS_DB


@pytest.mark.parametrize("target", ["phone", pytest.param("edgetpu", marks=SLOW)])
def test_a_mask_before_a_relu_costs_little(target: str, tmp_path: Path) -> None:
    """Attention without a softmax (Wortsman et al. 2023), where ReLU gives nothing for a masked score."""
    unmasked = _attention(lambda scores, _: ops.relu(scores))
    before = _kept_db(unmasked, target, _data("", 200, 1), _data("", 100, 2), tmp_path)
    masked = _attention(lambda scores, _: ops.relu(ops.where(CAUSAL, scores, -1e9)))
    assert _kept_db(masked, target, _data("", 200, 1), _data("", 100, 2), tmp_path) > before - LOSS_DB


def _rotated(x: Any) -> Any:
    """Rotary position embedding (Su et al. 2021, equation 34) of [batch, heads, steps, width]."""
    half = x.shape[-1] // 2
    angles = np.arange(STEPS)[:, None] * 10000.0 ** (-np.arange(half) / half)
    cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    first, second = x[..., :half], x[..., half:]
    return ops.concatenate([first * cosine - second * sine, first * sine + second * cosine], -1)


def _block(x: Any, number: int, heads: int = 4) -> Any:
    normal = layers.LayerNormalization()(x)

    def projected(name: str) -> Any:
        split = ops.reshape(layers.Dense(WIDTH, name=f"{name}{number}")(normal), (-1, STEPS, heads, WIDTH // heads))
        return ops.transpose(split, (0, 2, 1, 3))

    query, key, value = _rotated(projected("q")), _rotated(projected("k")), projected("v")
    product: Any = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
    scores = product * float(2 / np.sqrt(WIDTH // heads))
    mixed = ops.matmul(ops.softmax(ops.where(CAUSAL, scores, -1e9)), value)
    x = x + layers.Dense(WIDTH)(ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, STEPS, WIDTH)))
    wide = layers.Dense(4 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
    return x + layers.Dense(WIDTH)(wide)


@pytest.mark.parametrize("target", ["phone", pytest.param("edgetpu", marks=SLOW)])
def test_a_causal_decoder_with_rotary_embeddings_is_kept(target: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    tokens = keras.Input((STEPS,), dtype="int32", name="x")
    table: Any = keras.initializers.RandomNormal(stddev=1.0)
    x = layers.Embedding(50, WIDTH, embeddings_initializer=table)(tokens)
    x = _block(_block(x, 0), 1)
    model = keras.Model(tokens, layers.Dense(50, name="head")(layers.LayerNormalization()(x)))
    rng = np.random.default_rng(0)
    calibration, test = ({"x": rng.integers(0, 50, (count, STEPS)).astype(np.int32)} for count in (200, 100))
    assert _kept_db(model, target, calibration, test, tmp_path) > DECODER_DB


def test_rows_that_are_masked_whole_do_not_widen_the_range() -> None:
    extent = Extent()
    extent.update(np.array([[1.0, 3.0, -1e9], [-1e9, -1e9, -1e9], [2.0, -1e9, -1e9]], np.float32))
    assert (extent.row_low, extent.row_high) == (2.0, 3.0)
    assert extent.smallest == 1.0


def test_a_range_ends_where_a_softmax_tells_nothing_apart_and_not_before() -> None:
    """All classes but one that far below weigh a 64th of that one together."""
    classes = 10
    below = np.array([0.0] + [-softmax_span(classes)] * (classes - 1))
    shares = np.exp(below) / np.exp(below).sum()
    assert shares[1:].sum() == pytest.approx(1 / 64, rel=0.15)


def test_an_exponential_and_logarithms_end_far_enough_below_the_largest() -> None:
    extent = Extent()
    extent.update(np.array([[1.0, 3.0, -1e9], [0.0, 2.0, -1e9]], np.float32))
    for name, low in (("EXP", 3.0 - math.log(2**16)), ("LOG_SOFTMAX", 2.0 - 16.0), ("RELU", 0.0)):
        graph = GraphBuilder()
        source, result = graph.input([1, 3], "float32"), graph.tensor([1, 3], "float32")
        graph.operator(name, [source], [result])
        file = read_tflite(graph.content(result)).main
        (needed,) = (needed_spans(file, {file.inputs[0]: extent})[index] for index in file.inputs)
        assert needed[0] == pytest.approx(low, abs=0.2), name
        assert needed[1] == np.inf, "what is large may be told apart"


def test_what_an_output_shows_is_never_clipped() -> None:
    graph = GraphBuilder()
    source, result = graph.input([1, 4], "float32"), graph.tensor([1, 4], "float32")
    graph.operator("LOGISTIC", [source], [result])
    alone = read_tflite(graph.content(result)).main
    assert needed_spans(alone, {})[alone.inputs[0]][1] < 12
    shown = read_tflite(graph.content(result, source)).main
    assert needed_spans(shown, {})[shown.inputs[0]] == (-np.inf, np.inf)
