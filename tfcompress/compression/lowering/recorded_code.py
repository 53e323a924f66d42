"""Lambda layers whose recorded code is arithmetic, such as ``x / 127.5 - 1``, as tensor operators of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.keras.replay import Call
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.load.keras_versions.frozen_lambda import FrozenLambda
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


def _operators(call: Call, state: Rewrite) -> Tensor | None:
    """The recorded operators, called on the layer's inputs; None where one of them is not in the table."""
    fitting = [recording for recording in call.layer.recordings if recording.accepts(call.inputs)]
    if not fitting or not fitting[0].single:
        return None
    recording = fitting[0]
    values: dict[str, Any] = dict(zip((_node_of(name) for name in recording.inputs), call.inputs, strict=True))
    for node in recording.graph_def.node:
        sources = [values.get(_node_of(name)) for name in node.input if not name.startswith("^")]
        if node.op == "Const":
            constant = tf.make_ndarray(node.attr["value"].tensor)
            values[node.name] = constant.item() if constant.size == 1 else None
        elif node.op == "Identity":
            values[node.name] = sources[0]
        elif node.op in _ARITHMETIC and all(source is not None for source in sources):
            values[node.name] = _ARITHMETIC[node.op](*sources)
    return values.get(_node_of(recording.outputs[0]))


def _node_of(name: str) -> str:
    """``node`` of the tensor ``node:0``."""
    return name.partition(":")[0]


RECORDED_CODE: dict[object, Rewriter] = {FrozenLambda: _operators}
