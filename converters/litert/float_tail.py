"""The last operators of a float file cut off, and put behind the quantized file of what is left.

An engine told to leave an operator in float still gives what it joins one scale, as the operator's own rule wants;
it cannot where the operator is not there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode, options

__all__ = ["FloatTail", "with_tails", "without_tails"]

_LEAF = "tail/"  # before the names of the outputs that a tail reads


@dataclass(frozen=True)
class FloatTail:
    """The operators that stay in float before one output.

    Attributes:
        output: the output tensor's name.
        tensors: output tensors of those operators.
        note: what was done and why, one line.
    """

    output: str
    tensors: tuple[str, ...]
    note: str


def without_tails(content: bytes, tails: Sequence[FloatTail]) -> bytes:
    """A float .tflite that ends before the tails: what they read are its outputs, behind those that stay."""
    model = ModelEditor.read(content)
    graph, signature = model.main, model.signatures[0]
    operators = _tail_operators(graph, tails)
    ends = {tail.output for tail in tails}
    signature.outputs = [(name, tensor) for name, tensor in signature.outputs if tensor.name not in ends]
    signature.outputs += [(f"{_LEAF}{number}", leaf) for number, leaf in enumerate(_leaves(operators))]
    graph.remove(operators)
    graph.outputs = [tensor for _, tensor in signature.outputs]
    graph.drop_unread()
    model.drop_unused()
    return model.to_bytes()


def with_tails(quantized: bytes, content: bytes, tails: Sequence[FloatTail]) -> bytes:
    """The quantized file of `without_tails(content, tails)` with the tails of `content` behind it, in float."""
    source, model = ModelEditor.read(content), ModelEditor.read(quantized)
    graph, signature = model.main, model.signatures[0]
    operators = _tail_operators(source.main, tails)
    ends = dict(signature.outputs)
    twins: dict[TensorNode, TensorNode] = {}
    for number, leaf in enumerate(_leaves(operators)):
        twins[leaf] = _in_float(graph, ends[f"{_LEAF}{number}"], leaf)
    for operator in operators:
        for tensor in (*operator.operands, *operator.outputs):
            twins.setdefault(tensor, _twin(tensor, graph))
        graph.operators.append(_moved(graph, operator, twins))
    signature.outputs = [
        (name, ends[name] if name in ends else twins[tensor]) for name, tensor in source.signatures[0].outputs
    ]
    graph.outputs = [tensor for _, tensor in signature.outputs]
    return model.to_bytes()


def _tail_operators(graph: GraphEditor, tails: Sequence[FloatTail]) -> list[OperatorNode]:
    names = {name for tail in tails for name in tail.tensors}
    return [operator for operator in graph.operators if operator.outputs and operator.result.name in names]


def _leaves(operators: Iterable[OperatorNode]) -> list[TensorNode]:
    """What the operators read and do not compute."""
    computed = {tensor for operator in operators for tensor in operator.outputs}
    read = (tensor for operator in operators for tensor in operator.computed_inputs)
    return list(dict.fromkeys(tensor for tensor in read if tensor not in computed))


def _in_float(graph: GraphEditor, tensor: TensorNode, leaf: TensorNode) -> TensorNode:
    if tensor.dtype == "float32":
        return tensor
    real = TensorNode(copy.copy(leaf.record), graph.codes.empty_buffer)
    real.name = f"{tensor.name}/float"
    version = 2 if tensor.dtype == "int8" else 3
    conversion = graph.operator("DEQUANTIZE", [tensor], [real], options("DequantizeOptions"), version=version)
    graph.operators.append(conversion)
    return real


def _twin(tensor: TensorNode, graph: GraphEditor) -> TensorNode:
    record: Any = copy.copy(tensor.record)
    record.quantization = None
    return TensorNode(record, tensor.buffer if tensor.is_constant else graph.codes.empty_buffer)


def _moved(graph: GraphEditor, operator: OperatorNode, twins: dict[TensorNode, TensorNode]) -> OperatorNode:
    inputs = [None if tensor is None else twins[tensor] for tensor in operator.inputs]
    outputs = [twins[tensor] for tensor in operator.outputs]
    return graph.operator(operator.name, inputs, outputs, copy.copy(operator.options), version=operator.version)
