"""Rewrites of a float .tflite that leave its function as it was and make it better to quantize.

Each works in place on the unpacked flatbuffer (`tfcompress.graphs.tflite.unpack`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tfcompress.graphs.tflite.edit import add_buffer, add_constant, constant_of, opcode_index, operator_name, pack
from tfcompress.native_output import silenced

__all__ = [
    "SAFE",
    "fold_constants",
    "indices_as_integers",
    "mean_for_whole_map_pool",
    "open_batch_of_reshape",
    "order_inputs_and_outputs",
    "slices_for_split",
]


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


def fold_constants(model: Any) -> None:
    """Operators that read nothing but constants become constants: an unrolled GRU's first step, from a state of zeros.

    Neither engine has a range for what no sample ever changes, so such operators would stay in float.
    """
    graph = model.subgraphs[0]
    known = {index for index, tensor in enumerate(graph.tensors) if _is_constant(model, tensor)}
    folded = []
    for operator in graph.operators:
        foldable = all(index in known for index in operator.inputs if index >= 0) and len(operator.inputs) > 0
        plain = all(graph.tensors[index].type == schema.TensorType.FLOAT32 for index in operator.outputs)
        if foldable and plain:
            known.update(operator.outputs)
            folded.append(operator)
    if not folded:
        return
    values = _values_of(pack(model), [index for operator in folded for index in operator.outputs])
    for index, value in values.items():
        graph.tensors[index].buffer = add_buffer(model, value)
    graph.operators = [operator for operator in graph.operators if operator not in folded]


def _is_constant(model: Any, tensor: Any) -> bool:
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _values_of(content: bytes, indices: Sequence[int]) -> dict[int, np.ndarray]:
    """What tensors hold after running on zeros."""
    with silenced():
        interpreter = Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        interpreter.invoke()
        return {index: interpreter.get_tensor(index) for index in indices}


def slices_for_split(model: Any) -> None:
    """SPLIT and SPLIT_V become one SLICE for each part that is used.

    litert-quantizer leaves SPLIT in float, and so does TFLiteConverter's quantizer where a part is not used (the forget
    gate in an LSTM's first step); both quantize SLICE.
    """
    graph = model.subgraphs[0]
    used = {index for operator in graph.operators for index in operator.inputs} | set(graph.outputs)
    result = []
    for operator in graph.operators:
        name = operator_name(model, operator)
        axis = _split_axis(model, graph, operator) if name in ("SPLIT", "SPLIT_V") else None
        if axis is None:
            result.append(operator)
        else:
            result += _slices(model, graph, operator, axis, used, operator.inputs[1 if name == "SPLIT" else 0])
    graph.operators = result


def _split_axis(model: Any, graph: Any, operator: Any) -> int | None:
    """The constant axis of SPLIT(axis, value) or SPLIT_V(value, sizes, axis), from the front; None when computed."""
    place = 0 if len(operator.inputs) == 2 else 2
    value = constant_of(model, graph.tensors[operator.inputs[place]], "int32")
    rank = len(graph.tensors[operator.outputs[0]].shape)
    return None if value is None else int(value.reshape(-1)[0]) % rank


def _slices(model: Any, graph: Any, operator: Any, axis: int, used: set[int], source: int) -> list[Any]:
    slices, start = [], 0
    for index in operator.outputs:
        target = graph.tensors[index]
        begin, size = np.zeros(len(target.shape), np.int32), np.full(len(target.shape), -1, np.int32)
        begin[axis], size[axis] = start, target.shape[axis]
        start += target.shape[axis]
        if index not in used:
            continue
        one: Any = schema.OperatorT()
        one.opcodeIndex = opcode_index(model, "SLICE", version=2)
        name = _text(target.name)
        places = [add_constant(model, graph, f"{name}/{what}", v) for what, v in [("begin", begin), ("size", size)]]
        one.inputs, one.outputs = [source, *places], [index]
        one.builtinOptionsType, one.builtinOptions = schema.BuiltinOptions.SliceOptions, schema.SliceOptionsT()
        slices.append(one)
    return slices


def indices_as_integers(model: Any) -> None:
    """An input that is only ever cast to int32 (what an Embedding does with float indices) becomes an int32 input.

    As an int8 input it would have a scale, and indices rounded to its steps; and neither engine quantizes CAST.
    """
    graph = model.subgraphs[0]
    for index in graph.inputs:
        readers = [operator for operator in graph.operators if index in operator.inputs]
        if not readers or not all(_casts_to_int32(model, graph, operator) for operator in readers):
            continue
        graph.tensors[index].type = schema.TensorType.INT32
        same = {operator.outputs[0]: index for operator in readers}
        graph.operators = [operator for operator in graph.operators if operator not in readers]
        for operator in graph.operators:
            operator.inputs = [same.get(one, one) for one in operator.inputs]


def _casts_to_int32(model: Any, graph: Any, operator: Any) -> bool:
    source, target = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    types = (source.type, target.type) == (schema.TensorType.FLOAT32, schema.TensorType.INT32)
    return types and operator_name(model, operator) == "CAST" and operator.outputs[0] not in graph.outputs


SAFE: tuple[Callable[[Any], None], ...] = (
    fold_constants,
    slices_for_split,
    mean_for_whole_map_pool,
    open_batch_of_reshape,
)
