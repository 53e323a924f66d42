"""Leaving out pixels that nobody reads: strides of 1x1 convolutions moved back to the layers before them.

A 1x1 convolution with stride 2 reads one pixel in four.  The residual networks of He et al. 2016 ("Deep Residual
Learning for Image Recognition", section 3.4) begin three of their stages so, and the block before such a stage computes
and stores four times what is used of it.  Here that block takes the stride instead, and its shortcut a strided slice;
what is left is the same arithmetic on the same numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfcompress.graphs.tensorflow.inference_graph import GraphEditor, InferenceGraph
from tfcompress.graphs.tensorflow.protocols import Node, Operation

__all__ = ["move_strides_back"]

CONVOLUTIONS = frozenset({"Conv2D", "DepthwiseConv2dNative"})
POINTWISE = frozenset((
    "Identity", "BiasAdd", "Add", "AddV2", "Sub", "Mul", "Maximum", "Minimum", "Neg", "Abs", "Square", "Relu", "Relu6",
    "LeakyRelu", "Elu", "Selu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Erf",
))  # fmt: skip


def move_strides_back(graph: InferenceGraph) -> InferenceGraph:
    """`graph` computing only those pixels of its convolutions' results that are read; its results are the same."""
    operations = graph.operations()
    steps = _steps(graph, operations)
    if all(step == 1 for step in steps.values()):
        return graph
    editor = GraphEditor(graph)
    for operation in operations:
        node, step = editor.nodes[operation.name], steps[operation.name]
        if operation.type in CONVOLUTIONS:
            _change_stride(node, operation, step, steps[operation.inputs[0].op.name])
        elif step > 1:
            for index in _pictures(operation):
                if steps[operation.inputs[index].op.name] == 1:
                    node.input[index] = _sliced(editor, node.input[index], step)
    return editor.result()


def _steps(graph: InferenceGraph, operations: list[Any]) -> Mapping[str, int]:
    """{operator: n} where its readers want every n-th row and column of its result, and it can give just those."""
    results = {tensor.partition(":")[0] for tensor in graph.outputs.values()}
    wanted: dict[str, set[int]] = defaultdict(set)
    steps: dict[str, int] = {}
    for operation in reversed(operations):  # readers first
        asked = wanted[operation.name]
        able = _is_plain(operation) or bool(_pictures(operation))
        steps[operation.name] = min(asked) if len(asked) == 1 and able and operation.name not in results else 1
        for index, tensor in enumerate(operation.inputs):
            wanted[tensor.op.name].add(_step_read(operation, index, steps[operation.name]))
    return steps


def _step_read(operation: Operation, index: int, step: int) -> int:
    """Every which row and column of an input is read for every `step`-th one of the result."""
    if index == 0 and _is_plain(operation) and operation.inputs[1].shape[:2] == (1, 1):
        return step * int(operation.get_attr("strides")[1])
    return step if index in _pictures(operation) else 1


def _is_plain(operation: Operation) -> bool:
    """Whether it is a convolution of channels-last pictures, undilated, with one stride for both directions."""
    if operation.type not in CONVOLUTIONS or operation.get_attr("data_format") != b"NHWC":
        return False
    _, rows, columns, _ = operation.get_attr("strides")
    has_shapes = operation.inputs[0].shape.is_fully_defined() and operation.inputs[1].shape.is_fully_defined()
    return has_shapes and rows == columns and list(operation.get_attr("dilations")) == [1, 1, 1, 1]


def _pictures(operation: Operation) -> tuple[int, ...]:
    """Indices of the inputs whose pixels are those of the result, one for one; none where it is no such operator."""
    shape = operation.outputs[0].shape if operation.type in POINTWISE else None
    if shape is None or shape.rank != 4 or not shape.is_fully_defined():
        return ()
    if operation.type == "BiasAdd" and operation.get_attr("data_format") != b"NHWC":
        return ()
    axes = []
    for index, tensor in enumerate(operation.inputs):
        if tensor.shape[-3:-1] == shape[-3:-1]:
            axes.append(index)
        elif tensor.shape[-3:-1].num_elements() != 1:
            return ()  # broadcast in one direction only
    return tuple(axes)


def _change_stride(node: Node, operation: Operation, step: int, given: int) -> None:
    """Make a convolution compute every `step`-th row and column from an input of which every `given`-th is left."""
    if step == given == 1:
        return
    rows, columns = (int(size) for size in operation.inputs[1].shape[:2])
    stride = int(operation.get_attr("strides")[1])
    if node.attr["padding"].s == b"SAME" and (rows, columns) != (1, 1):
        sizes = zip(operation.inputs[0].shape[1:3], operation.outputs[0].shape[1:3], (rows, columns), strict=True)
        pads = [max((out - 1) * stride + kernel - size, 0) for size, out, kernel in sizes]
        node.attr["padding"].s = b"EXPLICIT"
        node.attr["explicit_paddings"].list.i[:] = [0, 0, *(e for p in pads for e in (p // 2, p - p // 2)), 0, 0]
    node.attr["strides"].list.i[1:3] = [stride * step // given] * 2


def _sliced(editor: GraphEditor, source: str, step: int) -> str:
    """Every `step`-th row and column of tensor `source`: the name of the node."""
    name = f"{source.replace(':', '_')}/every_{step}"
    if name not in editor.nodes:
        bounds = [editor.add_constant(f"{name}/{part}", np.zeros(4, np.int32)) for part in ("begin", "end")]
        strides = editor.add_constant(f"{name}/strides", np.array([1, step, step, 1], np.int32))
        node = editor.add(name, "StridedSlice", [source, *bounds, strides])
        node.attr["begin_mask"].i = node.attr["end_mask"].i = 0b1111
        node.attr["T"].CopyFrom(editor.nodes[source.partition(":")[0]].attr["T"])
        node.attr["Index"].type = editor.nodes[strides].attr["dtype"].type
    return name
