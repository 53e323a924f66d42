"""What a compiled .tflite holds: the parts for the NPU, and the operators between them for the CPU.

LiteRT replaces each part by one ``DISPATCH_OP``, whose options are a FlexBuffer map with the name of the part and the
place of its context binary behind the flatbuffer.  ONNX Runtime runs such a binary as one ``EPContext`` node, whose
inputs and outputs have the names of the .tflite's tensors.

Sources: LiteRT, litert/core/dispatch_op_schema; ONNX Runtime documentation, "EP context design".
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flatbuffers import flexbuffers

from tfcompress.converters.snapdragon.compiler import DISPATCH
from tfcompress.errors import MissingExtraError, ModelError
from tfcompress.graphs.tflite import Operator, Subgraph, Tensor, read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.graphs.tflite.extraction import extract
from tfcompress.graphs.tflite.flatbuffer import BAD_BYTES

__all__ = ["CpuPart", "NpuPart", "parts_of"]

_BAD_OPTIONS = (*BAD_BYTES, AttributeError, KeyError, RecursionError)
_OPSET, _IR_VERSION = 17, 9


@dataclass(frozen=True)
class NpuPart:
    """A part that the NPU runs: an ONNX model with one `EPContext` node, and the tensors that it reads and writes."""

    onnx: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class CpuPart:
    """Operators that LiteRT runs: a .tflite of their own, and the tensors of the whole that it reads and writes."""

    tflite: bytes
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def parts_of(content: bytes) -> tuple[NpuPart | CpuPart, ...]:
    """The parts of a compiled .tflite in the order of their execution.

    Raises:
        MissingExtraError: the onnx package is not installed.
        ModelError: the file is damaged, or another compiler made it.
    """
    graph = read_tflite(content).main
    groups: list[list[Operator]] = []
    for operator in graph.operators:
        alone = operator.name == DISPATCH or not groups or groups[-1][0].name == DISPATCH
        groups.append([operator]) if alone else groups[-1].append(operator)
    return tuple(
        _npu_part(content, graph, group[0]) if group[0].name == DISPATCH else _cpu_part(content, graph, group)
        for group in groups
    )


def _npu_part(content: bytes, graph: Subgraph, operator: Operator) -> NpuPart:
    name, binary = _context_binary(content, operator)
    inputs = [graph.tensors[index] for index in operator.inputs]
    outputs = [graph.tensors[index] for index in operator.outputs]
    return NpuPart(_wrapped(name, binary, inputs, outputs), operator.inputs, operator.outputs)


def _context_binary(content: bytes, operator: Operator) -> tuple[str, bytes]:
    """The name of the part in the context binary, and the binary."""
    try:
        options: Any = flexbuffers.Loads(bytearray(operator.custom_options.tobytes()))  # type: ignore[union-attr]
        start, size, name = int(options["bytecode_offset"]), int(options["bytecode_size"]), str(options["name"])
    except _BAD_OPTIONS:
        raise ModelError(f"operator {operator.index} {operator.name}: its options are damaged; compile again") from None
    if start <= 0 or size <= 0 or start + size > len(content):
        raise ModelError(f"operator {operator.index} {operator.name}: its program is cut off; compile again")
    return name, content[start : start + size]


def _wrapped(name: str, binary: bytes, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> bytes:
    """An ONNX model of one `EPContext` node."""
    try:
        onnx: Any = importlib.import_module("onnx")
    except ImportError:
        raise MissingExtraError("onnx", "snapdragon", "running a Snapdragon artifact") from None
    helper = onnx.helper

    def port(tensor: Tensor) -> Any:
        dtype = helper.np_dtype_to_tensor_dtype(onnx.numpy_helper.np.dtype(tensor.dtype))
        return helper.make_tensor_value_info(tensor.name, dtype, tensor.shape)

    node = helper.make_node(
        "EPContext",
        [tensor.name for tensor in inputs],
        [tensor.name for tensor in outputs],
        name=name,
        domain="com.microsoft",
        main_context=1,
        embed_mode=1,
        ep_cache_context=binary,
        source="QNNExecutionProvider",
        partition_name=name,
    )
    graph = helper.make_graph([node], name, [port(t) for t in inputs], [port(t) for t in outputs])
    domains = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
    model: Any = helper.make_model(graph, opset_imports=domains, ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())


def _cpu_part(content: bytes, graph: Subgraph, operators: Sequence[Operator]) -> CpuPart:
    inside = {operator.index for operator in operators}
    produced = {tensor for operator in operators for tensor in operator.outputs}
    read = {tensor for operator in operators for tensor in operator.inputs if tensor >= 0}
    read_after = {t for operator in graph.operators if operator.index not in inside for t in operator.inputs}
    inputs = tuple(sorted(t for t in read - produced if graph.tensors[t].data is None))
    outputs = tuple(sorted(produced & (read_after | set(graph.outputs))))
    nodes = ModelEditor.read(content).main.operators
    tensors: dict[int, Any] = {}
    for operator in graph.operators:
        node = nodes[operator.index]
        tensors |= {i: tensor for i, tensor in zip(operator.inputs, node.inputs, strict=True) if i >= 0}
        tensors |= dict(zip(operator.outputs, node.outputs, strict=True))
    part = extract(
        [nodes[operator.index] for operator in operators],
        inputs=[tensors[index] for index in inputs],
        outputs=[tensors[index] for index in outputs],
    )
    return CpuPart(part, inputs, outputs)
