"""What XLA will refuse, said in one line with the Keras layer, before anything is compiled.

Source of the rules: TensorFlow documentation, "Known issues" of XLA (dynamic shapes, random numbers, asserts), and the
list of operators without an XLA kernel in tensorflow/compiler/tf2xla.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from tfcompress.converters.cloud_tpu.graph import InferenceGraph
from tfcompress.errors import ConversionError, one_line
from tfcompress.layer_names import layers_of
from tfcompress.model import FloatModel
from tfcompress.runtime import tf

__all__ = ["check_graph", "check_model", "with_layer"]

HOST_CALLBACKS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc", "Print", "PrintV2"})
DYNAMIC_RESULTS = {
    "Where": "tf.where with one argument",
    "Unique": "tf.unique",
    "UniqueV2": "tf.unique",
    "NonMaxSuppressionV3": "tf.image.non_max_suppression; its padded form NonMaxSuppressionV4 has a fixed size",
    "DynamicPartition": "tf.dynamic_partition",
    "SparseToDense": "a sparse tensor",
}
TEXT_OPS = ("AsString", "String", "Regex", "UnicodeTranscode", "Decode", "ReadFile")
UNSEEDED = frozenset({"RandomUniform", "RandomStandardNormal", "RandomUniformInt", "TruncatedNormal", "Multinomial"})
BAD_DTYPES = ("string", "resource", "complex128")


def check_model(model: FloatModel) -> None:
    """Check what can be told without tracing.

    Raises:
        ConversionError: an input is text, or of a size that is open beyond the batch.
    """
    for info in model.inputs:
        if info.dtype in ("string", "object"):
            raise ConversionError(
                f"{model.name}: input {info.name!r} is text, which XLA has no dtype for; move the text processing out "
                "of the model and export from the first numeric tensor"
            )
        if None in info.shape[1:]:
            raise ConversionError(
                f"{model.name}: input {info.name!r} has the dynamic shape {info.shape}, and XLA for TPU needs fixed "
                "sizes beyond the batch; give calibration samples of the size to serve, or build the model with it"
            )


def check_graph(graph: InferenceGraph, layer_names: Collection[str]) -> None:
    """Check the operators of a traced graph, also inside its loops and branches.

    Raises:
        ConversionError: an operator that XLA refuses; the message names the Keras layer.
    """
    for node in _all_nodes(graph.graph_def):
        reason = _refusal(node)
        if reason:
            raise ConversionError(with_layer(f"XLA refuses operator {node.name!r} ({node.op}): {reason}", layer_names))


def _all_nodes(graph_def: Any) -> Iterator[Any]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _refusal(node: Any) -> str | None:
    """Why XLA refuses this node, and what to do; None where nothing is known against it."""
    if node.op in HOST_CALLBACKS:
        return "it calls back into Python on the host; express it with TensorFlow operators"
    if node.op in DYNAMIC_RESULTS:
        return f"the size of its result depends on the data ({DYNAMIC_RESULTS[node.op]}); use masks of a fixed size"
    if node.op in UNSEEDED and node.attr["seed"].i == 0 and node.attr["seed2"].i == 0:
        return "a random operator without a seed; inference should not draw random numbers, or give it a seed"
    if node.op.startswith(("LookupTable", "HashTable", "MutableHashTable")):
        return "a lookup table lives on the host; do the lookup before the model"
    if node.op.startswith(TEXT_OPS):
        return "it handles text or files (dtype string), which XLA has no dtype for; do it before the model"
    for name in ("T", "dtype", "DstT"):
        kind = node.attr[name].type if name in node.attr else 0
        if kind and tf.dtypes.as_dtype(kind).name in BAD_DTYPES:
            return f"it computes in {tf.dtypes.as_dtype(kind).name}, which XLA for TPU has no arithmetic for"
    return None


def with_layer(message: str, layer_names: Collection[str]) -> str:
    """`message` of TensorFlow, XLA or libtpu in one line, led by the Keras layer that it speaks of."""
    for name in re.findall(r"[\w.\-]+(?:/[\w.\-]+)+", message):
        layers = layers_of(name, layer_names)
        if layers:
            return one_line(f"Keras layer {layers[0]!r}: {message}")
    return one_line(message)
