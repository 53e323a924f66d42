"""Writing inference graphs as one SavedModel: a static signature per batch size, and one for any number of samples.

Every inference function carries TensorFlow's ``_XlaMustCompile``, so it is compiled by XLA after a load as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.converters.cloud_tpu.int8.products import OFFSETS
from tfcompress.converters.cloud_tpu.precision import SMALLEST_WEIGHT
from tfcompress.errors import ConversionError
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.canonical import make_canonical
from tfcompress.graphs.tensorflow.constants import constant_value, fill
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.graphs.tensorflow.protocols import Node
from tfcompress.native_output import silenced
from tfcompress.runtime import tf

__all__ = ["WeightStore", "compiled_function", "function_of_weights", "signature_name", "write_saved_model"]

Tensors = Mapping[str, Any]
FLOAT8 = tf.dtypes.experimental.float8_e4m3fn


def signature_name(batch_size: int) -> str:
    """The name of the signature that takes exactly `batch_size` samples."""
    return f"batch_{batch_size}"


def write_saved_model(graphs: Sequence[InferenceGraph], folder: Path, *, freeze: bool = False) -> None:
    """Write `graphs` as the SavedModel `folder`, byte for byte the same each time.

    Args:
        graphs: the same model at ascending batch sizes.
        folder: to be made; its parent exists.
        freeze: leave the weights as constants in the graph instead of variables.

    Raises:
        ConversionError: an output does not have the batch as its first dimension.
    """
    with silenced():
        store = WeightStore(freeze=freeze)
        functions = {graph.batch_size: compiled_function(graph, store) for graph in graphs}
        _check_batch_first(functions)
        module = tf.Module()
        module.weights_ = store.variables
        module.functions_ = list(functions.values())
        specs = [tf.TensorSpec([None, *spec.shape[1:]], spec.dtype, name=spec.name) for spec in graphs[-1].specs()]
        default = tf.function(_any_batch(functions), input_signature=specs, autograph=False)
        signatures = {signature_name(size): function for size, function in functions.items()}
        signatures["serving_default"] = default.get_concrete_function()
        options = tf.saved_model.SaveOptions(experimental_debug_stripper=True, experimental_custom_gradients=False)
        tf.saved_model.save(module, str(folder), signatures=signatures, options=options)
    make_canonical(folder)


class WeightStore:
    """Weights shared by the graphs of all batch sizes, each content once.

    Attributes:
        freeze: weights stay constants, and none is stored.
        abstract: keep their shapes alone, for programs that are compiled and not run.
        variables: `tf.Variable` objects, or where abstract `tf.TensorSpec`.
    """

    def __init__(self, *, freeze: bool, abstract: bool = False) -> None:
        self.freeze = freeze
        self.abstract = abstract
        self.variables: list[Any] = []
        self._by_content: dict[str, int] = {}

    def is_weight(self, node: Node) -> bool:
        """Whether this node's value is to be a variable."""
        if self.freeze or node.op != "Const":
            return False
        dtype, shape = tf.dtypes.as_dtype(node.attr["dtype"].type), node.attr["value"].tensor.tensor_shape
        if dtype == tf.int32:
            return node.name.rpartition("/")[2].startswith(OFFSETS)  # other integers are sizes, which XLA must know
        return (
            dtype in (tf.float32, tf.bfloat16, tf.int8, FLOAT8)
            and tf.TensorShape(shape).num_elements() >= SMALLEST_WEIGHT
        )

    def index(self, value: np.ndarray) -> int:
        """The position of a value among `variables`."""
        content = hashlib.sha256(np.ascontiguousarray(value).view(np.uint8).data).hexdigest()
        key = f"{value.dtype} {value.shape} {content}"
        if key not in self._by_content:
            name = f"weight_{len(self.variables):04d}"
            self._by_content[key] = len(self.variables)
            self.variables.append(
                tf.TensorSpec(value.shape, value.dtype, name=name)
                if self.abstract
                else tf.Variable(value, trainable=False, name=name)
            )
        return self._by_content[key]

    def spec(self, index: int) -> Any:
        """The `tf.TensorSpec` of the weight at a position."""
        return tf.TensorSpec(self.variables[index].shape, self.variables[index].dtype)


def compiled_function(graph: InferenceGraph, store: WeightStore) -> Any:
    """A concrete, XLA-compiled function of `graph`: arguments in input order, result {output name: tensor}."""
    graph_def, weights = _without_weights(graph, store)
    variables = {name: store.variables[index] for name, index in weights.items()}

    def infer(*tensors: Any) -> dict[str, Any]:
        read = {name: variable.read_value() for name, variable in variables.items()}
        return _imported(graph, graph_def, tensors, read)

    return tf.function(infer, input_signature=graph.specs(), jit_compile=True, autograph=False).get_concrete_function()


def function_of_weights(graph: InferenceGraph, store: WeightStore) -> tuple[Callable[..., Any], tuple[int, ...]]:
    """A function of `graph`'s inputs and then its weights, and the position of each of those in `store`."""
    graph_def, weights = _without_weights(graph, store)
    order = tuple(dict.fromkeys(weights.values()))

    def infer(*tensors: Any) -> dict[str, Any]:
        count = len(graph.inputs)
        values = dict(zip(order, tensors[count:], strict=True))
        return _imported(graph, graph_def, tensors[:count], {name: values[index] for name, index in weights.items()})

    return infer, order


def _without_weights(graph: InferenceGraph, store: WeightStore) -> tuple[Any, dict[str, int]]:
    """The nodes of a graph but its placeholders and weights, and {tensor of a weight: its position in `store`}."""
    graph_def = tf.compat.v1.GraphDef()
    graph_def.library.CopyFrom(graph.graph_def.library)
    graph_def.versions.CopyFrom(graph.graph_def.versions)
    weights = {}
    placeholders = frozenset(graph.placeholders.values())
    for node in graph.graph_def.node:
        if store.is_weight(node):
            weights[f"{node.name}:0"] = store.index(constant_value(node, graph.large))
        elif node.name not in placeholders:
            graph_def.node.add().CopyFrom(node)
    fill(graph_def, graph.large)
    return graph_def, weights


def _imported(
    graph: InferenceGraph, graph_def: Any, tensors: Sequence[Tensor], weights: Mapping[str, Tensor]
) -> dict[str, Any]:
    feeds = {f"{graph.placeholders[info.name]}:0": x for info, x in zip(graph.inputs, tensors, strict=True)}
    results = tf.graph_util.import_graph_def(
        graph_def, input_map=feeds | dict(weights), return_elements=list(graph.outputs.values()), name=""
    )
    return {name: tf.identity(result, name=name) for name, result in zip(graph.outputs, results, strict=True)}


def _check_batch_first(functions: Mapping[int, Any]) -> None:
    for size, function in functions.items():
        for name, tensor in function.structured_outputs.items():
            if tensor.shape.rank == 0 or tensor.shape[0] not in (size, None):
                raise ConversionError(
                    f"output {name!r} has shape {tensor.shape} at batch size {size}, expected the batch as its first "
                    "dimension; the serving signature cannot cut it back to the request"
                )


def _any_batch(functions: Mapping[int, Any]) -> Callable[..., dict[str, Any]]:
    """A function of any number of samples: padded with zeros to the next batch size, and the result cut.

    More samples than the largest size are computed in chunks of that size.
    """
    sizes = np.array(sorted(functions), np.int32)

    def serve(*tensors: Any) -> dict[str, Any]:
        count = tf.shape(tensors[0])[0]
        branch = tf.reduce_sum(tf.cast(count > sizes[:-1], tf.int32))
        padded = [partial(_padded, functions[size], int(size), tensors, count) for size in sizes[:-1]]
        chunked = partial(_chunked, functions[sizes[-1]], int(sizes[-1]), tensors, count)
        return tf.switch_case(branch, [*padded, chunked])

    return serve


def _pad(tensor: Tensor, rows: object) -> object:
    missing = rows - tf.shape(tensor)[0]
    return tf.pad(tensor, [[0, missing]] + [[0, 0]] * (tensor.shape.rank - 1))


def _padded(function: Any, size: int, tensors: Sequence[Tensor], count: Any) -> dict[str, Any]:
    full = [tf.ensure_shape(_pad(tensor, size), [size, *tensor.shape[1:]]) for tensor in tensors]
    return {name: result[:count] for name, result in _call(function, full).items()}


def _chunked(function: Any, size: int, tensors: Sequence[Tensor], count: Any) -> dict[str, object]:
    chunks = (count + size - 1) // size
    full = [tf.reshape(_pad(tensor, chunks * size), [-1, size, *tensor.shape[1:]]) for tensor in tensors]
    specs = {name: tf.TensorSpec(t.shape, t.dtype) for name, t in function.structured_outputs.items()}
    results = tf.map_fn(lambda parts: _call(function, parts), full, fn_output_signature=specs)
    return {name: tf.reshape(result, [-1, *result.shape[2:]])[:count] for name, result in results.items()}


def _call(function: Any, tensors: Sequence[Any]) -> dict[str, Any]:
    """A concrete function called by position: argument names may be no Python names."""
    return function(*tensors)
