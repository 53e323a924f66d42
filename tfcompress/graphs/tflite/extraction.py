"""A few operators of a file as a file of their own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode
from tfcompress.graphs.tflite.records import Codes

__all__ = ["extract"]


def extract(operators: Sequence[OperatorNode], *, inputs: Sequence[TensorNode], outputs: Sequence[TensorNode]) -> bytes:
    """A .tflite of some operators; those that they were taken from stay as they are.

    Args:
        operators: in the order of execution.
        inputs: the computed tensors that they read and do not compute; one that none of them reads is an input too.
        outputs: the tensors that the file gives.
    """
    model: Any = schema.ModelT()
    model.version, model.buffers, model.operatorCodes = 3, [schema.BufferT()], []  # 3: schema.fbs, `Model.version`
    record: Any = schema.SubGraphT()
    record.name = "main"
    model.subgraphs = [record]
    codes = Codes(model)
    twins: dict[TensorNode | None, TensorNode | None] = {None: None}
    graph = GraphEditor(record, codes, [], [], [], [])
    for operator in operators:
        for tensor in (*operator.operands, *operator.outputs, *operator.intermediates):
            twins.setdefault(tensor, _twin(tensor, codes))
        graph.operators.append(_moved(operator, twins))
    for tensor in inputs:
        twins.setdefault(tensor, _twin(tensor, codes))
    graph.inputs = [twins[tensor] for tensor in inputs]  # type: ignore[misc]
    graph.outputs = [twins[tensor] for tensor in outputs]  # type: ignore[misc]
    return ModelEditor(model, codes, [graph], []).to_bytes()


def _twin(tensor: TensorNode, codes: Codes) -> TensorNode:
    return TensorNode(copy.copy(tensor.record), tensor.buffer if tensor.is_constant else codes.empty_buffer)


def _moved(operator: OperatorNode, twins: Mapping[TensorNode | None, Any]) -> OperatorNode:
    record = copy.copy(operator.record)
    inputs, outputs = ([twins[tensor] for tensor in tensors] for tensors in (operator.inputs, operator.outputs))
    return OperatorNode(record, operator.code, inputs, outputs, [twins[tensor] for tensor in operator.intermediates])
