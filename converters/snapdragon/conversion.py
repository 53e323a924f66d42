"""From a float model to a file for each Snapdragon chip, compiled by Qualcomm's own compiler."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tfcompress import console
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.npu.facts import facts_of, mapping_notes, write_companions, written
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.npu.quantization import Npu, NpuFile, quantized_for
from tfcompress.converters.rewriting import SNAPDRAGON_FILE, rows_for
from tfcompress.converters.snapdragon.chips import DEFAULT_SOCS, SOCS
from tfcompress.converters.snapdragon.compiler import compile_for
from tfcompress.converters.snapdragon.emulator import EmulatorRunner
from tfcompress.converters.snapdragon.mapping_forecast import forecast
from tfcompress.converters.snapdragon.options import Snapdragon
from tfcompress.converters.snapdragon.sdk import UnusableSdkError, VendorSdk, sdk_for
from tfcompress.converters.snapdragon.usage import usage
from tfcompress.converters.usage import ports_of
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, MissingExtraError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["EMULATION_SECONDS", "LEAST_SAMPLES", "convert", "npu_of"]

EMULATION_SECONDS = 900.0  # for the whole accuracy diff; MobileNetV2-224 takes 2 seconds a sample
LEAST_SAMPLES = 32


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert a model for Snapdragon phones.

    Args:
        model: the float (or quantization-aware) model.
        calibration: representative inputs; None is allowed for a quantization-aware model.
        recipe: `snapdragon`, `post_training`, `keep_float` and `keep_int16` are used.
        output: existing empty folder; gets ``model_SOC.tflite`` for each chip that compiles, the `model.tflite` that
            they were compiled from, `mapping.json` and `USE.md`.

    Raises:
        ConversionError: the model cannot be quantized, the compiler is not there, or it fails for every chip; the
            message says what the forecast expects.
        DataError: calibration data is missing or bad.
    """
    socs = recipe.section(Snapdragon).socs
    newest = next((soc for soc in reversed(socs) if soc in SOCS), DEFAULT_SOCS[0])
    quantized = quantized_for(model, calibration, recipe, npu_of(newest))
    mappings: list[CompiledMapping] = []
    for soc in socs:
        sdk = _sdk_or_forecast(quantized, soc, newest)
        console.note(f"snapdragon: compiling for {soc}")
        compiled = compile_for(quantized.result.content, soc, sdk, layer_names=quantized.layer_names)
        mappings.append(written(compiled.mapping, compiled.content, output))
    # The emulator runs Qualcomm's chips alone.
    first = next((mapping.file for mapping in mappings if mapping.file is not None and mapping.name in SOCS), None)
    if first is None:
        raise ConversionError(f"{model.name}: {mappings[0].reason}")
    runnable = write_companions(quantized, mappings, usage(ports_of(quantized.result.content, model), mappings), output)
    seconds = _seconds_a_sample((output / first).read_bytes())
    samples = max(LEAST_SAMPLES, int(EMULATION_SECONDS / seconds))
    notes = [
        *mapping_notes(quantized, mappings),
        f"compared in Qualcomm's HTP emulator: {first}, {seconds:.2g} seconds a sample, at most {samples} samples",
    ]
    compared = {"file": first, "runtime": "Qualcomm's HTP emulator", "most_samples": samples}
    facts = facts_of(quantized, mappings, output / first) | {"compared": compared}
    return Artifact("snapdragon", output, runnable, facts, tuple(notes))


def npu_of(soc: str) -> Npu:
    """What the forecast for a chip leaves out, and the rewrites that Snapdragon has."""
    return Npu(lambda content: _refused(content, soc), file_rows=rows_for(SNAPDRAGON_FILE))


def _seconds_a_sample(content: bytes) -> float:
    """How long the emulator takes for one sample, the second of two."""
    runner = EmulatorRunner(content)
    inputs = {info.name: np.zeros((1, *(size or 1 for size in info.shape[1:])), info.dtype) for info in runner.inputs}
    runner.run(inputs)
    started = time.perf_counter()
    runner.run(inputs)
    return max(time.perf_counter() - started, 1e-4)


def _refused(content: bytes, soc: str) -> list[str]:
    """By the forecast, which costs nothing; the compiler has the last word later."""
    return [row.operator for row in forecast(read_tflite(content), soc).operators if not row.mapped]


def _sdk_or_forecast(file: NpuFile, soc: str, title: str) -> VendorSdk:
    try:
        return sdk_for(soc)
    except (MissingExtraError, UnusableSdkError) as error:
        expected = forecast(read_tflite(file.result.content), title)
        expectation = f"{expected.mapped_ops} of {len(expected.operators)} operators are expected on {title}'s NPU"
        raise ConversionError(f"{error}; by the forecast, {expectation}") from None
