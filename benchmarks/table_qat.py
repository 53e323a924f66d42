"""Quantization-aware training of real models with no configuration: wrap, one training step, int8 file, agreement.

Keras files of ../shared and one model of each keras.applications family at 96x96 with random weights.  Inputs are
smooth random arrays; the simulation and the file get the same.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import applications, keras_files, load
from tfcompress.accuracy_diff import runner_for
from tfcompress.converters.phone import convert
from tfcompress.data import samples_from_arrays
from tfcompress.errors import TfCompressError
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import Distillation, Quantization, Recipe, Training
from tfcompress.wrappers import finetune

SECONDS = 900
CALIBRATION, STEP, EVALUATION = 32, 8, 256
OPEN_SIZE = 32
PICTURE_SIZE = 96  # of the keras.applications networks, in pixels


def names() -> list[str]:
    """One row a model."""
    return [*keras_files(), *applications()]


def row(name: str) -> dict[str, Any]:
    """Wrap, train one step, convert and compare one model."""
    recipe = Recipe(
        quantization=Quantization(), distillation=Distillation(), training=Training(epochs=1, batch_size=STEP)
    )
    try:
        model = load(name, size=PICTURE_SIZE)
        inputs = {info.name: _inputs(info.shape, info.dtype) for info in model.inputs}

        def part(start: int, stop: int) -> Any:
            arrays = {key: value[start:stop] for key, value in inputs.items()}
            return samples_from_arrays(arrays, model_inputs=model.inputs, model_outputs=model.outputs)

        done = finetune(model.keras_model, recipe, part(0, STEP))
        trained = float_model_from_keras(done.trained)
        with tempfile.TemporaryDirectory() as folder:
            artifact = convert(trained, part(0, CALIBRATION), recipe, Path(folder))
            facts = dict(artifact.facts)
            held_out = {key: value[-EVALUATION:] for key, value in inputs.items()}
            agreement = _agreement(trained, artifact.runnable, held_out)
    except TfCompressError as error:
        return {"status": "failed", "reason": str(error)}
    return {
        "status": "fully_integer" if facts["fully_integer"] else "partly_float",
        "reason": "; ".join(done.notes)[:300] or None,
        **agreement,
    }


def _inputs(shape: tuple[int | None, ...], dtype: str) -> np.ndarray:
    """[CALIBRATION + EVALUATION, ...] of sums of a coarse and a fine random field."""
    sizes = [OPEN_SIZE if size is None else size for size in shape[1:]]
    random = np.random.default_rng(0)
    count = CALIBRATION + EVALUATION
    if dtype.startswith("int"):
        return random.integers(0, 2, (count, *sizes)).astype(dtype)
    coarse = random.normal(size=(count, *[-(-size // 8) for size in sizes]))
    for axis, size in enumerate(sizes, 1):
        coarse = np.repeat(coarse, 8, axis=axis).take(np.arange(size), axis=axis)
    return (coarse + 0.3 * random.normal(size=(count, *sizes))).astype(np.float32)


def _agreement(trained: Any, path: Path, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Of the first output: share of equal argmax, and the largest difference in quantization steps."""
    name = trained.outputs[0].name
    simulated = np.concatenate(
        [trained.predict({k: v[i : i + 32] for k, v in inputs.items()})[name] for i in range(0, EVALUATION, 32)]
    )
    runner = runner_for(path)
    got = np.concatenate(
        [
            next(iter(runner.run({k: v[i : i + 32] for k, v in inputs.items()}).values()))
            for i in range(0, EVALUATION, 32)
        ]
    )
    flat, other = simulated.reshape(EVALUATION, -1), got.reshape(EVALUATION, -1)
    result: dict[str, Any] = {
        "max_error_share_of_range": round(float(np.abs(flat - other).max() / (np.ptp(flat) or 1)), 4)
    }
    if flat.shape[1] > 1:
        result["top1_agreement"] = round(float((flat.argmax(1) == other.argmax(1)).mean()), 4)
    return result
