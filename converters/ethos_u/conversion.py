"""From a float model to a file for each Ethos-U configuration, compiled by Vela."""

from __future__ import annotations

from pathlib import Path

from tfcompress import console
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.ethos_u.compiler import compile_for, vela_version
from tfcompress.converters.ethos_u.options import EthosU
from tfcompress.converters.ethos_u.usage import usage
from tfcompress.converters.npu.facts import facts_of, mapping_notes, write_companions, written
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.npu.quantization import quantized_for
from tfcompress.converters.usage import ports_of
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, MissingExtraError
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["convert"]


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert a model for microcontrollers with an Ethos-U.

    Args:
        model: the float (or quantization-aware) model.
        calibration: representative inputs; None is allowed for a quantization-aware model.
        recipe: `ethos_u`, `post_training`, `keep_float` and `keep_int16` are used.
        output: existing empty folder; gets ``model_CONFIG.tflite`` for each configuration that compiles, the
            `model.tflite` that they were compiled from, `mapping.json` and `USE.md`.

    Raises:
        ConversionError: the model cannot be quantized, Vela is not installed, or it fails for every configuration.
        DataError: calibration data is missing or bad.
    """
    try:
        vela_version()
    except MissingExtraError as error:
        raise ConversionError(str(error)) from None
    configs = recipe.section(EthosU).configs
    quantized = quantized_for(model, calibration, recipe, lambda content: _refused(content, configs[-1]))
    mappings: list[CompiledMapping] = []
    for config in configs:
        console.note(f"ethos_u: compiling for {config}")
        compiled = compile_for(quantized.result.content, config, layer_names=quantized.layer_names)
        mappings.append(written(compiled.mapping, compiled.content, output))
    first = next((mapping.file for mapping in mappings if mapping.file is not None), None)
    if first is None:
        raise ConversionError(f"{model.name}: {mappings[0].reason}")
    runnable = write_companions(quantized, mappings, usage(ports_of(quantized.result.content, model), mappings), output)
    notes = [
        *mapping_notes(quantized, mappings),
        "compared with LiteRT's reference kernels, which Ethos-U promises to match",
    ]
    compared = {"file": runnable.name, "runtime": "LiteRT's reference kernels", "most_samples": None}
    facts = facts_of(quantized, mappings, output / first) | {"compared": compared}
    return Artifact("ethos_u", output, runnable, facts, tuple(notes))


def _refused(content: bytes, config: str) -> list[str]:
    return [row.operator for row in compile_for(content, config).mapping.operators if not row.mapped]
