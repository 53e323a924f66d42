"""Changing a .tflite: its tensors and operators as objects that refer to one another.

A file refers to everything by position: tensors, buffers, operator codes.  Here an operator holds the tensors that it
reads and writes, and positions exist only while the file is read and written, so that nothing has to be renumbered
after an insertion or a removal.  What was in the file keeps its place; new tensors, constants and operator codes follow
behind in the order of their first use; and what nothing uses any more is left out only by `ModelEditor.drop_unused`.

The records behind the objects are those of the schema's own object API (`TensorT`, `OperatorT`, ...), so fields that no
editor knows survive.  Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.names import OPERATOR_CODES, OPERATOR_NAMES, TYPE_CODES, TYPE_NAMES, numpy_dtype
from tfcompress.graphs.tflite.records import Codes, as_text, read_tree, write_tree
from tfcompress.unique_names import unique_name

__all__ = ["GraphEditor", "ModelEditor", "OperatorNode", "SignatureEditor", "TensorNode", "options"]


@dataclass(eq=False)
class TensorNode:
    """A tensor of a graph that can be edited; two nodes are the same only if they are the same object.

    Attributes:
        record: the schema's `TensorT`; its buffer's position is set when the file is written.
        buffer: the schema's `BufferT`, which several constants of the same content may share.
        put_aside: the buffer that it had in the file, once it has another; the new one takes its place if nobody else
            uses it.
    """

    record: Any = field(repr=False)
    buffer: Any = field(repr=False)
    put_aside: object = field(repr=False, default=None)

    @property
    def name(self) -> str:
        """As the converter left it."""
        return as_text(self.record.name)

    @name.setter
    def name(self, name: str) -> None:
        self.record.name = name.encode()

    @property
    def shape(self) -> tuple[int, ...]:
        """Static sizes; empty for a scalar."""
        return () if self.record.shape is None else tuple(int(size) for size in self.record.shape)

    @shape.setter
    def shape(self, shape: Sequence[int]) -> None:
        self.record.shape, self.record.shapeSignature = [int(size) for size in shape], None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> str:
        """Lower-case schema name: ``float32``, ``int8``, ``int4``, ``resource``, ..."""
        return TYPE_NAMES[self.record.type]

    @dtype.setter
    def dtype(self, dtype: str) -> None:
        self.record.type = TYPE_CODES[dtype]

    @property
    def is_constant(self) -> bool:
        """Whether the tensor's values are in the file."""
        return self.buffer.data is not None and len(self.buffer.data) > 0

    def array(self) -> np.ndarray | None:
        """The constant in its own dtype and shape; None when computed, or below 8 bits."""
        dtype = numpy_dtype(self.dtype)
        if dtype is None or not self.is_constant:
            return None
        return np.frombuffer(bytes(self.buffer.data), dtype).reshape(self.shape)

    def set_array(self, value: np.ndarray) -> None:
        """Make it a constant, or another one, of its own dtype; others that shared its content keep theirs.

        Raises:
            ValueError: `value` has another dtype than the tensor.
        """
        if numpy_dtype(self.dtype) != value.dtype:
            raise ValueError(f"tensor {self.name}: a constant of {value.dtype}, expected {self.dtype}")
        if value.shape != self.shape:
            self.shape = value.shape
        self.put_aside = self.put_aside or self.buffer
        self.buffer = schema.BufferT()
        self.buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)

    def copy(self, name: str) -> TensorNode:
        """Another tensor of the same kind, with a name of its own."""
        twin = TensorNode(copy.copy(self.record), self.buffer)
        twin.name = name
        return twin

    @property
    def scales(self) -> tuple[float, ...]:
        """Of an affine quantization: one, or one per channel; empty without."""
        parameters = self.record.quantization
        return () if parameters is None or parameters.scale is None else tuple(map(float, parameters.scale))

    @property
    def zero_points(self) -> tuple[int, ...]:
        """As many as there are scales."""
        parameters = self.record.quantization
        given = () if parameters is None or parameters.zeroPoint is None else parameters.zeroPoint
        return tuple(map(int, given)) or (0,) * len(self.scales)

    def quantize(self, scale: float, zero_point: int) -> None:
        """Give it an affine quantization of one scale, real = scale * (integer - zero_point)."""
        self.record.quantization = schema.QuantizationParametersT()
        self.record.quantization.scale, self.record.quantization.zeroPoint = [scale], [zero_point]

    def set_range(self, low: float, high: float) -> None:
        """Note the real values that it may hold, as TFLiteConverter's calibrator does, and drop any scales."""
        self.record.quantization = schema.QuantizationParametersT()
        self.record.quantization.min, self.record.quantization.max = [low], [high]


@dataclass(eq=False)
class OperatorNode:
    """An operator of a graph that can be edited.

    Attributes:
        record: the schema's `OperatorT`; positions in it are set when the file is written.
        code: the schema's `OperatorCodeT`: what it is and in which version.
        inputs: None where an optional input is absent.
        outputs: what it computes.
        intermediates: of fused recurrent operators.
    """

    record: Any = field(repr=False)
    code: Any = field(repr=False)
    inputs: list[TensorNode | None]
    outputs: list[TensorNode]
    intermediates: list[TensorNode] = field(default_factory=list, repr=False)

    @property
    def name(self) -> str:
        """Builtin name such as ``CONV_2D``; for a custom operator its own."""
        # schema.fbs: files older than v3a set the deprecated field alone; newer ones set both, so the larger one holds.
        number = max(self.code.builtinCode, self.code.deprecatedBuiltinCode)
        if number == schema.BuiltinOperator.CUSTOM:
            return as_text(self.code.customCode)
        return OPERATOR_NAMES.get(number, f"BUILTIN_{number}")

    @property
    def version(self) -> int:
        """Of the builtin."""
        return int(self.code.version)

    @property
    def options(self) -> Any:
        """The options object (`schema.Conv2DOptionsT`, ...), which may be changed; None without."""
        return self.record.builtinOptions

    def set_options(self, options: Any) -> None:
        """Give it other options; see `options`."""
        kind = "NONE" if options is None else type(options).__name__.removesuffix("T")
        self.record.builtinOptionsType, self.record.builtinOptions = getattr(schema.BuiltinOptions, kind), options

    def input(self, position: int) -> TensorNode | None:
        """The input at a position; None when it is absent."""
        return self.inputs[position] if position < len(self.inputs) else None

    def constant(self, position: int) -> np.ndarray | None:
        """The constant content of the input at a position; None when it is computed or absent."""
        tensor = self.input(position)
        return None if tensor is None else tensor.array()

    @property
    def operands(self) -> list[TensorNode]:
        """The inputs that are present."""
        return [tensor for tensor in self.inputs if tensor is not None]

    @property
    def source(self) -> TensorNode:
        """The first input that is present."""
        return self.operands[0]

    @property
    def result(self) -> TensorNode:
        """The first output."""
        return self.outputs[0]

    @property
    def computed_inputs(self) -> list[TensorNode]:
        """The inputs that are present and no constants."""
        return [tensor for tensor in self.operands if not tensor.is_constant]

    def replaced(self, inputs: Sequence[TensorNode | None], outputs: Sequence[TensorNode]) -> OperatorNode:
        """The same operator with other inputs and outputs, not yet in a graph; its options are a copy."""
        record = copy.copy(self.record)
        record.builtinOptions = copy.copy(record.builtinOptions)
        return OperatorNode(record, self.code, list(inputs), list(outputs), list(self.intermediates))


def options(kind: str, **fields: Any) -> Any:
    """An options object for `GraphEditor.operator`.

    Args:
        kind: name of an options table of schema.fbs, such as ``Pool2DOptions``.
        **fields: its fields in the object API's camel case.

    Raises:
        AttributeError: the table has no such field.
    """
    table = getattr(schema, f"{kind}T")()
    for name, value in fields.items():
        if not hasattr(table, name):
            raise AttributeError(f"{kind} has no field {name}")
        setattr(table, name, value)
    return table


@dataclass(eq=False)
class GraphEditor:
    """One graph of a file: tensors and operators that can be inserted, replaced and removed.

    Attributes:
        record: the schema's `SubGraphT`.
        codes: the operator codes of the file.
        tensors: those that were in the file.
        operators: in the order of execution.
        inputs: of the graph.
        outputs: of the graph.
    """

    record: Any = field(repr=False)
    codes: Codes = field(repr=False)
    tensors: list[TensorNode] = field(repr=False)
    operators: list[OperatorNode]
    inputs: list[TensorNode]
    outputs: list[TensorNode]
    _names: set[str] = field(default_factory=set, init=False, repr=False)

    def producer(self, tensor: TensorNode | None) -> OperatorNode | None:
        """The operator that computes a tensor; None for inputs, constants and an absent tensor."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    def consumers(self, tensor: TensorNode) -> list[OperatorNode]:
        """The operators that read a tensor."""
        return [op for op in self.operators if tensor in op.inputs]

    def new_tensor(self, shape: Sequence[int], near: TensorNode, suffix: str) -> TensorNode:
        """A computed tensor with the type and scale of the tensor `near`, and a name after it."""
        record: Any = schema.TensorT()
        record.name, record.type = self._new_name(f"{near.name}/{suffix}").encode(), near.record.type
        record.shape = [int(size) for size in shape]
        record.quantization = copy.deepcopy(near.record.quantization)
        return TensorNode(record, self.codes.empty_buffer)

    def _new_name(self, wanted: str) -> str:
        """The name, or where a tensor has it already the name with the next free number: litert-quantizer tells
        tensors apart by their names."""
        if not self._names:
            self._names.update(tensor.name for tensor in self.tensors)
        return unique_name(wanted, self._names)

    def like(self, tensor: TensorNode, suffix: str) -> TensorNode:
        """A computed tensor of the shape, type and scale of another, and a name after it."""
        return self.new_tensor(tensor.shape, tensor, suffix)

    def new_constant(self, value: np.ndarray | float, near: TensorNode, suffix: str) -> TensorNode:
        """A float32 or int32 constant, whichever fits `value`, named after the tensor `near`."""
        array = np.asarray(value)
        array = array.astype(np.int32 if array.dtype.kind in "iu" else np.float32)
        tensor = self.new_tensor(array.shape, near, suffix)
        tensor.dtype, tensor.record.quantization = array.dtype.name, None
        tensor.set_array(array)
        return tensor

    def new_number(self, scale: float, value: int, near: TensorNode, suffix: str) -> TensorNode:
        """An int8 constant without dimensions that stands for scale * value, named after the tensor `near`."""
        tensor = self.new_tensor((), near, suffix)
        tensor.dtype = "int8"
        tensor.set_array(np.array(value, np.int8))
        tensor.quantize(scale, 0)
        return tensor

    def operator(
        self,
        name: str,
        inputs: Sequence[TensorNode | None],
        outputs: Sequence[TensorNode],
        options: Any = None,
        *,
        version: int = 1,
    ) -> OperatorNode:
        """A builtin operator, not yet in the graph.

        Args:
            name: builtin name such as ``MEAN``.
            inputs: None where an optional input is absent.
            outputs: what it computes.
            options: its options, see `options`; None for an operator without.
            version: the lowest one that knows the tensors' types.
        """
        record: Any = schema.OperatorT()
        code = self.codes.at_least(OPERATOR_CODES[name], version)
        operator = OperatorNode(record, code, list(inputs), list(outputs))
        operator.set_options(options)
        return operator

    def multiply(self, left: TensorNode, right: TensorNode, result: TensorNode) -> OperatorNode:
        """A MUL, not yet in the graph."""
        return self.operator("MUL", [left, right], [result], options("MulOptions"))

    def plus(self, left: TensorNode, right: TensorNode, result: TensorNode, *, relu6: bool = False) -> OperatorNode:
        """An ADD, with or without a fused ReLU6, not yet in the graph."""
        kinds = schema.ActivationFunctionType
        add_options = options("AddOptions", fusedActivationFunction=kinds.RELU6 if relu6 else kinds.NONE)
        return self.operator("ADD", [left, right], [result], add_options)

    def reshape(self, source: TensorNode, target: TensorNode) -> OperatorNode:
        """A RESHAPE of one tensor to the shape of another, not yet in the graph."""
        sizes = np.array(target.shape, np.int32)
        shape = self.new_constant(sizes, target, "shape")
        return self.operator("RESHAPE", [source, shape], [target], options("ReshapeOptions", newShape=sizes.tolist()))

    def replace(self, old: Sequence[OperatorNode], new: Sequence[OperatorNode]) -> None:
        """Put the operators `new` where the last of `old` was, and drop `old`; `new` may hold some of `old`."""
        position = max(index for index, operator in enumerate(self.operators) if operator in old)
        before = [operator for operator in self.operators[:position] if operator not in old]
        self.operators = [*before, *new, *self.operators[position + 1 :]]

    def remove(self, operators: Iterable[OperatorNode]) -> None:
        """Drop operators; what they computed is then computed by nothing."""
        gone = set(operators)
        self.operators = [operator for operator in self.operators if operator not in gone]

    def redirect(self, tensor: TensorNode, other: TensorNode) -> None:
        """Let every reader of `tensor` read `other` instead."""
        for operator in self.consumers(tensor):
            operator.inputs = [other if item is tensor else item for item in operator.inputs]

    def drop_unread(self) -> None:
        """Drop operators whose results nobody reads, last first."""
        needed: set[TensorNode | None] = set(self.outputs)
        kept = []
        for operator in reversed(self.operators):
            # A CALL_ONCE or an assignment has no results and is there for its effect.
            if not operator.outputs or needed.intersection(operator.outputs):
                kept.append(operator)
                needed.update(operator.inputs)
        self.operators = kept[::-1]

    def reached(self) -> list[TensorNode]:
        """Every tensor that is an input or output, or that an operator uses, in the order of first use."""
        used: dict[TensorNode, None] = dict.fromkeys([*self.inputs, *self.outputs])
        for operator in self.operators:
            used.update(dict.fromkeys((*operator.operands, *operator.outputs, *operator.intermediates)))
        return list(used)


@dataclass(eq=False)
class SignatureEditor:
    """A named way to call a graph.

    Attributes:
        record: the schema's `SignatureDefT`.
        graph: that it calls.
        inputs: (name, tensor), in the file's order.
        outputs: (name, tensor), in the file's order.
    """

    record: Any = field(repr=False)
    graph: GraphEditor
    inputs: list[tuple[str, TensorNode]]
    outputs: list[tuple[str, TensorNode]]


@dataclass(eq=False)
class ModelEditor:
    """A whole file.

    Attributes:
        record: the schema's `ModelT`.
        codes: the operator codes that new operators share with those of the file.
        graphs: the first is the main one.
        signatures: in the file's order.
    """

    record: Any = field(repr=False)
    codes: Codes = field(repr=False)
    graphs: list[GraphEditor]
    signatures: list[SignatureEditor]

    @property
    def main(self) -> GraphEditor:
        """The graph that runs."""
        return self.graphs[0]

    @classmethod
    def read(cls, content: bytes) -> Self:
        """The objects of a .tflite; constants stay views of `content`."""
        record = read_tree(content)
        codes = Codes(record)
        graphs = [_graph(graph, record, codes) for graph in record.subgraphs]
        return cls(record, codes, graphs, [_signature(item, graphs) for item in record.signatureDefs or []])

    def drop_unused(self) -> None:
        """Leave out tensors, constants and operator codes that nothing uses."""
        for graph in self.graphs:
            used = {*graph.reached(), *(t for item in self.signatures if item.graph is graph for t in _ports(item))}
            graph.tensors = [tensor for tensor in graph.tensors if tensor in used]
        self.codes.keep(
            [operator.code for graph in self.graphs for operator in graph.operators],
            [tensor.buffer for graph in self.graphs for tensor in graph.tensors],
        )

    def to_bytes(self) -> bytes:
        """The file; the same objects always give the same bytes.  All constants lie inside of the flatbuffer."""
        return write_tree(self.tree())

    def tree(self) -> Any:
        """The schema's `ModelT`, with positions given out."""
        self.codes.replace([tensor for graph in self.graphs for tensor in _all_tensors(graph)])
        tables = self.codes.positions()
        for graph in self.graphs:
            _write_graph(graph, tables)
        for signature in self.signatures:
            positions = {tensor: index for index, tensor in enumerate(_all_tensors(signature.graph))}
            signature.record.inputs = _tensor_maps(signature.inputs, positions)
            signature.record.outputs = _tensor_maps(signature.outputs, positions)
        kept = [item.record for item in self.signatures]
        self.record.signatureDefs = kept if kept or self.record.signatureDefs is not None else None
        return self.record


def _ports(signature: SignatureEditor) -> list[TensorNode]:
    return [tensor for _, tensor in (*signature.inputs, *signature.outputs)]


def _graph(record: Any, model: Any, codes: Codes) -> GraphEditor:
    tensors = [TensorNode(tensor, model.buffers[tensor.buffer]) for tensor in record.tensors or []]

    def nodes(positions: Iterable[int] | None) -> list[TensorNode]:
        return [tensors[position] for position in ([] if positions is None else positions)]

    operators = [
        OperatorNode(
            operator,
            model.operatorCodes[operator.opcodeIndex],
            [None if p < 0 else tensors[p] for p in ([] if operator.inputs is None else operator.inputs)],
            nodes(operator.outputs),
            nodes(operator.intermediates),
        )
        for operator in record.operators or []
    ]
    return GraphEditor(record, codes, tensors, operators, nodes(record.inputs), nodes(record.outputs))


def _signature(record: Any, graphs: list[GraphEditor]) -> SignatureEditor:
    graph = graphs[record.subgraphIndex]
    ports = [
        [(as_text(item.name), graph.tensors[item.tensorIndex]) for item in side or []]
        for side in (record.inputs, record.outputs)
    ]
    return SignatureEditor(record, graph, *ports)


def _all_tensors(graph: GraphEditor) -> list[TensorNode]:
    """Those of the file, then the new ones."""
    return list(dict.fromkeys([*graph.tensors, *graph.reached()]))


def _write_graph(graph: GraphEditor, tables: Any) -> None:
    tensors = _all_tensors(graph)
    positions: dict[TensorNode | None, int] = {tensor: index for index, tensor in enumerate(tensors)}
    positions[None] = -1
    for tensor in tensors:
        tensor.record.buffer = tables.buffer(tensor.buffer)
    for operator in graph.operators:
        record = operator.record
        record.opcodeIndex = tables.code(operator.code)
        record.inputs = _positions(operator.inputs, positions, record.inputs)
        record.outputs = _positions(operator.outputs, positions, record.outputs)
        record.intermediates = _positions(operator.intermediates, positions, record.intermediates)
    graph.record.tensors = [tensor.record for tensor in tensors]
    graph.record.operators = [operator.record for operator in graph.operators]
    graph.record.inputs = _positions(graph.inputs, positions, graph.record.inputs)
    graph.record.outputs = _positions(graph.outputs, positions, graph.record.outputs)


def _positions(
    tensors: Sequence[TensorNode | None], positions: dict[TensorNode | None, int], before: Any
) -> list[int] | None:
    """Positions of tensors; an empty vector stays absent where it was."""
    return None if not tensors and before is None else [positions[tensor] for tensor in tensors]


def _tensor_maps(ports: list[tuple[str, TensorNode]], positions: dict[TensorNode, int]) -> list[Any]:
    maps = []
    for name, tensor in ports:
        entry: Any = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, positions[tensor]
        maps.append(entry)
    return maps
