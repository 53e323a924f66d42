"""Layer by layer: the artifact's tensors under the Keras layers' names, and a layer's own error."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tests.accuracy_diff import faults
from tests.accuracy_diff.faults import Bench
from tests.accuracy_diff.models import branched_cnn, pictures_like, seeded
from tfcompress.accuracy_diff import compare, runner_for
from tfcompress.accuracy_diff.layers import LayerDiff, compare_layers
from tfcompress.accuracy_diff.layers.equalized import channel_factors
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters import TARGETS
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.litert import quantize_int8
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.recipe import Pruning, Quantization, Recipe, Training
from tfcompress.runtime import keras, tf, tf_keras

SOUND_DB = 25.0
SAME_DB = 100.0


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(seeded(branched_cnn))


def layers_of(bench: Bench, content: bytes) -> dict[str, LayerDiff]:
    reference = runner_for(bench.model)
    return {row.layer: row for row in compare_layers(reference, LiteRtRunner(content), bench.evaluation.take(16))}  # type: ignore[arg-type]


def test_every_layer_that_computes_has_a_row(bench: Bench) -> None:
    rows = layers_of(bench, bench.sound)
    expected = ["stem", "relu", "pointwise", "sum", "left", "right", "join", "pool", "logits", "answer"]
    assert list(rows) == expected
    assert {"norm", "depthwise"} <= set(rows["relu"].fused)
    assert rows["join"].operator == "CONCATENATION"
    assert rows["stem"].type == "Conv2D"


def test_a_sound_layers_own_error_is_small(bench: Bench) -> None:
    for row in layers_of(bench, bench.sound).values():
        assert row.own_sqnr_db is not None
        assert row.own_sqnr_db > SOUND_DB, row.layer
        assert row.dtype == "int8"
        assert row.saturation is not None
        assert row.saturation < 0.05


def _two_convolutions(factors: np.ndarray) -> FloatModel:
    """The same function whatever the factors are by which the channels between the layers are multiplied."""
    tf_keras.utils.set_random_seed(0)
    layers, x = tf_keras.layers, tf_keras.Input((8, 8, 3), name="x")
    first = layers.Conv2D(8, 3, activation="relu", name="first")
    second = layers.Conv2D(8, 3, activation="relu", name="second")
    pooled = layers.GlobalAveragePooling2D()(second(first(x)))
    model = tf_keras.Model(x, layers.Dense(4, name="head")(pooled))
    kernel, bias = first.get_weights()
    first.set_weights([kernel * factors, (bias + np.linspace(0.01, 0.1, 8)) * factors])
    kernel, bias = second.get_weights()
    second.set_weights([kernel / factors[:, None], bias])
    return float_model_from_keras(model)


def test_channels_that_equalization_has_scaled_are_no_error() -> None:
    model, equalized = (_two_convolutions(factors) for factors in (np.ones(8), np.geomspace(0.5, 2, 8)))
    values = np.random.default_rng(0).random((32, 8, 8, 3), np.float32)
    samples = samples_from_arrays(values, model_inputs=model.inputs, model_outputs=model.outputs)
    content = quantize_int8(equalized, samples, Recipe()).content
    rows = compare_layers(runner_for(model), LiteRtRunner(content), samples)  # type: ignore[arg-type]
    assert {"first", "second"} <= {row.layer for row in rows}
    for row in rows:
        assert row.own_sqnr_db is not None
        assert row.own_sqnr_db > SOUND_DB, row.layer


def test_factors_are_those_of_channels_and_of_nothing_else() -> None:
    values = np.random.default_rng(0).normal(size=(16, 4, 3)).astype(np.float32)
    factors = channel_factors(values, values * np.array([0.5, 2.0, 3.0]))
    assert factors is not None
    assert np.allclose(factors, [0.5, 2.0, 3.0])
    assert channel_factors(values, values * 1.01) is None
    assert channel_factors(values, values + np.array([0.5, 2.0, 3.0])) is None
    assert channel_factors(values, -values) is None


def test_a_float_files_layers_are_those_of_the_float_model(bench: Bench) -> None:
    for row in layers_of(bench, bench.float_content).values():
        assert row.sqnr_db is not None
        assert row.sqnr_db > SAME_DB, row.layer
        assert row.range is None


def test_an_error_is_inherited_by_the_layers_behind_and_owned_by_one(bench: Bench) -> None:
    rows = layers_of(bench, faults.edited(bench.sound, "pointwise", faults.coarse_weights))
    sound = layers_of(bench, bench.sound)
    assert (rows["pointwise"].own_sqnr_db or 0) < 15
    for behind in ("sum", "left", "right"):
        assert (rows[behind].sqnr_db or 0) < (sound[behind].sqnr_db or 0) - 10
        assert rows[behind].own_sqnr_db == sound[behind].own_sqnr_db
    assert rows["stem"] == sound["stem"]


def test_ranges_are_those_of_the_tensors(bench: Bench) -> None:
    row = layers_of(bench, bench.with_ranges(faults.scaled("pointwise", 4.0)))["pointwise"]
    plain = layers_of(bench, bench.sound)["pointwise"]
    assert row.range is not None
    assert plain.range is not None
    assert row.range[1] == pytest.approx(4 * plain.range[1], rel=0.02)
    assert row.range_used == pytest.approx((plain.range_used or 0) / 4, rel=0.1)


def _nested() -> FloatModel:
    inner_input = tf_keras.layers.Input((8, 8, 4))
    inner = tf_keras.Model(
        inner_input, tf_keras.layers.Conv2D(4, 3, activation="relu", name="inner_conv")(inner_input), name="block"
    )
    image = tf_keras.layers.Input((8, 8, 4), name="image")
    flat = tf_keras.layers.Flatten(name="flat")(inner(image))
    return float_model_from_keras(tf_keras.Model(image, tf_keras.layers.Dense(3, name="head")(flat)), name="nested")


def _keras_3() -> FloatModel:
    keras.utils.set_random_seed(0)
    image = keras.layers.Input((8, 8, 4), name="image")
    flat = keras.layers.Flatten(name="flat")(keras.layers.Conv2D(4, 3, activation="relu", name="inner_conv")(image))
    head = keras.layers.Dense(3, activation="softmax", name="head")  # its logits have a tensor of their own
    return float_model_from_keras(keras.Model(image, head(flat)), name="keras_3")


def _dense_and_relu() -> FloatModel:
    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    body = [layers.Flatten(name="flat"), layers.Dense(6, name="hidden"), layers.ReLU(name="inner_conv")]
    return float_model_from_keras(tf_keras.Sequential([layers.Input((8, 8, 4)), *body, layers.Dense(3, name="head")]))


class _Shifted(keras.layers.Layer):
    """A convolution, a normalization, a ReLU, and a factor and a shift, as the blocks of HGNet have them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.convolution = keras.layers.Conv2D(8, 3, use_bias=False, name="convolution")
        self.norm = keras.layers.BatchNormalization(beta_initializer="ones", name="norm")
        self.factor = keras.layers.Rescaling(0.7, offset=-0.5, name="factor")

    def call(self, x: Any) -> Any:
        """The shifted result."""
        return self.factor(keras.ops.relu(self.norm(self.convolution(x))))


def test_a_layer_whose_end_is_folded_into_the_next_one_has_no_row_of_another_value() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 4))
    outputs = keras.layers.Conv2D(4, 1, name="head")(_Shifted(name="block")(inputs))
    model = float_model_from_keras(keras.Model(inputs, outputs))
    samples = _few(model)
    content = quantize_int8(model, samples, Recipe()).content
    rows = {row.layer: row for row in compare_layers(runner_for(model), LiteRtRunner(content), samples)}  # type: ignore[arg-type]
    assert "head" in rows
    for row in rows.values():
        assert row.sqnr_db is not None
        assert row.sqnr_db > SOUND_DB, row.layer


def _few(model: FloatModel) -> Samples:
    images = pictures_like((*model.inputs[0].shape[:3], 4), 12, np.random.default_rng(0), np.full(4, 0.2))
    return samples_from_arrays(images, model_inputs=model.inputs, model_outputs=model.outputs)


@pytest.mark.parametrize("build", [_nested, _keras_3, _dense_and_relu])
def test_nested_fused_and_keras_3_layers_are_found(build: Any) -> None:
    model = build()
    content = Bench(model).float_content
    by_layer = {row.layer: row for row in compare_layers(runner_for(model), LiteRtRunner(content), _few(model))}  # type: ignore[arg-type]
    assert {"inner_conv", "head"} <= set(by_layer)
    assert all((row.sqnr_db or 0) > SAME_DB for row in by_layer.values())


def test_a_bfloat16_saved_model_has_rows_too(tmp_path: Path) -> None:
    model = _nested()

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 4), tf.float32, name="image")])
    def serve(image: Any) -> dict[str, Any]:
        coarse = tf.cast(tf.cast(image, tf.bfloat16), tf.float32)
        return {"head": model.keras_model(coarse, training=False)}

    with silenced():
        tf.saved_model.save(model.keras_model, str(tmp_path / "saved"), signatures={"serving_default": serve})
    candidate = runner_for(tmp_path / "saved")
    by_layer = {row.layer: row for row in compare_layers(runner_for(model), candidate, _few(model))}  # type: ignore[arg-type]
    assert 30 < (by_layer["inner_conv"].sqnr_db or 0) < 70  # eight bits of mantissa
    assert by_layer["inner_conv"].own_sqnr_db is None


def test_a_cloud_tpu_artifacts_layers_are_found_behind_its_compiled_signatures(bench: Bench, tmp_path: Path) -> None:
    recipe = Recipe(cloud_tpu=CloudTpu(batch_sizes=(1, 4, 16), topologies=()))
    artifact = TARGETS["cloud_tpu"].convert(bench.model, bench.calibration_data, recipe, tmp_path)
    rows = compare_layers(runner_for(bench.model), runner_for(artifact.runnable), bench.evaluation.take(11))  # type: ignore[arg-type]
    layer_db = {row.layer: row.sqnr_db or 0 for row in rows}
    expected = ["stem", "norm", "relu", "pointwise", "sum", "left", "right", "join", "pool", "flat", "logits", "answer"]
    assert list(layer_db) == expected  # the batch norm is folded into the depthwise convolution
    assert all(30 < decibels < 80 for decibels in layer_db.values()), layer_db  # eight bits of mantissa


@pytest.mark.slow
def test_a_fine_tuned_models_layers_show_what_the_conversion_cost(bench: Bench, tmp_path: Path) -> None:
    recipe = Recipe(
        pruning=Pruning(sparsity=0.5),
        quantization=Quantization(estimator="min_max"),
        training=Training(epochs=1),
        cloud_tpu=CloudTpu(batch_sizes=(8,), topologies=()),
    )
    report = tfcompress.convert(
        bench.model.keras_model,
        targets="phone,cloud_tpu",
        calibration=bench.calibration_data,
        evaluation=bench.evaluation,
        recipe=recipe,
        output=tmp_path / "out",
    ).report
    phone, cloud_tpu = (report["targets"][name] for name in ("phone", "cloud_tpu"))
    assert phone["diff"]["sqnr_db"] < 30  # training has moved it away from the float model
    for row in phone["layers"]:
        # Training may let the range of the logits clip: behind a softmax it makes no difference.
        assert row["own_sqnr_db"] > SOUND_DB or row["layer"] == "logits", row
    names = {name for row in phone["layers"] for name in (row["layer"], *row["fused"])}
    assert names >= {"stem", "relu", "pointwise", "sum", "left", "right", "join", "logits"}
    assert min(row["sqnr_db"] for row in cloud_tpu["layers"]) > SOUND_DB
    assert len(cloud_tpu["layers"]) >= 8


def test_a_function_has_no_layers() -> None:
    model = _nested()
    result = compare(
        runner_for(model), {"it": runner_for(lambda x: model.keras_model(x, training=False))}, _few(model), layers=True
    ).candidates["it"]
    assert result.layers == ()
    assert result.causes == ()
