"""Every kind of model behind one interface: the same answers as its own runtime, in batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import tfcompress
from tests.accuracy_diff.faults import Bench
from tests.accuracy_diff.models import pictures_like, plain_cnn, seeded
from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.accuracy_diff import compare, runner_for
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.litert import to_float_tflite
from tfcompress.data import samples_from_arrays
from tfcompress.errors import InputError, ModelError
from tfcompress.graphs.tflite.quantization import dequantize, quantize
from tfcompress.load import float_model_from_keras
from tfcompress.native_output import silenced
from tfcompress.remarks import remarks
from tfcompress.runtime import keras, tf, tf_keras

FLOAT_TOLERANCE = 1e-5  # two float32 runtimes on outputs of about 1


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(seeded(plain_cnn))


@pytest.fixture(scope="module")
def images(bench: Bench) -> np.ndarray:
    return pictures_like(bench.model.inputs[0].shape, 37, np.random.default_rng(5))


def one_at_a_time(content: bytes, images: np.ndarray) -> np.ndarray:
    """A plain loop over Interpreter.invoke, in the file's own integers."""
    with silenced():
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for image in images:
        scale, zero_point = source["quantization"]
        stored = np.clip(np.round(image[None] / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], stored)
        interpreter.invoke()
        rows.append(interpreter.get_tensor(result["index"])[0])
    scale, zero_point = result["quantization"]
    return (np.array(rows).astype(np.float32) - zero_point) * np.float32(scale)


def test_batches_give_the_very_integers_of_a_plain_loop(bench: Bench, images: np.ndarray) -> None:
    outputs = LiteRtRunner(bench.sound).run({"image": images})
    np.testing.assert_array_equal(outputs["answer"], one_at_a_time(bench.sound, images))


def test_outputs_have_the_signatures_names(bench: Bench) -> None:
    runner = LiteRtRunner(bench.float_content)
    assert [info.name for info in runner.inputs] == ["image"]
    assert [info.name for info in runner.outputs] == ["answer"]


def test_outputs_of_one_value_keep_a_name_each() -> None:
    inputs = keras.Input((4,), name="x")
    mean, spread = keras.layers.Dense(3, name="mean")(inputs), keras.layers.Dense(3, name="spread")(inputs)
    sample = keras.layers.Dropout(0.5, name="sample")(mean)  # off at inference, as the noise of an autoencoder is
    model = float_model_from_keras(keras.Model(inputs, [mean, spread, sample]))
    runner = LiteRtRunner(to_float_tflite(model))
    values = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    results, wanted = runner.run({"x": values}), model.predict({"x": values})
    assert set(results) == set(wanted) == {info.name for info in runner.outputs}
    for name in wanted:
        np.testing.assert_allclose(results[name], wanted[name], atol=FLOAT_TOLERANCE)
    assert not np.allclose(results["mean"], results["spread"], atol=FLOAT_TOLERANCE)


def test_every_form_of_a_model_gives_the_same_answers(bench: Bench, images: np.ndarray, tmp_path: Path) -> None:
    model = bench.model
    wanted = model.predict({"image": images})["answer"]
    model.keras_model.save(tmp_path / "model.h5")
    model.keras_model.save(tmp_path / "model.keras")
    with silenced():
        tf.saved_model.save(model.keras_model, str(tmp_path / "saved"))
    (tmp_path / "model.tflite").write_bytes(bench.float_content)
    forms: list[Any] = [model, model.keras_model, lambda x: model.keras_model(x, training=False)]
    forms += [tmp_path / name for name in ("model.h5", "model.keras", "saved", "model.tflite")]
    for form in forms:
        runner = runner_for(form)
        name = runner.inputs[0].name if runner.inputs else "any"
        given = next(iter(runner.run({name: images}).values()))
        assert np.abs(given - wanted).max() < FLOAT_TOLERANCE, form
        assert np.abs(given[::-1] - wanted).max() > FLOAT_TOLERANCE  # the check can fail


def test_a_keras_3_model_is_run(images: np.ndarray) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((12, 12, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    runner = runner_for(model)
    given = runner.run({runner.inputs[0].name: images})
    assert np.abs(next(iter(given.values())) - model(images).numpy()).max() < FLOAT_TOLERANCE


def _with_a_fixed_batch(batch: int, *, reshaped: bool) -> bytes:
    """A .tflite whose batch size is `batch`, or is held in a constant of the graph."""
    weights = tf.constant(np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((batch, 2, 3), tf.float32, name="x")])
    def function(x: Any) -> dict[str, Any]:
        flat = tf.reshape(x, (batch, 6) if reshaped else (-1, 6))
        return {"out": tf.matmul(flat, weights)}

    with silenced():
        concrete = function.get_concrete_function()
        return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete], function).convert())


@pytest.mark.parametrize(("batch", "reshaped"), [(1, True), (1, False), (4, True), (4, False)])
def test_files_with_a_fixed_batch_run_any_number_of_samples(batch: int, reshaped: bool) -> None:
    values = np.random.default_rng(1).normal(size=(11, 2, 3)).astype(np.float32)
    runner = LiteRtRunner(_with_a_fixed_batch(batch, reshaped=reshaped))
    given = next(iter(runner.run({runner.inputs[0].name: values}).values()))
    weights = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    assert np.abs(given - values.reshape(11, 6) @ weights).max() < FLOAT_TOLERANCE


def test_a_stateful_layer_starts_anew_with_every_sample() -> None:
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential([tf_keras.layers.Input((5, 3)), tf_keras.layers.LSTM(4, unroll=True)])
    values = np.random.default_rng(1).normal(size=(6, 5, 3)).astype(np.float32)
    with silenced():
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        content = bytes(converter.convert())
    given = next(iter(LiteRtRunner(content).run({LiteRtRunner(content).inputs[0].name: values}).values()))
    assert np.abs(given - model(values).numpy()).max() < FLOAT_TOLERANCE


def test_a_sample_that_a_kernel_refuses_is_nan_and_the_others_are_computed() -> None:
    graph = GraphBuilder()
    source, ones = graph.input([1, 4]), graph.tensor([1, 4], data=np.full((1, 4), 10, np.int8))
    quotient = graph.tensor([1, 4], scale=0.05)
    graph.operator("DIV", [ones, source], [quotient], "DivOptions", version=2)
    runner = LiteRtRunner(graph.content(quotient), name="quotient")
    values = np.array([[1, 2, 4, 5], [1, 0, 4, 5], [2, 2, 2, 2]], np.float32)  # LiteRT refuses to divide by zero
    with remarks() as said:
        (answers,) = runner.run({runner.inputs[0].name: values}).values()
    assert np.isnan(answers).all(axis=1).tolist() == [False, True, False]
    np.testing.assert_allclose(answers[[0, 2]], 1 / values[[0, 2]], atol=0.025)  # half a step
    assert len(said) == 1
    assert "quotient: LiteRT refuses some samples, which count as NaN" in said[0]


def test_quantize_rounds_to_the_nearest_and_clips() -> None:
    stored = quantize(np.array([-9.0, -0.26, 0.0, 0.24, 0.26, 99.0]), 0.5, 3, np.dtype("int8"))
    assert stored.tolist() == [-15, 2, 3, 3, 4, 127]
    assert dequantize(stored, 0.5, 3).tolist() == [-9.0, -0.5, 0.0, 0.0, 0.5, 62.0]


def test_several_interpreters_at_a_time_give_what_one_gives(bench: Bench) -> None:
    results = []
    for workers in (1, 4):
        runner = LiteRtRunner(bench.sound, workers=workers)
        reference = runner_for(bench.model)
        results.append(compare(reference, {"it": runner}, bench.evaluation, batch_size=8, workers=workers))
    assert results[0].to_json() == results[1].to_json()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.tflite", None, "no such file or folder"),
        ("broken.tflite", b"not a model", "not a .tflite"),
        ("empty", "folder", "a folder without saved_model.pb"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, name: str, content: Any, said: str) -> None:
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=said) as caught:
        runner_for(path)
    assert "\n" not in str(caught.value)


def test_two_models_of_different_input_are_refused(bench: Bench) -> None:
    data = samples_from_arrays(
        np.zeros((4, 5, 5, 3), np.float32),
        model_inputs=(type(bench.model.inputs[0])("image", (None, 5, 5, 3), "float32"),),
        model_outputs=bench.model.outputs,
    )
    with pytest.raises(ModelError, match="are these two forms of the same model"):
        compare(runner_for(lambda x: x.reshape(4, -1)[:, :4]), {"it": LiteRtRunner(bench.sound)}, data)


def half_right(images: np.ndarray) -> np.ndarray:
    return np.stack([images.mean(axis=(1, 2, 3)) > 0, images.mean(axis=(1, 2, 3)) <= 0], axis=1)


def test_a_plain_function_can_be_either_side_of_a_diff(bench: Bench, images: np.ndarray) -> None:
    def function(x: np.ndarray) -> Any:
        return bench.model.keras_model(x, training=False)

    for reference, candidate in ((function, bench.model), (bench.model, function)):
        report = tfcompress.diff(reference, candidate, evaluation=images)
        assert report["candidate"]["diff"]["top1_agreement"] == 1
        assert report["reference"]["bytes"] is None
    named = "tests.accuracy_diff.test_runners:half_right"
    assert tfcompress.diff(named, half_right_model(), evaluation=images)["candidate"]["diff"]["top1_agreement"] == 1
    with pytest.raises(InputError, match="two functions; one of the two must be a model"):
        tfcompress.diff(function, named, evaluation=images)
    with pytest.raises(InputError, match=r"--model=no\.module:there: cannot import it"):
        tfcompress.diff("no.module:there", bench.model, evaluation=images)


def half_right_model() -> Any:
    image = tf_keras.layers.Input((12, 12, 3))
    mean = tf_keras.layers.Lambda(lambda x: tf.reduce_mean(x, axis=(1, 2, 3), keepdims=False))(image)
    return tf_keras.Model(image, tf_keras.layers.Lambda(lambda x: tf.stack([x, -x], axis=1))(mean))
