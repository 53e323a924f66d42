"""What maps to the Edge TPU, before and after the safe rewrites: keras.applications and the real models of ../shared.

The networks of keras.applications have random weights and all calibration is with random inputs: the table is about
where operators run, not about accuracy.  The large ones get pictures of `SMALL_SIDE` instead of their own size.  The
rewrites are proven on the float graphs: `agreement` is the share of random inputs on which the float graphs before and
after have the same largest output.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import PREFIX, SHARED, applications, index, keras_files, load
from tfcompress.converters.edgetpu import convert, forecast
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.converters.litert import to_float_tflite
from tfcompress.converters.rewriting import EDGETPU, rewrite_graph, rows_for
from tfcompress.data import samples_from_arrays
from tfcompress.errors import TfCompressError
from tfcompress.graphs.tflite.interpreter import new_interpreter
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe

SECONDS = 1500
CALIBRATION_SAMPLES = 2
AGREEMENT_SAMPLES = 8
OPEN_SIZE = 32
SMALL_SIDE = 96
LARGE = (
    "EfficientNetV2B0", "DenseNet121", "ResNet50V2", "InceptionV3", "Xception", "InceptionResNetV2", "ConvNeXtTiny",
    "VGG16",
)  # fmt: skip


def names() -> list[str]:
    """Networks of keras.applications at their own input size, Keras files, and the .tflite files as they are."""
    return [*applications(), *keras_files(), *tflite_files()]


def tflite_files() -> dict[str, Path]:
    """{name: path} of the index's .tflite files."""
    return {
        entry["file"].removeprefix("models/"): SHARED / entry["file"]
        for entry in index()
        if entry["format"] == "tflite"
    }


def row(name: str) -> dict[str, Any]:
    """The forecast of one model, before and after rewrites."""
    path = tflite_files().get(name)
    try:
        return float_row(name) if path is None else tflite_row(path)
    except TfCompressError as error:
        status = "failed" if path is None else "refused"
        return {"status": status, "reason": str(error).replace(f"{SHARED}/models/", "")}


def tflite_row(path: Path) -> dict[str, Any]:
    """The forecast of a file that is a .tflite already."""
    return {"status": "ok", "reason": None, **_figures(forecast(path).to_json(), "")}


def float_row(name: str) -> dict[str, Any]:
    """A float model: converted without and with the safe rewrites."""
    started = time.perf_counter()
    side = SMALL_SIDE if name.removeprefix(PREFIX) in LARGE else None
    model = _with_fixed_sizes(load(name, size=side))
    if not _is_convolutional(model):
        return {"status": "not convolutional", "reason": None}
    content = to_float_tflite(model)
    rewritten = rewrite_graph(content, rows_for(EDGETPU))
    rewrites = rewritten.applied
    after = _converted(model, "safe")
    before = _converted(model, "none") if rewrites else after
    return {
        "status": "ok",
        "reason": None,
        "input_shapes": [list(info.shape[1:]) for info in model.inputs],
        **_figures(before, "_before"),
        **_figures(after, ""),
        "rewrites": {rewrite.name: rewrite.operators for rewrite in rewrites},
        "max_abs_error": max((rewrite.max_abs_error for rewrite in rewrites), default=0.0),
        "agreement": _agreement(content, rewritten.content) if rewrites else 1.0,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _with_fixed_sizes(model: FloatModel) -> FloatModel:
    """The model with `OPEN_SIZE` where an input size is open."""
    inputs = tuple(info.of_sample_shape(info.sizes(OPEN_SIZE)) for info in model.inputs)
    return dataclasses.replace(model, inputs=inputs)


def _is_convolutional(model: FloatModel) -> bool:
    layers = [] if model.keras_model is None else model.keras_model.layers
    return model.keras_model is None or any("Conv" in type(layer).__name__ for layer in layers)


def _converted(model: FloatModel, level: Any) -> Any:
    random = np.random.default_rng(0)
    inputs = {
        info.name: random.normal(size=[CALIBRATION_SAMPLES, *info.sizes(OPEN_SIZE)]).astype(info.dtype)
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
    graphs = [new_interpreter(content, threads=2) for content in (first, second)]
    random, same = np.random.default_rng(1), 0
    for _ in range(AGREEMENT_SAMPLES):
        inputs = [random.normal(size=d["shape"]).astype(d["dtype"]) for d in graphs[0].get_input_details()]
        original, other = (_largest(graph, inputs) for graph in graphs)
        same += original == other
    return same / AGREEMENT_SAMPLES


def _largest(graph: Any, inputs: list[np.ndarray]) -> list[int]:
    for detail, value in zip(graph.get_input_details(), inputs, strict=True):
        graph.set_tensor(detail["index"], value)
    graph.invoke()
    return [int(np.argmax(graph.get_tensor(detail["index"]))) for detail in graph.get_output_details()]
