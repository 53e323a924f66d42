"""Every real Keras file of ../shared through `load_model`: what it became, or why not."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.models import SHARED, index, load_entry
from tfcompress.errors import TfCompressError
from tfcompress.load.inspection import model_macs
from tfcompress.load.keras_versions.equivalence import random_inputs

__all__ = ["SECONDS", "entries", "names", "row"]

SECONDS = 300


def entries() -> dict[str, dict[str, str]]:
    """{name: row} of the index's models to load, which the .tflite files are not."""
    return {row["file"].removeprefix("models/"): row for row in index() if row["format"] != "tflite"}


def names() -> list[str]:
    """One row per file."""
    return list(entries())


def row(name: str) -> dict[str, Any]:
    """Load one file of the index and predict with it."""
    started, entry = time.perf_counter(), entries()[name]
    try:
        model = load_entry(entry)
        values = random_inputs(model.inputs)
        outputs = model.predict({info.name: np.asarray(x) for info, x in zip(model.inputs, values, strict=True)})
    except TfCompressError as error:
        return {"status": "refused", "reason": str(error).replace(f"{SHARED}/models/", "")}
    finite = all(np.isfinite(value).all() for value in outputs.values())
    return {
        "status": "ok" if finite else "not finite",
        "reason": None,
        "saved_with": entry["saved_with_keras"] or None,
        "loaded_as": model.flavor,
        "parameters": model.parameters,
        "macs": model_macs(model),
        "seconds": round(time.perf_counter() - started, 2),
    }
