"""Vela's cycles, flash and encoded weights before and after compression: half of the MACs, and shared values.

The figures are of the graph's cost alone: nothing is fine-tuned, so the files that are measured are not accurate.
`ours` is the compressed model, `other` the same model as it is, both in int8 on U55-128.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.entry import entry
from benchmarks.int8_files import CALIBRATION_SAMPLES, RECIPE, inputs_of
from benchmarks.models import load
from tfcompress.compression.finetuning import finetune
from tfcompress.converters.ethos_u import compile_for
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe, Structure

__all__ = ["measure"]

CONFIG, VALUES = "ethos-u55-128", 16
MODELS = {
    "resnet8": "mlperf_ic_resnet8/pretrainedResnet.h5",
    "kws_on_off": "mltk_kws_on_off/keyword_spotting_on_off.h5",
    "kws_pacman": "mltk_kws_pacman_v3/keyword_spotting_pacman_v3.h5",
}


def measure() -> list[dict[str, Any]]:
    """Cycles, flash and weights of each model in each variant, against as it is."""
    rows = []
    for short, name in MODELS.items():
        before = _costs(_mapping(name, load(name)))
        for variant, change in VARIANTS.items():
            after = _costs(_mapping(name, change(name, load(name))))
            for quantity, plain in before.items():
                unit = "cycles" if quantity == "cycles" else "bytes"
                title = f"ethos_u_{quantity}_{short}_{variant}"
                rows.append(entry(title, after[quantity], plain, "ethos-u-vela on the model as it is", unit))
    return rows


def _costs(mapping: CompiledMapping) -> dict[str, float]:
    figures: Any = mapping.figures
    assert mapping.cycles is not None, mapping.reason
    return {
        "cycles": mapping.cycles,
        "flash": figures["off_chip_flash_bytes"],
        "weights": figures["encoded_weight_bytes"],
    }


def _mapping(name: str, model: FloatModel) -> CompiledMapping:
    arrays: Any = inputs_of(name, model, CALIBRATION_SAMPLES)
    samples = samples_from_arrays(arrays, model_inputs=model.inputs, model_outputs=model.outputs)
    return compile_for(quantize_int8(model, samples, RECIPE).content, CONFIG).mapping


def _shared_values(name: str, model: FloatModel) -> FloatModel:
    """The model with `VALUES` values in each kernel."""
    del name
    for layer in model.keras_model.layers:
        weights = layer.get_weights()
        if weights:
            layer.set_weights([_clustered(weight) if weight.ndim > 1 else weight for weight in weights])
    return _fresh(model, model.keras_model)


def _cut(name: str, model: FloatModel) -> FloatModel:
    """The model with at most half of its multiply-accumulates; channels go by their weights' norms."""
    arrays: Any = inputs_of(name, model, CALIBRATION_SAMPLES)
    samples = samples_from_arrays(arrays, model_inputs=model.inputs, model_outputs=model.outputs)
    recipe = Recipe(structure=Structure(macs=0.5, epochs=0, importance="l2"))
    return _fresh(model, finetune(model.keras_model, recipe, samples).stripped)


def _fresh(model: FloatModel, keras_model: Any) -> FloatModel:
    return dataclasses.replace(float_model_from_keras(keras_model, name=model.name), inputs=model.inputs)


VARIANTS: dict[str, Callable[[str, FloatModel], FloatModel]] = {
    f"{VALUES}_values": _shared_values,
    "half_macs": _cut,
    f"half_macs_{VALUES}_values": lambda name, model: _shared_values(name, _cut(name, model)),
}


def _clustered(weight: np.ndarray) -> np.ndarray:
    """The nearest of `VALUES` values, evenly spaced over a kernel's range (linear initialisation, Han et al. 2016)."""
    steps = np.linspace(weight.min(), weight.max(), VALUES)
    return steps[np.abs(weight[..., None] - steps).argmin(-1)].astype(weight.dtype)
