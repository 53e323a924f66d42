"""Work that needs no input done once, at conversion: constant folding, and batch norms folded into the layer before.

Folding a batch norm is the rewrite of Jacob et al. 2018 ("Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", section 3.2): with scale s = gamma / sqrt(variance + epsilon), the kernel becomes
kernel * s and the bias (bias - mean) * s + beta.  It leaves one vector of a batch norm's four.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfcompress.graphs.tensorflow.constants import fill
from tfcompress.graphs.tensorflow.inference_graph import GraphEditor, InferenceGraph
from tfcompress.graphs.tensorflow.protocols import Node, Operation
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["fold_batch_norms", "fold_constants", "is_pure"]

# A constant may be computed ahead of time only if that does not make the file larger by more than this.
FREE_ELEMENTS = 1024


def fold_constants(graph: InferenceGraph) -> InferenceGraph:
    """`graph` with every operator that depends on constants alone replaced by its value."""
    operations = graph.operations()
    size = {op.name: _elements(op) for op in operations if op.type == "Const"}
    constant = set(size)
    for operation in operations:
        if is_pure(operation) and operation.inputs and all(t.op.name in constant for t in operation.inputs):
            sources = sum(size[tensor.op.name] for tensor in operation.inputs)
            if _elements(operation) <= max(sources, FREE_ELEMENTS):
                constant.add(operation.name)
                size[operation.name] = _elements(operation)
    used = {t.op.name for op in operations if op.name not in constant for t in op.inputs}
    used |= {tensor.partition(":")[0] for tensor in graph.outputs.values()}
    wanted = [op.name for op in operations if op.name in constant & used and op.type != "Const"]
    if not wanted:
        return graph
    editor = GraphEditor(graph)
    constants = {name: editor.constant(name) for name in wanted}  # identities need no computing, and weights are such
    values = {name: value for name, value in constants.items() if value is not None}
    values |= _evaluate(graph, [name for name in wanted if name not in values])
    for name, value in values.items():
        editor.set_constant(editor.nodes[name], value, tf.dtypes.as_dtype(value.dtype))
    return editor.result()


def _elements(operation: Operation) -> int:
    """Elements of the only output; more than any limit where that is not known."""
    count = operation.outputs[0].shape.num_elements() if operation.outputs[0].shape.rank is not None else None
    return 2**62 if count is None else int(count)


def is_pure(operation: Operation) -> bool:
    """Whether an operator gives one tensor of numbers that depends on its inputs alone, not on chance or a state."""
    if len(operation.outputs) != 1 or operation.op_def.is_stateful:
        return False
    dtype = operation.outputs[0].dtype
    if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
        return False  # a TensorList, a resource, text
    return not any(attribute.type in ("func", "list(func)") for attribute in operation.op_def.attr)


def _evaluate(graph: InferenceGraph, names: Sequence[str]) -> dict[str, np.ndarray]:
    if not names:
        return {}
    part = replace(graph, outputs={name: f"{name}:0" for name in names}, placeholders={}).pruned()
    fill(part.graph_def, part.large)
    with silenced():
        whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(part.graph_def, name=""), [])
        fetches = [whole.graph.get_tensor_by_name(f"{name}:0") for name in names]
        results = whole.prune([], fetches)()
    return {name: result.numpy() for name, result in zip(names, results, strict=True)}


def fold_batch_norms(graph: InferenceGraph) -> InferenceGraph:
    """`graph` with multiplications by a constant per channel folded into the kernel of the layer before.

    Expects `fold_constants` to have run.  A batch norm without such a layer before it becomes one multiplication and
    one addition.
    """
    editor = GraphEditor(graph)
    for node in list(editor.graph_def.node):
        if node.op == "FusedBatchNormV3" and not node.attr["is_training"].b:
            _split_fused_norm(editor, node)
    for node in list(editor.graph_def.node):
        if node.op == "Mul":
            _fold_scale(editor, node)
    for node in list(editor.graph_def.node):
        if node.op in ("Add", "AddV2"):
            _fold_offset(editor, node)
    return editor.result()


def _split_fused_norm(editor: GraphEditor, node: Node) -> None:
    """``FusedBatchNormV3`` as ``x * scale + offset``, where its four vectors are constants."""
    gamma, beta, mean, variance = (editor.constant(source) for source in node.input[1:])
    if gamma is None or beta is None or mean is None or variance is None or node.attr["data_format"].s != b"NHWC":
        return
    scale = gamma / np.sqrt(variance.astype(np.float64) + node.attr["epsilon"].f)
    source = node.input[0]
    product = editor.add(f"{node.name}/mul", "Mul", [source, editor.add_constant(f"{node.name}/scale", scale)])
    product.attr["T"].type = tf.float32.as_datatype_enum
    node.op = "AddV2"
    node.input[:] = [product.name, editor.add_constant(f"{node.name}/offset", beta - mean * scale)]
    node.attr.clear()
    node.attr["T"].type = tf.float32.as_datatype_enum
    editor.uses[product.name] += 1


def _fold_scale(editor: GraphEditor, node: Node) -> None:
    """Fold ``Mul(layer, scale)`` into the layer's kernel and bias, leaving an identity."""
    for source, other in (node.input, reversed(node.input)):
        scale = _per_channel(editor.constant(other))
        if scale is not None and editor.uses[source] == 1 and _scale_layer(editor, source, scale):
            node.op = "Identity"
            node.input[:] = [source]
            return


def _fold_offset(editor: GraphEditor, node: Node) -> None:
    """Join ``BiasAdd(layer, bias) + offset`` to one ``BiasAdd``, leaving an identity: one rounding less in bfloat16."""
    source, offset = node.input[0], _per_channel(editor.constant(node.input[1]))
    before = editor.nodes.get(source)
    while before is not None and before.op == "Identity" and editor.uses[before.name] == 1:
        before = editor.nodes.get(before.input[0])
    if offset is None or before is None or before.op != "BiasAdd" or editor.uses[before.name] != 1:
        return
    bias = editor.constant(before.input[1])
    if bias is not None and bias.shape == offset.shape:
        before.input[1] = editor.add_constant(f"{before.name}/with_offset", bias + offset)
        node.op = "Identity"
        node.input[:] = [source]


def _per_channel(value: np.ndarray | None) -> np.ndarray | None:
    """`value` as a float vector over the last axis; None when it is anything else."""
    if value is None or value.dtype != np.float32 or value.ndim == 0 or np.prod(value.shape[:-1]) != 1:
        return None
    return value.reshape(-1)


def _scale_layer(editor: GraphEditor, name: str, scale: np.ndarray) -> bool:
    """Multiply what node `name` (a kernel operator, or the bias after one) gives by `scale`; whether that was done."""
    node = editor.nodes.get(name)
    if node is None:
        return False
    if node.op in ("BiasAdd", "AddV2"):
        bias = _per_channel(editor.constant(node.input[1]))
        if bias is None or editor.uses[node.input[0]] != 1 or not _scale_layer(editor, node.input[0], scale):
            return False
        node.input[1] = editor.add_constant(f"{name}/folded_bias", np.broadcast_to(bias, scale.shape) * scale)
        return True
    if node.op in ("Identity", "Squeeze"):
        return editor.uses[node.input[0]] == 1 and _scale_layer(editor, node.input[0], scale)
    return _scale_kernel(editor, node, scale)


def _scale_kernel(editor: GraphEditor, node: Node, scale: np.ndarray) -> bool:
    kernel = editor.constant(node.input[1]) if len(node.input) == 2 else None
    if kernel is None or not _scales_along_last_axis(node.op, node.attr):
        return False
    channels = kernel.shape[2:] if node.op == "DepthwiseConv2dNative" else kernel.shape[-1:]
    if math.prod(channels) != scale.size:
        return False
    folded = kernel * scale.reshape(channels)
    node.input[1] = editor.add_constant(f"{node.name}/folded_kernel", folded)
    return True


def _scales_along_last_axis(op: str, attributes: Mapping[str, Any]) -> bool:
    if op in ("Conv2D", "DepthwiseConv2dNative", "Conv3D"):
        return attributes["data_format"].s in (b"NHWC", b"NDHWC")
    return op == "MatMul" and not attributes["transpose_b"].b
