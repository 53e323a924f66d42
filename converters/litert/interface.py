"""Inputs and outputs of a .tflite: their order, and indices as integers."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode, options

__all__ = ["indices_as_integers", "order_inputs_and_outputs", "with_uint8_edges"]


def order_inputs_and_outputs(model: ModelEditor, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Put the graph's inputs and outputs, and those of its only signature, in the model's own order.

    Args:
        model: its first signature is the one that was converted.
        inputs: names in the wanted order; those that the converter dropped as unused are skipped.
        outputs: names in the wanted order.
    """
    signature = model.signatures[0]
    signature.inputs = _in_order(signature.inputs, inputs)
    signature.outputs = _in_order(signature.outputs, outputs)
    model.main.inputs = [tensor for _, tensor in signature.inputs]
    model.main.outputs = [tensor for _, tensor in signature.outputs]


def _in_order(ports: Sequence[tuple[str, TensorNode]], names: Sequence[str]) -> list[tuple[str, TensorNode]]:
    by_name = dict(ports)
    return [(name, by_name[name]) for name in names if name in by_name]


def indices_as_integers(content: bytes) -> bytes:
    """An input that is only ever cast to int32 (what an Embedding does with float indices) becomes an int32 input.

    As an int8 input it would have a scale, and indices rounded to its steps; and neither engine quantizes CAST.

    Args:
        content: a float .tflite.
    """
    model = ModelEditor.read(content)
    graph = model.main
    for tensor in graph.inputs:
        readers = graph.consumers(tensor)
        if not readers or not all(_casts_to_int32(graph, operator) for operator in readers):
            continue
        tensor.dtype = "int32"
        graph.remove(readers)
        for operator in readers:
            graph.redirect(operator.result, tensor)
    return model.to_bytes()


def _casts_to_int32(graph: GraphEditor, operator: OperatorNode) -> bool:
    types = (operator.source.dtype, operator.result.dtype)
    return operator.name == "CAST" and types == ("float32", "int32") and operator.result not in graph.outputs


def with_uint8_edges(content: bytes) -> bytes:
    """An int8 file with uint8 in the place of its int8 inputs and outputs; others stay.

    A QUANTIZE at the edge moves the zero point by 128 and changes no real value (LiteRT quantization specification:
    uint8 is int8 shifted by 128).

    Args:
        content: a quantized .tflite.
    """
    model = ModelEditor.read(content)
    graph = model.main
    for tensor in [tensor for tensor in graph.inputs if _is_int8(tensor)]:
        edge = _uint8_twin(tensor)
        inner = tensor.copy(f"{tensor.name}/int8")
        graph.redirect(tensor, inner)
        graph.operators = [_conversion(graph, edge, inner), *graph.operators]
        _stand_in(model, tensor, edge)
    for tensor in [tensor for tensor in graph.outputs if _is_int8(tensor)]:
        edge = _uint8_twin(tensor)
        graph.operators = [*graph.operators, _conversion(graph, tensor, edge)]
        _stand_in(model, tensor, edge)
        tensor.name = f"{tensor.name}/int8"
    return model.to_bytes()


def _is_int8(tensor: TensorNode) -> bool:
    return tensor.dtype == "int8" and len(tensor.scales) == 1


def _uint8_twin(tensor: TensorNode) -> TensorNode:
    twin = tensor.copy(tensor.name)
    twin.dtype = "uint8"
    twin.quantize(tensor.scales[0], tensor.zero_points[0] + 128)
    return twin


def _conversion(graph: GraphEditor, source: TensorNode, target: TensorNode) -> OperatorNode:
    return graph.operator("QUANTIZE", [source], [target], options("QuantizeOptions"), version=2)


def _stand_in(model: ModelEditor, tensor: TensorNode, edge: TensorNode) -> None:
    """Let `edge` be the input or output that `tensor` was, in the graph and in its signatures."""
    graph = model.main
    graph.inputs = [edge if item is tensor else item for item in graph.inputs]
    graph.outputs = [edge if item is tensor else item for item in graph.outputs]
    for signature in model.signatures:
        if signature.graph is graph:
            signature.inputs = [(name, edge if item is tensor else item) for name, item in signature.inputs]
            signature.outputs = [(name, edge if item is tensor else item) for name, item in signature.outputs]
