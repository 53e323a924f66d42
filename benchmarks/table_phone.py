"""Real Keras files through the phone target: what converts, with which engine, and how close it stays to float.

Where a vendor's own int8 file of the same model lies beside it, its closeness to the same float model is given too, on
inputs like those that the model was made for (`benchmarks.fair_inputs`).  Inputs of the other models are photos,
resized, for models of images, and smooth random ones for the rest.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fair_inputs import photos, photos_of, real_inputs
from benchmarks.models import SHARED, keras_files, load
from tfcompress.converters.phone import convert
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.errors import TfCompressError
from tfcompress.graphs.tflite.interpreter import new_interpreter
from tfcompress.graphs.tflite.quantization import to_real, to_stored
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.recipe import PostTraining, Recipe

SECONDS = 600
COUNT = 300  # of inputs that are made up; the first half calibrates, the second is compared
OPEN_SIZE = 32
BALANCED, BEST = (Recipe(post_training=PostTraining(quality=quality)) for quality in ("balanced", "best"))


def names() -> list[str]:
    """One row a Keras file of the index that loads."""
    return list(keras_files())


def has_published(name: str) -> bool:
    """Whether the vendor's own int8 file lies beside the model."""
    return _published(SHARED / "models" / name) is not None


def row(name: str) -> dict[str, Any]:
    """Convert one model and compare it, and the vendor's own int8 file, with the float model."""
    try:
        with silenced():
            model = load(name)
    except TfCompressError as error:
        return {"status": "not_loaded", "reason": str(error)}
    inputs = {info.name: _inputs(name, model, info.shape, info.dtype) for info in model.inputs}
    try:
        return _converted(model, inputs, SHARED / "models" / name)
    except TfCompressError as error:
        return {"status": "failed", "reason": str(error)}


def _converted(model: FloatModel, inputs: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    half = len(next(iter(inputs.values()))) // 2
    calibration = {name: value[:half] for name, value in inputs.items()}
    held_out = {name: value[half:] for name, value in inputs.items()}
    samples = samples_from_arrays(calibration, model_inputs=model.inputs, model_outputs=model.outputs)
    truth = model.predict(held_out)[model.outputs[0].name]
    try:
        facts, ours = _made(model, samples, BALANCED, truth, held_out)
    except RuntimeError as error:  # LiteRT's only way to say that it cannot run a file
        return {"status": "does_not_run", "reason": " ".join(str(error).split())}
    engine: Any = facts["engine"]
    result = {
        "status": "fully_integer" if facts["fully_integer"] else "converted",
        "reason": f"{engine['name']}: {engine['reason']}",
        "bytes": facts["bytes"],
        **_named("our", ours),
    }
    published = _published(path)
    if published is not None:
        result |= _named("best", _made(model, samples, BEST, truth, held_out)[1])
        result |= _named("published", _closeness(truth, _run(published, list(held_out.values()))))
    return result


def _made(
    model: FloatModel, samples: Samples, recipe: Recipe, truth: np.ndarray, held_out: dict[str, np.ndarray]
) -> tuple[dict[str, object], dict[str, float]]:
    """The facts of our file, and its closeness to the float model."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = convert(model, samples, recipe, Path(folder))
        return dict(artifact.facts), _closeness(truth, _run(artifact.runnable, list(held_out.values())))


def _named(whose: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{whose}_{key}": value for key, value in figures.items()}


def _inputs(name: str, model: FloatModel, shape: tuple[int | None, ...], dtype: str) -> np.ndarray:
    """[n, ...] inputs that a model with this input shape could have been made for."""
    sizes = [OPEN_SIZE if size is None else size for size in shape[1:]]
    random = np.random.default_rng(0)
    real = real_inputs(name, tuple(sizes))
    if real is not None:
        return real
    embeds = any(type(layer).__name__ == "Embedding" for layer in all_layers(model.keras_model))
    if np.dtype(dtype).kind in "iu" or embeds:
        return random.integers(0, 2, (COUNT, *sizes)).astype(dtype)
    if photos() is not None and len(sizes) == 3 and sizes[-1] in (1, 3) and min(sizes[:2]) >= 24:
        return photos_of(tuple(sizes))[:COUNT] / 255
    walk = np.cumsum(random.normal(size=(COUNT, int(np.prod(sizes)))), axis=1)
    walk = (walk - walk.mean(axis=1, keepdims=True)) / walk.std(axis=1, keepdims=True)
    return walk.reshape(COUNT, *sizes).astype(dtype)


def _published(path: Path) -> Path | None:
    """The vendor's int8 file beside a float model."""
    for name in (f"{path.stem}.tflite", f"{path.stem}_quant.tflite", f"{path.stem}_int8.tflite"):
        beside = path.parent / name
        if beside.exists() and (path.parent.name.startswith("mltk") or name != f"{path.stem}.tflite"):
            return beside
    return None


def _run(path: Path, inputs: list[np.ndarray]) -> np.ndarray:
    """Real values of the first output, sample by sample."""
    interpreter = new_interpreter(path.read_bytes())
    details, output = interpreter.get_input_details(), interpreter.get_output_details()[0]
    results = []
    for index in range(len(inputs[0])):
        for value, detail in zip(inputs, details, strict=True):
            sample = value[index : index + 1]
            if list(detail["shape"]) != list(sample.shape):
                interpreter.resize_tensor_input(detail["index"], sample.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(detail["index"], to_stored(sample, detail))
        interpreter.invoke()
        results.append(to_real(interpreter.get_tensor(output["index"]), output))
    return np.concatenate(results)


def _closeness(truth: np.ndarray, value: np.ndarray) -> dict[str, float]:
    """Top-1 agreement over the last axis, and SQNR in decibels."""
    value = value.reshape(truth.shape)
    noise = float(np.mean((truth - value) ** 2))
    agreement = float(np.mean(truth.argmax(axis=-1) == value.argmax(axis=-1)))
    return {
        "agreement": round(agreement, 4),
        "sqnr_db": round(
            10 * float(np.log10(max(float(np.mean(truth.astype(np.float64) ** 2)), 1e-30) / max(noise, 1e-30))), 2
        ),
    }
