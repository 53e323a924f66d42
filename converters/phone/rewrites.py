"""Rewrites of a float .tflite that leave its function as it was and make it better to quantize.

Each works in place on the unpacked flatbuffer (`tfcompress.tflite.unpack`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.tflite.edit import add_constant, constant_of, opcode_index

__all__ = ["SAFE", "mean_for_whole_map_pool", "open_batch_of_reshape", "order_inputs_and_outputs"]


def order_inputs_and_outputs(model: Any, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Put the graph's inputs and outputs, and those of its only signature, in the model's own order.

    Args:
        model: the tree; its first signature is the one that was converted.
        inputs: names in the wanted order; those that the converter dropped as unused are skipped.
        outputs: names in the wanted order.
    """
    signature, graph = model.signatureDefs[0], model.subgraphs[0]
    signature.inputs = _in_order(signature.inputs, inputs)
    signature.outputs = _in_order(signature.outputs, outputs)
    graph.inputs = [item.tensorIndex for item in signature.inputs]
    graph.outputs = [item.tensorIndex for item in signature.outputs]


def _in_order(items: Sequence[Any], names: Sequence[str]) -> list[Any]:
    by_name = {_text(item.name): item for item in items}
    return [by_name[name] for name in names if name in by_name]


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


def _operators(model: Any, name: str) -> list[tuple[Any, Any]]:
    code = getattr(schema.BuiltinOperator, name)
    return [
        (graph, operator)
        for graph in model.subgraphs
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == code
    ]


def mean_for_whole_map_pool(model: Any) -> None:
    """AVERAGE_POOL_2D over the whole map becomes MEAN over height and width, then RESHAPE is not needed (keep_dims).

    The int8 AVERAGE_POOL_2D must have the scale of its input (LiteRT quantization specification), which is too coarse
    for a mean of many values; MEAN has a scale of its own.
    """
    for graph, operator in _operators(model, "AVERAGE_POOL_2D"):
        options = operator.builtinOptions
        source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
        whole = [options.filterHeight, options.filterWidth] == list(source.shape[1:3])
        plain = options.fusedActivationFunction == schema.ActivationFunctionType.NONE
        if not (whole and plain and list(target.shape[1:3]) == [1, 1]):
            continue
        axes = add_constant(model, graph, _text(target.name) + "/axes", np.array([1, 2], np.int32))
        operator.opcodeIndex = opcode_index(model, "MEAN", version=2)
        operator.inputs = [operator.inputs[0], axes]
        reducer: Any = schema.ReducerOptionsT()
        reducer.keepDims = True
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReducerOptions, reducer


def open_batch_of_reshape(model: Any) -> None:
    """RESHAPE to a constant [1, a, b] becomes [-1, a, b], so that the batch of the file can be resized."""
    for graph, operator in _operators(model, "RESHAPE"):
        source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
        wanted = None if len(operator.inputs) < 2 else graph.tensors[operator.inputs[1]]
        sizes = None if wanted is None else constant_of(model, wanted, "int32")
        if sizes is None or len(sizes) == 0 or sizes[0] != 1 or min(sizes) < 1 or list(source.shape[:1]) != [1]:
            continue
        opened = np.array([-1, *sizes[1:]], np.int32)
        operator.inputs[1] = add_constant(model, graph, _text(target.name) + "/shape", opened)
        options: Any = schema.ReshapeOptionsT()
        options.newShape = opened.tolist()
        operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.ReshapeOptions, options


SAFE: tuple[Callable[[Any], None], ...] = (mean_for_whole_map_pool, open_batch_of_reshape)
