"""The second engine: TFLiteConverter's quantizer, for operators that litert-quantizer lacks and for trained ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfcompress.calibration import Calibration, Range
from tfcompress.converters.litert.comparisons import with_comparable_scales
from tfcompress.converters.litert.float_operands import with_float_operands
from tfcompress.converters.litert.float_tflite import convert_with, new_converter
from tfcompress.converters.litert.interface import order_inputs_and_outputs
from tfcompress.converters.litert.limits import Limits
from tfcompress.converters.litert.reachable_sums import require_reachable_sums
from tfcompress.converters.litert.recurrent import held_back, restored
from tfcompress.converters.rewriting import INT8_FILE, rewrite_graph, rows_for
from tfcompress.errors import ConversionError, one_line
from tfcompress.graphs.tensorflow.private_names import mlir_quantize
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor, TensorNode
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["quantize", "quantize_trained", "stored"]

_SPLITS = ("SPLIT", "SPLIT_V", "UNPACK")


def quantize(content: bytes, calibration: Calibration, limits: Limits) -> bytes:
    """A float .tflite quantized to int8 by the quantizer inside TFLiteConverter, fed with our own calibration.

    The ranges are written where TFLiteConverter's own calibrator writes them: `quantization.min` and `max`.

    Args:
        content: the float .tflite.
        calibration: ranges of its tensors.
        limits: what the result has to look like.

    Raises:
        ConversionError: the quantizer cannot handle the model, or 16-bit activations are asked for.
    """
    if limits.int16 or limits.keep_int16:
        raise ConversionError(
            "TFLiteConverter's quantizer takes no 16-bit activations (int16x8, keep_int16); "
            "use --engine=litert or --engine=auto"
        )
    content, held = held_back(content, limits.keep_float)
    model = ModelEditor.read(content)
    ranges = _with_shared_scales(content, calibration)
    for tensor in model.main.tensors:
        _write_range(tensor, ranges)
    io_type = tf.int8 if limits.integer_io else tf.float32
    try:
        with silenced():
            quantized = mlir_quantize(
                model.to_bytes(),
                input_data_type=io_type,
                output_data_type=io_type,
                denylisted_nodes=set(limits.keep_float),
                disable_per_channel_for_dense_layers=not limits.dense_per_channel,
            )
    except Exception as error:  # its passes raise RuntimeError, ValueError and ConverterError alike
        raise ConversionError(f"TFLiteConverter's quantizer failed: {one_line(error)}") from error
    quantized = restored(quantized, held, calibration.ranges, limits.recurrent)
    return rewrite_graph(quantized, rows_for(INT8_FILE), except_for=limits.keep_float).content


def _with_shared_scales(content: bytes, calibration: Calibration) -> dict[str, Range]:
    """The ranges, where parts of a split tensor have the whole's.

    LiteRT's quantization specification wants one scale for all; given several, the quantizer now and then leaves
    the operator in float.
    """
    graph, ranges = read_tflite(content).main, dict(calibration.ranges)
    for operator in graph.operators:
        if operator.name in _SPLITS:
            whole = next((graph.tensors[i].name for i in operator.inputs if graph.tensors[i].dtype == "float32"), None)
            if whole in ranges:
                ranges.update({graph.tensors[index].name: ranges[whole] for index in operator.outputs})
    return ranges


def _write_range(tensor: TensorNode, ranges: Mapping[str, Range]) -> None:
    if tensor.name in ranges:
        range_with_scale = ranges[tensor.name].with_a_scale()
        tensor.set_range(range_with_scale.low, range_with_scale.high)


def quantize_trained(model: FloatModel, *, integer_io: bool, loops: bool = False) -> bytes:
    """A quantization-aware model as an int8 .tflite with the ranges that it was trained with.

    Args:
        model: with quantize wrappers.
        integer_io: int8 inputs and outputs, unless an input or output is in float in the model.
        loops: recurrent layers become loops; else they are unrolled.

    Raises:
        ConversionError: TFLiteConverter cannot handle the model, or LiteRT not one of its sums.
    """

    def change(converter: Any) -> None:
        if integer_io:
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8

    try:
        content = _by_converter(model, change, allow_select_ops=False, loops=loops)
    except ConversionError:
        if not integer_io:
            raise
        # A model that begins or ends with a layer in float has no integers there.
        return quantize_trained(model, integer_io=False, loops=loops)
    require_reachable_sums(content)
    # Loops have a weight scale for each output, as the weights were trained; LiteRT's fused LSTM one for each gate.
    return with_comparable_scales(with_float_operands(restored(content, (), {}, "loop")))


def stored(model: FloatModel, scheme: str, allow_select_ops: bool) -> bytes:
    """A model with weights of fewer bits and float32 inputs and outputs, as TFLiteConverter makes it.

    Args:
        model: the float model.
        scheme: `float16` or `dynamic`.
        allow_select_ops: let TensorFlow (Flex) operators in.

    Raises:
        ConversionError: TFLiteConverter cannot handle the model, or has no such scheme.
    """
    if scheme not in ("float16", "dynamic"):
        raise ConversionError(f"TFLiteConverter has no scheme {scheme}; use --engine=litert or --engine=auto")

    def change(converter: Any) -> None:
        if scheme == "float16":
            converter.target_spec.supported_types = [tf.float16]

    return _by_converter(model, change, allow_select_ops=allow_select_ops)


def _by_converter(
    model: FloatModel, change: Callable[[Any], None], *, allow_select_ops: bool, loops: bool = False
) -> bytes:
    with silenced():
        converter = new_converter(model, allow_select_ops=allow_select_ops, loops=loops)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    change(converter)
    tree = ModelEditor.read(convert_with(converter, model))
    order_inputs_and_outputs(tree, [item.name for item in model.inputs], [item.name for item in model.outputs])
    return tree.to_bytes()
