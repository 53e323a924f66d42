"""From a float model to a file for TensorFlow Lite Micro, its C++ source, and what TFLM says of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from tfcompress import console
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.litert.facts import float_operators, used_dtypes
from tfcompress.converters.micro.operators import methods_of
from tfcompress.converters.micro.proof import Proof, micro_version, prove
from tfcompress.converters.micro.sources import write_sources
from tfcompress.converters.micro.usage import usage
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.npu.quantization import Npu, NpuFile, quantized_for
from tfcompress.converters.usage import ports_of
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, MissingExtraError, one_line
from tfcompress.graphs.tflite import TfliteFile, read_tflite
from tfcompress.graphs.tflite.finished import finished
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["convert"]

DIFF_SECONDS = 300.0  # for the whole accuracy diff; reference kernels take a second for 100 million multiplications
LEAST_SAMPLES = 100
_FLOAT = ("float32", "float16")


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert a model for microcontrollers.

    Args:
        model: the float (or quantization-aware) model.
        calibration: representative inputs; None is allowed for a quantization-aware model.
        recipe: `post_training`, `keep_float` and `keep_int16` are used.
        output: existing empty folder; gets `model.tflite`, `model.cc`, `model.h`, `ops.json` and `USE.md`.

    Raises:
        ConversionError: the model cannot be quantized, tflite-micro is not installed, or TFLM cannot run the file; the
            message names the operators, their layers and what to do.
        DataError: calibration data is missing or bad.
    """
    try:
        micro_version()
    except MissingExtraError as error:
        raise ConversionError(str(error)) from None
    quantized = quantized_for(model, calibration, recipe, Npu(_refused))
    content = finished(quantized.result.content)
    console.note("micro: running it in TensorFlow Lite Micro")
    proof = prove(content, layer_names=quantized.layer_names)
    mapping = replace(proof.mapping, file="model.tflite")
    if mapping.compiled is False:
        raise ConversionError(f"{model.name}: {_why(mapping)}")
    file = read_tflite(content)
    methods = methods_of(file)
    counts = Counter(operator.name for graph in file.subgraphs for operator in graph.operators)
    ports = ports_of(content, model)
    write_sources(output, content, mapping, methods, counts, ports)
    (output / "USE.md").write_text(usage(ports, mapping, list(methods.values()), len(content)), encoding="utf-8")
    path = output / "model.tflite"
    return Artifact("micro", output, path, _facts(quantized, file, proof, mapping), tuple(_notes(quantized, mapping)))


def _refused(content: bytes) -> list[str]:
    """Operators that TFLM does not run; its own words where it names none, of a graph inside of a loop for example."""
    mapping = prove(finished(content)).mapping
    rows = [row.operator for row in mapping.operators if not row.mapped]
    return rows or ([f"what fails ({one_line(mapping.reason, 120)})"] if mapping.compiled is False else [])


def _why(mapping: CompiledMapping) -> str:
    """The operators that TFLM cannot run, each once with its first layer and the fix."""
    rows = {row.operator: row for row in reversed(mapping.operators) if not row.mapped}
    if not rows:
        return f"TensorFlow Lite Micro cannot run it: {mapping.reason}"
    reasons = []
    for name, row in reversed(rows.items()):
        layer = f" (layer {row.keras_layer!r})" if row.keras_layer else f" (tensor {row.tensor!r})"
        reasons.append(f"{name}{layer}: {row.reason}; {row.fix}")
    return f"TensorFlow Lite Micro cannot run {'; '.join(reasons)}"


def _facts(quantized: NpuFile, file: TfliteFile, proof: Proof, mapping: CompiledMapping) -> dict[str, object]:
    seconds = (proof.milliseconds or 0.0) / 1000
    samples = max(LEAST_SAMPLES, int(DIFF_SECONDS / seconds)) if seconds else None
    runtime = "TensorFlow Lite Micro's interpreter" if mapping.compiled else "LiteRT's reference kernels"
    return {
        "bytes": mapping.figures["flash_bytes"],
        "fully_integer": not any(used_dtypes(graph).intersection(_FLOAT) for graph in file.subgraphs),
        "input_dtypes": [file.main.tensors[index].dtype for index in file.main.inputs],
        "output_dtypes": [file.main.tensors[index].dtype for index in file.main.outputs],
        "float_ops": list(float_operators(file)),
        "engine": {"name": quantized.result.engine, "reason": quantized.result.reason},
        "rewrites": [rewrite.to_json() for rewrite in quantized.rewrites],
        "mapping": [mapping.to_json()],
        "compared": {"file": mapping.file, "runtime": runtime, "most_samples": samples},
    }


def _notes(quantized: NpuFile, mapping: CompiledMapping) -> list[str]:
    notes = [f"engine: {quantized.result.engine} ({quantized.result.reason})"]
    notes += [rewrite.note() for rewrite in quantized.rewrites]
    notes += quantized.result.notes
    if mapping.sram_bytes is None:
        return [*notes, f"{mapping.reason}; compared with LiteRT's reference kernels; the arena was not measured"]
    flash = mapping.figures["flash_bytes"]
    return [
        *notes,
        f"needs {flash:,} bytes of flash for the model and an arena of {mapping.sram_bytes:,} bytes of RAM",
        f"compared in TensorFlow Lite Micro's own interpreter ({mapping.compiler_version})",
    ]
