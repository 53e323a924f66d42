"""Every model at hand with a quarter of its channels cut: exact against the masked model, smaller, and converted.

`error` is the largest difference of any output between the cut model and the one in which the removed channels are set
to zero, over the largest value; `error_uncut` the same of a cut of nothing.  The channels are drawn, so that the table
is about exactness and cost, not about accuracy.  `graph_seconds` is the time of the dependency graph alone.
`latency_ratio` is that of the int8 files with XNNPACK on one thread, cut over uncut, in one run.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.int8_files import (
    CALIBRATION_SAMPLES,
    LARGE_CALIBRATION_SAMPLES,
    RECIPE,
    inputs_of,
    int8_file,
    is_large,
    load_small,
)
from benchmarks.int8_files import names as models
from benchmarks.models import SHARED
from benchmarks.reduced_networks import REDUCED
from tfcompress.converters.edgetpu import forecast
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.facts import float_operators
from tfcompress.converters.litert.latency import measure_latency
from tfcompress.data import samples_from_arrays
from tfcompress.errors import TfCompressError
from tfcompress.graphs.keras.channels.cutting import cut_channels, masked
from tfcompress.graphs.keras.channels.graph import ChannelGraph, trace_channels
from tfcompress.graphs.keras.replay import flatten
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras, to_tf_keras
from tfcompress.load.inspection import model_macs
from tfcompress.model import FloatModel
from tfcompress.runtime import tf

__all__ = ["SECONDS", "names", "row"]

SECONDS = 2900  # of training, on a busy machine
SHARE = 0.25
EXACT = 1e-5
SAMPLES = 2


def names() -> list[str]:
    """Every model at hand, and the networks that are trained to be smaller."""
    return [*models(), *(REDUCED if SHARED.exists() else ())]


def row(name: str) -> dict[str, Any]:
    """One model."""
    if name in REDUCED:
        return REDUCED[name]()
    try:
        model = load_small(name)
        if model.keras_model is None:
            return {"status": "no Keras layers", "reason": "a SavedModel of which only a signature is known"}
        flat = flatten(to_tf_keras(model.keras_model))
    except TfCompressError as error:
        return {"status": "refused", "reason": str(error).replace(f"{SHARED}/models/", "")}
    started = time.perf_counter()
    graph = trace_channels(flat)
    families = graph.families
    seconds = time.perf_counter() - started
    figures: dict[str, Any] = {
        "families": len(families),
        "families_that_may_lose": sum(family.reason is None for family in families),
        "groups": sum(len(family.groups) for family in families),
        "graph_seconds": round(seconds, 2),
    }
    removed = quarter(graph)
    if not removed:
        reasons = sorted({family.reason for family in families if family.reason is not None})
        return {"status": "nothing to cut", "reason": "; ".join(reasons[:2]) or "no layers with channels", **figures}
    return {**_cut(name, model, graph, removed, seconds), **figures}


def quarter(graph: ChannelGraph) -> list[int]:
    """Roots of a quarter of the groups of each family that may lose some, at least one where it has two."""
    random = np.random.default_rng(0)
    free = [family.groups for family in graph.families if family.reason is None and len(family.groups) > 1]
    return [int(g) for groups in free for g in random.permutation(groups)[: max(1, int(len(groups) * SHARE))]]


def _cut(name: str, model: FloatModel, graph: ChannelGraph, removed: list[int], seconds: float) -> dict[str, Any]:
    inputs = list(inputs_of(name, model, SAMPLES).values())
    cut = cut_channels(graph, removed).model
    error = _difference(cut, masked(graph, removed), inputs)
    uncut = _difference(cut_channels(graph, []).model, graph.model, inputs)
    smaller = float_model_from_keras(cut, name=model.name)
    exact = error < EXACT and uncut < EXACT and seconds < 10
    return {
        "status": "ok" if exact else "failed",
        "reason": None if exact else f"error {error:.2g}, uncut {uncut:.2g}, {seconds:.1f} s",
        "macs": model_macs(model),
        "macs_after": model_macs(smaller),
        "parameters": model.parameters,
        "parameters_after": smaller.parameters,
        "error": error,
        "error_uncut": uncut,
        **_converted(name, smaller),
    }


def _difference(first: Any, second: Any, inputs: list[np.ndarray]) -> float:
    pairs = zip(*(tf.nest.flatten(model(inputs, training=False)) for model in (first, second)), strict=True)
    arrays = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs]
    return max(float(np.abs(a - b).max() / (np.abs(b).max() + 1e-9)) for a, b in arrays)


def _converted(name: str, model: FloatModel) -> dict[str, Any]:
    """The cut model in int8."""
    count = LARGE_CALIBRATION_SAMPLES if is_large(name) else CALIBRATION_SAMPLES
    arrays: Any = inputs_of(name, model, count)
    samples = samples_from_arrays(arrays, model_inputs=model.inputs, model_outputs=model.outputs)
    try:
        content, before = quantize_int8(model, samples, RECIPE).content, int8_file(name)
    except TfCompressError as error:
        return {"int8": f"not converted: {error}"[:160]}
    mapping: Any = forecast(read_tflite(content)).to_json()
    figures: Any = [measure_latency(file, None)["latency_ms"] for file in (content, before)]
    is_measured = all(figures)
    floats = float_operators(read_tflite(content))
    return {
        "int8": "fully integer" if not floats else f"float: {', '.join(floats)}",
        "int8_bytes": len(content),
        "edgetpu_operators": len(mapping["ops"]),
        "edgetpu_mapped": mapping["mapped_ops"],
        "latency_ratio": figures[0]["median"] / figures[1]["median"] if is_measured else None,
    }
