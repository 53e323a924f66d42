"""Every layer of the list that quantization-aware training is for: fully integer and simulated exactly, or left in
float with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compression.models import (
    SHARE_APART,
    STEPS_APART,
    Int8File,
    L,
    check_quantized,
    functional,
    samples_for,
)
from tfcompress.compression import finetune, wrap
from tfcompress.compression.simulation.ranges import LogitEstimator
from tfcompress.converters.phone import convert
from tfcompress.errors import RecipeError
from tfcompress.load import float_model_from_keras, to_tf_keras
from tfcompress.load.keras_versions.frozen_lambda import FrozenLambda, freeze_call
from tfcompress.recipe import Distillation, Quantization, Recipe, Training
from tfcompress.runtime import keras, tf, tf_keras

Shape = tuple[int | None, ...]
Case = tuple[Shape, Callable[[Any], Any]]

FLAT, SERIES, MAP, VOLUME = (6,), (8, 3), (6, 6, 4), (4, 4, 4, 2)
CONSTANTS = np.array([0.3, -0.7, 1.9, 0.11], np.float32)


def chain(*layers: Any) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    return function


def two(layer: Any) -> Callable[[Any], Any]:
    return lambda x: layer([L.Dense(4)(x), L.Dense(4)(x)])


def activation(name: str) -> Case:
    return MAP, chain(L.Conv2D(4, 1), L.Activation(name))


def normalization() -> Any:
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(2, 3, size=(50, 4)))
    return layer


def pooled_for_three(x: Any) -> Any:
    average = L.AveragePooling2D(2, 1, padding="same")(x)
    return L.Concatenate()([L.Conv2D(4, 1)(x), L.Conv2D(3, 1)(x), L.Conv2D(2, 1)(average)])


def relu_and_relu6(x: Any) -> Any:
    return L.Dense(3)(L.Concatenate()([L.ReLU()(x), L.ReLU(6.0)(x)]))


def leaky_and_linear(x: Any, y: Any) -> Any:
    leaky, other = L.LeakyReLU(0.1)(x), L.LeakyReLU(0.1)(L.Rescaling(9.0)(y))
    return L.Dense(3)(L.Concatenate()([L.Dense(2)(leaky), L.Concatenate()([leaky, other, y])]))


def handed_on(x: Any) -> Any:
    first = L.Identity()(L.ReLU()(x))
    return L.Dense(3)(L.Concatenate()([first, L.Rescaling(4.0)(L.AlphaDropout(0.5)(L.Dense(4)(first)))]))


def recorded(code: Callable[[Any], Any], x: Any) -> Any:
    return FrozenLambda([freeze_call(L.Lambda(code), x)])(x)


INTEGER: dict[str, Case] = {
    "Dense": (FLAT, chain(L.Dense(5), L.Dense(3))),
    "Conv1D": (SERIES, chain(L.Conv1D(4, 3))),
    "Conv1D strided": (SERIES, chain(L.Conv1D(4, 3, strides=2, padding="same", activation="relu"))),
    "Conv1D dilated": (SERIES, chain(L.Conv1D(4, 2, dilation_rate=2, padding="causal"))),
    "Conv1D of any length": ((None, 3), chain(L.Conv1D(4, 3), L.GlobalAveragePooling1D())),
    "Conv2D": (MAP, chain(L.Conv2D(4, 3))),
    "Conv2D in groups": (MAP, chain(L.Conv2D(4, 3, groups=2))),
    "Conv2D dilated": (MAP, chain(L.Conv2D(4, 3, dilation_rate=2, padding="same"))),
    "Conv3D": (VOLUME, chain(L.Conv3D(3, 2, padding="same"), L.BatchNormalization(), L.ReLU())),
    "Conv3D strided": (VOLUME, chain(L.Conv3D(3, (3, 2, 1), strides=(2, 1, 1), activation="relu"))),
    "MaxPooling3D": (VOLUME, chain(L.Conv3D(3, 1), L.MaxPooling3D())),
    "AveragePooling3D": (VOLUME, chain(L.Conv3D(3, 1), L.AveragePooling3D((2, 2, 1)))),
    "DepthwiseConv1D": (SERIES, chain(L.DepthwiseConv1D(3, strides=2))),
    "DepthwiseConv2D": (MAP, chain(L.DepthwiseConv2D(3, depth_multiplier=2))),
    "SeparableConv1D": (SERIES, chain(L.SeparableConv1D(4, 3))),
    "SeparableConv2D": (MAP, chain(L.SeparableConv2D(4, 3, activation="relu"))),
    "Conv1DTranspose": (SERIES, chain(L.Conv1DTranspose(4, 3, strides=2))),
    "Conv2DTranspose": (MAP, chain(L.Conv2DTranspose(4, 3, strides=2), L.BatchNormalization(), L.ReLU())),
    "BatchNormalization alone": (MAP, chain(L.BatchNormalization())),
    "BatchNormalization fused": (MAP, chain(L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU())),
    "LayerNormalization": ((6, 8), chain(L.Dense(8), L.LayerNormalization())),
    "LayerNormalization of the last axes": (MAP, chain(L.Conv2D(3, 1), L.LayerNormalization(axis=(1, 2, 3)))),
    "Rescaling": (MAP, chain(L.Rescaling(0.5, 0.25))),
    "Normalization": (MAP, lambda x: normalization()(x)),
    "Add": (FLAT, two(L.Add())),
    "Add of three": (FLAT, lambda x: L.Add()([L.Dense(4)(x), L.Dense(4)(x), L.Dense(4)(x)])),
    "Subtract": (FLAT, two(L.Subtract())),
    "Multiply": (FLAT, two(L.Multiply())),
    "Average": (FLAT, two(L.Average())),
    "Maximum": (FLAT, two(L.Maximum())),
    "Minimum": (FLAT, two(L.Minimum())),
    "Concatenate": (FLAT, two(L.Concatenate())),
    "ELU behind a dense layer": (FLAT, chain(L.Dense(8), L.ELU(), L.Dense(3))),
    "PReLU behind a dense layer": (FLAT, chain(L.Dense(8), L.PReLU(alpha_initializer="normal"), L.Dense(3))),
    "two kinds of ReLU behind a dense layer": (FLAT, lambda x: relu_and_relu6(L.Dense(8)(x))),
    "Dot": ((4, 6), lambda x: L.Dot(axes=(2, 2))([L.Dense(5)(x), L.Dense(5)(x)])),
    "Dot of vectors": (FLAT, two(L.Dot(axes=1))),
    "Dot normalized": (FLAT, two(L.Dot(axes=1, normalize=True))),
    **{f"activation {name}": activation(name) for name in ("relu", "relu6", "elu", "selu", "swish", "gelu", "sigmoid",
       "hard_sigmoid", "tanh", "softmax", "exponential")},
    "activation within a layer": (MAP, chain(L.Conv2D(4, 1, activation="swish"))),
    "ReLU with a maximum": (MAP, chain(L.Conv2D(4, 1), L.ReLU(1.0))),
    "ReLU with a slope": (MAP, chain(L.Conv2D(4, 1), L.ReLU(negative_slope=0.1))),
    "LeakyReLU": (MAP, chain(L.Conv2D(4, 1), L.LeakyReLU())),
    "tf.nn.leaky_relu": (MAP, lambda x: tf.nn.leaky_relu(L.Conv2D(4, 1)(x), 0.01)),
    "LeakyReLU of a LeakyReLU": (FLAT, chain(L.Dense(4), L.LeakyReLU(), L.LeakyReLU(0.7))),
    "LeakyReLU concatenated": (FLAT, lambda x: leaky_and_linear(L.Dense(8)(x), L.Dense(8)(x))),
    "Identity concatenated": (FLAT, lambda x: handed_on(L.Dense(8)(x))),
    "SpatialDropout3D": (VOLUME, chain(L.Conv3D(3, 1), L.SpatialDropout3D(0.5), L.MaxPooling3D())),
    "MaxPooling2D with several readers": (MAP, lambda x: pooled_for_three(L.MaxPooling2D()(L.Conv2D(4, 1)(x)))),
    "PReLU": (MAP, chain(L.Conv2D(4, 1), L.PReLU(shared_axes=[1, 2], alpha_initializer="normal"))),
    "PReLU with a slope for each place": (MAP, chain(L.Conv2D(4, 1), L.PReLU(alpha_initializer="normal"))),
    "ELU": (MAP, chain(L.Conv2D(4, 1), L.ELU(0.7))),
    "Softmax": (FLAT, chain(L.Dense(4), L.Softmax())),
    "MaxPooling1D": (SERIES, chain(L.MaxPooling1D())),
    "MaxPooling2D": (MAP, chain(L.MaxPooling2D())),
    "AveragePooling1D": (SERIES, chain(L.AveragePooling1D())),
    "AveragePooling2D": (MAP, chain(L.AveragePooling2D())),
    "AveragePooling2D padded": (MAP, chain(L.AveragePooling2D(3, 1, padding="same"))),
    "AveragePooling3D of the whole": (VOLUME, chain(L.AveragePooling3D(4))),
    "GlobalAveragePooling1D": (SERIES, chain(L.GlobalAveragePooling1D())),
    "GlobalAveragePooling2D": (MAP, chain(L.GlobalAveragePooling2D())),
    "GlobalAveragePooling3D": (VOLUME, chain(L.GlobalAveragePooling3D())),
    "GlobalMaxPooling1D": (SERIES, chain(L.GlobalMaxPooling1D())),
    "GlobalMaxPooling2D": (MAP, chain(L.GlobalMaxPooling2D())),
    "GlobalMaxPooling3D": (VOLUME, chain(L.GlobalMaxPooling3D())),
    "UpSampling1D": (SERIES, chain(L.UpSampling1D())),
    "UpSampling2D": (MAP, chain(L.UpSampling2D())),
    "UpSampling2D bilinear": (MAP, chain(L.UpSampling2D(interpolation="bilinear"))),
    "UpSampling3D": (VOLUME, chain(L.UpSampling3D())),
    "ZeroPadding1D": (SERIES, chain(L.ZeroPadding1D())),
    "ZeroPadding2D": (MAP, chain(L.ZeroPadding2D())),
    "ZeroPadding3D": (VOLUME, chain(L.ZeroPadding3D())),
    "Cropping1D": (SERIES, chain(L.Cropping1D())),
    "Cropping2D": (MAP, chain(L.Cropping2D())),
    "Cropping3D": (VOLUME, chain(L.Cropping3D())),
    "Reshape": (SERIES, chain(L.Dense(4), L.Reshape((4, 8)))),
    "Permute": (SERIES, chain(L.Dense(4), L.Permute((2, 1)))),
    "Flatten": (SERIES, chain(L.Dense(4), L.Flatten())),
    "RepeatVector": (FLAT, chain(L.Dense(4), L.RepeatVector(3))),
    "EinsumDense": ((4, 6), chain(L.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="de"))),
    "EinsumDense with a ReLU": (FLAT, chain(L.EinsumDense("ab,bc->ac", 5, bias_axes="c", activation="relu"))),
    "EinsumDense over two axes": ((4, 2, 5), chain(L.EinsumDense("abcd,cde->abe", (None, 6), bias_axes="e"))),
    "EinsumDense in another order": ((4, 6), chain(L.EinsumDense("abc,bd->adc", (3, 6)))),
    "MultiHeadAttention": ((4, 6), lambda x: L.MultiHeadAttention(2, 3)(x, x)),
    "causal MultiHeadAttention": ((4, 6), lambda x: L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)),
    "MultiHeadAttention with a constant mask": ((4, 6), lambda x: L.MultiHeadAttention(2, 3)(
        x, x, attention_mask=tf.constant(np.eye(4)[None] + np.eye(4, k=1)[None] > 0))),
    "MultiHeadAttention with a computed mask": (
        (4, 6), lambda x: L.MultiHeadAttention(2, 3)(x, x, attention_mask=x[:, :, :4] > 0.0)),
    "causal MultiHeadAttention with a computed mask": ((4, 6), lambda x: L.MultiHeadAttention(2, 3)(
        x, x, attention_mask=x[:, None, :, 0] > 0.0, use_causal_mask=True)),
    "a choice by sign": (FLAT, lambda x: tf.where(x > 0.0, L.Dense(6)(x), L.Dense(6)(x))),
    "LSTM": ((2, 3), chain(L.LSTM(3))),
    "LSTM of sequences": ((3, 3), chain(L.LSTM(3, return_sequences=True))),
    "LSTM with a hard sigmoid": ((2, 3), chain(L.LSTM(3, recurrent_activation="hard_sigmoid"))),
    "GRU": ((3, 3), chain(L.GRU(3))),
    "SimpleRNN": ((3, 3), chain(L.SimpleRNN(3))),
    "Bidirectional LSTM": ((3, 3), chain(L.Bidirectional(L.LSTM(3, return_sequences=True)))),
    "Bidirectional GRU": ((3, 3), chain(L.Bidirectional(L.GRU(3)))),
    "TimeDistributed": ((4, 6, 6, 2), chain(L.TimeDistributed(L.Conv2D(3, 3)))),
    "TimeDistributed model": ((4, 6), lambda x: L.TimeDistributed(
        functional((6,), chain(L.Dense(4), L.BatchNormalization(), L.ReLU())))(x)),
    "a Lambda's recorded code": (MAP, lambda x: L.Conv2D(4, 1)(recorded(lambda v: tf.abs(v / 2.0 - 1.0), x))),
    "a Lambda's constants": (FLAT, lambda x: recorded(
        lambda v: (v - np.arange(6, dtype=np.float32)) / (tf.range(6, dtype=tf.float32) + 1.0), L.Dense(6)(x))),
    "a Lambda's product": (FLAT, lambda x: recorded(
        lambda v: tf.matmul(v, tf.transpose(tf.stack([tf.range(6, dtype=tf.float32) / 6] * 3))), L.Dense(6)(x))),
    "a Lambda's part": ((4, 6), lambda x: recorded(lambda v: v[..., 1], L.Dense(6)(x))),
    "arithmetic": ((8,), lambda x: (1.0 - L.Dense(8)(x)) / 3.0 + x * 2.0),
    "a clip": (FLAT, lambda x: tf.clip_by_value(L.Dense(4)(x), 0.0, 1.0)),
    "a matrix product": ((4, 8), lambda x: tf.matmul(L.Dense(4)(x), L.Dense(4)(x), transpose_b=True)),
    "reductions": ((4, 8), lambda x: tf.reduce_mean(L.Dense(4)(x), 1) + tf.reduce_max(x, 1)[:, :4]),
    "constant tensors": (MAP, lambda x: (tf.constant(CONSTANTS) - L.Conv2D(4, 1)(x)) / tf.constant(CONSTANTS)),
    "a product with a constant": (FLAT, lambda x: tf.nn.relu(tf.matmul(x, tf.constant(np.eye(5, 6) + 0.3, tf.float32),
        transpose_b=True))),
    "powers": ((8,), lambda x: L.Dense(4)(x) ** 2 + tf.math.exp(-tf.nn.relu(x[:, :4]))),
}  # fmt: skip
# {name: (steps, share of values) apart}: a step before a steep activation is several behind it.
APART = {
    "Bidirectional LSTM": (1.01, 0.05),
    "causal MultiHeadAttention with a computed mask": (1.01, 0.05),
}
FAST = {
    "MaxPooling2D with several readers",
    "a Lambda's recorded code",
    "AveragePooling2D",
    "Bidirectional GRU",
    "LeakyReLU",
    "Identity concatenated",
    "LeakyReLU concatenated",
    "ELU behind a dense layer",
    "constant tensors",
    "a product with a constant",
    "Dot normalized",
    "EinsumDense with a ReLU",
    "Maximum",
    "ReLU with a maximum",
    "UpSampling3D",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in INTEGER])
def test_a_layer_is_fully_integer_and_simulated_exactly(name: str) -> None:
    shape, function = INTEGER[name]
    steps, share = APART.get(name, (STEPS_APART, SHARE_APART))
    check_quantized(functional(shape, function), steps_apart=steps, share_apart=share)


def test_constants_of_a_model_that_was_saved_are_simulated_exactly(tmp_path: Path) -> None:
    model = functional(*INTEGER["constant tensors"])
    model.save(tmp_path / "model.keras")
    check_quantized(tf_keras.models.load_model(tmp_path / "model.keras", compile=False))


def test_a_dead_channel_keeps_its_bias() -> None:
    model = functional(MAP, chain(L.Conv2D(4, 3, name="conv"), L.ReLU()))
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., 1], bias[1] = 1e-30, 0.5
    model.get_layer("conv").set_weights([kernel, bias])
    file = check_quantized(model)
    got, _ = file.run(np.zeros((1, *MAP), np.float32))
    assert got[..., 1] == pytest.approx(0.5, abs=0.05)


def embedding(dtype: str) -> Any:
    inputs = L.Input((5,), dtype=dtype, name="words")
    return tf_keras.Model(inputs, L.Dense(3)(L.Embedding(600, 4)(inputs)))


def test_an_embedding_is_fully_integer() -> None:
    check_quantized(embedding("int32"))


def test_indices_that_are_given_as_floats_stay_exact() -> None:
    model = embedding("float32")
    with pytest.raises(RecipeError, match="words: indices that are given as floats would be rounded to int8"):
        wrap(model, Recipe(quantization=Quantization(strict=True)))
    indices = np.arange(500, dtype=np.float32).reshape(100, 5)
    wrapped = wrap(model, Recipe(quantization=Quantization(), distillation=Distillation()))
    got, _ = Int8File(wrapped, float_io=True).run(indices)
    np.testing.assert_array_equal(got, np.asarray(wrapped(indices, training=False)))


def test_layer_normalization_of_keras3_is_fully_integer() -> None:
    inputs = keras.Input((6, 8), name="rows")
    x = keras.layers.LayerNormalization()(keras.layers.Dense(8)(inputs))
    check_quantized(to_tf_keras(keras.Model(inputs, keras.layers.Dense(3)(x))))


NORMALIZED: dict[str, Callable[[Any], Any]] = {
    "LayerNormalization": chain(L.LayerNormalization(epsilon=1e-6)),
    "tf.math.rsqrt": lambda x: x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + 1e-6),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["TensorFlow", "XLA"])
@pytest.mark.parametrize("name", NORMALIZED)
def test_a_variance_that_rounds_to_zero_does_not_stop_the_training(name: str, compiled: bool) -> None:
    same = L.Dense(8, use_bias=False, kernel_initializer="identity")
    model = functional((6, 8), lambda x: L.Dense(3)(NORMALIZED[name](same(x))))
    samples = samples_for(model, 32, labels=False)
    wrapped = wrap(model, Recipe(quantization=Quantization(), distillation=Distillation()), calibration=samples)
    flat = np.zeros((32, 6, 8), np.float32)
    flat[:, 0] = np.linspace(-9, 9, 8)  # one row of a large variance, five of none

    @tf.function(jit_compile=compiled)
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(wrapped(flat, training=True)))
        return tape.gradient(loss, wrapped.trainable_variables)

    assert all(np.isfinite(values).all() for values in gradients())


def test_scaled_residuals_of_keras_applications_are_fully_integer() -> None:
    inputs = keras.Input((6, 6, 4), name="map")
    residual = keras.layers.Conv2D(4, 1)(inputs)
    scale = keras.src.applications.inception_resnet_v2.CustomScaleLayer(0.2)
    check_quantized(to_tf_keras(keras.Model(inputs, scale([inputs, residual]))))


def test_one_hot_codes_are_looked_up_in_int8() -> None:
    inputs = keras.Input((), dtype="int32", name="day")
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.CategoryEncoding(7, output_mode="one_hot")(inputs)))
    wrapped = wrap(model, Recipe(quantization=Quantization(), distillation=Distillation()))
    file = Int8File(wrapped, float_io=True)
    assert "GATHER" in file.operators
    days = np.arange(7, dtype=np.int32)
    got = np.concatenate([file.run(days[index : index + 1])[0] for index in days])
    np.testing.assert_allclose(got, np.asarray(wrapped(days, training=False)), atol=1e-6)
    np.testing.assert_allclose(got, np.asarray(model(days)), atol=0.05)


FLOAT: dict[str, tuple[Shape, Callable[[Any], Any], str]] = {
    "Conv3D of open size": ((None, 4, 4, 2), chain(L.Conv3D(3, 2)), "a convolution of volumes in groups, or of open"),
    "Conv3DTranspose": (VOLUME, chain(L.Conv3DTranspose(3, 2)), "CONV_3D_TRANSPOSE has no int8 kernel"),
    "MaxPooling3D of open size": ((None, 4, 4, 2), chain(L.MaxPooling3D()), "LiteRT pools no volumes of open size"),
    "activation softsign": (FLAT, chain(L.Activation("softsign")), "activation softsign has no int8 kernel"),
    "ReLU with a threshold": (FLAT, chain(L.ReLU(threshold=0.5)), "a ReLU with a threshold"),
    "attention that returns its scores": (
        (4, 6),
        lambda x: L.MultiHeadAttention(2, 3)(x, x, return_attention_scores=True)[0],
        "attention that returns its scores",
    ),
    "a stateful LSTM": ((None, 3), chain(L.LSTM(3)), "recurrent layers are quantized with sigmoid"),
    "ConvLSTM2D": ((2, 6, 6, 2), chain(L.ConvLSTM2D(2, 3)), "ConvLSTM2D is not known to have int8 kernels"),
    "recorded code that chance has a part in": (
        FLAT,
        lambda x: recorded(lambda v: v * tf.random.uniform((6,)), x),
        "FrozenLambda is not known to have int8 kernels",
    ),
    "division by a tensor": (FLAT, lambda x: x / (tf.abs(x) + 1.0), "tf.math.truediv is not known to have an int8"),
}


@pytest.mark.parametrize("name", FLOAT)
def test_a_layer_without_integer_kernel_is_left_in_float_with_the_reason(name: str) -> None:
    shape, function, reason = FLOAT[name]
    model = functional(shape, lambda x: L.Dense(3)(L.Flatten()(function(x))) if None not in shape else function(x))
    recipe = Recipe(quantization=Quantization(strict=True))
    with pytest.raises(RecipeError, match=f"quantization.strict: 1 layers cannot be quantized.*{reason}"):
        wrap(model, recipe)


def test_what_is_left_in_float_is_noted_and_the_rest_is_integer(tmp_path: Path) -> None:
    model = functional(VOLUME, chain(L.Conv3DTranspose(3, 2, name="volume"), L.Flatten(), L.Dense(3)))
    recipe = Recipe(quantization=Quantization(), distillation=Distillation(), training=Training(epochs=1))
    done = finetune(model, recipe, samples_for(model, 16, labels=False))
    assert done.notes == ("left in float: volume: CONV_3D_TRANSPOSE has no int8 kernel in LiteRT",)
    file = Int8File(done.trained, float_io=True)
    assert "CONV_3D_TRANSPOSE" in file.operators
    assert file.operators[-2:] == ["FULLY_CONNECTED", "DEQUANTIZE"]
    assert [values.shape for values in file.weights().values()] == [(3, 375)]
    converted = convert(float_model_from_keras(done.trained), None, recipe, tmp_path)
    assert not converted.facts["fully_integer"]
    assert converted.facts["input_dtypes"] == ["float32"]


def test_logits_of_one_sure_class_have_a_range() -> None:
    estimator = LogitEstimator()
    estimator.update(np.array([[20.0, -5.0, -6.0], [30.0, -4.0, -5.0]], np.float32))
    interval = estimator.range()
    assert interval.low == pytest.approx(-5)
    assert interval.high == pytest.approx(-4 + np.log(512))
