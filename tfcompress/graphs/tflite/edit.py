"""Changing a .tflite: its flatbuffer as an object tree, and back.

The tree is the schema's own object API (`ModelT`); LiteRT's `flatbuffer_utils` resolves the buffers that files above
2 GB keep outside of the flatbuffer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

__all__ = [
    "add_buffer",
    "add_constant",
    "add_operator",
    "constant_of",
    "opcode_index",
    "operator_name",
    "pack",
    "unpack",
]


def unpack(content: bytes) -> Any:
    """The `ModelT` tree of a .tflite; weights stay views of `content`."""
    return flatbuffer_utils.read_model_from_bytearray(content)


def pack(model: Any) -> bytes:
    """The bytes of a `ModelT` tree; the same tree always gives the same bytes."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def constant_of(model: Any, tensor: Any, dtype: str) -> np.ndarray | None:
    """A tensor's constant content as `dtype` in its own shape, or None when it is computed.

    Args:
        model: the tree that `tensor` belongs to.
        tensor: a `TensorT`.
        dtype: numpy dtype name of what is stored.
    """
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return None
    shape = [] if tensor.shape is None else list(tensor.shape)
    return np.frombuffer(bytes(data), dtype).reshape(shape)


def add_buffer(model: Any, value: np.ndarray) -> int:
    """Add a buffer with the bytes of an array and return its index."""
    buffer: Any = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def add_constant(model: Any, subgraph: Any, name: str, value: np.ndarray) -> int:
    """Add a constant tensor (float32 or int32) and return its index in the subgraph."""
    tensor: Any = schema.TensorT()
    tensor.name = name.encode()
    tensor.shape = list(value.shape)
    tensor.type = {"float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32}[value.dtype.name]
    tensor.buffer = add_buffer(model, value)
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1


def opcode_index(model: Any, name: str, version: int = 1) -> int:
    """Index of a builtin operator code such as ``MEAN``, which is added when the model has none of that version."""
    code = getattr(schema.BuiltinOperator, name)
    for index, known in enumerate(model.operatorCodes):
        if known.builtinCode == code and known.version >= version:
            return index
    added = schema.OperatorCodeT()
    added.builtinCode = code
    added.deprecatedBuiltinCode = min(code, 127)  # schema.fbs: codes above 127 do not fit the deprecated byte
    added.version = version
    model.operatorCodes.append(added)
    return len(model.operatorCodes) - 1


def operator_name(model: Any, operator: Any) -> str:
    """An operator's builtin name such as ``MEAN``."""
    return str(flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex))


def add_operator(
    model: Any, subgraph: Any, name: str, inputs: list[int], outputs: list[int], options: tuple[int, Any]
) -> None:
    """Append a builtin operator.

    Args:
        model: the tree.
        subgraph: one of its subgraphs.
        name: builtin operator name.
        inputs: tensor indices.
        outputs: tensor indices.
        options: (`BuiltinOptions` member, options object).
    """
    operator: Any = schema.OperatorT()
    operator.opcodeIndex = opcode_index(model, name)
    operator.inputs = inputs
    operator.outputs = outputs
    operator.builtinOptionsType, operator.builtinOptions = options
    subgraph.operators.append(operator)
