"""Constants of a graph: small ones in their nodes, large ones beside the graph.

Protobuf serialises no message of 2 GiB or more, so TensorFlow reads no graph of that size, and each copy of a graph
would copy its weights.  The node of a large constant has its dtype and shape, which TensorFlow takes for zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from tfcompress.graphs.tensorflow.protocols import GraphDef, Node
from tfcompress.runtime import tf

__all__ = ["Large", "constant_value", "fill", "set_constant", "take_large"]

LARGE_BYTES = 2**20
Large = Mapping[str, np.ndarray]  # {name of the node: value}


def constant_value(node: Node, large: Large) -> np.ndarray:
    """The array of a `Const` node, which is not to be written to.

    Args:
        node: of a graph.
        large: that graph's large constants.
    """
    return large[node.name] if node.name in large else tf.make_ndarray(node.attr["value"].tensor)


def set_constant(node: Any, value: np.ndarray, dtype: Any, large: MutableMapping[str, np.ndarray]) -> None:
    """Turn a node into a `Const` of `value`, keeping its name.

    Args:
        node: of a graph.
        value: of any dtype.
        dtype: the `tf.DType` to store it in.
        large: that graph's large constants.
    """
    node.op = "Const"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = dtype.as_datatype_enum
    stored = value.astype(dtype.as_numpy_dtype, copy=False)  # graphs share their constants
    tensor = node.attr["value"].tensor
    if stored.nbytes > LARGE_BYTES:
        tensor.dtype = dtype.as_datatype_enum
        tensor.tensor_shape.CopyFrom(tf.TensorShape(stored.shape).as_proto())
        large[node.name] = stored
    else:
        tensor.CopyFrom(tf.make_tensor_proto(stored, dtype=dtype))


def take_large(graph_def: GraphDef) -> dict[str, np.ndarray]:
    """The large constants of a graph's own nodes, which are zeros afterwards; those of its functions stay."""
    large = {}
    for node in graph_def.node:
        if node.op == "Const" and len(node.attr["value"].tensor.tensor_content) > LARGE_BYTES:
            tensor = node.attr["value"].tensor
            sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
            dtype = tf.dtypes.as_dtype(tensor.dtype).as_numpy_dtype
            large[node.name] = np.frombuffer(tensor.tensor_content, dtype).reshape(sizes)
            tensor.ClearField("tensor_content")
    return large


def fill(graph_def: Any, large: Large) -> None:
    """Put large constants back into a graph's nodes, for what needs the graph whole."""
    for node in graph_def.node:
        if node.name in large:
            node.attr["value"].tensor.tensor_content = large[node.name].tobytes()
