"""What maps to the Edge TPU, before and after the safe rewrites: keras.applications and the real models of ../shared.

The networks of keras.applications have random weights and all calibration is with random inputs: the table is about
where operators run, not about accuracy.  The rewrites are proven on the float graphs: `agreement` is the share of
random inputs on which the float graphs before and after have the same largest output.
"""

from __future__ import annotations

import csv
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tests.load.custom_layers import custom_objects_for
from tfcompress.chatter import silenced
from tfcompress.console import note
from tfcompress.converters.edgetpu import convert, forecast
from tfcompress.converters.edgetpu.rewriting import rewrite_float_graph
from tfcompress.converters.phone import to_float_tflite
from tfcompress.data import samples_from_arrays
from tfcompress.errors import TfCompressError
from tfcompress.load import float_model_from_keras, load_model
from tfcompress.model import FloatModel
from tfcompress.recipe import EdgeTpu, PostTraining, Recipe
from tfcompress.runtime import keras

SHARED = Path(__file__).parents[2] / "shared"
# The smallest network of each family; NASNet and the ones with a preprocessing layer keep their own input size.
FAMILIES = (
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "NASNetMobile",
    "DenseNet121",
    "ResNet50",
    "ResNet50V2",
    "InceptionV3",
    "Xception",
    "InceptionResNetV2",
    "ConvNeXtTiny",
    "VGG16",
)
CALIBRATION_SAMPLES = 2
AGREEMENT_SAMPLES = 8
OPEN_SIZE = 32


def rows() -> list[dict[str, Any]]:
    """One row a model."""
    return [*map(application_row, FAMILIES), *index_rows()]


def application_row(name: str) -> dict[str, Any]:
    """A network of keras.applications at its usual input size."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None)
    row = float_row(f"keras.applications.{name}", lambda: float_model_from_keras(model))
    keras.backend.clear_session()
    return row


def index_rows() -> Iterator[dict[str, Any]]:
    """The convolutional models of the index, and its .tflite files as they are."""
    with (SHARED / "INDEX.csv").open(newline="", encoding="utf-8") as stream:
        entries = list(csv.DictReader(stream))
    for entry in entries:
        name, path = entry["file"].removeprefix("models/"), SHARED / entry["file"]
        if entry["format"] == "tflite":
            yield tflite_row(name, path)
            continue
        row = float_row(name, lambda entry=entry, path=path: _load(entry, path))
        if row["status"] != "not convolutional":
            yield row


def _load(entry: dict[str, str], path: Path) -> FloatModel:
    return load_model(
        path,
        custom_objects=custom_objects_for(entry["loads_in"]),
        allow_unsafe_deserialization="safe_mode" in entry["loads_in"],
    )


def tflite_row(name: str, path: Path) -> dict[str, Any]:
    """The forecast of a file that is a .tflite already."""
    row: dict[str, Any] = {"model": name, "status": "ok", "reason": None}
    try:
        mapping = forecast(path)
    except TfCompressError as error:
        return {**row, "status": "refused", "reason": str(error).replace(f"{SHARED}/models/", "")}
    return {**row, **_figures(mapping.to_json(), "")}


def float_row(name: str, load: Any) -> dict[str, Any]:
    """A float model: converted without and with the safe rewrites."""
    note(f"edgetpu: {name}")
    started = time.perf_counter()
    row: dict[str, Any] = {"model": name, "status": "ok", "reason": None}
    try:
        model = _with_fixed_sizes(load())
        content = to_float_tflite(model)
        if not _is_convolutional(model):
            return {**row, "status": "not convolutional"}
        rewritten, rewrites = rewrite_float_graph(content, "safe")
        after = _converted(model, "safe")
        before = _converted(model, "none") if rewrites else after
        agreement = _agreement(content, rewritten) if rewrites else 1.0
    except TfCompressError as error:
        return {**row, "status": "failed", "reason": str(error).replace(f"{SHARED}/models/", "")}
    return {
        **row,
        **_figures(before, "_before"),
        **_figures(after, ""),
        "rewrites": {rewrite.name: rewrite.operators for rewrite in rewrites},
        "max_abs_error": max((rewrite.max_abs_error for rewrite in rewrites), default=0.0),
        "agreement": agreement,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _with_fixed_sizes(model: FloatModel) -> FloatModel:
    """The model with `OPEN_SIZE` where an input size is open."""
    inputs = (
        dataclasses.replace(info, shape=(info.shape[0], *(size or OPEN_SIZE for size in info.shape[1:])))
        for info in model.inputs
    )
    return dataclasses.replace(model, inputs=tuple(inputs))


def _is_convolutional(model: FloatModel) -> bool:
    layers = [] if model.keras_model is None else model.keras_model.layers
    return model.keras_model is None or any("Conv" in type(layer).__name__ for layer in layers)


def _converted(model: FloatModel, level: Any) -> Any:
    random = np.random.default_rng(0)
    inputs = {
        info.name: random.normal(size=[CALIBRATION_SAMPLES, *(size or OPEN_SIZE for size in info.shape[1:])]).astype(
            info.dtype
        )
        for info in model.inputs
    }
    samples = samples_from_arrays(inputs, model_inputs=model.inputs, model_outputs=model.outputs)
    recipe = Recipe(edgetpu=EdgeTpu(rewrite=level), post_training=PostTraining(quality="fast"))
    with tempfile.TemporaryDirectory() as folder:
        return convert(model, samples, recipe, Path(folder)).facts["mapping"]


def _figures(mapping: Any, suffix: str) -> dict[str, Any]:
    first = next((row for row in mapping["ops"] if not row["mapped"] and row["rule"] != "float_input"), None)
    return {
        f"operators{suffix}": len(mapping["ops"]),
        f"mapped{suffix}": mapping["mapped_ops"],
        f"on_chip_bytes{suffix}": mapping["on_chip_bytes"],
        f"off_chip_bytes{suffix}": mapping["off_chip_bytes"],
        f"first_on_cpu{suffix}": None if first is None else f"{first['op']}: {first['reason']}",
    }


def _agreement(first: bytes, second: bytes) -> float:
    """Share of random inputs with the same largest element of every output."""
    with silenced():
        graphs = [Interpreter(model_content=content, num_threads=2) for content in (first, second)]
        for graph in graphs:
            graph.allocate_tensors()
    random, same = np.random.default_rng(1), 0
    for _ in range(AGREEMENT_SAMPLES):
        inputs = [random.normal(size=d["shape"]).astype(d["dtype"]) for d in graphs[0].get_input_details()]
        one, other = (_largest(graph, inputs) for graph in graphs)
        same += one == other
    return same / AGREEMENT_SAMPLES


def _largest(graph: Any, inputs: list[np.ndarray]) -> list[int]:
    for detail, value in zip(graph.get_input_details(), inputs, strict=True):
        graph.set_tensor(detail["index"], value)
    graph.invoke()
    return [int(np.argmax(graph.get_tensor(detail["index"]))) for detail in graph.get_output_details()]
