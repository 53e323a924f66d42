"""The graph of calls inside a sequential or functional model, seen the same way for both Kerases.

Both libraries keep one node for each call of a layer; neither has a public way to list them, so they are read through
`graphs.tensorflow.private_names`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfcompress.errors import ModelError, one_line
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.graphs.tensorflow.private_names import (
    functional_of,
    input_shapes_built_with,
    keras_history,
    nested_inputs_and_outputs,
    nodes_by_depth,
)
from tfcompress.model import TensorInfo
from tfcompress.runtime import keras, tf

__all__ = [
    "Call",
    "Structure",
    "calls",
    "dtype_name",
    "flatten",
    "input_structure",
    "is_graph",
    "is_keras3",
    "is_symbolic",
    "map_structure",
    "module_of",
    "nested_tensors",
    "output_structure",
    "producer",
    "subclassed_structures",
]


@dataclass(frozen=True)
class Call:
    """One call of a layer inside a model.

    Attributes:
        layer: what was called: a layer, a nested model or, in Keras 3, an operation of `keras.ops`.
        args: positional arguments, with the library's symbolic tensors in them.
        kwargs: keyword arguments, likewise.
        outputs: the symbolic tensors that came out, flat.
        is_input: it is an input of the model, and `outputs` holds its one tensor.
    """

    layer: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Any, ...]
    is_input: bool


@dataclass(frozen=True)
class Structure:
    """How a model nests its inputs or outputs, with one name for each leaf.

    Attributes:
        infos: the leaves, in the order in which the library flattens them.
        template: the nest, with any value at the leaves.
        keras3: which library's way of flattening to use.
    """

    infos: tuple[TensorInfo, ...]
    template: object = field(repr=False)
    keras3: bool

    def pack(self, values: Mapping[str, object]) -> Any:
        """The nest that the model takes, from {name: tensor}."""
        flat = [values[info.name] for info in self.infos]
        nest = keras.tree if self.keras3 else tf.nest
        return nest.pack_sequence_as(self.template, flat)

    def unpack(self, nested: object) -> dict[str, object]:
        """{name: tensor} from the nest that the model returned."""
        flat = flatten(nested, keras3=self.keras3)
        return {info.name: value for info, value in zip(self.infos, flat, strict=True)}


def is_keras3(model_or_layer: object) -> bool:
    """Whether an object is a Keras 3 layer, model or operation, and not one of tf_keras."""
    return isinstance(model_or_layer, keras.Operation)


def is_symbolic(value: object) -> bool:
    """Whether a value is a tensor of a functional graph, of either library."""
    return keras_history(value) is not None


def flatten(nested: object, *, keras3: bool) -> list[Any]:
    """The leaves of a nest, in the library's order (dictionaries by sorted key)."""
    return list(keras.tree.flatten(nested) if keras3 else tf.nest.flatten(nested))


def map_structure(function: object, nested: object, *, keras3: bool) -> Any:
    """`nested` with `function` applied to each leaf."""
    return (keras.tree if keras3 else tf.nest).map_structure(function, nested)


def is_graph(model: Any) -> bool:
    """Whether a model is sequential or functional, with a known input: its calls can be listed."""
    graph = _network(model)
    if graph is None or not nodes_by_depth(graph):
        return False
    # A functional model whose class brings its own `call` computes something that the graph does not say.
    return module_of(type(model).call).partition(".")[0] in {"keras", "tf_keras"}


def module_of(code: object) -> str:
    """The module that a class or function is from; empty where it has none, as code that was made while running can."""
    return str(getattr(code, "__module__", None) or "")


def _network(model: KerasModel) -> Any:
    """The object that holds the nodes: Keras 3 keeps a sequential model's in an inner functional one."""
    if isinstance(model, keras.Sequential):
        return functional_of(model)
    return model


def calls(model: Any) -> Iterator[Call]:
    """The calls of a sequential or functional model, each after those that it needs."""
    nodes = nodes_by_depth(_network(model))
    for depth in sorted(nodes, reverse=True):
        for node in nodes[depth]:
            yield _keras3_call(node) if is_keras3(model) else _tf_keras_call(node)


def _keras3_call(node: Any) -> Call:
    arguments = node.arguments
    return Call(
        node.operation, tuple(arguments.args), dict(arguments.kwargs), tuple(node.outputs), is_input=node.is_input
    )


def _tf_keras_call(node: Any) -> Call:
    outputs = tuple(tf.nest.flatten(node.outputs))
    return Call(node.layer, tuple(node.call_args), dict(node.call_kwargs), outputs, is_input=node.is_input)


def producer(tensor: Any) -> Any:
    """The layer or operation that a symbolic tensor came out of."""
    history = keras_history(tensor)
    return None if history is None else history[0]


def nested_tensors(model: Any) -> tuple[Any, Any]:
    """The symbolic inputs and outputs of a sequential or functional model, nested as it takes and returns them."""
    return nested_inputs_and_outputs(_network(model), keras3=is_keras3(model))


def input_structure(model: KerasModel) -> Structure:
    """The inputs of a sequential or functional model, named after its input layers or dictionary keys."""
    return _symbolic_structure(nested_tensors(model)[0], keras3=is_keras3(model))


def output_structure(model: KerasModel) -> Structure:
    """The outputs of a sequential or functional model, named after the layers they come from or dictionary keys."""
    return _symbolic_structure(nested_tensors(model)[1], keras3=is_keras3(model))


def _symbolic_structure(nested: Any, *, keras3: bool) -> Structure:
    tensors = flatten(nested, keras3=keras3)
    names = sorted(nested) if _is_flat_mapping(nested) else [producer(tensor).name for tensor in tensors]
    infos = [
        TensorInfo(name, tuple(tensor.shape), dtype_name(tensor.dtype))
        for name, tensor in zip(_unique(names), tensors, strict=True)
    ]
    return Structure(tuple(infos), nested, keras3)


def _is_flat_mapping(nested: object) -> bool:
    return isinstance(nested, Mapping) and not any(
        isinstance(value, Mapping | list | tuple) for value in nested.values()
    )


def _unique(names: Sequence[str]) -> list[str]:
    """Names made unique by a counter, as tf_keras names repeated outputs: ``dense, dense_1``."""
    seen: set[str] = set()
    result = []
    for name in names:
        candidate, count = name, 0
        while candidate in seen:
            count += 1
            candidate = f"{name}_{count}"
        seen.add(candidate)
        result.append(candidate)
    return result


def dtype_name(dtype: object) -> str:
    """The dtype name of a tensor of either library, such as ``float32``."""
    return dtype if isinstance(dtype, str) else tf.as_dtype(dtype).name


def subclassed_structures(model: KerasModel) -> tuple[Structure, Structure]:
    """Inputs and outputs of a subclassed model, as it was last built or called.

    Raises:
        ModelError: it has not been built, so that nothing is known of its inputs; or its code cannot be recorded.
    """
    keras3 = is_keras3(model)
    nested = _keras3_input_specs(model) if keras3 else _tf_keras_input_specs(model)
    if nested is None:
        raise ModelError(
            f"the subclassed model {model.name!r} has not been built: call it once on a batch, "
            "or save it after such a call"
        )
    inputs = _spec_structure(nested, "input", keras3=keras3)
    function = tf.function(lambda values: model(values, training=False), autograph=False)
    try:
        traced = function.get_concrete_function(nested).structured_outputs
    except Exception as error:  # the user's own code raises anything
        raise ModelError(
            f"the subclassed model {model.name!r} cannot be recorded as a graph: {type(error).__name__}: "
            f"{one_line(error, 200)}; its call() must do without Python decisions on values of tensors"
        ) from error
    return inputs, _spec_structure(traced, "output", keras3=keras3)


def _keras3_input_specs(model: Any) -> Any:
    shapes = input_shapes_built_with(model)
    if not shapes or len(shapes) != 1:
        return None
    (shape,) = shapes.values()
    return _specs_of_shapes(shape, model.input_dtype)


def _specs_of_shapes(shape: Any, dtype: str) -> Any:
    if isinstance(shape, Mapping):
        return {key: _specs_of_shapes(value, dtype) for key, value in shape.items()}
    if shape and isinstance(shape[0], list | tuple):
        return [_specs_of_shapes(value, dtype) for value in shape]
    return tf.TensorSpec([None, *shape[1:]], dtype)


def _tf_keras_input_specs(model: Any) -> object:
    spec = model.save_spec()
    return None if spec is None else tf.nest.map_structure(_with_open_batch, spec[0][0])


def _with_open_batch(spec: Any) -> Any:
    return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype)


def _spec_structure(nested: Any, default_name: str, *, keras3: bool) -> Structure:
    specs = flatten(nested, keras3=keras3)
    names = sorted(nested) if _is_flat_mapping(nested) else [default_name] * len(specs)
    infos = [
        TensorInfo(name, tuple(spec.shape), dtype_name(spec.dtype))
        for name, spec in zip(_unique(names), specs, strict=True)
    ]
    return Structure(tuple(infos), nested, keras3)
