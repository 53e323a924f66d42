"""Results that nobody reads are not computed: a stride of a 1x1 convolution moves back to what made its input.

A 1x1 convolution of stride 2 reads every second row and column.  Where that holds for all that reads a tensor, the
convolution or sum behind it makes these rows and columns alone.  `graphs.tensorflow.strides` does the same in float.
"""

from __future__ import annotations

from collections.abc import Mapping

from tfcompress.graphs.tflite import Operator, Subgraph

__all__ = ["strides_of_tensors"]

_CAN = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "ADD"})


def strides_of_tensors(graph: Subgraph) -> Mapping[int, int]:
    """{tensor index: stride, above 1} of the tensors of which every such row and column is to be made alone."""
    strides: dict[int, int] = {}
    for operator in reversed(graph.operators):
        result = operator.outputs[0]
        if operator.name not in _CAN or result in graph.outputs or len(graph.tensors[result].shape) != 4:
            continue
        wanted = {_wants(reader, result, graph, strides) for reader in graph.consumers(result)}
        stride = wanted.pop() if len(wanted) == 1 else 1
        if stride > 1:
            strides[result] = stride
    return strides


def _wants(reader: Operator, tensor: int, graph: Subgraph, strides: Mapping[int, int]) -> int:
    """In which steps an operator reads a tensor."""
    later = strides.get(reader.outputs[0], 1)
    shape = graph.tensors[reader.outputs[0]].shape
    if reader.name == "ADD":
        return later if shape == graph.tensors[tensor].shape else 1
    if reader.name != "CONV_2D" or reader.inputs[0] != tensor:
        return 1
    built, kernel = reader.options, graph.tensors[reader.inputs[1]].shape
    return later * built.StrideH() if kernel[1:3] == (1, 1) and built.StrideH() == built.StrideW() else 1
