"""What one inference has to do: multiplications, bytes that move, and elements left to the CPU."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from tfcompress.converters.edgetpu.parameters import operator_bytes
from tfcompress.converters.edgetpu.view import OperatorView
from tfcompress.graphs.tflite import Subgraph

__all__ = ["Work", "work_of"]


@dataclass(frozen=True)
class Work:
    """One inference.

    Attributes:
        multiplications: on the Edge TPU, those with padding included: each parameter byte as the compiler lays it out
            (see `parameters`) is multiplied once for every position of the result.
        streamed_bytes: parameters sent from the host.
        activation_bytes: results that are written on the Edge TPU.
        transferred_bytes: activations that go between host and Edge TPU.
        operators: on the Edge TPU.
        cpu_elements: elements that operators on the CPU read and write.
    """

    multiplications: int
    streamed_bytes: int
    activation_bytes: int
    transferred_bytes: int
    operators: int
    cpu_elements: int


def work_of(graph: Subgraph, mapped: Collection[int], streamed_bytes: int, *, compiler: int) -> Work:
    """The work of a model.

    Args:
        graph: the main subgraph.
        mapped: indices of the operators on the Edge TPU.
        streamed_bytes: parameters streamed in every inference.
        compiler: major version of the compiler.
    """
    views = [OperatorView(graph, operator) for operator in graph.operators]
    inside = [view for view in views if view.operator.index in mapped]
    outside = [view for view in views if view.operator.index not in mapped]
    produced = {tensor.index for view in inside for tensor in view.outputs}
    read = {tensor.index: tensor for view in inside for tensor in view.activations if tensor.index not in produced}
    needed = {index for view in outside for index in view.operator.inputs} | set(graph.outputs)
    sent = [graph.tensors[index] for index in produced & needed]
    return Work(
        multiplications=sum(_multiplications(view, compiler) for view in inside),
        streamed_bytes=streamed_bytes,
        activation_bytes=sum(tensor.bytes for view in inside for tensor in view.outputs),
        transferred_bytes=sum(tensor.bytes for tensor in (*read.values(), *sent)),
        operators=len(inside),
        cpu_elements=sum(tensor.elements for view in outside for tensor in view.activations),
    )


def _multiplications(view: OperatorView, compiler: int) -> int:
    size = operator_bytes(view, compiler=compiler)
    return _positions(view) * (size.cacheable + size.streamed)


def _positions(view: OperatorView) -> int:
    """How often the parameters are used: once for every position of the result, or of the input that is spread."""
    source = view.input(2) if view.operator.name == "TRANSPOSE_CONV" else next(iter(view.outputs), None)
    if view.operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV") and source is not None:
        return math.prod(source.shape[1:-1])
    return 1
