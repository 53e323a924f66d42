"""Training for quantization leaves no operator in float that quantizing after training would not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfcompress import wrap
from tfcompress.compression.lowering.passes import lower
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.facts import float_operators
from tfcompress.converters.litert.limits import Abilities
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras, to_tf_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Distillation, Quantization, Recipe
from tfcompress.runtime import keras

K = keras.layers
ops = keras.ops
QUANTIZED = Recipe(quantization=Quantization(), distillation=Distillation())
LOOPS = Abilities(loops=True)
SAME = 1e-5  # of float32


def of(shape: tuple[int, ...], function: Callable[[Any], Any]) -> Any:
    start = keras.Input(shape)
    return keras.Model(start, function(start))


def twins(distance: Callable[[Any, Any], Any]) -> Any:
    tower = keras.Sequential([keras.Input((8,)), K.Dense(8, activation="relu"), K.Dense(4)])
    first, second = keras.Input((8,)), keras.Input((8,))
    return keras.Model([first, second], K.Dense(1, activation="sigmoid")(distance(tower(first), tower(second))))


def euclidean(a: Any, b: Any) -> Any:
    return ops.sqrt(ops.maximum(ops.sum(ops.square(a - b), axis=1, keepdims=True), 1e-3))


def temporal_convolutions() -> Any:
    def blocks(x: Any) -> Any:
        for dilation in (1, 2):
            y = K.Conv1D(8, 3, padding="causal", dilation_rate=dilation, activation="relu")(x)
            x = K.Add()([K.Conv1D(8, 1)(x), K.LayerNormalization()(y)])
        return K.Dense(3)(x[:, -1, :])

    return of((16, 4), blocks)


def graph_convolutions() -> Any:
    neighbours, features = keras.Input((6, 6)), keras.Input((6, 4))
    hidden = ops.relu(ops.matmul(neighbours, K.Dense(8)(features)))
    hidden = ops.matmul(neighbours, K.Dense(4)(hidden))
    return keras.Model([neighbours, features], K.Dense(2)(ops.sum(hidden, axis=1)))


def crossed(x: Any) -> Any:
    y = x * K.Dense(8)(x) + x
    return K.Dense(1, activation="sigmoid")(K.Concatenate()([y, K.Dense(8, activation="relu")(x)]))


def stacked(x: Any) -> Any:
    both = ops.stack([K.Dense(4)(x), K.Dense(4)(x)], axis=1)
    return K.Dense(2)(ops.expand_dims(ops.mean(both, axis=1), 1))


def normalized_by_hand(x: Any) -> Any:
    x = K.Dense(8)(x)
    return K.Dense(3)(x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6))


def rotated(x: Any) -> Any:
    """Rotary position embeddings (Su et al. 2021)."""
    angle = np.arange(6)[:, None] / 10.0 ** (np.arange(4)[None] / 4)
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    a, b = ops.split(K.Dense(8)(x), 2, axis=-1)
    return K.Dense(3)(ops.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1))


def by_einsum(x: Any) -> Any:
    query, key, value = (ops.reshape(K.Dense(8)(x), (-1, 6, 2, 4)) for _ in range(3))
    shares = ops.softmax(ops.einsum("bthd,bshd->bhts", query, key) * 0.5, axis=-1)
    return K.Dense(3)(ops.reshape(ops.einsum("bhts,bshd->bthd", shares, value), (-1, 6, 8)))


def pooled_by_attention(x: Any) -> Any:
    hidden = K.LSTM(6, return_sequences=True)(x)
    shares = ops.softmax(K.Dense(1, activation="tanh")(hidden), axis=1)
    return K.Dense(2)(ops.sum(hidden * shares, axis=1))


def padded_text() -> Any:
    """Attention that a mask of the data hides the padding from, as encoders of text have it."""
    tokens, shown = keras.Input((6,), dtype="int32"), keras.Input((6,), dtype="int32")
    x = K.Embedding(20, 8)(tokens)
    x = K.LayerNormalization()(x + K.MultiHeadAttention(2, 4)(x, x, attention_mask=shown[:, None, :]))
    return keras.Model([tokens, shown], K.Dense(3)(x[:, 0, :]))


def vision_transformer(x: Any) -> Any:
    x = K.Reshape((4, 8))(K.Conv2D(8, 4, strides=4)(x))
    h = K.LayerNormalization()(x)
    x = x + K.MultiHeadAttention(2, 4)(h, h)
    x = x + K.Dense(8)(K.Dense(16, activation="gelu")(K.LayerNormalization()(x)))
    return K.Dense(3)(ops.mean(x, axis=1))


def of_unit_length(x: Any) -> Any:
    return x / ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + 1e-7)


def dense(function: Callable[[Any], Any]) -> Any:
    return of((8,), lambda x: K.Dense(3)(function(K.Dense(8)(x))))


def rows(function: Callable[[Any], Any]) -> Any:
    return of((6, 8), lambda x: K.Dense(3)(function(K.Dense(8)(x))))


NETWORKS: dict[str, Callable[[], Any]] = {
    "siamese networks by distance": lambda: twins(euclidean),
    "siamese networks by difference": lambda: twins(lambda a, b: ops.abs(a - b)),
    "temporal convolutions": temporal_convolutions,
    "graph convolutions": graph_convolutions,
    "crossed features": lambda: of((8,), crossed),
    "a stack": lambda: of((8,), stacked),
    "GELU": lambda: dense(lambda x: ops.gelu(x, approximate=False)),
    "GELU, tanh": lambda: dense(lambda x: ops.gelu(x, approximate=True)),
    "swish": lambda: dense(ops.silu),
    "mish": lambda: dense(K.Activation("mish")),
    "softplus": lambda: dense(K.Activation("softplus")),
    "ELU": lambda: dense(lambda x: ops.elu(x, 0.7)),
    "a leaky ReLU": lambda: dense(lambda x: ops.leaky_relu(x, 0.3)),
    "hard sigmoid": lambda: dense(ops.hard_sigmoid),
    "hard swish": lambda: dense(ops.hard_silu),
    "CELU": lambda: dense(lambda x: ops.celu(x, 0.7)),
    "CELU as an activation": lambda: dense(K.Dense(8, activation="celu")),
    "an activation of one's own": lambda: dense(K.Dense(8, activation=lambda x: ops.elu(x) + 1.5)),
    "unit length": lambda: dense(lambda x: ops.normalize(x, axis=-1)),
    "unit length by hand": lambda: dense(of_unit_length),
    "a flip": lambda: rows(lambda x: ops.flip(x, axis=1)),
    "a maximum with a number": lambda: dense(lambda x: ops.maximum(x, 0.3)),
    "a minimum with a number": lambda: dense(lambda x: ops.minimum(x, 0.3)),
    "a clip": lambda: dense(lambda x: ops.clip(x, 0.0, 1.0)),
    "a square": lambda: dense(lambda x: ops.power(x, 2.0)),
    "a gated linear unit": lambda: dense(lambda x: x[:, :4] * ops.sigmoid(x[:, 4:])),
    "RMS normalization": lambda: rows(K.RMSNormalization()),
    "RMS normalization by hand": lambda: of((6, 8), normalized_by_hand),
    "layer normalization": lambda: rows(K.LayerNormalization()),
    "rotary embeddings": lambda: of((6, 8), rotated),
    "grouped attention": lambda: of((6, 8), lambda x: K.Dense(3)(K.GroupQueryAttention(4, 4, 2)(x, x))),
    "attention": lambda: of((6, 8), lambda x: K.Dense(3)(K.MultiHeadAttention(2, 4)(x, x))),
    "attention with padding": padded_text,
    "attention by einsum": lambda: of((6, 8), by_einsum),
    "softmax over rows": lambda: rows(lambda x: ops.softmax(x, axis=1)),
    "a transpose": lambda: rows(lambda x: ops.transpose(x, (0, 2, 1))),
    "chosen rows": lambda: rows(lambda x: ops.take(x, [0, 2, 3], axis=1)),
    "a variance": lambda: rows(lambda x: ops.var(x, axis=1)),
    "an LSTM with attention": lambda: of((10, 4), pooled_by_attention),
    "both directions": lambda: of((10, 4), lambda x: K.Dense(2)(K.Bidirectional(K.GRU(4))(x))),
    "a vision transformer": lambda: of((8, 8, 3), vision_transformer),
}
FAST = {"attention with padding", "siamese networks by distance", "RMS normalization"}


def samples_of(model: FloatModel) -> Samples:
    random = np.random.default_rng(0)
    shapes = {info: (48, *(size or 1 for size in info.shape[1:])) for info in model.inputs}
    values = {
        info.name: random.normal(size=shape).astype(np.float32)
        if info.dtype == "float32"
        else random.integers(0, 2, shape).astype(info.dtype)
        for info, shape in shapes.items()
    }
    given = values if len(values) > 1 else next(iter(values.values()))
    return samples_from_arrays(given, model_inputs=model.inputs, model_outputs=model.outputs)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in NETWORKS])
def test_a_network_is_as_integer_after_training_as_without(name: str) -> None:
    keras.utils.set_random_seed(0)
    network = NETWORKS[name]()
    model = float_model_from_keras(network)
    samples = samples_of(model)
    plain = quantize_int8(model, samples, Recipe(), abilities=LOOPS)
    trained = float_model_from_keras(wrap(network, QUANTIZED, calibration=samples))
    simulated = quantize_int8(trained, None, Recipe(), abilities=LOOPS)
    before, after = (set(float_operators(read_tflite(file.content))) for file in (plain, simulated))
    assert not after, f"in float: {after}; after quantization alone: {before}"


def test_a_division_by_the_length_of_a_whole_batch_stays_as_it_is() -> None:
    """Its root has no dimensions, and a merging layer of Keras takes no such tensor beside another."""
    network = of((8,), lambda x: x / ops.sqrt(ops.sum(ops.square(x)) + 1.0))
    values = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    lowered = np.asarray(lower(to_tf_keras(network))(values))
    np.testing.assert_allclose(lowered, np.asarray(network(values)), rtol=SAME)
    assert np.abs(lowered - values / np.linalg.norm(values, axis=1, keepdims=True)).max() > SAME, "as of each sample"


def test_a_length_of_nothing_leaves_training_finite() -> None:
    """In 8 bits the root of next to nothing is 0, and a division by it would end training with NaN."""
    network = of((8,), of_unit_length)
    samples = samples_of(float_model_from_keras(network))
    wrapped = wrap(network, QUANTIZED, calibration=samples)
    assert np.isfinite(np.asarray(wrapped(np.zeros((2, 8), np.float32), training=True))).all()
