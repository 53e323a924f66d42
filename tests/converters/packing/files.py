"""Flatbuffers of the .tflite schema, built in code: random weights, scales and names, no model behind them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.phone.packing.files import pack_bytes
from tfcompress.graphs.tflite.records import write_tree

_TYPES = {"int8": 9, "float32": 0, "int32": 2, "float16": 1, "uint8": 3, "int64": 4}


def tensor(name: str, values: np.ndarray, buffers: list[Any], *, scales: np.ndarray | None = None) -> Any:
    """A constant tensor, whose buffer is appended to `buffers`."""
    buffer: Any = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    buffers.append(buffer)
    result: Any = schema.TensorT()
    result.name, result.shape, result.buffer = name, list(values.shape), len(buffers) - 1
    result.type = _TYPES[values.dtype.name]
    if scales is not None:
        parameters: Any = schema.QuantizationParametersT()
        parameters.scale, parameters.zeroPoint = scales.astype(np.float32), np.zeros(len(scales), np.int64)
        result.quantization = parameters
    return result


def tflite(constants: list[tuple[str, np.ndarray, np.ndarray | None]]) -> bytes:
    """A .tflite with the given (name, values, scales) as its tensors, and no operators."""
    model: Any = schema.ModelT()
    model.version, model.description = 3, "test"
    model.buffers = [schema.BufferT()]
    graph: Any = schema.SubGraphT()
    graph.tensors = [tensor(name, values, model.buffers, scales=scales) for name, values, scales in constants]
    graph.inputs, graph.outputs, graph.operators, graph.name = [], [], [], "main"
    model.subgraphs, model.operatorCodes = [graph], []
    return write_tree(model)


@functools.cache
def packed_layers() -> bytes:
    """The packed `layered` file; packed once, as many tests begin with it."""
    return pack_bytes(layered())


def layered(seed: int = 0) -> bytes:
    """Weights, biases and scales as a converter leaves them: a bias scale is the input's times the weight's."""
    random = np.random.default_rng(seed)
    constants: list[tuple[str, np.ndarray, np.ndarray | None]] = []
    for number, (rows, columns) in enumerate([(16, 27), (32, 144), (64, 288), (10, 64)]):
        weights = np.clip(np.round(random.normal(size=(rows, columns)) * 30), -127, 127).astype(np.int8)
        weights[:, :: 3 + number] = 0
        scales = random.uniform(1e-4, 1e-2, rows).astype(np.float32)
        bias = np.round(random.normal(size=rows) * 2000).astype(np.int32)
        constants.append((f"conv_{number}/weights", weights, scales))
        constants.append((f"conv_{number}/bias", bias, scales * np.float32(0.0236)))
    constants.append(("float", random.normal(size=(40, 50)).astype(np.float32), None))
    constants.append(("half", random.normal(size=300).astype(np.float16), None))
    constants.append(("zeros", np.zeros(500, np.int64), None))
    return tflite(constants)


@functools.cache
def large() -> bytes:
    """A file that is large enough for the quick form: one layer and many small constants."""
    random = np.random.default_rng(6)
    kernels = np.clip(np.round(random.normal(size=(500, 600)) * 25), -127, 127).astype(np.int8)
    scales = random.uniform(1e-4, 1e-2, 500).astype(np.float32)
    bias = np.round(random.normal(size=500) * 900).astype(np.int32)
    small = [(f"small_{number}", random.normal(size=6).astype(np.float32), None) for number in range(40)]
    return tflite([("w", kernels, scales), ("b", bias, scales * np.float32(0.0213)), *small])


@functools.cache
def packed_large() -> bytes:
    """The packed `large` file."""
    return pack_bytes(large())
