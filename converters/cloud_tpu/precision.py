"""Computing in bfloat16: an inference graph rewritten operator by operator, with casts only where dtypes meet.

The Cloud TPU's matrix unit multiplies bfloat16 and accumulates float32 (Google Cloud documentation, "Improve your
model's performance with bfloat16").  So matrix products and what moves or combines activations go to bfloat16, while
softmax and the statistics of a normalisation stay float32: there, sums of many squares and differences of near values
lose too much in 8 bits.  The model's inputs and outputs keep their dtypes.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tfcompress.converters.cloud_tpu.graph import InferenceGraph, constant_value, make_constant
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
LOW_PRECISION_OPS = MATRIX_OPS | ELEMENTWISE_OPS | MOVING_OPS

# Below this many elements a constant is a scalar of a formula (an epsilon, a slope), not a weight.
SMALLEST_WEIGHT = 8


@dataclass(frozen=True)
class _Rules:
    """What may go to bfloat16: see `apply_precision`."""

    layer_names: Collection[str]
    keep_float32: Collection[str]
    norms: frozenset[str]

    def reducible(self, operation: Any) -> bool:
        """Whether this operator computes in bfloat16."""
        if operation.type not in LOW_PRECISION_OPS or not _takes_bfloat16(operation):
            return False
        if stays_float32(operation.name, self.layer_names, self.keep_float32):
            return False
        return operation.type in MATRIX_OPS or _home(operation.name, self.layer_names) not in self.norms


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
    operations = {operation.name: operation for operation in graph.operations()}
    norms = frozenset(_home(name, layer_names) for name, op in operations.items() if op.type == "Rsqrt")
    rules = _Rules(layer_names, keep_float32, norms)
    reduced = frozenset(name for name, op in operations.items() if rules.reducible(op))
    stored = frozenset(
        name
        for name, op in operations.items()
        if precision == "bfloat16" and _is_weight(op) and not stays_float32(name, layer_names, keep_float32)
    )
    return _rewrite(graph, operations, reduced, stored)


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


def _takes_bfloat16(operation: Any) -> bool:
    attributes = [attr for attr in operation.op_def.attr if _is_float_type(operation, attr)]
    return bool(attributes) and all(
        not attr.HasField("allowed_values") or tf.bfloat16.as_datatype_enum in attr.allowed_values.list.type
        for attr in attributes
        if attr.name in _data_attributes(operation)
    )


def _is_float_type(operation: Any, attribute: Any) -> bool:
    return attribute.type == "type" and operation.get_attr(attribute.name) == tf.float32


def _data_attributes(operation: Any) -> set[str]:
    """Type attributes that follow the activations; `U` of a fused batch norm is the dtype of its statistics."""
    return {attr.name for attr in operation.op_def.attr if _is_float_type(operation, attr)} - {"U"}


def _is_weight(operation: Any) -> bool:
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


def _rewrite(
    graph: InferenceGraph, operations: Mapping[str, Any], reduced: frozenset[str], stored: frozenset[str]
) -> InferenceGraph:
    result = tf.compat.v1.GraphDef()
    result.library.CopyFrom(graph.graph_def.library)
    result.versions.CopyFrom(graph.graph_def.versions)
    changes: dict[str, dict[str, Any]] = {
        name: dict.fromkeys(_data_attributes(operations[name]), tf.bfloat16) for name in reduced
    }
    produced: dict[str, list[Any]] = {}
    for name, operation in operations.items():
        produced[name] = _argument_dtypes(operation.op_def.output_arg, operation, changes.get(name, {}))
    for name in stored:
        produced[name] = [tf.bfloat16]
    casts: dict[tuple[str, Any], str] = {}
    for node in graph.graph_def.node:
        operation = operations[node.name]
        wanted = _argument_dtypes(operation.op_def.input_arg, operation, changes.get(node.name, {}))
        inputs = list(node.input)
        for index, dtype in enumerate(wanted):
            inputs[index] = _cast(result, casts, inputs[index], produced, dtype)
        copy = result.node.add()
        copy.CopyFrom(node)
        copy.input[:] = inputs
        for attribute, dtype in changes.get(node.name, {}).items():
            copy.attr[attribute].type = dtype.as_datatype_enum
        if node.name in stored:
            make_constant(copy, constant_value(node), tf.bfloat16)
    outputs = {}
    for name, tensor in graph.outputs.items():
        source, _, position = tensor.partition(":")
        original = operations[source].outputs[int(position)].dtype
        cast = _cast(result, casts, _short(source, int(position)), produced, original)
        outputs[name] = cast if ":" in cast else f"{cast}:0"
    return replace(graph, graph_def=result, outputs=outputs)


def _short(node: str, index: int) -> str:
    return node if index == 0 else f"{node}:{index}"


def _cast(
    result: Any, casts: dict[tuple[str, Any], str], source: str, produced: Mapping[str, list[Any]], dtype: Any
) -> str:
    """The name of tensor `source` as `dtype`, through one shared `Cast` where it is of the other float dtype."""
    node, _, index = source.partition(":")
    have: Any = produced[node][int(index or 0)]
    if {have, dtype} != {tf.float32, tf.bfloat16}:
        return source
    key = (source, dtype)
    if key not in casts:
        cast = result.node.add(name=f"{node}/as_{dtype.name}" + (f"_{index}" if index else ""), op="Cast")
        cast.input.append(source)
        cast.attr["SrcT"].type = have.as_datatype_enum
        cast.attr["DstT"].type = dtype.as_datatype_enum
        casts[key] = cast.name
    return casts[key]
