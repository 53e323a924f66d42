"""Every real model of ../shared through `load_model`: what it became, or why not."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.load.custom_layers import custom_objects_for
from tfcompress.errors import TfCompressError
from tfcompress.load import load_model
from tfcompress.load.equivalence import random_inputs
from tfcompress.load.inspection import model_macs

__all__ = ["SHARED", "load_row", "rows"]

SHARED = Path(__file__).parents[2] / "shared"


def index() -> list[dict[str, str]]:
    """The rows of the index that are models to load, without the .tflite files."""
    with (SHARED / "INDEX.csv").open(newline="", encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row["format"] != "tflite"]


def load_row(entry: dict[str, str]) -> dict[str, Any]:
    """Load one file of the index and predict with it.

    Code is allowed to run where the index says that the model needs it.
    """
    started = time.perf_counter()
    row: dict[str, Any] = {"model": entry["file"].removeprefix("models/"), "status": "refused", "reason": None}
    try:
        model = load_model(
            SHARED / entry["file"],
            custom_objects=custom_objects_for(entry["loads_in"]),
            allow_unsafe_deserialization="safe_mode" in entry["loads_in"],
        )
        values = random_inputs(model.inputs)
        outputs = model.predict({info.name: np.asarray(x) for info, x in zip(model.inputs, values, strict=True)})
    except TfCompressError as error:
        return {**row, "reason": str(error).replace(f"{SHARED}/models/", "")}
    finite = all(np.isfinite(value).all() for value in outputs.values())
    return {
        **row,
        "status": "ok" if finite else "not finite",
        "saved_with": entry["saved_with_keras"] or None,
        "loaded_as": model.flavor,
        "parameters": model.parameters,
        "macs": model_macs(model),
        "seconds": round(time.perf_counter() - started, 2),
    }


def rows() -> list[dict[str, Any]]:
    """One row a file."""
    return [load_row(entry) for entry in index()]
