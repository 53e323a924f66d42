"""Operators that LiteRT computes in int8 but that no quantizer quantizes.

Both engines leave them in float, between a DEQUANTIZE and a QUANTIZE.  Their int8 kernels take any input and output
scale (a table of 256 values: tensorflow/lite/kernels/activations.cc and elementwise.cc), so the three operators may
become one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.edit import operator_name, pack, unpack

__all__ = ["without_islands"]

_BY_TABLE = ("ELU", "EXP", "ABS")


def without_islands(content: bytes, keep_float: Collection[str] = ()) -> bytes:
    """The file with every such operator in int8; unchanged where there is none.

    Args:
        content: a quantized .tflite.
        keep_float: names of output tensors whose operators stay float.
    """
    if not any(operator.name in _BY_TABLE for operator in read_tflite(content).main.operators):
        return content
    tree = unpack(content)
    graph = tree.subgraphs[0]
    kept = {name.encode() for name in keep_float}
    found = [_island(tree, graph, operator) for operator in graph.operators]
    islands = [one for one in found if one is not None and graph.tensors[one[1].outputs[0]].name not in kept]
    if not islands:
        return content
    for before, operator, after in islands:
        source, target = graph.tensors[operator.outputs[0]], graph.tensors[after.outputs[0]]
        if after.outputs[0] not in graph.outputs:
            source.name, target.name = target.name, source.name  # the layer's name stays with the layer's value
        operator.inputs, operator.outputs = [before.inputs[0]], [after.outputs[0]]
    gone = {id(after) for _, _, after in islands}
    graph.operators = [operator for operator in graph.operators if id(operator) not in gone]
    used = {index for operator in graph.operators for index in operator.inputs} | set(graph.outputs)
    unread = {id(before) for before, _, _ in islands if before.outputs[0] not in used}
    graph.operators = [operator for operator in graph.operators if id(operator) not in unread]
    return pack(tree)


def _island(tree: Any, graph: Any, operator: Any) -> tuple[Any, Any, Any] | None:
    """(DEQUANTIZE, operator, QUANTIZE) where nothing else reads the operator's float output."""
    if operator_name(tree, operator) not in _BY_TABLE:
        return None
    before = next((one for one in graph.operators if operator.inputs[0] in one.outputs), None)
    readers = [one for one in graph.operators if operator.outputs[0] in one.inputs]
    if before is None or len(readers) != 1 or operator.outputs[0] in graph.outputs:
        return None
    after = readers[0]
    ends = (operator_name(tree, before), operator_name(tree, after))
    integers = [graph.tensors[index].type for index in (before.inputs[0], after.outputs[0])]
    fits = ends == ("DEQUANTIZE", "QUANTIZE") and integers == [schema.TensorType.INT8] * 2
    return (before, operator, after) if fits else None
