"""From a float .tflite and the ranges of its tensors to an ONNX model with int8 Q/DQ pairs.

The pairs are where ONNX Runtime and TensorRT look for them: at the inputs of operators that compute with integers.
Weights have one symmetric scale a channel, activations one scale a tensor, symmetric with zero point 0 for TensorRT, or
with the zero point that spends no step on values that do not occur.  Biases stay float32, and so do the model's inputs
and outputs.

Source of the placement and the limits: NVIDIA TensorRT documentation, "Explicit Quantization" and "Q/DQ Layer-Placement
Recommendations"; NVIDIA/TensorRT issue 2774 ("TRT only supports symmetric quantization").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tfcompress.calibration import Calibration, Range
from tfcompress.converters.onnx import elementwise, layers, shapes
from tfcompress.converters.onnx.builder import IR_VERSION, OPSET, Builder, Layout, Scheme
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import Operator, Signature, Subgraph, TfliteFile, read_tflite
from tfcompress.layer_names import as_named_in, layer_or_scope

__all__ = ["WEIGHTED", "export_onnx", "scheme_for"]

OPERATORS = {**elementwise.OPERATORS, **layers.OPERATORS, **shapes.OPERATORS}
WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D"})
# Compute with integers in both runtimes, or pass them on.
_INTEGER = WEIGHTED | {"ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONCATENATION", "MAX_POOL_2D", "MEAN"}
_SMALLEST, _LARGEST = -128, 127


def scheme_for(
    graph: Subgraph, calibration: Calibration | None, keep_float: Collection[str] = (), *, symmetric: bool = True
) -> Scheme:
    """Which tensors of a float graph are quantized.

    Args:
        graph: the float graph.
        calibration: ranges of its tensors by name; None quantizes nothing.
        keep_float: names of output tensors whose operators compute in float.
        symmetric: activations have the zero point 0, as TensorRT wants; else all 256 integers cover the range.
    """
    if calibration is None:
        return Scheme({}, frozenset())
    quantized = [
        operator
        for operator in graph.operators
        if operator.name in _INTEGER and not any(graph.tensors[i].name in keep_float for i in operator.outputs)
    ]
    scales: dict[int, float] = {}
    zero_points: dict[int, int] = {}
    for index in (index for operator in quantized for index in operator.inputs if index >= 0):
        tensor = graph.tensors[index]
        limits = calibration.ranges.get(tensor.name)
        if limits is not None and tensor.data is None and tensor.dtype == "float32":
            scales[index], zero_points[index] = _step(limits.with_a_scale(), symmetric)
    weighted = frozenset(operator.index for operator in quantized if operator.name in WEIGHTED)
    return Scheme(scales, weighted, zero_points)


def _step(span: Range, symmetric: bool) -> tuple[float, int]:
    """(scale, zero point) of a range that holds 0."""
    if symmetric:
        return max(abs(span.low), abs(span.high)) / _LARGEST, 0
    scale = (span.high - span.low) / (_LARGEST - _SMALLEST)
    return scale, round(_SMALLEST - span.low / scale)


def export_onnx(content: bytes, scheme: Scheme, *, name: str, layer_names: Collection[str] = ()) -> bytes:
    """The ONNX model.

    Args:
        content: a float .tflite with one signature, whose names the inputs and outputs get.
        scheme: see `scheme_for`.
        name: of the graph.
        layer_names: of the Keras model; nodes bear their names.

    Raises:
        MissingExtraError: the onnx package is not installed.
        ConversionError: an operator has no ONNX form here; the message names it and its Keras layer.
    """
    file = read_tflite(content)
    graph = file.main
    names = as_named_in(layer_names, (tensor.name for tensor in graph.tensors))

    def name_of(operator: Operator) -> str:
        tensor = graph.tensors[operator.outputs[0]].name if operator.outputs else operator.name
        return layer_or_scope(tensor, names) or operator.name

    builder = Builder(graph, scheme, name_of)
    inputs = _inputs(builder, graph, _signature(file))
    for operator in graph.operators:
        convert = OPERATORS.get(operator.name)
        builder.begin(operator)
        if convert is None:
            raise ConversionError(
                f"ONNX export does not know {operator.name} (layer {name_of(operator)!r}); replace the layer, or leave "
                "it out of the exported model"
            )
        convert(builder, operator)
    return _finished(builder, graph, _signature(file), inputs, name)


def _signature(file: TfliteFile) -> Signature | None:
    return file.signatures[0] if len(file.signatures) == 1 else None


def _names(indices: Collection[int], graph: Subgraph, ports: Mapping[str, int]) -> dict[int, str]:
    given = {index: name for name, index in ports.items()}
    return {index: given.get(index, graph.tensors[index].name) for index in indices}


def _inputs(builder: Builder, graph: Subgraph, signature: Signature | None) -> dict[int, str]:
    """Reserve the inputs' names; a picture goes to channels first before it is quantized, where a layer wants it so."""
    names = _names(graph.inputs, graph, {} if signature is None else signature.inputs)
    if signature is not None:
        for name in signature.outputs:
            builder.unique(name)  # no inner value may take it
    for index, name in names.items():
        builder.unique(name)
        value, layout = name, Layout.LAST
        if any(user.name in _CHANNELS_FIRST for user in graph.consumers(index)) and len(graph.tensors[index].shape) > 2:
            builder.begin_with(name)
            rank = len(graph.tensors[index].shape)
            value, layout = builder.node("Transpose", [name], perm=[0, rank - 1, *range(1, rank - 1)]), Layout.FIRST
        builder.write(index, value, layout)
    return names


_CHANNELS_FIRST = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D", "CONV_3D", "PAD"})


def _finished(
    builder: Builder, graph: Subgraph, signature: Signature | None, inputs: Mapping[int, str], name: str
) -> bytes:
    helper = builder.onnx.helper
    outputs = _names(graph.outputs, graph, {} if signature is None else signature.outputs)
    for index, title in outputs.items():
        value = builder.read(index)
        builder.nodes.append(helper.make_node("Identity", [value], [title], name=f"{title}/output"))

    def port(index: int, title: str) -> object:
        tensor = graph.tensors[index]
        return helper.make_tensor_value_info(title, _dtype(builder, tensor.dtype), list(tensor.shape))

    onnx_graph = helper.make_graph(
        builder.nodes,
        name,
        [port(index, title) for index, title in inputs.items()],
        [port(index, title) for index, title in outputs.items()],
        builder.initializers,
    )
    model = helper.make_model(
        onnx_graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tfcompress",
    )
    builder.onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _dtype(builder: Builder, name: str) -> int:
    numpy = builder.onnx.numpy_helper.np
    return int(builder.onnx.helper.np_dtype_to_tensor_dtype(numpy.dtype(name)))
