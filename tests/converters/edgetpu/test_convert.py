"""The whole conversion of small Keras models."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tfcompress.compression import wrap
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.edgetpu import convert
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.proof import TOLERANCE
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Quantization, Recipe
from tfcompress.runtime import keras, tf_keras

SCORE = 0.03  # of a score, which comes in steps of 1 / 256


def hard_model(library: Any) -> Any:
    """Layers of which most do not map as they are."""
    layers = library.layers
    inputs = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(inputs)
    x = layers.LeakyReLU(name="leaky")(x)
    x = layers.Conv2D(8, 3, padding="same", dilation_rate=2, activation="swish", name="dilated")(x)
    x = layers.Conv2D(8, 3, name="conv2d_1")(x)
    x = layers.PReLU(name="slopes")(x)
    x = layers.Reshape((-1, 8))(x)
    x = layers.Dense(8, activation="relu", name="dense_on_rank_three")(x)
    x = layers.GlobalAveragePooling1D()(x)
    return library.Model(inputs, layers.Dense(4, activation="softmax", name="classes")(x))


def converted(library: Any, folder: Path, **options: Any) -> Artifact:
    library.utils.set_random_seed(0)
    model = float_model_from_keras(hard_model(library))
    images = np.random.default_rng(0).normal(size=[16, 16, 16, 3]).astype(np.float32)
    samples = samples_from_arrays(images, model_inputs=model.inputs, model_outputs=model.outputs)
    return convert(model, samples, Recipe(edgetpu=EdgeTpu(**options)), folder)


def mapping_of(artifact: Artifact) -> Any:
    return artifact.facts["mapping"]


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty_path")))


@pytest.mark.parametrize("library", [tf_keras, keras], ids=["tf_keras", "keras3"])
def test_after_safe_rewrites_everything_maps(library: Any, tmp_path: Path) -> None:
    artifact = converted(library, tmp_path)
    mapping = mapping_of(artifact)
    assert mapping["cpu_ops"] == 0
    assert artifact.facts["fully_integer"]
    assert artifact.facts["input_dtypes"] == ["int8"]
    assert json.loads((tmp_path / "mapping.json").read_text()) == mapping
    assert {path.name for path in tmp_path.iterdir()} == {"model.tflite", "mapping.json", "USE.md"}
    facts: Any = artifact.facts
    leaky = next(rewrite for rewrite in facts["rewrites"] if rewrite["name"] == "leaky_relu")
    assert (leaky["keras_layers"], leaky["in_int8"], leaky["max_abs_error"]) == (["leaky"], True, 0)
    assert all(rewrite["max_abs_error"] <= TOLERANCE for rewrite in facts["rewrites"])
    assert any("LeakyReLU" in note for note in artifact.notes)
    assert any("Dense on rank > 2" in repair for repair in facts["repairs"])


def int8_sqnr(content: Path, model: Any, images: np.ndarray) -> float:
    """Signal to quantization noise of the int8 file's outputs, in dB."""
    interpreter = Interpreter(model_path=str(content))
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    noise, signal = 0.0, 0.0
    for image, exact in zip(images, model.predict(images, verbose=0), strict=True):
        scale, zero = source["quantization"]
        interpreter.set_tensor(
            source["index"], np.clip(np.round(image[None] / scale + zero), -128, 127).astype(np.int8)
        )
        interpreter.invoke()
        scale, zero = result["quantization"]
        values = (interpreter.get_tensor(result["index"])[0].astype(float) - zero) * scale
        noise, signal = noise + float(((values - exact) ** 2).sum()), signal + float((exact**2).sum())
    return 10 * np.log10(signal / noise)


def test_smooth_activations_written_out_cost_less_than_a_decibel(tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(0)
    inputs = tf_keras.layers.Input((8, 8, 16))
    x = tf_keras.layers.Conv2D(16, 3, activation="gelu")(inputs)
    x = tf_keras.layers.Conv2D(16, 3, activation="elu")(x)
    model = tf_keras.Model(inputs, tf_keras.layers.Conv2D(8, 1)(x))
    float_model = float_model_from_keras(model)
    images = 3 * np.random.default_rng(0).normal(size=[48, 8, 8, 16]).astype(np.float32)
    samples = samples_from_arrays(images[:32], model_inputs=float_model.inputs, model_outputs=float_model.outputs)
    kept: dict[str, float] = {}
    for level in ("none", "safe"):
        folder = tmp_path / level
        folder.mkdir()
        recipe = Recipe(edgetpu=EdgeTpu(rewrite=level), post_training=PostTraining(quality="fast"))
        artifact = convert(float_model, samples, recipe, folder)
        kept[level] = int8_sqnr(artifact.runnable, model, images[32:])
        assert (mapping_of(artifact)["cpu_ops"] == 0) == (level == "safe")
    assert kept["safe"] > kept["none"] - 1
    assert kept["safe"] > 25


@pytest.mark.parametrize("library", [tf_keras, keras], ids=["tf_keras", "keras3"])
def test_operators_name_their_keras_layers(library: Any, tmp_path: Path) -> None:
    rows = mapping_of(converted(library, tmp_path))["ops"]
    layers = [row["keras_layer"] for row in rows]
    assert layers[0] == "stem"
    assert layers[-1] == "classes"
    assert {"stem", "leaky", "dilated", "conv2d_1", "slopes", "dense_on_rank_three", "classes"} <= set(layers)


def test_without_rewrites_the_first_leaky_relu_ends_the_mapping(tmp_path: Path) -> None:
    artifact = converted(tf_keras, tmp_path, rewrite="none")
    first = next(row for row in mapping_of(artifact)["ops"] if not row["mapped"])
    assert (first["op"], first["keras_layer"], first["reason"]) == ("LEAKY_RELU", "leaky", "Operation not supported")
    assert "--rewrite=safe" in first["fix"]
    assert artifact.facts["rewrites"] == []


def test_float_inputs_and_outputs_stay_at_the_edge(tmp_path: Path) -> None:
    artifact = converted(tf_keras, tmp_path, float_io=True)
    rows = mapping_of(artifact)["ops"]
    assert artifact.facts["input_dtypes"] == ["float32"]
    assert [row["op"] for row in rows if not row["mapped"]] == ["QUANTIZE", "DEQUANTIZE"]


def test_no_operator_has_a_version_that_the_compiler_does_not_know(tmp_path: Path) -> None:
    artifact = converted(tf_keras, tmp_path)
    versions = {op.name: op.version for op in read_tflite(artifact.runnable).main.operators}
    assert versions["FULLY_CONNECTED"] == 4
    dense = [op for op in read_tflite(artifact.runnable).main.operators if op.name == "FULLY_CONNECTED"]
    tensors = read_tflite(artifact.runnable).main.tensors
    scales = [tensors[op.inputs[1]].quantization for op in dense]
    assert all(quantization is not None and len(quantization.scales) == 1 for quantization in scales)


def test_the_compiler_on_path_is_run_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binaries = tmp_path / "bin"
    binaries.mkdir()
    compiler = binaries / "edgetpu_compiler"
    compiler.write_text(
        "#!/bin/sh\n"
        'echo "Edge TPU Compiler version 16.0.384591198"; echo "Model compiled successfully in 9 ms."\n'
        'echo "Input model: $4"; echo "Operator                       Count      Status"; echo\n'
        'echo "CONV_2D                        3          Mapped to Edge TPU"\n'
        ': > "$3/model_edgetpu.tflite"\n'
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:/usr/bin:/bin")
    output = tmp_path / "out"
    output.mkdir()
    artifact = converted(tf_keras, output)
    measured = mapping_of(artifact)["measured"]
    assert (measured["compiled"], measured["compiler_version"]) == (True, "16.0.384591198")
    assert (output / "model_edgetpu.tflite").exists()
    assert all(difference["op"] != "CONV_2D" for difference in measured["differences"])
    assert any("compiled with edgetpu_compiler" in note for note in artifact.notes)


def test_open_input_sizes_are_taken_from_the_calibration_data(tmp_path: Path) -> None:
    layers = tf_keras.layers
    inputs = layers.Input((None, None, 3))
    x = layers.LeakyReLU()(layers.Conv2D(4, 3)(inputs))
    model = float_model_from_keras(tf_keras.Model(inputs, layers.GlobalAveragePooling2D()(x)))
    images = np.random.default_rng(0).normal(size=[4, 20, 24, 3]).astype(np.float32)
    samples = samples_from_arrays(images, model_inputs=model.inputs, model_outputs=model.outputs)
    artifact = convert(model, samples, Recipe(), tmp_path)
    file = read_tflite(artifact.runnable)
    assert file.main.tensors[file.main.inputs[0]].shape == (1, 20, 24, 3)
    assert mapping_of(artifact)["failure"] is None
    assert mapping_of(artifact)["cpu_ops"] == 0


def test_a_leaky_relu_that_stays_float_is_not_said_to_be_rewritten(tmp_path: Path) -> None:
    layers = tf_keras.layers
    inputs = layers.Input((8, 8, 3))
    x = layers.LeakyReLU(name="leaky")(layers.Conv2D(4, 3, name="stem")(inputs))
    model = float_model_from_keras(tf_keras.Model(inputs, layers.Conv2D(4, 3, name="last")(x)))
    images = np.random.default_rng(0).normal(size=[8, 8, 8, 3]).astype(np.float32)
    samples = samples_from_arrays(images, model_inputs=model.inputs, model_outputs=model.outputs)
    artifact = convert(model, samples, Recipe(keep_float=("leaky",)), tmp_path)
    assert "LEAKY_RELU" in [row["op"] for row in mapping_of(artifact)["ops"]]
    assert artifact.facts["rewrites"] == []


def test_a_quantization_aware_model_keeps_its_ranges_and_lists_its_leaky_relu(tmp_path: Path) -> None:
    layers = tf_keras.layers
    inputs = layers.Input((12, 12, 3))
    x = layers.LeakyReLU(name="leaky")(layers.Conv2D(4, 3, name="stem")(inputs))
    model = tf_keras.Model(inputs, layers.Conv2D(4, 3, name="last")(x))
    recipe = Recipe(quantization=Quantization())
    aware = wrap(model, recipe)
    aware(np.random.default_rng(0).normal(size=[16, 12, 12, 3]).astype(np.float32), training=True)  # sets the ranges
    trained = dataclasses.replace(float_model_from_keras(aware), quantization_aware=True)
    artifact = convert(trained, None, recipe, tmp_path)
    facts: Any = artifact.facts
    assert [(rewrite["name"], rewrite["keras_layers"]) for rewrite in facts["rewrites"]] == [("leaky_relu", ["leaky"])]
    assert facts["mapping"]["cpu_ops"] == 0
    assert "LEAKY_RELU" not in [row["op"] for row in facts["mapping"]["ops"]]


def test_upsampling_of_keras_3_maps(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input((8, 8, 4)), keras.layers.Conv2D(8, 3), keras.layers.UpSampling2D(2), keras.layers.Conv2D(4, 1)]
    )
    model = float_model_from_keras(network)
    images = np.random.default_rng(0).random((20, 8, 8, 4), np.float32)
    samples = samples_from_arrays(images, model_inputs=model.inputs, model_outputs=model.outputs)
    mapping: Any = convert(model, samples, Recipe(), tmp_path).facts["mapping"]
    assert [row["op"] for row in mapping["ops"]] == ["CONV_2D", "RESIZE_NEAREST_NEIGHBOR", "CONV_2D"]
    assert mapping["cpu_ops"] == 0


def test_a_uint8_file_is_fed_and_read_as_old_sample_code_does(tmp_path: Path) -> None:
    """PyCoral's classify_image.py: pictures of 0 to 255 go in by mean, deviation and scale; scores come out."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    picture = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, activation="relu")(picture)
    scores = layers.Dense(3, activation="softmax")(layers.Flatten()(layers.MaxPooling2D(5)(x)))
    network = keras.Model(picture, scores)
    model = float_model_from_keras(network)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
    mean, deviation = 127.5, 127.5
    normalized = ((pictures - mean) / deviation).astype(np.float32)
    samples = samples_from_arrays(normalized, model_inputs=model.inputs, model_outputs=model.outputs)
    artifact = convert(model, samples, Recipe(post_training=PostTraining(io="uint8")), tmp_path)
    assert (artifact.facts["input_dtypes"], artifact.facts["output_dtypes"]) == (["uint8"], ["uint8"])
    rows = mapping_of(artifact)["ops"]
    assert [rows[0]["op"], rows[-1]["op"]] == ["QUANTIZE", "QUANTIZE"]
    assert all(row["mapped"] for row in rows)
    expected, largest = np.asarray(network(normalized)), 0.0
    interpreter = Interpreter(model_path=str(tmp_path / "model.tflite"))
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    for image, truth in zip(pictures, expected, strict=True):
        scale, zero = source["quantization"]
        fed = np.clip((image - mean) / (deviation * scale) + zero, 0, 255).astype(np.uint8)
        interpreter.set_tensor(source["index"], fed[None])
        interpreter.invoke()
        scale, zero = result["quantization"]
        read = scale * (interpreter.get_tensor(result["index"])[0].astype(np.int64) - zero)
        largest = max(largest, float(np.abs(read - truth).max()))
    assert 0 < largest < SCORE
    assert float(np.abs(expected - expected.mean(axis=0)).max()) > 2 * SCORE
