"""Artifacts of five models of different kinds in the programs that people open them with.

`litert` is LiteRT's Python interpreter, whose outputs the others are compared with; every other cell was run by
`benchmarks.clients.cells`.  Inputs are eight of the calibration samples.  A row is `partly` where a program refuses the
file, with its own words.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

import tfcompress
from benchmarks.clients.cells import CLIENTS, Artifact, Cell
from benchmarks.clients.environments import Unavailable
from benchmarks.clients.litert import USUAL, outputs_by_kernels
from benchmarks.fair_inputs import photos
from benchmarks.int8_files import inputs_of
from benchmarks.models import SHARED, load
from tfcompress.graphs.tflite.interpreter import new_interpreter
from tfcompress.graphs.tflite.quantization import to_real, to_stored
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.report.schema import Report

__all__ = ["SECONDS", "names", "row"]

SECONDS = 1500
SAMPLES = 8
CALIBRATION_SAMPLES = 100
PHOTOS = SHARED / "data/cifar10_jpeg/test_dev5000.zip"
MODELS = {  # what it is: the file
    "pictures (ResNet8)": "mlperf_ic_resnet8/pretrainedResnet.h5",
    "words (spectrogram CNN)": "mltk_kws_on_off/keyword_spotting_on_off.h5",
    "a table (MLP)": "kepler_mlp/best_mlp.keras",
    "a sequence (LSTM)": "dl4j_lstm_functional_tf_keras_2/lstm_functional_tf_keras_2.h5",
    "faces (detector, two outputs)": "derived_mtcnn/rnet_k3.keras",
}
Io = Literal["int8", "uint8", "float32"]
FILES: dict[str, tuple[str, Io]] = {
    "phone": ("phone", "int8"),
    "phone --io=uint8": ("phone", "uint8"),
    "phone --io=float32": ("phone", "float32"),
    "edgetpu --io=uint8": ("edgetpu", "uint8"),
    "micro": ("micro", "int8"),
}


def names() -> list[str]:
    """Every file of every model."""
    return [f"{model}, {file}" for model in MODELS for file in FILES]


def row(name: str) -> dict[str, object]:
    """One file in every program."""
    model, file = name.rsplit(", ", 1)
    target, io = FILES[file]
    with tempfile.TemporaryDirectory() as folder:
        artifact = _converted(MODELS[model], target, io, Path(folder))
        cells = {client: _cell(client, artifact) for client in CLIENTS}
        kinds = "/".join(dict.fromkeys(str(value.dtype) for value in (*artifact.inputs, *artifact.usual)))
    return {**_verdict(cells), "types": kinds, "litert": "runs", **{name: cell.text for name, cell in cells.items()}}


def _verdict(cells: Mapping[str, Cell]) -> dict[str, object]:
    wrong = [client for client, cell in cells.items() if cell.fine is False]
    refused = [client for client, cell in cells.items() if cell.fine is None]
    status = "failed" if wrong else "partly" if refused else "ok"
    return {"status": status, "reason": ", ".join(wrong or refused) or None}


def _cell(client: str, artifact: Artifact) -> Cell:
    try:
        return CLIENTS[client](artifact)
    except Unavailable as error:
        return Cell(None, f"not run: {error}")
    except (OSError, ValueError, KeyError) as error:
        return Cell(False, f"{type(error).__name__}: {error}"[:160])


def _converted(file: str, target: str, io: Io, folder: Path) -> Artifact:
    pictures = _pictures(SAMPLES) if file.startswith("mlperf_ic") else None
    values = _pictures(CALIBRATION_SAMPLES) if pictures is not None else _values(file)
    assert values is not None
    np.savez(folder / "data.npz", x=values.astype(np.float32))
    data = str(folder / "data.npz" if pictures is None else PHOTOS)  # which brings the names of the classes
    recipe = Recipe(post_training=PostTraining(quality="fast", io=io))
    output = folder / "out"
    tfcompress.convert(
        str(SHARED / "models" / file),
        targets=[target],
        calibration=data,
        evaluation=str(folder / "data.npz"),
        recipe=recipe,
        calibration_samples=CALIBRATION_SAMPLES,
        output=str(output),
    )
    report = Report.from_plain(json.loads((output / "report.json").read_text(encoding="utf-8")))
    real = values[:SAMPLES].astype(np.float32)
    return _run(output / target / "model.tflite", report, real, pictures)


def _values(file: str) -> np.ndarray:
    (values,) = inputs_of(file, load(file), CALIBRATION_SAMPLES).values()
    return values


def _pictures(count: int) -> np.ndarray | None:
    """uint8 [count, 32, 32, 3]; None where they are absent."""
    images = photos()
    return None if images is None or not PHOTOS.exists() else images[:count]


def _run(path: Path, report: Report, real: np.ndarray, pictures: np.ndarray | None) -> Artifact:
    """What LiteRT makes of real values of the only input."""
    content = path.read_bytes()
    interpreter = new_interpreter(content)
    (port,) = interpreter.get_input_details()
    stored = to_stored(real, port)
    outputs = outputs_by_kernels(content, [stored])
    scores = to_real(outputs[USUAL][0], interpreter.get_output_details()[0])
    return Artifact(path, report, [stored], outputs, None if pictures is None else scores, pictures)
