"""Models that begin with text, categories or bins: the artifact begins behind them, and the diff runs both parts."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tfcompress.data import open_data
from tfcompress.data.front_part import behind_front
from tfcompress.layer_names import all_layers
from tfcompress.load import float_model_from_keras, load_model
from tfcompress.load.preprocessing import split_preprocessing
from tfcompress.recipe import Pruning, Recipe, Training
from tfcompress.runtime import keras, tf_keras

LIBRARIES = pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras3", "tf_keras"])
WORDS = np.array(["the", "cat", "sat", "on", "a", "mat", "and", "the", "dog", "ran", "fast"])


def texts(count: int = 24) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.array([[" ".join(generator.choice(WORDS, 6))] for _ in range(count)])


def text_model(library: Any) -> Any:
    layers = library.layers
    vectorize = layers.TextVectorization(max_tokens=20, output_sequence_length=8, name="vectorize")
    vectorize.adapt(texts()[:, 0])
    text = library.Input((1,), dtype="string", name="text")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(20, 8)(vectorize(text)))
    return library.Model(text, layers.Dense(2, activation="softmax")(x))


def structured_model(library: Any) -> Any:
    """Several inputs, as in the tutorial on structured data; one of them goes into both parts."""
    layers = library.layers
    color = library.Input((1,), dtype="string", name="color")
    area = library.Input((1,), dtype="int64", name="area")
    age = library.Input((1,), name="age")
    normalize = layers.Normalization(mean=40.0, variance=100.0, name="normalize")
    words = layers.StringLookup(vocabulary=["red", "green"], output_mode="one_hot", name="color_lookup")
    areas = layers.CategoryEncoding(num_tokens=4, output_mode="one_hot", name="area_code")
    bins = layers.Discretization(bin_boundaries=[30.0, 50.0], output_mode="one_hot", name="age_bins")
    hashed = layers.Hashing(num_bins=3, name="hash")
    parts = [
        words(color),
        areas(layers.IntegerLookup(vocabulary=[7, 8, 9], name="area_lookup")(area)),
        normalize(age),
        bins(age),
        layers.Flatten()(layers.Embedding(3, 2)(hashed(color))),
    ]
    x = layers.Dense(8, activation="relu")(layers.Concatenate()(parts))
    return library.Model({"color": color, "area": area, "age": age}, layers.Dense(2, activation="softmax")(x))


def people(count: int = 24) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "color": generator.choice(["red", "green", "blue"], (count, 1)),
        "area": generator.integers(6, 10, (count, 1)),
        "age": generator.normal(40, 10, (count, 1)).astype(np.float32),
    }


@LIBRARIES
def test_both_parts_together_compute_what_the_whole_model_computes(library: Any) -> None:
    for model, given in ((text_model(library), {"text": texts()}), (structured_model(library), people())):
        whole = float_model_from_keras(model)
        parts = split_preprocessing(whole)
        assert parts is not None
        front, rest = parts
        assert not {info.dtype for info in rest.inputs} & {"string"}
        (expected,) = whole.predict(
            {k: v.astype(object) if v.dtype.kind == "U" else v for k, v in given.items()}
        ).values()
        (actual,) = rest.predict(front(given)).values()
        np.testing.assert_array_equal(actual, expected)


def test_layers_that_compute_with_numbers_stay_in_the_artifact() -> None:
    model = structured_model(keras)
    parts = split_preprocessing(float_model_from_keras(model))
    assert parts is not None
    kinds = {type(layer).__name__ for layer in parts[1].keras_model.layers}
    assert kinds == {"InputLayer", "Normalization", "Embedding", "Flatten", "Concatenate", "Dense"}
    assert sorted(info.name for info in parts[1].inputs) == ["age", "age_bins", "area_code", "color_lookup", "hash"]
    assert model.get_layer("normalize").output is not None  # the user's layers are still called once


def test_a_model_of_numbers_is_not_cut() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Rescaling(0.5)(x)))
    assert split_preprocessing(float_model_from_keras(model)) is None


def test_names_out_of_a_model_are_no_markdown_and_no_paths(tmp_path: Path) -> None:
    x = keras.Input((1,), dtype="string", name="in`put\n# big")
    y = keras.layers.StringLookup(vocabulary=["a"], name="\\..\\" + "n" * 300)(x)
    parts = split_preprocessing(float_model_from_keras(keras.Model(x, keras.layers.Embedding(3, 2)(y))))
    assert parts is not None
    parts[0].write(tmp_path)
    assert "- takes: `in_put___big` [None, 1] string\n" in (tmp_path / "USE.md").read_text("utf-8")
    assert [path.stem for path in tmp_path.glob("*.txt")] == ["_.._" + "n" * 96]


@LIBRARIES
def test_text_goes_to_a_fully_integer_file_with_its_vocabulary_beside_it(library: Any, tmp_path: Path) -> None:
    text_model(library).save(tmp_path / "model.keras")
    data = (texts(), np.arange(24) % 2)
    result = tfcompress.convert(
        tmp_path / "model.keras", output=tmp_path / "out", targets="phone", calibration=data, no_cache=True
    )
    phone = result.report["targets"]["phone"]
    assert phone["fully_integer"]
    assert phone["diff"]["sqnr_db"] > 20
    beside = tmp_path / "out/phone/preprocessing"
    assert {path.name for path in beside.iterdir()} == {"USE.md", "front.keras", "rules.json", "vectorize.txt"}
    assert (beside / "vectorize.txt").read_text(encoding="utf-8").splitlines()[:3] == ["", "[UNK]", "the"]
    rules = json.loads((beside / "rules.json").read_text(encoding="utf-8"))
    assert [step["class"] for step in rules["steps"]] == ["TextVectorization"]
    assert rules["artifact_inputs"] == [{"name": "vectorize", "shape": [None, 8], "dtype": "int32"}]
    front = library.models.load_model(beside / "front.keras")
    assert np.asarray(front(library.ops.convert_to_tensor(texts()) if library is keras else texts())).shape == (24, 8)


def test_samples_behind_another_vocabulary_are_other_samples() -> None:
    """The rest of two models may be the same file, and the cache must not give one the ranges of the other."""
    parts = split_preprocessing(float_model_from_keras(text_model(keras)))
    assert parts is not None
    front, rest = parts
    raw = dataclasses.replace(open_data({"text": texts()}, front.raw, rest.outputs), content="the same texts")

    def identity(front_part: str | None) -> str | None:
        return behind_front(raw, front, rest.inputs, fingerprint=front_part).identity

    assert identity("one vocabulary") == identity("one vocabulary")
    assert identity("one vocabulary") != identity("another")
    assert identity(None) is None  # of a model that nothing can name


@LIBRARIES
def test_a_diff_runs_the_front_part_before_the_artifact(library: Any, tmp_path: Path) -> None:
    text_model(library).save(tmp_path / "model.keras")
    data = (texts(48), np.arange(48) % 2)
    tfcompress.convert(
        tmp_path / "model.keras", output=tmp_path / "out", targets="phone", calibration=data, no_cache=True
    )
    for order in (("model.keras", "out/phone/model.tflite"), ("out/phone/model.tflite", "model.keras")):
        compared = tfcompress.diff(tmp_path / order[0], tmp_path / order[1], evaluation=data)
        assert compared["candidate"]["diff"]["sqnr_db"] > 20


@LIBRARIES
def test_a_diff_of_two_whole_models_gives_both_the_raw_text(library: Any, tmp_path: Path) -> None:
    model = text_model(library)
    compared = tfcompress.diff(model, model, evaluation=(texts(), np.arange(24) % 2))
    assert compared["candidate"]["diff"]["max_abs_error"] == 0


@LIBRARIES
def test_compress_trains_what_is_behind_the_front_part_and_saves_both(library: Any, tmp_path: Path) -> None:
    recipe = Recipe(pruning=Pruning(sparsity=0.5), training=Training(epochs=1))
    data = (texts(), np.arange(24) % 2)
    tfcompress.compress(text_model(library), recipe=recipe, train=data, output=tmp_path / "pruned.keras")
    loaded = load_model(tmp_path / "pruned.keras")
    assert loaded.inputs[0].dtype == "string"
    (answer,) = loaded.predict({loaded.inputs[0].name: texts().astype(object)}).values()
    assert answer.shape == (24, 2)
    weights = [np.asarray(weight) for layer in all_layers(loaded.keras_model) for weight in layer.trainable_weights]
    assert any(weight.ndim == 2 and np.mean(weight == 0) >= 0.5 for weight in weights)
    parts = split_preprocessing(loaded)
    assert parts is not None
    assert [info.dtype for info in parts[1].inputs] == ["int64"]


def test_rules_and_vocabularies_are_in_the_metadata_of_the_file(tmp_path: Path) -> None:
    data = (texts(), np.arange(24) % 2)
    tfcompress.convert(
        text_model(keras),
        output=tmp_path / "out",
        targets="phone",
        calibration=data,
        labels=["cat", "dog"],
        no_cache=True,
    )
    with zipfile.ZipFile(tmp_path / "out/phone/model.tflite") as archive:
        assert sorted(archive.namelist()) == [
            "labels.txt",
            "rules.json",
            "vectorize.numbered.txt",
            "vectorize.txt",
        ]
        beside = tmp_path / "out/phone/preprocessing"
        for name in ("rules.json", "vectorize.txt"):
            assert archive.read(name) == (beside / name).read_bytes()
        assert archive.read("labels.txt") == b"cat\ndog\n"
