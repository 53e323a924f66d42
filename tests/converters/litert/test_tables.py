"""A SavedModel that looks words up in tables is refused in one line, as TFLiteConverter loses the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfcompress.converters.litert import to_float_tflite
from tfcompress.errors import ConversionError
from tfcompress.load import load_model
from tfcompress.model import FloatModel
from tfcompress.runtime import tf, tf_keras

layers = tf_keras.layers


def test_text_in_a_saved_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    word = tf_keras.Input((1,), dtype=tf.string, name="word")
    index = layers.StringLookup(vocabulary=["red", "green"])(word)
    model = tf_keras.Model(word, layers.Dense(2)(layers.Flatten()(layers.Embedding(4, 3)(index))))
    model.save(tmp_path / "saved", save_format="tf")
    with pytest.raises(ConversionError, match=r"'word' takes text, which .*; give the model as \.keras"):
        to_float_tflite(load_model(tmp_path / "saved"))


def test_what_else_the_converter_says_of_a_model_with_text_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(converter: object, model: FloatModel) -> bytes:
        raise ConversionError(f"{model.name}: TFLite has no builtin operator for Lgamma")

    word = tf_keras.Input((1,), dtype=tf.string, name="word")
    tf_keras.Model(word, tf.strings.length(word)).save(tmp_path / "saved", save_format="tf")
    model = load_model(tmp_path / "saved")
    monkeypatch.setattr("tfcompress.converters.litert.float_tflite.convert_with", refuse)
    with pytest.raises(ConversionError, match=r"'word' takes text, .*; TFLite has no builtin operator for Lgamma$"):
        to_float_tflite(model)
