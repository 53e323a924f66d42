"""From a float model to an ONNX file with int8 Q/DQ pairs, from the same float graph and ranges as the phone's file."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.litert import Int8Model, quantize_int8, with_fixed_sizes
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.litert.recurrent import unrolled_note
from tfcompress.converters.onnx.builder import Scheme, load_onnx
from tfcompress.converters.onnx.export import export_onnx, scheme_for
from tfcompress.converters.onnx.options import Onnx
from tfcompress.converters.onnx.tensorrt import broken_rules
from tfcompress.converters.onnx.usage import usage
from tfcompress.converters.usage import Port, Ports
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, DataError, MissingExtraError
from tfcompress.graphs.tflite import TfliteFile, read_tflite
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.processor import vector_instructions
from tfcompress.recipe import Recipe

__all__ = ["FILE_NAME", "SATURATE", "SATURATING", "convert"]

FILE_NAME = "model.onnx"
# Instructions of x86 that add two products of 8 bits in 16 (OpenVINO, "Saturation (overflow) issue workaround").
SATURATE = frozenset({"avx512bw", "avx2", "sse4_1"})
SATURATING = (
    "this processor has no VNNI: sums of 8-bit products may saturate in ONNX Runtime, so that outputs may be further "
    "from float here than on others"
)


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert a model for ONNX Runtime, and for TensorRT by its rules.

    Args:
        model: the float model; a trained one without its quantizers.
        calibration: representative inputs.
        recipe: `onnx`, `post_training` and `keep_float` are used.
        output: existing empty folder; gets `model.onnx` and `USE.md`.

    Raises:
        ConversionError: the onnx package is not installed, or the model has an operator without an ONNX form here.
        DataError: calibration data is missing or bad.
    """
    try:
        load_onnx()
    except MissingExtraError as error:
        raise ConversionError(str(error)) from None
    if calibration is None:
        raise DataError(f"{model.name}: int8 Q/DQ pairs need samples; give --calibration=DATA")
    model = with_fixed_sizes(model, calibration)
    result = _quantized(model, calibration, recipe)
    content, ranges = result.float_content, result.calibration
    if content is None or ranges is None:
        raise ConversionError(f"{model.name}: it has quantizers of its own, and ONNX export starts from float weights")
    file = read_tflite(content)
    symmetric = recipe.section(Onnx).activations == "symmetric"
    scheme = scheme_for(file.main, ranges, result.limits.keep_float, symmetric=symmetric)
    names = [layer.name for layer in all_layers(model.keras_model)]
    path = output / FILE_NAME
    path.write_bytes(export_onnx(content, scheme, name=model.name, layer_names=names))
    broken = broken_rules(path)
    (output / "USE.md").write_text(usage(_ports(model), broken), encoding="utf-8")
    facts = {
        "bytes": path.stat().st_size,
        "fully_integer": False,
        "input_dtypes": [info.dtype for info in model.inputs],
        "output_dtypes": [info.dtype for info in model.outputs],
        "float_ops": list(_left_in_float(file, scheme)),
        "tensorrt": {"proven": False, "reason": "TensorRT needs an NVIDIA GPU", "broken_rules": broken},
    }
    steps = unrolled_note(model, "ONNX has no Q/DQ form of its recurrent operators")
    return Artifact("onnx", output, path, facts, (*result.notes, *_notes(file, scheme), *steps))


def _quantized(model: FloatModel, calibration: Samples, recipe: Recipe) -> Int8Model:
    """The phone's int8 file, of which the ONNX file takes the float graph with its weights, ranges and float ends."""
    options = replace(recipe.post_training, scheme="int8", allow_select_ops=False)
    abilities = Abilities(int16=False, float_inputs=True, float_outputs=True, learnt=False)
    recipe = replace(recipe, post_training=options, keep_int16=())
    return quantize_int8(model, calibration, recipe, integer_io=False, abilities=abilities)


def _ports(model: FloatModel) -> Ports:
    labels = model.usage.class_names
    inputs, outputs = (
        tuple(Port(info.name, tuple(size or 1 for size in info.shape), info.dtype) for info in infos)
        for infos in (model.inputs, model.outputs)
    )
    scores = next((index for index, port in enumerate(outputs) if labels and port.shape[-1] == len(labels)), None)
    return Ports(inputs, outputs, labels if scores is not None else (), scores)


def _left_in_float(file: TfliteFile, scheme: Scheme) -> Counter[str]:
    """Operators none of whose inputs is quantized."""
    return Counter(
        operator.name
        for operator in file.main.operators
        if operator.index not in scheme.weights and not any(index in scheme.scales for index in operator.inputs)
    )


def _notes(file: TfliteFile, scheme: Scheme) -> list[str]:
    quantized = len(scheme.weights)
    notes = [f"{quantized} layers with int8 weights, {len(scheme.scales)} quantized activations; float32 in and out"]
    left = _left_in_float(file, scheme)
    if left:
        notes.append("computed in float: " + ", ".join(f"{count} {name}" for name, count in left.items()))
    if vector_instructions() in SATURATE:
        notes.append(SATURATING)
    return notes
