"""How a text becomes numbers is told to MediaPipe only where MediaPipe can follow it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfcompress.load import float_model_from_keras
from tfcompress.load.preprocessing import split_preprocessing
from tfcompress.load.words import words_of
from tfcompress.runtime import keras, tf_keras
from tfcompress.usage import Words

TEXTS = np.array(["the cat sat", "a dog ran", "the dog sat"])


def text_model(library: Any, words: list[str] | None = None, **settings: object) -> Any:
    layers = library.layers
    chosen = {"output_sequence_length": 4, "standardize": "lower", **settings}
    vectorize = layers.TextVectorization(name="vec", vocabulary=words, **chosen)
    if words is None:
        vectorize.adapt(TEXTS)
    text = library.Input((1,), dtype="string", name="text")
    numbers = vectorize(text)
    middle = layers.Embedding(20, 4)(numbers) if numbers.dtype == "int64" else layers.Reshape((-1, 1))(numbers)
    return library.Model(text, layers.Dense(2)(layers.GlobalAveragePooling1D()(middle)))


def words_told_of(model: Any) -> tuple[Words, str] | None:
    parts = split_preprocessing(float_model_from_keras(model))
    assert parts is not None
    return words_of(parts[0])


@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_a_vocabulary_is_told_with_the_number_of_each_word(library: Any) -> None:
    told_words = words_told_of(text_model(library, ["cat", "dog"]))
    assert told_words == (Words("lower", r"\s+", "vec.numbered.txt"), "<PAD> 0\n<UNKNOWN> 1\ncat 2\ndog 3\n")


@pytest.mark.parametrize(
    "settings",
    [
        {"split": "character"},
        {"ngrams": 2},
        {"output_mode": "multi_hot", "output_sequence_length": None},
        {"output_sequence_length": None},
        {"standardize": "strip_punctuation"},
        {"words": ["cat", "two words"]},
        {"words": ["cat", "<START>"]},
    ],
    ids=str,
)
def test_what_mediapipe_cannot_follow_is_not_told(settings: dict[str, Any]) -> None:
    assert words_told_of(text_model(keras, **settings)) is None


def test_without_a_front_part_there_are_no_words() -> None:
    assert words_of(None) is None


@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras3", "tf_keras"])
def test_numbers_that_embeddings_alone_read_are_int32_and_others_stay_as_they_are(library: Any) -> None:
    parts = split_preprocessing(float_model_from_keras(text_model(library)))
    assert parts is not None
    assert [info.dtype for info in parts[1].inputs] == ["int32"]
    text = library.Input((1,), dtype="string", name="text")
    numbers = library.layers.StringLookup(vocabulary=["cat"], name="look")(text)
    scaled = library.layers.Rescaling(0.5)(numbers)
    parts = split_preprocessing(float_model_from_keras(library.Model(text, library.layers.Dense(2)(scaled))))
    assert parts is not None
    assert [info.dtype for info in parts[1].inputs] == ["int64"]
