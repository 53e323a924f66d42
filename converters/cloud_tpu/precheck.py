"""What XLA will refuse, said in one line with the Keras layer, before anything is compiled.

Sizes and loops that depend on the data compile as long as the size has a bound that XLA sees and does not reach a
result of the model: so do ``tf.where``, ``tf.unique``, and a loop until a condition holds.  What XLA refuses is a size
without a bound, such as that of the results which such a loop collects.
Source of the rules: TensorFlow documentation, "Known issues" of XLA (dynamic shapes, random numbers, TensorArrays), and
the list of operators without an XLA kernel in tensorflow/compiler/tf2xla.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from tfcompress.errors import ConversionError, one_line
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.layer_names import layers_of
from tfcompress.model import FloatModel
from tfcompress.runtime import tf

__all__ = ["all_nodes", "check_graph", "check_model", "left_in_training", "with_layer"]

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
BAD_DTYPES = {
    "string": "it handles text or files (dtype string), which XLA has no dtype for; do it before the model",
    "resource": "it reads a resource, such as a lookup table, which lives on the host; do the lookup before the model",
    "complex128": "it computes in complex128, which XLA for TPU has no arithmetic for; use complex64",
}
LARGEST_GRAPH_BYTES = 2**31 - 2**26  # a protobuf message ends at 2 GiB; the rest is for what is not weights
# {operator: (index of an input that XLA must know while it compiles, what it is)}
SIZES = {
    "TensorListReserve": (1, "the number of results that a loop collects"),
    "Range": (1, "the length of a range"),
    "Fill": (0, "the shape of a filled tensor"),
    "Reshape": (1, "the shape of a result"),
    "BroadcastTo": (1, "the shape of a result"),
    "Tile": (1, "the number of repetitions"),
    "OneHot": (1, "the depth of a one-hot tensor"),
    "Pad": (1, "the width of padding"),
    "ResizeBilinear": (1, "the size of a resized image"),
    "ResizeNearestNeighbor": (1, "the size of a resized image"),
    "ResizeBicubic": (1, "the size of a resized image"),
}
STATIC_FACTS = frozenset({"Shape", "ShapeN", "Size", "Rank"})


def check_model(model: FloatModel, *, constants: bool = False) -> None:
    """Check what can be told without tracing.

    Args:
        model: to convert.
        constants: whether its weights will be constants of one graph, not variables beside it.

    Raises:
        ConversionError: an input is text, or of a size that is open beyond the batch; or there are too many weights.
    """
    if constants and (model.float_bytes or 0) > LARGEST_GRAPH_BYTES:
        raise ConversionError(
            f"{model.name}: {model.float_bytes} bytes of weights, and a TensorFlow graph holds at most "
            f"{LARGEST_GRAPH_BYTES} as constants; convert in bfloat16 or float32 and without freeze"
        )
    if max(model.weight_bytes, default=0) > LARGEST_GRAPH_BYTES:
        raise ConversionError(
            f"{model.name}: a weight of {max(model.weight_bytes)} bytes, and TensorFlow passes on at most "
            f"{LARGEST_GRAPH_BYTES} at once; split the layer"
        )
    sparse = _sparse_inputs(model)
    for info in model.inputs:
        if info.dtype in ("string", "object"):
            raise ConversionError(
                f"{model.name}: input {info.name!r} is text, which XLA has no dtype for; move the text processing out "
                "of the model and export from the first numeric tensor"
            )
        if info.name in sparse:
            raise ConversionError(
                f"{model.name}: input {info.name!r} is sparse, and XLA has dense tensors only; build the model with a "
                "dense input"
            )
        if info.has_open_sizes:
            raise ConversionError(
                f"{model.name}: input {info.name!r} has the dynamic shape {info.shape}, and XLA for TPU needs fixed "
                "sizes beyond the batch; give calibration samples of the size to serve, or build the model with it"
            )


def _sparse_inputs(model: FloatModel) -> set[str]:
    """Names of a Keras model's sparse inputs."""
    inputs = getattr(model.keras_model, "inputs", None) or []
    return {
        str(getattr(tensor, "name", "")).partition(":")[0]
        for tensor in inputs
        if getattr(tensor, "sparse", False) or isinstance(getattr(tensor, "type_spec", None), tf.SparseTensorSpec)
    }


def left_in_training(graph_def: Any, layer_names: Collection[str]) -> tuple[str, ...]:
    """A line for each layer of a graph that computes as in training: with its batch's statistics, or at random."""
    lines: dict[str, None] = {}
    for node in all_nodes(graph_def):
        layers = layers_of(node.name, layer_names)
        where = f"layer {layers[0]!r}" if layers else f"operator {_without_calls(node.name)!r}"
        if node.op.startswith("FusedBatchNorm") and node.attr["is_training"].b:
            lines.setdefault(
                f"{where} runs with training=True: a sample's result depends on the others in its batch, and on the "
                "samples that fill up a batch; call it with training=False"
            )
        elif node.op in UNSEEDED or node.op.startswith("StatelessRandomUniform"):
            lines.setdefault(
                f"{where} draws random numbers, as dropout does with training=True; call it with training=False, "
                "unless the model is meant to sample"
            )
    return tuple(lines)


def _without_calls(name: str) -> str:
    """A node's name without the scopes of the functions that it was inlined from."""
    return re.sub(r"^((Stateful)?PartitionedCall(_\d+)?/)+", "", name)


def check_graph(graph: InferenceGraph, layer_names: Collection[str]) -> None:
    """Check the operators of a traced graph, also inside its loops and branches.

    Raises:
        ConversionError: an operator that XLA refuses; the message names the Keras layer.
    """
    for node in all_nodes(graph.graph_def):
        _raise_for(node.name, node.op, _refusal(node), layer_names)
    operations = graph.operations()
    for operation in _sized_by_data(operations):
        what = f"{SIZES[operation.type][1]} depends on the data; make it fixed, and mask what is too much"
        _raise_for(operation.name, operation.type, what, layer_names)
    for operation in _sizing_a_result(operations, graph.outputs.values()):
        what = (
            f"a result of the model gets its size from the data ({DYNAMIC_RESULTS[operation.type]}); use a fixed size"
        )
        _raise_for(operation.name, operation.type, what, layer_names)


def _raise_for(name: str, op: str, reason: str | None, layer_names: Collection[str]) -> None:
    if reason:
        raise ConversionError(
            with_layer(f"XLA refuses operator {_without_calls(name)!r} ({op}): {reason}", layer_names)
        )


def all_nodes(graph_def: Any) -> Iterator[Any]:
    """The nodes of a graph and of its functions."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _sized_by_data(operations: Sequence[Any]) -> Iterator[Any]:
    """Operators that need a size which XLA cannot know, as it follows from the values of an input."""
    from_data: set[str] = set()
    for operation in operations:  # in the order of computation
        sources = [tensor for tensor in operation.inputs if tensor.op.name in from_data]
        if operation.type in STATIC_FACTS:
            sources = [tensor for tensor in sources if not tensor.shape.is_fully_defined()]
        if operation.type == "Placeholder" or sources:
            from_data.add(operation.name)
        if operation.type in SIZES and operation.inputs[SIZES[operation.type][0]].op.name in from_data:
            yield operation


def _sizing_a_result(operations: Sequence[Any], results: Iterable[str]) -> Iterator[Any]:
    """Operators of data-dependent size on the way to one of `results` (tensor names) whose size is not known."""
    by_name = {operation.name: operation for operation in operations}
    pending = []
    for result in results:
        name, _, index = result.partition(":")
        if not by_name[name].outputs[int(index)].shape.is_fully_defined():
            pending.append(name)
    seen: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in seen:
            seen.add(name)
            pending += [tensor.op.name for tensor in by_name[name].inputs]
            if by_name[name].type in DYNAMIC_RESULTS:
                yield by_name[name]


def _refusal(node: Any) -> str | None:
    """Why XLA refuses this node, and what to do; None where nothing is known against it."""
    if node.op in HOST_CALLBACKS:
        return "it calls back into Python on the host; express it with TensorFlow operators"
    if node.op in UNSEEDED and node.attr["seed"].i == 0 and node.attr["seed2"].i == 0:
        return "a random operator without a seed; inference should not draw random numbers, or give it a seed"
    if node.op.startswith(("LookupTable", "HashTable", "MutableHashTable")):
        return "a lookup table lives on the host; do the lookup before the model"
    if node.op.startswith(TEXT_OPS):
        return BAD_DTYPES["string"]
    if node.op == "TensorListSetItem" and node.attr["resize_if_index_out_of_bounds"].b:
        return "the number of results that a loop collects grows with its rounds; give the TensorArray a fixed size"
    for name in ("T", "dtype", "DstT"):
        kind = node.attr[name].type if name in node.attr else 0
        dtype = tf.dtypes.as_dtype(kind).name if kind else ""
        if dtype in BAD_DTYPES:
            return BAD_DTYPES[dtype]
    return None


def with_layer(message: str, layer_names: Collection[str]) -> str:
    """`message` of TensorFlow, XLA or libtpu in one line, led by the Keras layer that it speaks of."""
    for name in re.findall(r"[\w.\-]+(?:/[\w.\-]+)+", message):
        layers = layers_of(name, layer_names)
        if layers:
            return one_line(f"Keras layer {layers[0]!r}: {message}")
    return one_line(message)
