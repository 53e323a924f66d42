"""From a float model to an int8 .tflite that maps to the Edge TPU, with the forecast beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfcompress.console import note
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.drawing import operator_inputs
from tfcompress.converters.edgetpu.compiler import compile_model, find_compiler, with_measurement
from tfcompress.converters.edgetpu.mapping import Mapping
from tfcompress.converters.edgetpu.mapping_forecast import CompilerOptions, forecast
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.converters.edgetpu.picture import mapping_svg
from tfcompress.converters.edgetpu.repairs import repair_int8_file
from tfcompress.converters.litert import Int8Model, describe, quantize_int8, with_fixed_sizes
from tfcompress.converters.litert.float_tflite import first_sample, float_file
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.metadata import with_metadata
from tfcompress.converters.litert.recurrent import unrolled_note
from tfcompress.converters.rewriting import EDGETPU, REWRITES, AppliedRewrite, Rewritten, rewrite_graph, rows_for
from tfcompress.converters.usage import ports_of
from tfcompress.converters.usage.tflite import edgetpu_page
from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.remarks import optional
from tfcompress.tensor_info import have_open_sizes

__all__ = ["convert"]

FILE_NAME = "model.tflite"
MAPPING_NAME = "mapping.json"


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert a model for the Edge TPU.

    Args:
        model: the float (or quantization-aware) model.
        calibration: representative inputs; None is allowed for a quantization-aware model.
        recipe: `edgetpu` and `post_training` are used.
        output: existing empty folder; gets `model.tflite`, `mapping.json`, `USE.md`, and `model_edgetpu.tflite` where
            the compiler is on PATH.

    Raises:
        ConversionError: the model cannot be converted; the message names the operator and what to do.
        DataError: calibration data is missing or bad.
    """
    model = _with_fixed_sizes(model, calibration)
    names = [layer.name for layer in all_layers(model.keras_model)]
    result, rewrites, left_out = _quantized(model, calibration, recipe, names)
    content, repairs = repair_int8_file(result.content, leaky_relu=any(rewrite.in_int8 for rewrite in rewrites))
    repairs = (*left_out, *repairs)
    path = output / FILE_NAME
    path.write_bytes(with_metadata(content, model))
    (output / "USE.md").write_text(edgetpu_page(ports_of(content, model)), encoding="utf-8")
    facts = {**describe(path), "engine": {"name": result.engine, "reason": result.reason}, "repairs": list(repairs)}
    mapping_notes: list[str] = []
    with optional("edgetpu: the forecast of its mapping"):
        options = CompilerOptions.of(recipe.section(EdgeTpu))
        file = read_tflite(path)
        mapping = _measured(path, forecast(file, layer_names=names, options=options))
        rewrites = _done(rewrites, mapping)
        (output / MAPPING_NAME).write_text(json.dumps(mapping.to_json(), indent=1) + "\n", encoding="utf-8")
        facts["mapping"] = mapping.to_json()
        mapping_notes = _mapping_notes(mapping)
        with optional("edgetpu: the picture of its mapping"):
            facts["mapping_svg"] = mapping_svg(mapping, operator_inputs(file.main))
    facts["rewrites"] = [rewrite.to_json() for rewrite in rewrites]
    notes = [f"engine: {result.engine} ({result.reason})", *(rewrite.note() for rewrite in rewrites)]
    notes += unrolled_note(model, "the Edge TPU has no loops, and no states between them")
    return Artifact("edgetpu", output, path, facts, (*notes, *result.notes, *repairs, *mapping_notes))


def _with_fixed_sizes(model: FloatModel, calibration: Samples | None) -> FloatModel:
    """The model with input sizes that are open taken from the calibration data: the Edge TPU has static shapes only."""
    if not have_open_sizes(model.inputs):
        return model
    if calibration is None:
        raise ConversionError(
            f"{model.name}: input sizes are open and the Edge TPU needs fixed ones: give --calibration=DATA of one size"
        )
    return with_fixed_sizes(model, calibration)


def _quantized(
    model: FloatModel, calibration: Samples | None, recipe: Recipe, names: list[str]
) -> tuple[Int8Model, tuple[AppliedRewrite, ...], tuple[str, ...]]:
    """The int8 file, the rewrites, and a note for each rewrite that was left out."""
    options = recipe.post_training
    integer_io = not recipe.section(EdgeTpu).float_io and options.scheme != "int8_float_io"
    if model.quantization_aware:  # ranges sit at the trained graph's own operators, which must stay
        result = quantize_int8(model, calibration, recipe, integer_io=integer_io)
        return result, _rewrites_in_int8(model, result, recipe, names), ()
    rewritten = _rewritten(model, calibration, recipe, names)
    result = quantize_int8(
        model,
        calibration,
        recipe,
        integer_io=integer_io,
        float_content=rewritten.content,
        abilities=Abilities(dense_per_channel=False, int16=False, float_inputs=True, float_outputs=True),
    )
    return result, rewritten.applied, tuple(item.note() for item in rewritten.dropped)


def _rewritten(model: FloatModel, calibration: Samples | None, recipe: Recipe, names: list[str]) -> Rewritten:
    """The float file with the rewrites that the recipe allows, each proven on a real sample where there is one."""
    plain = float_file(model, allow_select_ops=recipe.post_training.allow_select_ops, samples=calibration)
    rows = rows_for(EDGETPU, recipe.section(EdgeTpu).rewrite)
    samples = first_sample(plain.content, calibration)
    result = rewrite_graph(plain.content, rows, layer_names=names, samples=samples)
    return replace(result, dropped=(*plain.dropped, *result.dropped))


def _rewrites_in_int8(
    model: FloatModel, result: Int8Model, recipe: Recipe, names: list[str]
) -> tuple[AppliedRewrite, ...]:
    """The rewrites to do to the quantized file of a quantization-aware model, proven on its float graph."""
    present = {operator.name for operator in read_tflite(result.content).main.operators}
    if not any(rewrite.in_int8 and present.intersection(rewrite.operators) for rewrite in REWRITES):
        return ()
    rewritten = _rewritten(model, None, recipe, names)
    return tuple(rewrite for rewrite in rewritten.applied if rewrite.in_int8)


def _done(rewrites: tuple[AppliedRewrite, ...], mapping: Mapping) -> tuple[AppliedRewrite, ...]:
    """Without those that were to be done in int8 to an operator that stayed float."""
    left = {row.operator for row in mapping.operators}
    undone = {rewrite.name for rewrite in REWRITES if rewrite.in_int8 and not left.isdisjoint(rewrite.operators)}
    return tuple(rewrite for rewrite in rewrites if rewrite.name not in undone)


def _measured(path: Path, mapping: Mapping) -> Mapping:
    """The forecast with the compiler's own word, where the compiler is installed."""
    compiler = find_compiler()
    if compiler is None:
        return mapping
    note(f"edgetpu: compiling with {compiler}")
    _, log, reason = compile_model(path, compiler=compiler)
    return with_measurement(mapping, log, reason)


def _mapping_notes(mapping: Mapping) -> list[str]:
    notes = [f"{mapping.mapped_ops} of {len(mapping.operators)} operators map to the Edge TPU (forecast)"]
    if mapping.failure is not None:
        notes.append(f"the compiler is expected to fail: {mapping.failure.explanation}; {mapping.failure.fix}")
    notes += _cpu_notes(mapping)
    notes += [*mapping.warnings, *mapping.advice]
    notes += _measurement_notes(mapping)
    return notes


def _cpu_notes(mapping: Mapping) -> list[str]:
    """What is refused and what to do, and what runs after the Edge TPU part."""
    refused = [row for row in mapping.operators if not row.mapped and row.rule != "partition"]
    named = ", ".join(dict.fromkeys(row.operator for row in refused))
    notes = [f"on the CPU for their own sake: {named}; {refused[0].operator}: {refused[0].fix}"] if refused else []
    if mapping.tail is not None:
        names, tensors = ", ".join(mapping.tail.names), ", ".join(mapping.tail.tensors)
        notes.append(f"on the CPU after the Edge TPU part, in the same file: {names}, from {tensors}")
    return notes


def _measurement_notes(mapping: Mapping) -> list[str]:
    measured: Any = mapping.measured
    if measured is None:
        return []
    if measured["reason"] is not None:
        return [str(measured["reason"])]
    differences = measured["differences"]
    compiled = f"compiled with edgetpu_compiler {measured['compiler_version']}"
    return [
        f"{compiled}; the forecast was right"
        if not differences
        else f"{compiled}; {len(differences)} rows differ from it"
    ]
