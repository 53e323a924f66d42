"""Real and reference models through the cloud_tpu target: converted, compiled by libtpu, run in a fresh process.

Compile results are cached, so a second run of the table is quick.  Figures are those of the largest batch size, a
column a chip.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import PREFIX, applications, keras_files, load
from tfcompress.converters.cloud_tpu import convert
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.data import samples_from_arrays
from tfcompress.errors import TfCompressError
from tfcompress.layer_names import all_layers
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras, tf

TOPOLOGIES = ("v5e:2x2", "v6e:1x1")
BATCH_SIZES = (1, 4)
ODD_BATCH = 3
OPEN_SIZE = 48  # for models that leave the image size open
FIGURES = ("hbm_bytes", "flops", "bytes_accessed", "optimal_seconds", "padding_waste")
SECONDS = 1800


def names() -> list[str]:
    """Keras files, then made models, then keras.applications at their own input size."""
    return [*keras_files(), *MADE, *applications()]


def row(name: str) -> dict[str, Any]:
    """Convert one model here, and run its artifact in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            facts = convert_case(name, Path(folder))
        except TfCompressError as error:
            return {"status": "failed", "reason": f"convert: {error}"}
        code = f"from benchmarks.table_cloud_tpu import run_case; run_case({folder!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return {"status": "failed", "reason": f"run: {last}"}
        facts |= json.loads((Path(folder) / "run.json").read_text(encoding="utf-8"))
    errors = facts.pop("compile_errors")
    return {"status": "refused" if errors else "ok", "reason": "; ".join(errors) or None, **facts}


def build(name: str) -> FloatModel:
    """The float model of a name; keras.applications' give logits, as a softmax of random ones hides every error."""
    if name not in MADE:
        model = load(name)
        if name.startswith(PREFIX):
            model.keras_model.layers[-1].activation = keras.activations.linear
        return model
    keras.utils.set_random_seed(1)
    return float_model_from_keras(MADE[name](), name=name)


def _lstm() -> Any:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((64, 32)), layers.LSTM(128, return_sequences=True), layers.LSTM(64), layers.Dense(10)]
    )


def _transformer() -> Any:
    layers = keras.layers
    inputs = keras.Input((64, 128))
    attended = layers.MultiHeadAttention(4, 32)(inputs, inputs)
    x = layers.LayerNormalization()(inputs + attended)
    hidden = layers.Dense(128)(layers.Dense(256, activation="gelu")(x))
    return keras.Model(inputs, layers.Dense(10)(layers.LayerNormalization()(x + hidden)))


MADE = {"lstm": _lstm, "transformer_encoder": _transformer}


def _inputs(model: FloatModel, count: int, pixels: bool) -> dict[str, Any]:
    """Random samples: raw pixels, indices where the model looks something up or takes integers, else normal numbers."""
    random = np.random.default_rng(0)
    embeds = any(type(layer).__name__ == "Embedding" for layer in all_layers(model.keras_model))
    arrays: dict[str, Any] = {}
    for info in model.inputs:
        shape = (count, *info.sizes(OPEN_SIZE))
        if embeds or np.dtype(info.dtype).kind in "iu":
            arrays[info.name] = random.integers(0, 2, shape).astype(info.dtype)
        else:
            drawn = random.uniform(0, 255, shape) if pixels else random.normal(size=shape)
            arrays[info.name] = drawn.astype(info.dtype)
    return arrays


def convert_case(case: str, folder: Path) -> dict[str, Any]:
    """Convert a case into `folder`, and keep the float model's answers there."""
    model = build(case)
    inputs = _inputs(model, max(BATCH_SIZES), case.startswith(PREFIX))
    samples = samples_from_arrays(inputs, model_inputs=model.inputs, model_outputs=model.outputs)
    recipe = Recipe(cloud_tpu=CloudTpu(topologies=TOPOLOGIES, batch_sizes=BATCH_SIZES))
    (folder / "artifact").mkdir()
    artifact = convert(model, samples, recipe, folder / "artifact")
    np.savez(folder / "inputs.npz", **inputs)
    expected: dict[str, Any] = dict(model.predict(inputs))
    np.savez(folder / "outputs.npz", **expected)
    compiled: list[dict[str, Any]] = list(artifact.facts["compile"])  # type: ignore[call-overload]
    largest = [row for row in compiled if row["batch_size"] == max(BATCH_SIZES)]
    return {
        "bytes": artifact.facts["bytes"],
        "float_bytes": model.float_bytes,
        "compile_errors": sorted({f"{row['topology']}: {row['error']}" for row in compiled if not row["ok"]}),
        **{f"{row['topology']} {figure}": row[figure] for row in largest for figure in FIGURES},
    }


def run_case(where: str) -> None:
    """Run the artifact at each batch size and at one that is none of them; how far it is from the float model."""
    folder = Path(where)
    inputs, expected = np.load(folder / "inputs.npz"), np.load(folder / "outputs.npz")
    signatures = tf.saved_model.load(str(folder / "artifact/saved_model/1")).signatures
    worst = float("inf")
    for name, size in [*((f"batch_{size}", size) for size in BATCH_SIZES), ("serving_default", ODD_BATCH)]:
        results = signatures[name](**{key: tf.constant(inputs[key][:size]) for key in inputs.files})
        for key, result in results.items():
            noise = float(((result.numpy().astype("f8") - expected[key][:size]) ** 2).sum())
            signal = float((expected[key][:size].astype("f8") ** 2).sum())
            worst = min(worst, 10 * np.log10(signal / noise)) if noise and signal else worst
    result = {"sqnr_db": round(worst, 1) if np.isfinite(worst) else None}
    (folder / "run.json").write_text(json.dumps(result), encoding="utf-8")
