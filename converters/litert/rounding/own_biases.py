"""A bias of its own for each layer: the converter makes equal ones one tensor, or one buffer, for several layers."""

from __future__ import annotations

from collections import Counter

from tfcompress.graphs.tflite.editor import ModelEditor, OperatorNode

__all__ = ["with_own_biases"]

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_BIAS = 2  # position among the inputs


def with_own_biases(content: bytes) -> bytes:
    """A .tflite that computes the same, with no bias that two operators of a graph read; the same bytes without any.

    A shared bias can follow neither layer's rounding: such layers would get no correction.  And its integers count in
    steps of the layer's input times its weights, so that two layers cannot share the numbers either.

    Args:
        content: the float .tflite.
    """
    model = ModelEditor.read(content)
    graph = model.main
    counts = Counter(id(tensor.buffer) for operator in graph.operators for tensor in operator.operands)
    shared = [
        operator for operator in graph.operators if operator.name in _WEIGHTED and _reads_of_many(operator, counts)
    ]
    for operator in shared:
        source, weights, bias = operator.inputs
        assert bias is not None, "it is read"
        values = bias.array()
        assert values is not None, "it is a constant of numbers"
        own = bias.copy(f"{operator.result.name}/bias")
        own.set_array(values)
        graph.replace([operator], [operator.replaced([source, weights, own], operator.outputs)])
    return model.to_bytes() if shared else content


def _reads_of_many(operator: OperatorNode, counts: Counter[int]) -> bool:
    bias = operator.input(_BIAS)
    return bias is not None and bias.array() is not None and counts[id(bias.buffer)] > 1
