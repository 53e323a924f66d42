"""From a float model to an ONNX file with int8 Q/DQ pairs, from the same float graph and ranges as the phone's file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tfcompress.calibration import calibrate
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.litert import to_float_tflite, with_fixed_sizes
from tfcompress.converters.litert.patterns import tensors_of_layers
from tfcompress.converters.litert.quality import improve_weights, plan_for
from tfcompress.converters.litert.recurrent import unrolled_note
from tfcompress.converters.onnx.builder import Scheme, load_onnx
from tfcompress.converters.onnx.export import export_onnx, scheme_for
from tfcompress.converters.onnx.tensorrt import broken_rules
from tfcompress.converters.onnx.usage import usage
from tfcompress.converters.usage import Port, Ports
from tfcompress.data import Samples
from tfcompress.errors import ConversionError, DataError, MissingExtraError
from tfcompress.graphs.tflite import TfliteFile, read_tflite
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["FILE_NAME", "convert"]

FILE_NAME = "model.onnx"


def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path) -> Artifact:
    """Convert a model for ONNX Runtime, and for TensorRT by its rules.

    Args:
        model: the float model; a trained one without its quantizers.
        calibration: representative inputs.
        recipe: `post_training` and `keep_float` are used.
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
    options = recipe.post_training
    content = to_float_tflite(model, allow_select_ops=False)
    content, notes = improve_weights(content, calibration, plan_for(options), dense_per_channel=True)
    ranges = calibrate(
        content, calibration, estimator=options.estimator, percentile=options.percentile, hash_data=False
    )
    file = read_tflite(content)
    keep_float = tensors_of_layers(model, file, recipe.keep_float, "keep_float")
    scheme = scheme_for(file.main, ranges, keep_float)
    names = [layer.name for layer in all_layers(model.keras_model)]
    path = output / FILE_NAME
    path.write_bytes(export_onnx(content, scheme, name=model.name, layer_names=names))
    (output / "USE.md").write_text(usage(_ports(model)), encoding="utf-8")
    broken = broken_rules(path)
    facts = {
        "bytes": path.stat().st_size,
        "fully_integer": False,
        "input_dtypes": [info.dtype for info in model.inputs],
        "output_dtypes": [info.dtype for info in model.outputs],
        "float_ops": list(_left_in_float(file, scheme)),
        "tensorrt": {"proven": False, "reason": "TensorRT needs an NVIDIA GPU", "broken_rules": broken},
    }
    steps = unrolled_note(model, "ONNX has no Q/DQ form of its recurrent operators")
    return Artifact("onnx", output, path, facts, (*notes, *_notes(file, scheme, broken), *steps))


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


def _notes(file: TfliteFile, scheme: Scheme, broken: list[str]) -> list[str]:
    quantized = len(scheme.weights)
    notes = [
        f"{quantized} layers with int8 weights, {len(scheme.scales)} quantized activations; float32 in and out",
        "TensorRT: not proven, as there is no GPU here; "
        + (f"{len(broken)} rules broken: {broken[0]}" if broken else "the file keeps its rules"),
    ]
    left = _left_in_float(file, scheme)
    if left:
        notes.append("computed in float: " + ", ".join(f"{count} {name}" for name, count in left.items()))
    return notes
