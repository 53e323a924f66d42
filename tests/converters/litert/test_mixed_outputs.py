"""Outputs whose columns differ in range: each column survives, is measured, and a lost one fails the gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.accuracy_diff.models import rows, table_runner
from tfcompress.accuracy_diff import compare
from tfcompress.accuracy_diff.channel_error import channel_rows, channel_statistics
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.edgetpu.conversion import convert as convert_for_edgetpu
from tfcompress.converters.phone import convert as convert_for_phone
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe

COLUMN_DB = 25.0  # what every column has to keep
LOST_DB = 5.0  # what the scores keep in one scale with the boxes, at most


def _features(size: int = 32) -> tuple[Any, Any]:
    keras.utils.set_random_seed(0)
    image = keras.Input((size, size, 3), name="image")
    x: Any = image
    for channels in (16, 32):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", activation="relu")(x)
    return image, x


def _head(x: Any) -> Any:
    """[anchors, 4] boxes of 0 to 64 pixels and [anchors, 3] scores about 0.04."""
    boxes = layers.Rescaling(64.0)(ops.sigmoid(layers.Conv2D(4, 1)(x)))
    rare: Any = keras.initializers.Constant(-3.2)
    scores = ops.sigmoid(layers.Conv2D(3, 1, bias_initializer=rare)(x))
    anchors = x.shape[1] * x.shape[2]
    return layers.Reshape((anchors, 4))(boxes), layers.Reshape((anchors, 3))(scores)


def detector() -> Any:
    image, x = _features()
    return keras.Model(image, layers.Concatenate(name="out")(list(_head(x))))


def detector_of_two_scales() -> Any:
    image, x = _features()
    coarse = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
    levels = [layers.Concatenate()(list(_head(level))) for level in (x, coarse)]
    return keras.Model(image, layers.Concatenate(axis=1, name="out")(levels))


def regressor_of_unlike_values() -> Any:
    """One Dense layer whose third value is a thousandth of its first."""
    image, x = _features()
    dense = layers.Dense(3, name="out")
    model = keras.Model(image, dense(layers.GlobalAveragePooling2D()(x)))
    dense.set_weights([dense.get_weights()[0] * np.array([50.0, 1.0, 0.05]), np.zeros(3)])
    return model


def read_again() -> Any:
    """What a shortcut carries past a layer of integers, as in a residual block."""
    image, x = _features()
    boxes, scores = _head(x)
    joined = layers.Concatenate(name="joined")([boxes, scores])
    faint: Any = keras.initializers.RandomNormal(stddev=1e-5)
    more = layers.Dense(7, name="more", kernel_initializer=faint)(
        layers.Dense(8, activation="relu", name="between")(joined)
    )
    return keras.Model(image, [layers.Add(name="out")([joined, more]), layers.Dense(2, name="other")(boxes)])


def separate_heads() -> Any:
    image, x = _features()
    return keras.Model(image, list(_head(x)))


def cut_again() -> Any:
    """Centre and size are cut from what is joined with the scores, and joined anew as corners, as YOLO's decoding."""
    image, x = _features()
    cuts: Any = ops.split(layers.Concatenate(name="joined")(list(_head(x))), [2, 4], axis=-1)
    centre, size, scores = cuts
    return keras.Model(image, layers.Concatenate(name="out")([centre - size / 2, centre + size / 2, scores]))


def filled_up() -> Any:
    """Rows of zeros behind the last anchor, columns in another order."""
    image, x = _features()
    joined = layers.Concatenate(name="joined")(list(_head(x)))
    padded = ops.pad(ops.take(joined, [1, 0, 3, 2, 4, 5, 6], axis=-1), [[0, 0], [0, 6], [0, 0]])
    return keras.Model(image, layers.Identity(name="out")(padded))


def _joined_map(x: Any) -> Any:
    boxes, scores = (layers.Reshape((*x.shape[1:3], part.shape[-1]))(part) for part in _head(x))
    return layers.Concatenate(name="joined")([boxes, scores])


def pooled_and_enlarged() -> Any:
    """Peaks of a joined map, as CenterNet keeps, each of them four pixels."""
    image, x = _features()
    return keras.Model(image, layers.UpSampling2D(2, name="out")(layers.MaxPooling2D(2)(_joined_map(x))))


def averaged() -> Any:
    image, x = _features()
    return keras.Model(image, layers.AveragePooling2D(2, name="out")(_joined_map(x)))


def summed_up() -> Any:
    """Running sums over the anchors, which become a product across the rows with the columns turned aside."""
    image, x = _features()
    joined = layers.Concatenate(name="joined")(list(_head(layers.AveragePooling2D(4)(x))))
    return keras.Model(image, layers.Identity(name="out")(ops.cumsum(joined, axis=1)))


def cut_apart() -> Any:
    """Two outputs that are cut from one joined tensor."""
    image, x = _features()
    joined = layers.Concatenate(name="joined")(list(_head(x)))
    return keras.Model(image, [joined[..., :4], joined[..., 4:]])


BUILDERS: dict[str, Callable[[], Any]] = {
    "detector": detector,
    "detector of two scales": detector_of_two_scales,
    "regressor": regressor_of_unlike_values,
    "cut again": cut_again,
    "filled up": filled_up,
    "pooled and enlarged": pooled_and_enlarged,
    "averaged": averaged,
    "summed up": summed_up,
}


def _images(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tint = rng.random((count, 1, 1, 3), np.float32)
    return 0.5 * tint + 0.5 * rng.random((count, 32, 32, 3), np.float32)


def _converted(model: Any, target: str, folder: Path, options: PostTraining) -> Artifact:
    float_model = float_model_from_keras(model, name="detector")
    inputs, outputs = float_model.inputs, float_model.outputs
    samples = samples_from_arrays(_images(100, 1), None, model_inputs=inputs, model_outputs=outputs)
    convert = convert_for_phone if target == "phone" else convert_for_edgetpu
    return convert(float_model, samples, Recipe(post_training=options), folder)


def _columns_db(model: Any, content: bytes) -> np.ndarray:
    runner, images = LiteRtRunner(content), _images(60, 2)
    wanted = np.asarray(model(images), np.float64)
    outputs = next(iter(runner.run({runner.inputs[0].name: images}).values()))
    axes = tuple(range(wanted.ndim - 1))
    return 10 * np.log10(np.square(wanted).sum(axis=axes) / (np.square(wanted - outputs).sum(axis=axes) + 1e-12))


@pytest.mark.parametrize("target", ["phone", "edgetpu"])
@pytest.mark.parametrize("name", BUILDERS)
def test_every_column_survives(name: str, target: str, tmp_path: Path) -> None:
    model = BUILDERS[name]()
    artifact = _converted(model, target, tmp_path, PostTraining())
    kept = _columns_db(model, artifact.runnable.read_bytes())
    assert kept.min() > COLUMN_DB
    assert artifact.facts["output_dtypes"] == ["float32"]
    assert artifact.facts["input_dtypes"] == ["int8"]
    assert any("is float32: it joins values up to" in note for note in artifact.notes)


def _outputs_db(model: Any, content: bytes) -> list[float]:
    """Decibels that each output keeps; their shapes differ."""
    runner, images = LiteRtRunner(content), _images(20, 2)
    given = runner.run({runner.inputs[0].name: images}).values()
    kept = []
    for wanted in map(np.asarray, model(images)):
        result = next(value for value in given if value.shape == wanted.shape)
        kept.append(float(10 * np.log10(np.square(wanted).sum() / np.square(wanted - result).sum())))
    return kept


def test_outputs_that_are_cut_from_what_is_joined_keep_their_parts(tmp_path: Path) -> None:
    model = cut_apart()
    artifact = _converted(model, "phone", tmp_path, PostTraining(quality="fast"))
    assert min(_outputs_db(model, artifact.runnable.read_bytes())) > COLUMN_DB
    options = PostTraining(quality="fast", mixed_outputs="one_scale")
    in_integers = _converted(model, "phone", tmp_path, options)
    assert in_integers.facts["output_dtypes"] == ["int8", "int8"]
    assert min(_outputs_db(model, in_integers.runnable.read_bytes())) < LOST_DB


def test_a_long_chain_of_joins_is_walked_once(tmp_path: Path) -> None:
    """Each of 30 joins reads the one before it twice: there are 2**30 ways from the output to the input."""
    image, x = _features()
    chain: Any = layers.GlobalAveragePooling2D()(x)
    half = chain.shape[-1] // 2
    for _ in range(30):
        chain = layers.Concatenate()([chain, chain])[:, half:-half]
    model = keras.Model(image, layers.Identity(name="out")(chain))
    artifact = _converted(model, "phone", tmp_path, PostTraining(quality="fast", integer_only=True))
    kept = _columns_db(model, artifact.runnable.read_bytes())
    assert kept.shape == (2 * half,)
    assert np.median(kept) > COLUMN_DB


@pytest.mark.parametrize("target", ["phone", "edgetpu"])
def test_what_integers_read_too_is_not_cut_off(target: str, tmp_path: Path) -> None:
    model = read_again()
    artifact = _converted(model, target, tmp_path, PostTraining(quality="fast"))
    assert min(_outputs_db(model, artifact.runnable.read_bytes())) > COLUMN_DB


def test_one_scale_for_all_columns_is_there_for_whoever_asks(tmp_path: Path) -> None:
    model = detector()
    artifact = _converted(model, "phone", tmp_path, PostTraining(mixed_outputs="one_scale"))
    assert artifact.facts["output_dtypes"] == ["int8"]
    assert _columns_db(model, artifact.runnable.read_bytes())[4:].max() < LOST_DB


def test_heads_of_their_own_stay_integers(tmp_path: Path) -> None:
    artifact = _converted(separate_heads(), "phone", tmp_path, PostTraining())
    assert artifact.facts["output_dtypes"] == ["int8", "int8"]
    assert artifact.facts["fully_integer"] is True


def map_with_a_quiet_channel(channels: int, activation: str | None) -> Any:
    """A map whose first channel is a hundredth of the others."""
    image, x = _features()
    last = layers.Conv2D(channels, 3, padding="same", activation=activation, name="out")
    model = keras.Model(image, last(x))
    kernel, bias = last.get_weights()
    last.set_weights([kernel * np.where(np.arange(channels) == 0, 0.01, 1.0), bias])
    return model


@pytest.mark.parametrize(
    ("channels", "activation", "dtype"), [(32, "relu", "int8"), (32, None, "float32"), (8, "relu", "float32")]
)
def test_rectified_features_of_a_backbone_are_one_thing(
    channels: int, activation: str | None, dtype: str, tmp_path: Path
) -> None:
    """Seen on a backbone: with its last layers in float the file took a third longer, and no channel was closer."""
    model = map_with_a_quiet_channel(channels, activation)
    artifact = _converted(model, "phone", tmp_path, PostTraining(quality="fast"))
    assert artifact.facts["output_dtypes"] == [dtype]


def test_columns_are_told_one_by_one_and_the_worst_comes_first() -> None:
    reference = np.array([[10.0, 0.1], [20.0, 0.2]], np.float32)
    columns = channel_rows(channel_statistics(reference, reference * np.array([1.1, 0.0], np.float32)))
    assert [row["channel"] for row in columns] == [1, 0]
    assert columns[0]["sqnr_db"] == pytest.approx(0.0)
    assert columns[1]["sqnr_db"] == pytest.approx(20.0, abs=1e-3)
    assert (columns[1]["low"], columns[1]["high"]) == (10.0, 20.0)


def test_a_lost_column_fails_the_gate_and_a_noisy_one_does_not() -> None:
    rng = np.random.default_rng(0)
    table = (rng.random((200, 5)) * np.array([60, 60, 60, 60, 0.05])).astype(np.float32)
    lost, noisy = table.copy(), table.copy()
    lost[:, 4] = 0.0
    noisy[:, 4] *= 1 + 0.1 * rng.normal(size=200).astype(np.float32)
    candidates = {"lost": table_runner("lost", lost), "noisy": table_runner("noisy", noisy)}
    results = compare(table_runner("float", table), candidates, rows(200)).candidates
    assert results["lost"].gate.verdict == "failed"
    assert "1 of its 5 columns are lost: column 4" in results["lost"].gate.reason
    assert results["noisy"].gate.verdict != "failed"
    assert results["lost"].diff["sqnr_db"] > 40


def test_loud_samples_do_not_hide_quiet_ones() -> None:
    table = np.ones((100, 3), np.float32)
    table[10:] *= 1000
    candidate = table.copy()
    candidate[:10] += 1.0
    result = compare(table_runner("float", table), {"it": table_runner("it", candidate)}, rows(100)).candidates["it"]
    assert result.diff["sqnr_db"] > 60
    assert result.diff["quiet_sqnr_db"] <= 0


def test_layers_over_the_rows_are_no_running_sum_and_stay_integers(tmp_path: Path) -> None:
    """Columns of different scale that a network mixes along time would take the whole of it along into float."""
    keras.utils.set_random_seed(0)
    series = keras.Input((24, 3), name="series")
    x = layers.Permute((2, 1))(series)
    for number in range(2):
        x = layers.Dense(32, activation="relu", name=f"over_time_{number}")(x)
    last = layers.Permute((2, 1), name="out")(layers.Dense(6, name="steps")(x))
    model = float_model_from_keras(keras.Model(series, last), name="mixer")
    values = np.random.default_rng(0).normal(size=(64, 24, 3)).astype(np.float32) * np.array([100, 1, 0.1], np.float32)
    samples = samples_from_arrays(values, model_inputs=model.inputs, model_outputs=model.outputs)
    content = convert_for_phone(model, samples, Recipe(), tmp_path).runnable.read_bytes()
    graph = read_tflite(content).main
    kinds = [graph.tensors[op.outputs[0]].dtype for op in graph.operators if op.name == "FULLY_CONNECTED"]
    assert kinds.count("float32") <= 1, kinds
