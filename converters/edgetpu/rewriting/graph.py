"""A .tflite that can be edited: new tensors, new operators, and operators replaced by others."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.edit import add_constant, constant_of, opcode_index

__all__ = ["GraphEditor", "options"]


def options(kind: str, **fields: Any) -> tuple[int, Any]:
    """(`BuiltinOptions` member, options object) for `GraphEditor.operator`.

    Args:
        kind: name of an options table of schema.fbs, such as ``Pool2DOptions``.
        **fields: its fields in the object API's camel case; an unknown one is an error.
    """
    made = getattr(schema, f"{kind}T")()
    for name, value in fields.items():
        if not hasattr(made, name):
            raise AttributeError(f"{kind} has no field {name}")
        setattr(made, name, value)
    return getattr(schema.BuiltinOptions, kind), made


class GraphEditor:
    """The main graph of an unpacked .tflite (`tfcompress.graphs.tflite.unpack`), as the rewrites see it.

    Attributes:
        tree: the `ModelT`.
        graph: its main `SubGraphT`.
    """

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.graph = tree.subgraphs[0]

    @property
    def operators(self) -> list[Any]:
        """The `OperatorT`s in the order of execution."""
        return self.graph.operators

    def name_of(self, operator: Any) -> str:
        """TFLite operator name, such as ``CONV_2D``."""
        code = self.tree.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        return next(
            (name for name, value in vars(schema.BuiltinOperator).items() if value == number and name.isupper()),
            str(number),
        )

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Sizes of a tensor; empty for a scalar."""
        shape = self.graph.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def tensor_name(self, tensor: int) -> str:
        """Name of a tensor."""
        name = self.graph.tensors[tensor].name
        return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""

    def is_float(self, tensor: int) -> bool:
        """Whether a tensor holds float32."""
        return self.graph.tensors[tensor].type == schema.TensorType.FLOAT32

    def constant(self, tensor: int, dtype: str = "float32") -> np.ndarray | None:
        """Values of a constant tensor, or None when it is computed."""
        return None if tensor < 0 else constant_of(self.tree, self.graph.tensors[tensor], dtype)

    def is_constant(self, tensor: int) -> bool:
        """Whether a tensor's values are in the file."""
        data = self.tree.buffers[self.graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def producer(self, tensor: int) -> Any | None:
        """The operator that computes a tensor; None for inputs and constants."""
        return next((op for op in self.operators if tensor in list(op.outputs)), None)

    def consumers(self, tensor: int) -> list[Any]:
        """The operators that read a tensor."""
        return [op for op in self.operators if tensor in list(op.inputs)]

    def is_output(self, tensor: int) -> bool:
        """Whether a tensor is an output of the model."""
        return tensor in list(self.graph.outputs)

    def add_constant(self, value: np.ndarray | float, near: int, suffix: str) -> int:
        """A new constant named after the tensor `near`; returns its index."""
        array = np.asarray(value)
        array = array.astype(np.int32 if array.dtype.kind in "iu" else np.float32)
        return add_constant(self.tree, self.graph, f"{self.tensor_name(near)}/{suffix}", array)

    def add_tensor(self, shape: Sequence[int], near: int, suffix: str) -> int:
        """A new computed tensor with the name, type and scale of the tensor `near`; returns its index."""
        tensor: Any = schema.TensorT()
        tensor.name = f"{self.tensor_name(near)}/{suffix}".encode()
        tensor.shape = [int(size) for size in shape]
        tensor.type = self.graph.tensors[near].type
        tensor.quantization = copy.deepcopy(self.graph.tensors[near].quantization)
        tensor.buffer = 0  # buffer 0 is always the empty one (schema.fbs, Model.buffers)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def add_int8_number(self, value: float, near: int, suffix: str) -> int:
        """A new int8 constant of one number above 0, stored as 127; returns its index."""
        index = self.add_tensor((), near, suffix)
        tensor: Any = self.graph.tensors[index]
        buffer: Any = schema.BufferT()
        buffer.data = np.array([127], np.uint8)
        self.tree.buffers.append(buffer)
        tensor.type, tensor.buffer = schema.TensorType.INT8, len(self.tree.buffers) - 1
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [value / 127], [0]
        return index

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        made: tuple[int, Any] | None = None,
        *,
        version: int = 1,
    ) -> Any:
        """A new operator, not yet in the graph; `version` is the lowest one that knows the types."""
        operator: Any = schema.OperatorT()
        operator.opcodeIndex = opcode_index(self.tree, name, version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        operator.builtinOptionsType, operator.builtinOptions = made or (schema.BuiltinOptions.NONE, None)
        return operator

    def like(self, tensor: int, suffix: str) -> int:
        """A new computed tensor of the shape, type and scale of another; returns its index."""
        return self.add_tensor(self.shape(tensor), tensor, suffix)

    def multiply(self, left: int, right: int, result: int) -> Any:
        """A MUL, not yet in the graph."""
        return self.operator("MUL", [left, right], [result], options("MulOptions"))

    def plus(self, left: int, right: int, result: int, *, relu6: bool = False) -> Any:
        """An ADD, with or without a fused ReLU6, not yet in the graph."""
        kinds = schema.ActivationFunctionType
        made = options("AddOptions", fusedActivationFunction=kinds.RELU6 if relu6 else kinds.NONE)
        return self.operator("ADD", [left, right], [result], made)

    def reshape(self, source: int, target: int) -> Any:
        """A RESHAPE of one tensor to the shape of another."""
        sizes = np.array(self.shape(target), np.int32)
        shape = self.add_constant(sizes, target, "shape")
        return self.operator("RESHAPE", [source, shape], [target], options("ReshapeOptions", newShape=sizes.tolist()))

    def replace(self, old: Sequence[Any], new: Sequence[Any]) -> None:
        """Put the operators `new` where the last of `old` was, and drop `old`."""
        ids = {id(operator) for operator in old}
        position = max(index for index, operator in enumerate(self.operators) if id(operator) in ids)
        before = [operator for operator in self.operators[:position] if id(operator) not in ids]
        self.graph.operators = [*before, *new, *self.operators[position + 1 :]]

    def redirect(self, tensor: int, other: int) -> None:
        """Let every reader of `tensor` read `other` instead."""
        for operator in self.consumers(tensor):
            operator.inputs = [other if index == tensor else index for index in operator.inputs]

    def drop_unused(self) -> None:
        """Drop operators whose results nobody reads, last first."""
        needed = set(map(int, self.graph.outputs))
        kept = []
        for operator in reversed(self.operators):
            # A CALL_ONCE or an assignment has no results and is there for its effect.
            if len(operator.outputs) == 0 or needed.intersection(map(int, operator.outputs)):
                kept.append(operator)
                needed.update(int(tensor) for tensor in operator.inputs)
        self.graph.operators = kept[::-1]
