"""The int8 .tflite of every model at hand, made once and shared by the tables of compiled targets.

Files are kept in ``$TFCOMPRESS_INT8_FILES`` (a folder in the system's temporary one by default), named by the model
and by a hash of the options that make them, so that each table need not convert anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fair_inputs import real_inputs
from benchmarks.inputs import inputs_for
from benchmarks.models import PREFIX, applications, keras_files, load
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.litert import quantize_int8
from tfcompress.data import samples_from_arrays
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe

__all__ = ["inputs_of", "inputs_of_file", "int8_file", "is_large", "load_small", "names"]

CALIBRATION_SAMPLES = 32
LARGE_CALIBRATION_SAMPLES = 4
# Of the pictures of keras.applications networks: their operators are those of the usual 224 pixels, in less time.
LARGE_SIDE = 96
INPUTS_VERSION = 2  # of `fair_inputs`, which says what a file is calibrated on
RECIPE = Recipe(post_training=PostTraining(quality="fast"))


def names() -> list[str]:
    """Every Keras file that loads, and the keras.applications networks."""
    return [*keras_files(), *applications()]


def is_large(name: str) -> bool:
    """Whether a model takes seconds a sample in an emulator: a keras.applications network."""
    return name.startswith(PREFIX)


def load_small(name: str) -> FloatModel:
    """The model; a keras.applications network takes pictures of `LARGE_SIDE`."""
    return load(name, size=LARGE_SIDE if is_large(name) else None)


def inputs_of(name: str, model: FloatModel, count: int) -> dict[str, np.ndarray]:
    """{input: [count, ...]}: what the model was made for where that is at hand, else made up."""
    shape = tuple(size or 1 for size in model.inputs[0].shape[1:])
    real = real_inputs(name, shape) if len(model.inputs) == 1 and not is_large(name) else None
    if real is not None:
        return {model.inputs[0].name: np.resize(real, (count, *shape))}
    inputs = inputs_for(model, count)
    return {key: np.resize(value, (count, *value.shape[1:])) for key, value in inputs.items()}


def inputs_of_file(name: str, content: bytes, count: int) -> dict[str, np.ndarray]:
    """`inputs_of` by the .tflite's own names; the Keras model is loaded only where an input may carry indices."""
    infos = LiteRtRunner(content).inputs
    if all(info.dtype == "int8" for info in infos):
        inputs = tuple(dataclasses.replace(info, dtype="float32") for info in infos)
        stand_in = FloatModel(name, "tflite", None, "saved_model", None, inputs, (), lambda values: {})
        return inputs_of(name, stand_in, count)
    arrays = inputs_of(name, load_small(name), count)
    return {info.name: value for info, value in zip(infos, arrays.values(), strict=True)}


def int8_file(name: str) -> bytes:
    """The model in int8, from the folder or made now.

    Raises:
        TfCompressError: the model cannot be loaded or converted.
    """
    folder = Path(os.environ.get("TFCOMPRESS_INT8_FILES", Path(tempfile.gettempdir()) / "tfcompress_int8_files"))
    path = folder / f"{name.replace('/', '__')}.{_fingerprint(name)}.tflite"
    if path.exists():
        return path.read_bytes()
    model = load_small(name)
    count = LARGE_CALIBRATION_SAMPLES if is_large(name) else CALIBRATION_SAMPLES
    arrays: Any = inputs_of(name, model, count)
    samples = samples_from_arrays(arrays, model_inputs=model.inputs, model_outputs=model.outputs)
    content = quantize_int8(model, samples, RECIPE).content
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def _fingerprint(name: str) -> str:
    text = f"{RECIPE.post_training} {CALIBRATION_SAMPLES} {LARGE_CALIBRATION_SAMPLES} {INPUTS_VERSION}"
    text += f" {LARGE_SIDE}" if is_large(name) else ""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
