"""Files that end before their last softmax, so that networks with untrained weights can be compared by what they say.

An untrained network of a thousand classes gives each of them a share of about 1/1000.  LiteRT's int8 softmax has steps
of 1/256 (LiteRT 8-bit quantization specification), so that in every int8 file, whoever made it, all shares are 0: the
outputs' signal-to-noise ratio is about 0 dB then, and says nothing of the operators before.
"""

from __future__ import annotations

from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, TensorNode

__all__ = ["without_last_softmax"]

_SAME_VALUES = frozenset({"DEQUANTIZE", "QUANTIZE", "RESHAPE"})


def without_last_softmax(content: bytes) -> bytes:
    """The file with what its softmaxes at the end read in the place of their outputs.

    Args:
        content: a .tflite.

    Returns:
        The same bytes where no output comes from a softmax.
    """
    model = ModelEditor.read(content)
    graph = model.main
    ends = {tensor: end for tensor in graph.outputs if (end := _read_by_softmax(graph, tensor)) is not None}
    if not ends:
        return content
    graph.outputs = [ends.get(tensor, tensor) for tensor in graph.outputs]
    for signature in model.signatures:
        signature.outputs = [(name, ends.get(tensor, tensor)) for name, tensor in signature.outputs]
    graph.drop_unread()
    model.drop_unused()
    return model.to_bytes()


def _read_by_softmax(graph: GraphEditor, output: TensorNode) -> TensorNode | None:
    """What the softmax behind an output reads; None where there is none."""
    maker = graph.producer(output)
    while maker is not None and maker.name in _SAME_VALUES:
        maker = graph.producer(maker.source)
    return maker.source if maker is not None and maker.name == "SOFTMAX" else None
