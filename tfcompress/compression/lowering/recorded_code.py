"""Lambda layers whose recorded code is arithmetic, such as ``(x - means) / scales``, as operators of the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.graphs.tensorflow.folding import is_pure
from tfcompress.graphs.tensorflow.protocols import Node
from tfcompress.load.keras_versions.frozen_lambda import FrozenLambda
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["RECORDED_CODE"]

# TensorFlow's operators with values alone for inputs, by their name in a graph.
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Abs": tf.math.abs,
    "Add": tf.math.add,
    "AddV2": tf.math.add,
    "Exp": tf.math.exp,
    "Maximum": tf.math.maximum,
    "Minimum": tf.math.minimum,
    "Mul": tf.math.multiply,
    "Neg": tf.math.negative,
    "RealDiv": tf.math.truediv,
    "Relu": tf.nn.relu,
    "Relu6": tf.nn.relu6,
    "Sigmoid": tf.math.sigmoid,
    "Square": tf.math.square,
    "Sub": tf.math.subtract,
    "Tanh": tf.math.tanh,
}
_SLICE_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def _product(node: Node, sources: Sequence[Any]) -> Any:
    flags = {name: True for name in ("transpose_a", "transpose_b") if node.attr[name].b}
    return tf.linalg.matmul(*map(_as_tensor, sources), **flags)


def _slice(node: Node, sources: Sequence[Any]) -> Any:
    masks = {name: node.attr[name].i for name in _SLICE_MASKS}
    x, *ends = sources
    return tf.strided_slice(x, *(np.asarray(end).tolist() for end in ends), **masks)


def _moved(node: Node, sources: Sequence[Any]) -> Any:
    x, order = sources
    function = {"Reshape": tf.reshape, "Transpose": tf.transpose}[node.op]
    return function(x, np.asarray(order).tolist())


# Those with settings, or with operands that say how.
_WITH_SETTINGS: dict[str, Callable[[Node, Sequence[Any]], Any]] = {
    "MatMul": _product,
    "Reshape": _moved,
    "StridedSlice": _slice,
    "Transpose": _moved,
}


def _operators(call: Call, state: Rewrite) -> Tensor | None:
    """The recorded operators, called on the layer's inputs; None where one of them is in neither table."""
    fitting = [recording for recording in call.layer.recordings if recording.accepts(call.inputs)]
    if not fitting or not fitting[0].single:
        return None
    recording = fitting[0]
    constants = _constants(recording)
    values: dict[str, Any] = dict(zip((_node_of(name) for name in recording.inputs), call.inputs, strict=True))
    for node in recording.graph_def.node:
        sources = [values.get(_node_of(name)) for name in node.input if not name.startswith("^")]
        if node.name in constants:
            values[node.name] = constants[node.name]
        elif node.op == "Identity":
            values[node.name] = sources[0]
        elif any(source is None for source in sources):
            continue
        elif node.op in _ARITHMETIC:
            values[node.name] = _ARITHMETIC[node.op](*map(_as_constant, sources))
        elif node.op in _WITH_SETTINGS:
            values[node.name] = _WITH_SETTINGS[node.op](node, sources)
    return values.get(_node_of(recording.outputs[0]))


def _constants(recording: Any) -> dict[str, np.ndarray]:
    """The values, by node, of what the inputs and chance have no part in."""
    changing = {_node_of(name) for name in recording.inputs}
    with silenced():
        whole = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(recording.graph_def, name=""), [])
        fixed = list[Any]()
        for operation in whole.graph.get_operations():
            reads = {tensor.op.name for tensor in operation.inputs}
            if operation.name in changing or reads & changing or not is_pure(operation):
                changing.add(operation.name)
            else:
                fixed.append(operation.outputs[0])
        values = whole.prune([], fixed)() if fixed else []
    return {tensor.op.name: value.numpy() for tensor, value in zip(fixed, values, strict=True)}


def _as_constant(value: Any) -> Any:
    """One number as Python has it, which is a scaling; an array as a tensor."""
    return value.item() if isinstance(value, np.ndarray | np.generic) and np.size(value) == 1 else _as_tensor(value)


def _as_tensor(value: Any) -> Any:
    return tf.constant(value) if isinstance(value, np.ndarray | np.generic) else value


def _node_of(name: str) -> str:
    """``node`` of the tensor ``node:0``."""
    return name.partition(":")[0]


RECORDED_CODE: dict[object, Rewriter] = {FrozenLambda: _operators}
