"""int8 for the TPU: the phone's integers, in products that XLA makes of int8 or, exactly so, of bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.converters.cloud_tpu import convert
from tfcompress.converters.cloud_tpu.int8 import Program, arithmetic, program_of
from tfcompress.converters.cloud_tpu.int8.arithmetic import Scale, Window
from tfcompress.converters.cloud_tpu.int8.subsampling import strides_of_tensors
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.litert.int8 import quantize_int8
from tfcompress.data import Samples, open_data
from tfcompress.errors import DataError
from tfcompress.graphs.tensorflow.private_names import xla_convolution
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras, tf

BATCH = 4
LARGEST_STEPS = 1.01
SQNR_TOLERANCE_DB = 0.5
LEAST_SQNR_DB = 20.0
INT8 = Recipe(
    post_training=PostTraining(quality="fast"),
    cloud_tpu=CloudTpu(precision="int8", batch_sizes=(1, BATCH), topologies=()),
)


def samples_of(model: FloatModel, folder: Path, count: int = 16) -> Samples:
    path = folder / "samples.npz"
    np.savez(path, allow_pickle=False, **models.random_inputs(model, count))
    return open_data(path, model.inputs, model.outputs)


def residual_net() -> FloatModel:
    """Two convolutions whose results are added, with padding, strides, pooling and an even kernel."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    inputs = layers.Input((13, 13, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="first")(inputs)
    y = layers.Conv2D(8, 4, padding="same", name="second")(x)
    x = layers.ReLU(name="sum_relu")(layers.Add(name="sum")([x, y]))
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool")(x)
    return float_model_of(keras.Model(inputs, layers.Dense(5, name="scores")(layers.Flatten()(x)), name="residual"))


def strided_net() -> FloatModel:
    """A residual block whose sum only 1x1 convolutions of stride 2 read, as at the end of a stage of a ResNet."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    inputs = layers.Input((9, 9, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(inputs)
    y = layers.Conv2D(8, 3, padding="same", activation="relu", name="wide")(x)
    y = layers.Conv2D(8, 1, name="narrow")(y)
    z = layers.Conv2D(8, 3, padding="same", activation="relu", name="beside")(x)
    x = layers.ReLU(name="sum_relu")(layers.Add(name="sum")([x, y]))
    left = layers.Conv2D(16, 1, strides=2, name="left")(x)
    right = layers.Conv2D(16, 1, strides=2, activation="relu", name="right")(x)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(z)
    x = layers.Concatenate(name="all")([layers.Flatten()(layers.Add(name="end")([left, right])), pooled])
    return float_model_of(keras.Model(inputs, layers.Dense(5, name="scores")(x), name="strided"))


def float_model_of(model: Any) -> FloatModel:
    return models.float_model_from_keras(model)


def program(model: FloatModel, folder: Path) -> tuple[Program, bytes]:
    content = quantize_int8(model, samples_of(model, folder), INT8, integer_io=False).content
    return program_of(content, [layer.name for layer in all_layers(model.keras_model)]), content


def by_litert(content: bytes, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The phone's results, a sample at a time, by LiteRT's own kernels."""
    interpreter = new_interpreter(content, xnnpack=False)
    (values,) = inputs.values()
    return np.concatenate([run(interpreter, [values[n : n + 1]])[0] for n in range(len(values))])


def only(results: dict[str, np.ndarray]) -> np.ndarray:
    (value,) = results.values()
    return value


def test_a_chain_of_products_gives_the_phones_integers(tmp_path: Path) -> None:
    model = models.conv_net()
    int8_program, content = program(model, tmp_path)
    inputs = models.random_inputs(model, BATCH, seed=1)
    graph = replace(int8_program, as_on_phone=True).at_batch(model, BATCH)
    assert np.array_equal(only(models.run_graph(graph, inputs)), by_litert(content, inputs))


@pytest.mark.parametrize("make", [models.conv_net, residual_net, strided_net])
def test_products_of_int8_and_of_bfloat16_give_the_same_integers(
    make: Callable[[], FloatModel], tmp_path: Path
) -> None:
    model = make()
    int8_program, _ = program(model, tmp_path)
    inputs = models.random_inputs(model, BATCH, seed=1)
    narrow, wide = (
        only(models.run_graph(int8_program.with_wide(kinds).at_batch(model, BATCH), inputs))
        for kinds in ((), int8_program.products())
    )
    assert np.array_equal(narrow, wide)


@pytest.mark.parametrize("make", [residual_net, strided_net])
def test_sums_rounded_as_on_the_phone_give_its_integers(make: Callable[[], FloatModel], tmp_path: Path) -> None:
    model = make()
    int8_program, content = program(model, tmp_path)
    inputs = models.random_inputs(model, BATCH, seed=1)
    graph = replace(int8_program, as_on_phone=True).at_batch(model, BATCH)
    ours, phone = only(models.run_graph(graph, inputs)), by_litert(content, inputs)
    scale = int8_program.graph.tensors[int8_program.graph.operators[-1].inputs[0]].quantization
    assert scale is not None
    # LiteRT's sums and means are in fixed point: a tie may fall to the other side, and layers behind carry it on.
    step = float(scale.scales[0])
    assert np.abs(ours - phone).max() <= LARGEST_STEPS * step
    assert np.abs(ours + 2 * step - phone).max() > LARGEST_STEPS * step


@pytest.mark.parametrize("make", [residual_net, strided_net])
def test_a_sum_rounds_once_less_than_the_phone_and_is_no_farther_from_float(
    make: Callable[[], FloatModel], tmp_path: Path
) -> None:
    model = make()
    int8_program, content = program(model, tmp_path)
    inputs = models.random_inputs(model, 4 * BATCH, seed=1)
    expected = only(model.predict(inputs))
    ours = only(models.run_graph(int8_program.at_batch(model, 4 * BATCH), inputs))
    ours_db, phone_db = models.sqnr_db(expected, ours), models.sqnr_db(expected, by_litert(content, inputs))
    assert ours_db >= phone_db - SQNR_TOLERANCE_DB


def test_what_one_operator_alone_reads_is_not_rounded_for_it(tmp_path: Path) -> None:
    model = models.conv_net()
    int8_program, _ = program(model, tmp_path)
    inputs = models.random_inputs(model, 4 * BATCH, seed=1)
    expected = only(model.predict(inputs))
    ours, phone = (
        models.sqnr_db(expected, only(models.run_graph(item.at_batch(model, 4 * BATCH), inputs)))
        for item in (int8_program, replace(int8_program, as_on_phone=True))
    )
    assert ours > phone  # the softmax reads scores that have no steps


def dense_net() -> FloatModel:
    """Dense layers on steps, one of them with a sum behind it."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    inputs = layers.Input((6, 16), name="steps")
    x = layers.Dense(16, activation="relu", name="first")(inputs)
    x = layers.Add(name="sum")([layers.Dense(16, name="second")(x), x])
    return float_model_of(keras.Model(inputs, layers.Dense(3, name="scores")(x), name="dense"))


def test_a_sum_behind_a_dense_layer_on_steps_has_the_steps_shape_at_every_batch_size(tmp_path: Path) -> None:
    model = dense_net()
    int8_program, _ = program(model, tmp_path)
    inputs = models.random_inputs(model, BATCH, seed=1)
    got = only(models.run_graph(int8_program.at_batch(model, BATCH), inputs))
    assert models.sqnr_db(only(model.predict(inputs)), got) > LEAST_SQNR_DB


def test_biases_of_64_bits_beside_16_bit_activations_count_in_their_scale(tmp_path: Path) -> None:
    model = models.conv_net()
    recipe = Recipe(post_training=PostTraining(quality="fast", scheme="int16x8"))
    content = quantize_int8(model, samples_of(model, tmp_path), recipe, integer_io=False).content
    inputs = models.random_inputs(model, BATCH, seed=1)
    got = only(models.run_graph(program_of(content).at_batch(model, BATCH), inputs))
    assert models.sqnr_db(only(model.predict(inputs)), got) > LEAST_SQNR_DB


def test_rows_and_columns_that_no_one_reads_are_not_made(tmp_path: Path) -> None:
    int8_program, _ = program(strided_net(), tmp_path)
    strides = strides_of_tensors(int8_program.graph)
    producers = {int8_program.graph.producer(index).name for index in strides}  # type: ignore[union-attr]
    assert set(strides.values()) == {2}
    assert producers == {"CONV_2D", "ADD"}
    assert len(strides) == 3  # the sum, the 1x1 convolution before it and the 3x3 one before that


def test_padding_around_an_image_of_1x1_is_convolved_too(tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((3, 3, 16), name="image")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(inputs)
    x = keras.layers.Conv2D(8, 1, bias_initializer="normal", name="padded")(keras.layers.ZeroPadding2D(1)(x))
    model = float_model_of(keras.Model(inputs, x, name="framed"))
    int8_program, content = program(model, tmp_path)
    sample = models.random_inputs(model, 1, seed=1)
    result = only(models.run_graph(int8_program.at_batch(model, 1), sample))
    assert result.shape == (1, 3, 3, 8)
    assert models.sqnr_db(by_litert(content, sample), result) > LEAST_SQNR_DB


def test_a_single_sample_of_1x1_images_has_the_integers_that_several_have(tmp_path: Path) -> None:
    # XLA's product of one int8 vector for processors was wrong for 128 channels, and ended the process for 1280.
    keras.utils.set_random_seed(7)
    inputs = keras.Input((3, 3, 128), name="image")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(inputs)
    x = keras.layers.Conv2D(1280, 1, activation="relu", name="widened")(x)
    model = float_model_of(keras.Model(inputs, keras.layers.Conv2D(128, 1, name="excite")(x), name="squeezed"))
    int8_program, content = program(model, tmp_path)
    sample = models.random_inputs(model, 1, seed=1)
    single = only(models.run_graph(int8_program.at_batch(model, 1), sample))
    several = only(models.run_graph(int8_program.at_batch(model, 2), {"image": np.repeat(sample["image"], 2, 0)}))
    assert np.array_equal(single[0], several[0])
    assert models.sqnr_db(by_litert(content, sample), single) > LEAST_SQNR_DB


def test_a_batch_is_its_samples_one_by_one(tmp_path: Path) -> None:
    model = residual_net()
    int8_program, _ = program(model, tmp_path)
    inputs = models.random_inputs(model, BATCH, seed=2)
    whole = only(models.run_graph(int8_program.at_batch(model, BATCH), inputs))
    single = int8_program.at_batch(model, 1)
    parts = [only(models.run_graph(single, {"image": inputs["image"][n : n + 1]})) for n in range(BATCH)]
    assert np.array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pads", [((0, 0), (0, 0)), ((1, 2), (0, 3))])
def test_offsets_take_off_what_the_zero_point_adds_also_at_the_border(
    stride: int, pads: tuple[tuple[int, int], ...]
) -> None:
    random = np.random.default_rng(0)
    x = random.integers(-128, 128, (2, 9, 8, 3)).astype(np.int8)
    kernel = random.integers(-127, 128, (3, 2, 3, 4)).astype(np.int8)
    window, zero_point = Window((stride, stride), pads, (1, 1)), -77

    @tf.function(jit_compile=True)
    def both(values: Any, weights: Any) -> tuple[Any, Any]:
        shifted = tf.cast(values, tf.int32) - zero_point
        exact = xla_convolution(shifted, tf.cast(weights, tf.int32), window.strides, pads, (1, 1), 1, tf.int32)
        return exact, arithmetic.convolution(values, weights, window, zero_point, wide=False)

    exact, ours = both(tf.constant(x), tf.constant(kernel))
    assert np.array_equal(exact, ours - arithmetic.offsets_of(kernel, window, x.shape[1:3], zero_point))


def test_quantizing_and_back_is_within_half_a_step() -> None:
    scale = Scale(np.array([0.1], np.float32), 3, tf.int8)
    reals = np.linspace(-12, 12, 101).astype(np.float32)
    back = arithmetic.dequantize(arithmetic.quantize(tf.constant(reals), scale), scale).numpy()
    assert np.abs(back - reals).max() <= 0.0501
    assert arithmetic.quantize(tf.constant([99.0, -99.0]), scale).numpy().tolist() == [127, -128]


def test_the_saved_model_and_stablehlo_hold_int8_and_give_equal_integers(tmp_path: Path) -> None:
    model = models.conv_net()
    out = tmp_path / "out"
    out.mkdir()
    artifact = convert(model, samples_of(model, tmp_path), INT8, out)
    inputs = models.random_inputs(model, BATCH, seed=3)
    served = only(models.run_signature(artifact.runnable, "batch_4", inputs))
    alone = np.concatenate(
        [
            only(models.run_signature(artifact.runnable, "batch_1", {"image": inputs["image"][n : n + 1]}))
            for n in range(BATCH)
        ]
    )
    assert np.array_equal(served, alone)
    loaded = tf.saved_model.load(str(artifact.runnable))
    kernels = [variable for variable in loaded.weights_ if variable.dtype == tf.int8]
    assert sum(int(tf.size(kernel)) for kernel in kernels) == sum(
        int(np.prod(weight.shape)) for weight in model.keras_model.weights if len(weight.shape) > 1
    )
    assert artifact.facts["integer_products"]["sqnr_db"] > 20  # type: ignore[index]


def test_an_operator_without_a_form_leaves_the_model_in_bfloat16_and_says_so(tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((8, 4), name="steps")
    x = keras.layers.Dense(3, name="head")(keras.ops.mod(inputs, 0.5))
    model = float_model_of(keras.Model(inputs, x))
    out = tmp_path / "out"
    out.mkdir()
    artifact = convert(model, samples_of(model, tmp_path), INT8, out)
    assert any(note.startswith("stays in bfloat16: ") and "FLOOR_MOD" in note for note in artifact.notes)
    assert models.run_signature(artifact.runnable, "batch_1", {"steps": np.zeros((1, 8, 4), np.float32)})


def test_a_model_without_products_stays_in_bfloat16_and_says_so(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3), name="image")
    model = float_model_of(keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(inputs)))
    out = tmp_path / "out"
    out.mkdir()
    artifact = convert(model, samples_of(model, tmp_path), INT8, out)
    assert "stays in bfloat16: no convolution or dense layer of the model multiplies int8" in artifact.notes


def test_int8_without_calibration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--tpu_precision=int8 needs --calibration"):
        convert(models.conv_net(), None, INT8, tmp_path)
