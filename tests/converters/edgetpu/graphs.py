"""Small .tflite files made by hand, operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.records import write_tree

TYPES = {
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "float32": schema.TensorType.FLOAT32,
    "bool": schema.TensorType.BOOL,
}


class GraphBuilder:
    """Adds tensors and operators in order; `content` gives the file."""

    def __init__(self) -> None:
        self.model: Any = schema.ModelT()
        self.model.version = 3
        self.model.operatorCodes, self.model.buffers = [], [schema.BufferT()]
        self.graph: Any = schema.SubGraphT()
        self.graph.name, self.graph.tensors, self.graph.operators = b"main", [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "int8",
        *,
        data: np.ndarray | None = None,
        scale: float | Sequence[float] = 0.1,
        signature: Sequence[int] | None = None,
    ) -> int:
        tensor: Any = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = f"t{len(self.graph.tensors)}".encode(), list(shape), TYPES[dtype]
        tensor.shapeSignature = None if signature is None else list(signature)
        tensor.buffer = 0
        if dtype in ("int8", "uint8", "int16"):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = list(np.atleast_1d(scale).astype(float))
            tensor.quantization.zeroPoint = [0] * len(tensor.quantization.scale)
        if data is not None:
            buffer: Any = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def input(self, shape: Sequence[int], dtype: str = "int8", **how: Any) -> int:
        index = self.tensor(shape, dtype, **how)
        self.graph.inputs.append(index)
        return index

    def integers(self, values: Sequence[Any] | int) -> int:
        array = np.array(values, np.int32)
        return self.tensor(array.shape, "int32", data=array)

    def weights(self, shape: Sequence[int], dtype: str = "int8", *, scale: float | Sequence[float] = 0.1) -> int:
        return self.tensor(shape, dtype, data=np.ones(shape, dtype), scale=scale)

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str | None = None,
        *,
        version: int | None = None,
        **fields: Any,
    ) -> None:
        operator: Any = schema.OperatorT()
        operator.opcodeIndex = self._code(name, version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            operator.builtinOptions = getattr(schema, f"{options}T")()
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            for field, value in fields.items():
                assert hasattr(operator.builtinOptions, field), field
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)

    def _code(self, name: str, version: int | None) -> int:
        """One entry for each (operator, version); a name that is no builtin operator is a custom one."""
        code: Any = schema.OperatorCodeT()
        code.version = version or 1
        number = getattr(schema.BuiltinOperator, name, None)
        code.builtinCode = schema.BuiltinOperator.CUSTOM if number is None else number
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.customCode = name.encode() if number is None else None
        for index, operator_code in enumerate(self.model.operatorCodes):
            if vars(operator_code) == vars(code):
                return index
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def content(self, *outputs: int) -> bytes:
        self.graph.outputs = list(outputs)
        return write_tree(self.model)


def single(
    name: str,
    shape: Sequence[int],
    result: Sequence[int],
    *constants: Sequence[int] | int,
    options: str | None = None,
    dtype: str = "int8",
    result_dtype: str | None = None,
    version: int | None = None,
    **fields: Any,
) -> bytes:
    """A graph of one operator with one input and one output; further inputs are integer constants."""
    graph = GraphBuilder()
    source = graph.input(shape, dtype)
    output = graph.tensor(result, result_dtype or dtype)
    inputs = [source, *(graph.integers(values) for values in constants)]
    graph.operator(name, inputs, [output], options, version=version, **fields)
    return graph.content(output)
