"""Attention in 8 bits: shares with a step of their own, and matrix products that XNNPACK takes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tests.converters.litert.models import samples_for
from tfcompress.calibration import Calibration, Range
from tfcompress.converters.litert import Int8Model, quantize_int8, to_float_tflite
from tfcompress.converters.litert.centred_operands import with_centred_operands
from tfcompress.converters.litert.fine_softmax import with_fine_softmax
from tfcompress.converters.litert.more_bits import kept_db
from tfcompress.converters.litert.xnnpack import delegated
from tfcompress.converters.phone.conversion import ABILITIES
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe

TOKENS, WIDTH = 512, 32
KEPT_DB = 25.0  # of the outputs, where 8 bits alone keep less than `LITTLE_DB`
LITTLE_DB = 15.0
PLAIN = Recipe(post_training=PostTraining(quality="fast"))  # which does not widen anything unasked


def attention() -> FloatModel:
    """Two blocks of attention over 512 tokens, without anything around them that would hide what is lost."""
    keras.utils.set_random_seed(0)
    tokens = keras.Input((TOKENS, WIDTH), name="tokens")
    values: Any = tokens
    for _ in range(2):
        values = layers.MultiHeadAttention(2, WIDTH // 2)(layers.LayerNormalization()(values), values)
    return float_model_from_keras(keras.Model(tokens, layers.Dense(4, name="head")(values)))


def tokens(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(8, TOKENS, WIDTH)).astype(np.float32)


@cache
def quantized(*, shaped: bool) -> tuple[Int8Model, bytes, float]:
    """The file, the float one, and the dB that it keeps of unseen samples."""
    model = attention()
    result = quantize_int8(model, samples_for(model, tokens(0)), PLAIN, abilities=replace(ABILITIES, xnnpack=shaped))
    truth = to_float_tflite(model)
    kept = kept_db(truth, result.content, samples_for(model, tokens(1)))
    assert kept is not None
    return result, truth, kept


def test_an_attention_over_many_tokens_keeps_its_outputs_in_integers() -> None:
    (shaped, _, kept), (_, _, before) = quantized(shaped=True), quantized(shaped=False)
    assert before < LITTLE_DB, kept
    assert kept > KEPT_DB, before
    graph = read_tflite(shaped.content).main
    assert {graph.tensors[op.outputs[0]].dtype for op in graph.operators} <= {"int8", "int16"}


def test_matrix_products_are_xnnpack_s() -> None:
    shaped, _, _ = quantized(shaped=True)
    graph, taken = read_tflite(shaped.content).main, delegated(shaped.content)
    assert taken is not None
    products = {op.index for op in graph.operators if op.name == "BATCH_MATMUL"}
    assert len(products) == 4
    assert products <= taken


def test_a_range_around_zero_is_that_of_the_keys_and_of_what_they_are_a_move_of() -> None:
    graph = read_tflite(to_float_tflite(attention())).main
    names = {tensor.name for tensor in graph.tensors}
    seen = Calibration("", None, 1, "min_max", {name: Range(-3.0, 2.0) for name in names})
    centred = with_centred_operands(graph, seen)
    changed = {name for name in names if centred.ranges[name] != seen.ranges[name]}
    products = [operator for operator in graph.operators if operator.name == "BATCH_MATMUL"]
    assert {graph.tensors[operator.inputs[1]].name for operator in products} <= changed
    assert not changed.intersection(graph.tensors[operator.inputs[0]].name for operator in products)
    ends = centred.ranges[next(iter(changed))]
    assert (ends.high - ends.low) / 255 * -128 == pytest.approx(ends.low)
    assert with_centred_operands(graph, centred) == centred


def test_an_operand_on_one_side_of_zero_keeps_its_range() -> None:
    graph = read_tflite(to_float_tflite(attention())).main
    seen = Calibration("", None, 1, "min_max", {tensor.name: Range(0.0, 2.0) for tensor in graph.tensors})
    assert with_centred_operands(graph, seen) == seen


def test_shares_that_are_large_keep_the_softmax_s_own_step() -> None:
    result, _, _ = quantized(shaped=False)
    assert result.calibration is not None
    large = {name: Range(0.0, 0.9) for name in result.calibration.ranges}
    assert with_fine_softmax(result.content, replace(result.calibration, ranges=large)) == result.content
    assert with_fine_softmax(result.content, result.calibration) != result.content
