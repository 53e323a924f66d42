"""One test for each open issue of tensorflow/model-optimization that we set out to close; the name gives its number."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest

from tests.compression.models import QUANTIZED, Int8File, L, check_quantized, functional, samples_for, small_cnn
from tfcompress.compression import finetune, strip, wrap
from tfcompress.recipe import Clustering, Distillation, Pruning, Quantization, Recipe
from tfcompress.runtime import keras, tf


def test_issue_363_standalone_batch_normalization_is_quantized() -> None:
    file = check_quantized(functional((6, 6, 3), lambda x: L.BatchNormalization()(L.MaxPooling2D()(x))))
    assert file.operators == ["MAX_POOL_2D", "DEPTHWISE_CONV_2D"]


def test_issue_1099_batch_normalization_after_dense_is_folded() -> None:
    file = check_quantized(functional((6,), lambda x: L.ReLU()(L.BatchNormalization()(L.Dense(5)(x)))))
    assert file.operators == ["FULLY_CONNECTED"]


def test_issue_957_nested_models_are_opened() -> None:
    inner = functional((6, 6, 4), lambda x: L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3)(x))))
    file = check_quantized(functional((6, 6, 3), lambda x: L.Flatten()(inner(L.Conv2D(4, 1)(x)))))
    assert file.operators == ["CONV_2D", "CONV_2D", "RESHAPE"]


def test_issue_362_conv1d_is_quantized_per_channel() -> None:
    model = functional((8, 3), lambda x: L.ReLU()(L.BatchNormalization()(L.Conv1D(4, 3, padding="causal")(x))))
    file = check_quantized(model)
    assert "CONV_2D" in file.operators
    kernel = next(item for item in file.interpreter.get_tensor_details() if list(item["shape"]) == [4, 1, 3, 3])
    assert len(kernel["quantization_parameters"]["scales"]) == 4


def test_issue_733_squeeze_and_excite_multiplication_is_quantized() -> None:
    def block(x: Any) -> Any:
        gate = L.Dense(4, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(x))
        return L.Multiply()([x, gate])

    check_quantized(functional((4, 4, 4), block))


def test_issue_647_rescaling_is_quantized() -> None:
    check_quantized(functional((4, 4, 3), lambda x: L.Conv2D(2, 1)(L.Rescaling(1 / 127.5, -1.0)(x))))


def test_issue_980_hard_swish_of_mobilenet_v3_is_quantized() -> None:
    file = check_quantized(functional((4, 4, 3), lambda x: x * L.ReLU(6.0)(x + 3.0) / 6.0))
    assert file.operators == ["HARD_SWISH"]


def test_issue_661_multi_head_attention_is_quantized() -> None:
    file = check_quantized(functional((4, 6), lambda x: L.MultiHeadAttention(2, 3)(x, x)))
    assert file.operators.count("BATCH_MATMUL") == 2


def test_issue_942_layer_normalization_is_quantized() -> None:
    check_quantized(functional((4, 8), lambda x: L.LayerNormalization()(x)))


@pytest.mark.parametrize("kind", [L.LSTM, pytest.param(L.GRU, marks=pytest.mark.slow)])
def test_issue_1114_recurrent_layers_are_quantized(kind: Any) -> None:
    check_quantized(functional((2, 3), lambda x: kind(3)(x)))


def test_issue_867_tensor_operators_and_slicing_are_quantized() -> None:
    def operators(x: Any) -> Any:
        y = tf.nn.relu(L.Dense(8)(x) * 2.0 - 1.0) / 3.0 + x
        return tf.concat([y[:, :2], y[:, 4:]], axis=-1)

    check_quantized(functional((8,), operators))


def test_issue_368_accuracy_survives_conversion() -> None:
    """The residual network with pooling over the whole map: simulation and file give the same classes."""
    model = small_cnn()
    samples = samples_for(model, 128, labels=False)
    wrapped = wrap(model, QUANTIZED, calibration=samples)
    inputs = next(samples.batches(128)).inputs["image"]
    simulated = np.asarray(wrapped(inputs, training=False))
    file = Int8File(wrapped)
    got, scale = file.run(inputs)
    assert "MEAN" in file.operators
    assert "AVERAGE_POOL_2D" not in file.operators
    clear = np.sort(simulated, axis=1)[:, -1] - np.sort(simulated, axis=1)[:, -2] > 2 * scale
    assert clear.sum() > 64
    np.testing.assert_array_equal(got.argmax(1)[clear], simulated.argmax(1)[clear])


def test_issue_979_pruned_and_clustered_1x1_convolutions_stay_so() -> None:
    model = functional((4, 4, 8), lambda x: L.Dense(3)(L.Flatten()(L.Conv2D(8, 1)(L.Conv2D(8, 1)(x)))))
    recipe = Recipe(
        pruning=Pruning(pattern="n_m", skip=()),
        clustering=Clustering(clusters=8, skip=()),
        quantization=Quantization(),
        distillation=Distillation(),
    )
    file = Int8File(wrap(model, recipe, calibration=samples_for(model, 32, labels=False)))
    kernels = [values for values in file.weights(64).values() if values.shape == (8, 1, 1, 8)]
    assert len(kernels) == 2
    for kernel in kernels:  # [outputs, 1, 1, inputs]
        assert (np.count_nonzero(kernel.reshape(-1, 4), axis=1) <= 2).all()
        assert len(np.unique(kernel)) <= 8


def test_issue_162_a_pruned_model_is_smaller_once_compressed() -> None:
    model = functional((32,), lambda x: L.Dense(16)(L.Dense(64)(L.Dense(64)(x))))
    samples = samples_for(model, 32, labels=False)
    sizes = {}
    for sparsity in (0.0, 0.9):
        recipe = Recipe(
            pruning=Pruning(sparsity=sparsity, skip=()) if sparsity else None,
            quantization=Quantization(),
            distillation=Distillation(),
        )
        sizes[sparsity] = len(gzip.compress(Int8File(wrap(model, recipe, calibration=samples)).content))
    assert sizes[0.9] < 0.6 * sizes[0.0]


def test_issue_1139_a_keras_3_model_is_carried_over_and_quantized() -> None:
    x = inputs = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, activation="silu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(x))
    wrapped = wrap(model, QUANTIZED)
    assert not Int8File(wrapped).float_tensors
    data = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(strip(wrapped).predict(data, verbose=0), model.predict(data, verbose=0), atol=1e-5)


def test_issue_1107_the_trained_ranges_are_those_of_the_file() -> None:
    model = functional((6,), lambda x: L.Dense(3)(L.Dense(4, activation="relu")(x)))
    done = finetune(model, QUANTIZED, samples_for(model, 32, labels=False))
    file = Int8File(done.trained)
    ranges = [float(layer.quantizer.scale()) for layer in done.trained.layers if type(layer).__name__ == "FakeQuantize"]
    scales = [
        item["quantization"][0]
        for item in file.interpreter.get_tensor_details()
        if item["dtype"] is np.int8 and item["shape"][0] == 1 and item["name"]
    ]
    np.testing.assert_allclose(sorted(scales), sorted(ranges), rtol=1e-6)
