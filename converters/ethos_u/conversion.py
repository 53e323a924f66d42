"""From a float model to a file for each Ethos-U configuration, compiled by Vela."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from tfcompress import console
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.ethos_u.compiler import Compiled, compile_for, vela_version
from tfcompress.converters.ethos_u.options import EthosU
from tfcompress.converters.ethos_u.usage import usage
from tfcompress.converters.npu.facts import facts_of, mapping_notes, write_companions, written
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.npu.quantization import Npu, quantized_for
from tfcompress.converters.rewriting import EDGETPU, ETHOS_U, ETHOS_U_FILE, rows_for
from tfcompress.converters.usage import ports_of
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, MissingExtraError
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["convert", "npu_of"]

Compile = Callable[[bytes, str], Compiled]  # of a file for a configuration


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
    compile = _stopped_once([layer.name for layer in all_layers(model.keras_model)])
    quantized = quantized_for(model, calibration, recipe, npu_of(configs, compile))
    mappings: list[CompiledMapping] = []
    for config in configs:
        console.note(f"ethos_u: compiling for {config}")
        compiled = compile(quantized.result.content, config)
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


def npu_of(configs: Sequence[str], compile: Compile = compile_for) -> Npu:
    """What Vela refuses for any of these configurations, and the rewrites that Ethos-U has.

    Args:
        configs: names of configurations.
        compile: gives Vela's result for a file and a configuration.
    """

    def refused(content: bytes) -> list[str]:
        results = [compile(content, config) for config in configs]
        mappings = [result.mapping for result in results if not result.stopped]  # no rewrite would help against that
        return [row.operator for mapping in mappings for row in mapping.operators if not row.mapped]

    float_rows = (*(row for row in rows_for(EDGETPU) if not row.in_int8), *rows_for(ETHOS_U))
    return Npu(refused, float_rows, rows_for(ETHOS_U_FILE))


def _stopped_once(layer_names: Collection[str]) -> Compile:
    """`compile_for`, which gives a file up for a configuration where Vela was killed or took too long once."""
    stopped: dict[tuple[bytes, str], Compiled] = {}

    def compile(content: bytes, config: str) -> Compiled:
        result = stopped.get((content, config)) or compile_for(content, config, layer_names=layer_names)
        if result.stopped:
            stopped[content, config] = result
        return result

    return compile
