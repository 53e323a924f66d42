"""Real and reference models through the cloud_tpu target: converted, compiled by libtpu, run in a fresh process.

Each model is one subprocess, ``python -m benchmarks.table_cloud_tpu convert CASE FOLDER``, and its artifact is run by
another.  Compile results are cached, so a second run of the table is quick.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parents[2] / "shared"
APPLICATIONS = (
    "MobileNetV3Small",
    "MobileNetV2",
    "EfficientNetB0",
    "ResNet50",
    "ConvNeXtTiny",
    "MobileNet",
    "EfficientNetV2B0",
    "ResNet50V2",
    "DenseNet121",
    "Xception",
    "InceptionV3",
    "NASNetMobile",
    "VGG16",
    "InceptionResNetV2",
)
MADE = ("lstm", "transformer_encoder")
TOPOLOGIES = ("v5e:2x2", "v6e:1x1")
BATCH_SIZES = (1, 4)
ODD_BATCH = 3
OPEN_SIZE = 48  # for models that leave the image size open
SECONDS = 1800


def cases() -> list[str]:
    """Names of all cases: files of INDEX.csv that load, then made models, then keras.applications."""
    return [*files(), *MADE, *APPLICATIONS]


def files() -> dict[str, Path]:
    """{case: model file} of the Keras files in ``../shared/INDEX.csv`` that load without custom objects."""
    if not (SHARED / "INDEX.csv").exists():
        return {}
    found = {}
    with open(SHARED / "INDEX.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            loads = row["loads_in"]
            if row["format"] != "tflite" and not loads.startswith("NONE") and "custom_objects" not in loads:
                path = SHARED / row["file"]
                found[f"{row['name']}/{path.name}"] = path
    return found


def rows() -> list[dict[str, Any]]:
    """One row a case."""
    return [row_of(case) for case in cases()]


def row_of(case: str) -> dict[str, Any]:
    """Convert and check one case; a failure is a row with its one-line cause."""
    with tempfile.TemporaryDirectory() as folder:
        row: dict[str, Any] = {"model": case}
        for step in ("convert", "run"):
            command = [sys.executable, "-m", "benchmarks.table_cloud_tpu", step, case, folder]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=SECONDS, cwd=Path(__file__).parents[1]
                )
            except subprocess.TimeoutExpired:
                return row | {"status": "failed", "reason": f"{step}: more than {SECONDS} s"}
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no message"])[-1]
                return row | {"status": "failed", "reason": f"{step}: {last}"}
            row |= json.loads(done.stdout.splitlines()[-1])
    proven = not row["compile_errors"]
    return row | {"status": "ok" if proven else "refused", "reason": "; ".join(row.pop("compile_errors"))}


def build(case: str) -> Any:
    """The float model of a case."""
    from tfcompress.load import float_model_from_keras, load_model
    from tfcompress.runtime import keras

    if case in files():
        return load_model(str(files()[case]), allow_unsafe_deserialization=True)
    keras.utils.set_random_seed(1)
    makers: dict[str, Callable[[], Any]] = {"lstm": _lstm, "transformer_encoder": _transformer}
    make = makers.get(case) or (lambda: getattr(keras.applications, case)(weights=None))
    return float_model_from_keras(make(), name=case)


def _lstm() -> Any:
    from tfcompress.runtime import keras

    layers = keras.layers
    return keras.Sequential(
        [keras.Input((64, 32)), layers.LSTM(128, return_sequences=True), layers.LSTM(64), layers.Dense(10)]
    )


def _transformer() -> Any:
    from tfcompress.runtime import keras

    layers = keras.layers
    inputs = keras.Input((64, 128))
    attended = layers.MultiHeadAttention(4, 32)(inputs, inputs)
    x = layers.LayerNormalization()(inputs + attended)
    hidden = layers.Dense(128)(layers.Dense(256, activation="gelu")(x))
    return keras.Model(inputs, layers.Dense(10)(layers.LayerNormalization()(x + hidden)))


def _inputs(model: Any, count: int) -> dict[str, Any]:
    import numpy as np

    random = np.random.default_rng(0)
    arrays = {}
    for info in model.inputs:
        shape = (count, *(OPEN_SIZE if size is None else size for size in info.shape[1:]))
        integer = np.dtype(info.dtype).kind in "iu"
        arrays[info.name] = (
            random.integers(0, 9, shape).astype(info.dtype) if integer else random.normal(size=shape).astype(info.dtype)
        )
    return arrays


def convert_case(case: str, folder: Path) -> dict[str, Any]:
    """Convert a case into `folder`, and keep the float model's answers there."""
    import numpy as np

    from tfcompress.converters.cloud_tpu import convert
    from tfcompress.data import samples_from_arrays
    from tfcompress.recipe import CloudTpu, Recipe

    model = build(case)
    inputs = _inputs(model, max(BATCH_SIZES))
    samples = samples_from_arrays(inputs, model_inputs=model.inputs, model_outputs=model.outputs)
    recipe = Recipe(cloud_tpu=CloudTpu(topologies=TOPOLOGIES, batch_sizes=BATCH_SIZES))
    (folder / "artifact").mkdir()
    artifact = convert(model, samples, recipe, folder / "artifact")
    np.savez(folder / "inputs.npz", **inputs)
    np.savez(folder / "outputs.npz", **model.predict(inputs))
    compiled: list[dict[str, Any]] = list(artifact.facts["compile"])  # type: ignore[call-overload]
    largest = next(row for row in compiled if row["batch_size"] == max(BATCH_SIZES))
    return {
        "bytes": artifact.facts["bytes"],
        "float_bytes": model.float_bytes,
        "compile_errors": sorted({str(row["error"]) for row in compiled if not row["ok"]}),
        **{
            key: largest[key]
            for key in ("topology", "batch_size", "hbm_bytes", "flops", "bytes_accessed", "optimal_seconds")
        },
    }


def run_case(folder: Path) -> dict[str, Any]:
    """Run the artifact at each batch size and at one that is none of them; how far it is from the float model."""
    import numpy as np

    from tfcompress.runtime import tf

    inputs, expected = np.load(folder / "inputs.npz"), np.load(folder / "outputs.npz")
    signatures = tf.saved_model.load(str(folder / "artifact/saved_model/1")).signatures
    worst = float("inf")
    for name, size in [*((f"batch_{size}", size) for size in BATCH_SIZES), ("serving_default", ODD_BATCH)]:
        results = signatures[name](**{key: tf.constant(inputs[key][:size]) for key in inputs.files})
        for key, result in results.items():
            noise = float(((result.numpy().astype("f8") - expected[key][:size]) ** 2).sum())
            signal = float((expected[key][:size].astype("f8") ** 2).sum())
            worst = min(worst, 10 * np.log10(signal / noise)) if noise and signal else worst
    return {"sqnr_db": round(worst, 1) if np.isfinite(worst) else None}


if __name__ == "__main__":
    step, case, where = sys.argv[1:]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    facts = convert_case(case, Path(where)) if step == "convert" else run_case(Path(where))
    print(json.dumps(facts))
