"""Published int8 files against the float models beside them: what the harness measures, and the worst layers of each.

Where labelled data are at hand both accuracies are measured beside the vendor's figures; the other models see inputs
like those that they were made for (`benchmarks.fair_inputs`), without labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fair_inputs import real_inputs
from benchmarks.models import SHARED, index, keras_files, load_entry
from tfcompress.accuracy_diff import CandidateResult, compare, runner_for
from tfcompress.accuracy_diff.runners import Runner
from tfcompress.data import Samples, open_data, samples_from_arrays
from tfcompress.errors import TfCompressError
from tfcompress.graphs.tflite import read_tflite

__all__ = ["SECONDS", "names", "row"]

SECONDS = 300
WORST = 3


def names() -> list[str]:
    """One row a quantized file with its Keras model beside it."""
    files = [entry["file"].removeprefix("models/") for entry in index() if entry["format"] == "tflite"]
    return [file for file in files if _float_model(file) and _is_quantized(SHARED / "models" / file)]


def row(name: str) -> dict[str, Any]:
    """Compare one file with its float model."""
    published = next(entry["published"] for entry in index() if entry["file"] == f"models/{name}") or None
    model = _float_model(name)
    assert model is not None  # `names` has only such
    try:
        reference = runner_for(load_entry(model))
        samples, data = _data(name, reference)
        compared = compare(reference, {"file": runner_for(SHARED / "models" / name)}, samples, layers=True)
    except TfCompressError as error:
        return {"status": "failed", "reason": str(error).replace(f"{SHARED}/models/", ""), "published": published}
    result = compared.candidates["file"]
    score = str(result.diff["metric"])
    return {
        "status": "ok",
        "reason": None,
        "data": data,
        "samples": compared.reference.samples,
        "task": compared.reference.task,
        "float": compared.reference.metrics.get(score),
        "int8": result.metrics.get(score),
        "published": published,
        "agreement": result.diff["top1_agreement"],
        "sqnr_db": result.diff["sqnr_db"],
        "layers": len(result.layers),
        "worst_layers": _worst(result),
        "causes": ", ".join(f"{cause.kind} ({cause.layer or 'model'})" for cause in result.causes) or None,
    }


def _float_model(name: str) -> dict[str, str] | None:
    """The index's row of the Keras model in the same folder."""
    folder = Path(name).parent
    return next((entry for file, entry in keras_files().items() if Path(file).parent == folder), None)


def _is_quantized(path: Path) -> bool:
    """Whether a file computes with integers, rather than only storing its weights so."""
    tensors = read_tflite(path.read_bytes()).main.tensors
    return any(
        tensor.dtype in ("int8", "uint8", "int16") and tensor.quantization is not None and tensor.data is None
        for tensor in tensors
    )


def _data(name: str, reference: Runner) -> tuple[Samples, str]:
    """Labelled data where there are any for the model, and what they are."""
    for prefix, (path, options) in _LABELLED.items():
        if name.startswith(prefix):
            samples = open_data(SHARED / "data" / path, reference.inputs, reference.outputs, flag="data", **options)
            return samples, path
    values = real_inputs(name, reference.inputs[0].sizes())
    if values is None:
        raise TfCompressError("no inputs that the model was made for are at hand")
    samples = samples_from_arrays(values, model_inputs=reference.inputs, model_outputs=reference.outputs)
    return samples, "inputs of the same kind, no labels"


def _to_mltks_pixels(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) / np.float32(128) - np.float32(1)


_LABELLED: dict[str, tuple[str, dict[str, Any]]] = {
    "mlperf_ic_resnet8": ("cifar10_jpeg/test_dev5000.zip", {}),
    "mltk_image_classification": ("cifar10_jpeg/test_dev5000.zip", {"preprocess": _to_mltks_pixels}),
    "hand_keypoint_mlp": ("hand_gesture/keypoint.csv", {"label_column": "0"}),
}


def _worst(result: CandidateResult) -> str:
    """The layers with the largest errors of their own."""
    ranked = sorted(result.layers, key=lambda layer: _own(layer))[:WORST]
    return ", ".join(f"{layer.layer} {_own(layer):.1f} dB" for layer in ranked)


def _own(layer: Any) -> float:
    decibels = layer.own_sqnr_db if layer.own_sqnr_db is not None else layer.sqnr_db
    return 200.0 if decibels is None else float(decibels)
