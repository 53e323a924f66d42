"""Repairs of the quantized file: what compiler 16 would refuse for its form alone.

A .tflite states one version for each entry of its operator table, and exporters make one entry a type: the highest
version that any operator of the type needs.  So an addition of int64 indices in a post-processing tail lifts all int8
additions to a version that the compiler does not know.  Here such operators get an entry of their own.

A Dense layer on rank > 2 is FULLY_CONNECTED with keep_num_dims, which is version 5.  It becomes RESHAPE,
FULLY_CONNECTED, RESHAPE only here: TFLiteConverter's quantizer would fold the reshapes into it again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.edgetpu.operators import SUPPORTED
from tfcompress.converters.edgetpu.rewriting.graph import GraphEditor, options
from tfcompress.graphs.tflite import pack, unpack

__all__ = ["repair_int8_file"]

_EIGHT_BIT = (schema.TensorType.INT8, schema.TensorType.UINT8)


def repair_int8_file(content: bytes, *, leaky_relu: bool = False) -> tuple[bytes, tuple[str, ...]]:
    """Give the file the form that the compiler accepts; without `leaky_relu` every output stays, bit for bit.

    Args:
        content: a quantized .tflite.
        leaky_relu: write LeakyReLU as maximum(x, alpha * x) too (the rewrite of that name), which may move a value by
            one step.  In the float graph it would cost accuracy: quantizers give both sides of MAXIMUM one range, and
            the result's cuts the input's.

    Returns:
        The .tflite and a note for each kind of repair; the same bytes when there is nothing to do.
    """
    graph = GraphEditor(unpack(content))
    rewritten = _rewrite_leaky_relu(graph) if leaky_relu else 0
    flattened = _flatten_dense(graph)
    lowered = _lower_versions(graph)
    notes = []
    if flattened:
        notes.append(f"Dense on rank > 2 as reshape, Dense, reshape: {flattened} operators, bit for bit the same")
    if lowered:
        notes.append(f"operators with a version of their own, not lifted by others of their type: {', '.join(lowered)}")
    return (pack(graph.tree) if notes or rewritten else content), tuple(notes)


def _rewrite_leaky_relu(graph: GraphEditor) -> int:
    """Replace every int8 LEAKY_RELU of a slope in (0, 1]; returns how many."""
    found = [
        operator
        for operator in graph.operators
        if graph.name_of(operator) == "LEAKY_RELU"
        and graph.graph.tensors[operator.outputs[0]].type == schema.TensorType.INT8
        and 0 < operator.builtinOptions.alpha <= 1
    ]
    for operator in found:
        graph.replace([operator], _leaky_relu(graph, operator))
    return len(found)


def _leaky_relu(graph: GraphEditor, operator: Any) -> list[Any]:
    """QUANTIZE to the result's scale, MUL, MAXIMUM, which needs one scale for all.

    The quantized input may saturate at the lower end of the result, where alpha * x is the larger one anyway.
    """
    (source,), (result,) = operator.inputs, operator.outputs
    shape = graph.shape(result)
    aligned, scaled = (graph.add_tensor(shape, result, part) for part in ("aligned", "scaled"))
    alpha = graph.add_int8_number(operator.builtinOptions.alpha, result, "alpha")
    return [
        graph.operator("QUANTIZE", [source], [aligned], options("QuantizeOptions"), version=2),
        graph.operator("MUL", [source, alpha], [scaled], options("MulOptions"), version=2),
        graph.operator("MAXIMUM", [aligned, scaled], [result], options("MaximumMinimumOptions"), version=2),
    ]


def _flatten_dense(graph: GraphEditor) -> int:
    """Replace every int8 FULLY_CONNECTED with keep_num_dims; returns how many."""
    flattened = 0
    for operator in list(graph.operators):
        if graph.name_of(operator) == "FULLY_CONNECTED" and operator.builtinOptions.keepNumDims:
            graph.replace([operator], _dense_on_rank_two(graph, operator))
            flattened += 1
    return flattened


def _dense_on_rank_two(graph: GraphEditor, operator: Any) -> list[Any]:
    """The operators that compute a FULLY_CONNECTED without keep_num_dims."""
    source, result = operator.inputs[0], operator.outputs[0]
    outputs, inputs = graph.shape(operator.inputs[1])
    rows = int(np.prod(graph.shape(source))) // inputs
    operator.builtinOptions.keepNumDims = False
    if graph.shape(source) == (rows, inputs):
        return [operator]
    flat = graph.add_tensor((rows, inputs), source, "rows")
    product = graph.add_tensor((rows, outputs), result, "rows")
    before = graph.reshape(source, flat)
    operator.inputs, operator.outputs = [flat, *operator.inputs[1:]], [product]
    return [before, operator, graph.reshape(product, result)]


def _lower_versions(graph: GraphEditor) -> tuple[str, ...]:
    """Names of the operator types of which some got an entry of their own."""
    changed: list[str] = []
    for operator in graph.operators:
        code, name = graph.tree.operatorCodes[operator.opcodeIndex], graph.name_of(operator)
        known = SUPPORTED.get(name)
        if known is None or code.version <= known.newest_version or not _plain_int8(graph.graph, operator, name):
            continue
        operator.opcodeIndex = _code(graph.tree, code, known.newest_version)
        changed.append(name)
    return tuple(dict.fromkeys(changed))


def _plain_int8(graph: Any, operator: Any, name: str) -> bool:
    """Whether the operator computes what the older version of it computes (tensorflow/lite/tools/versioning)."""
    tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    data = [tensor for tensor in tensors if tensor.quantization is not None and tensor.quantization.scale is not None]
    results = [graph.tensors[index] for index in operator.outputs]
    allowed = (*_EIGHT_BIT, schema.TensorType.INT32)  # biases are int32 and have a scale
    if any(t.type not in allowed for t in data) or any(t.type not in _EIGHT_BIT for t in results):
        return False
    if name != "FULLY_CONNECTED":
        return True
    scales = graph.tensors[operator.inputs[1]].quantization.scale
    return not operator.builtinOptions.keepNumDims and len(scales) == 1


def _code(tree: Any, like: Any, version: int) -> int:
    """Index of an operator code of the same type with `version`; added when there is none."""
    for index, code in enumerate(tree.operatorCodes):
        if code.builtinCode == like.builtinCode and code.version == version:
            return index
    added: Any = schema.OperatorCodeT()
    added.builtinCode, added.deprecatedBuiltinCode = like.builtinCode, like.deprecatedBuiltinCode
    added.version = version
    tree.operatorCodes.append(added)
    return len(tree.operatorCodes) - 1
