"""Computing in bfloat16: an inference graph rewritten operator by operator, with casts only where dtypes meet.

The Cloud TPU's matrix unit multiplies bfloat16 and accumulates float32 (Google Cloud documentation, "Improve your
model's performance with bfloat16").  So matrix products and what moves or combines activations go to bfloat16, while
softmax and the statistics of a normalisation stay float32: there, sums of many squares and differences of near values
lose too much in 8 bits.  The model's inputs and outputs keep their dtypes.

Bodies of loops and branches (recurrent layers) stay float32, so that a state does not lose bits at each step; the
weights they read are stored in bfloat16 all the same, and cast once before the loop.  The TPU compiler undoes that cast
where a matrix product reads it: for LSTMs of 128 and 1024 units it counts the same bytes and time, within 1 %, for a
body in bfloat16.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from tfcompress.graphs.tensorflow.constants import constant_value, set_constant
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.graphs.tensorflow.protocols import GraphDef, Operation
from tfcompress.layer_names import layers_of
from tfcompress.runtime import tf

__all__ = ["Precision", "apply_precision", "stays_float32"]

Precision = Literal["bfloat16", "float32", "mixed"]


def _ops(names: str) -> frozenset[str]:
    return frozenset(names.split())


MATRIX_OPS = _ops(
    """Conv2D DepthwiseConv2dNative Conv3D Conv2DBackpropInput Conv3DBackpropInputV2 MatMul BatchMatMul BatchMatMulV2
    BatchMatMulV3 Einsum"""
)
ELEMENTWISE_OPS = _ops(
    """Add AddV2 AddN Sub Mul BiasAdd RealDiv Maximum Minimum Neg Abs Relu Relu6 LeakyRelu Elu Selu Sigmoid Tanh
    Softplus Softsign Erf Select SelectV2 FusedBatchNormV3
    Max Min Mean Sum MaxPool MaxPoolV2 AvgPool MaxPool3D AvgPool3D"""
)
MOVING_OPS = _ops(
    """Identity StopGradient Reshape Transpose ConcatV2 Pad PadV2 MirrorPad Slice StridedSlice Squeeze ExpandDims Tile
    Pack Unpack Split SplitV GatherV2 GatherNd BroadcastTo SpaceToBatchND BatchToSpaceND SpaceToDepth DepthToSpace
    ReverseV2 ResizeNearestNeighbor ZerosLike OnesLike"""
)
# Below this many elements a constant is a scalar of a formula (an epsilon, a slope), not a weight.
SMALLEST_WEIGHT = 8


def apply_precision(
    graph: InferenceGraph,
    precision: Precision,
    *,
    layer_names: Collection[str] = (),
    keep_float32: Collection[str] = (),
) -> InferenceGraph:
    """`graph` computing in `precision`.

    Args:
        graph: float32, frozen.
        precision: `float32` returns `graph`; `bfloat16` also stores weights so; `mixed` stores them float32.
        layer_names: of the Keras layers, to tell which operator belongs to which; may be empty.
        keep_float32: shell patterns over layer names (or name scopes) that stay as they are.
    """
    if precision == "float32":
        return graph
    plan = _Plan(graph.operations(), layer_names, keep_float32, store=precision == "bfloat16")
    return _rewrite(graph, plan)


class _Plan:
    """Which operators of a graph compute in bfloat16, and which weights are stored so.

    Attributes:
        operations: by name, in the order of computation.
        reduced: names of operators that compute in bfloat16.
        stored: names of constants stored in bfloat16.
        raw: names of operators that only prepare the model's inputs.  They stay float32, and so does a convolution
            that reads them: the TPU compiler casts while it copies the input into its own layout, and a cast of ours
            would be one more pass over it (6 % of the bytes of MobileNetV2's first layers).
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        layer_names: Collection[str],
        keep_float32: Collection[str],
        *,
        store: bool,
    ) -> None:
        self.operations = {operation.name: operation for operation in operations}
        self.layer_names = layer_names
        self.keep_float32 = keep_float32
        self.norms = {_home(op.name, layer_names) for op in operations if op.type == "Rsqrt"}
        self.reduced: set[str] = set()
        self.stored: set[str] = set()
        self.raw: set[str] = set()
        for operation in operations:
            self._decide(operation, store=store)

    def _decide(self, operation: Operation, *, store: bool) -> None:
        name = operation.name
        kept = stays_float32(name, self.layer_names, self.keep_float32)
        if operation.type == "Const":
            if store and not kept and _is_weight(operation):
                self.stored.add(name)
        elif self._only_prepares(operation):
            self.raw.add(name)
        elif not kept and _takes_bfloat16(operation) and self._gains(operation):
            self.reduced.add(name)

    def _only_prepares(self, operation: Operation) -> bool:
        if operation.type == "Placeholder":
            return True
        if operation.type not in ELEMENTWISE_OPS | MOVING_OPS | {"Cast"}:
            return False
        sources = [tensor.op for tensor in operation.inputs]
        return any(op.name in self.raw for op in sources) and all(
            op.name in self.raw or op.type == "Const" for op in sources
        )

    def _gains(self, operation: Operation) -> bool:
        kind = operation.type
        if kind in MATRIX_OPS:
            return not (kind.startswith("Conv") and operation.inputs[0].op.name in self.raw)
        if kind in MOVING_OPS:  # what only moves data keeps the dtype of the data
            return any(tensor.op.name in self.reduced | self.stored for tensor in operation.inputs)
        return kind in ELEMENTWISE_OPS and _home(operation.name, self.layer_names) not in self.norms


def stays_float32(name: str, layer_names: Collection[str], patterns: Collection[str]) -> bool:
    """Whether a pattern names the Keras layer, or without known layers any name scope, of operator `name`."""
    if not patterns:
        return False
    scopes = layers_of(name, layer_names) if layer_names else tuple(name.split("/")[:-1])
    return any(fnmatch.fnmatchcase(scope, pattern) for scope in scopes for pattern in patterns)


def _home(name: str, layer_names: Collection[str]) -> str:
    """The Keras layer of an operator, or its name scope without the helper scopes that TensorFlow's norms open."""
    layers = layers_of(name, layer_names)
    if layers:
        return layers[0]
    scope = name.rpartition("/")[0]
    head, _, last = scope.rpartition("/")
    return head if last in ("batchnorm", "moments") else scope


def _takes_bfloat16(operation: Operation) -> bool:
    attributes = [attr for attr in operation.op_def.attr if _is_float_type(operation, attr)]
    return bool(attributes) and all(
        not attr.HasField("allowed_values") or tf.bfloat16.as_datatype_enum in attr.allowed_values.list.type
        for attr in attributes
        if attr.name in _data_attributes(operation)
    )


def _is_float_type(operation: Any, attribute: Any) -> bool:
    return attribute.type == "type" and operation.get_attr(attribute.name) == tf.float32


def _data_attributes(operation: Operation) -> set[str]:
    """Type attributes that follow the activations; `U` of a fused batch norm is the dtype of its statistics."""
    return {attr.name for attr in operation.op_def.attr if _is_float_type(operation, attr)} - {"U"}


def _is_weight(operation: Operation) -> bool:
    if operation.type != "Const":
        return False
    output = operation.outputs[0]
    return bool(output.dtype == tf.float32 and output.shape.num_elements() >= SMALLEST_WEIGHT)


def _argument_dtypes(arguments: Any, operation: Any, attributes: Mapping[str, Any]) -> list[Any]:
    """The dtype of each tensor of `arguments` (an op's input or output list), with `attributes` changed."""

    def value(name: str) -> Any:
        return attributes.get(name) or operation.get_attr(name)

    dtypes: list[Any] = []
    for argument in arguments:
        if argument.type_list_attr:
            dtypes += list(value(argument.type_list_attr))
            continue
        dtype = value(argument.type_attr) if argument.type_attr else tf.dtypes.as_dtype(argument.type)
        dtypes += [dtype] * (value(argument.number_attr) if argument.number_attr else 1)
    return dtypes


def _rewrite(graph: InferenceGraph, plan: _Plan) -> InferenceGraph:
    result = tf.compat.v1.GraphDef(library=graph.graph_def.library, versions=graph.graph_def.versions)
    changes: dict[str, dict[str, Any]] = {
        name: dict.fromkeys(_data_attributes(plan.operations[name]), tf.bfloat16) for name in plan.reduced
    }
    produced: dict[str, list[Any]] = {
        name: _argument_dtypes(operation.op_def.output_arg, operation, changes.get(name, {}))
        for name, operation in plan.operations.items()
    }
    produced |= {name: [tf.bfloat16] for name in plan.stored}
    casts = _Casts(result, produced)
    large = {name: value for name, value in graph.large.items() if name not in plan.stored}
    for node in graph.graph_def.node:
        change = changes.get(node.name, {})
        operation = plan.operations[node.name]
        copy = tf.compat.v1.NodeDef()
        copy.CopyFrom(node)
        for index, dtype in enumerate(_argument_dtypes(operation.op_def.input_arg, operation, change)):
            copy.input[index] = casts.name(node.input[index], dtype)
        for attribute, dtype in change.items():
            copy.attr[attribute].type = dtype.as_datatype_enum
        if node.name in plan.stored:
            set_constant(copy, constant_value(node, graph.large), tf.bfloat16, large)
        result.node.append(copy)
    outputs = {}
    for name, tensor in graph.outputs.items():
        node_name, _, position = tensor.partition(":")
        original = plan.operations[node_name].outputs[int(position)].dtype
        source = casts.name(node_name if position == "0" else tensor, original)
        outputs[name] = source if ":" in source else f"{source}:0"
    return replace(graph, graph_def=result, outputs=outputs, large=large)


class _Casts:
    """`Cast` nodes added to `graph_def`: one for each tensor that is wanted in the other float dtype."""

    def __init__(self, graph_def: GraphDef, produced: Mapping[str, Sequence[object]]) -> None:
        self.graph_def = graph_def
        self.produced = produced
        self._known: dict[str, str] = {}

    def name(self, source: str, dtype: Any) -> str:
        """The name of tensor `source` as `dtype`."""
        node, _, index = source.partition(":")
        have: Any = self.produced[node][int(index or 0)]
        if {have, dtype} != {tf.float32, tf.bfloat16}:
            return source
        if source not in self._known:
            name = f"{node}/as_{dtype.name}" + (f"_{index}" if index else "")
            cast = self.graph_def.node.add(name=name, op="Cast", input=[source])
            cast.attr["SrcT"].type = have.as_datatype_enum
            cast.attr["DstT"].type = dtype.as_datatype_enum
            self._known[source] = name
        return self._known[source]
