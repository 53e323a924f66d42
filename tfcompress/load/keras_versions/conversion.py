"""Models carried from one Keras to the other: rebuilt call by call, weights copied, and proven equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfcompress.errors import ModelError, TfCompressError, one_line
from tfcompress.graphs.keras.call_graph import (
    Call,
    calls,
    dtype_name,
    flatten,
    is_graph,
    is_keras3,
    is_symbolic,
    map_structure,
    nested_tensors,
)
from tfcompress.graphs.keras.protocols import KerasModel, Layer
from tfcompress.graphs.keras.replay import flatten as opened
from tfcompress.graphs.keras.taken_apart import FlatGraph, Leaf, has_parts, take_apart
from tfcompress.graphs.keras.taken_apart.leaf_layers import RepeatedForBatch, TensorForBatch, Weight
from tfcompress.graphs.keras.taken_apart.tensorflow_calls import TensorFlowCall
from tfcompress.graphs.tensorflow.draws import draws_replaced
from tfcompress.graphs.tensorflow.private_names import rename
from tfcompress.load.keras_versions.adapters import Keras3Graph, Keras3Layer, TfKerasGraph, TfKerasLayer
from tfcompress.load.keras_versions.compile_state import copy_compile_state
from tfcompress.load.keras_versions.equivalence import prove_equal
from tfcompress.load.keras_versions.frozen_lambda import FrozenLambda, FrozenLambda3
from tfcompress.load.keras_versions.layer_copies import call_arguments, copy_of
from tfcompress.load.keras_versions.mixed_precision import has_half_tensors, in_float32
from tfcompress.load.keras_versions.native_layers import native_layer
from tfcompress.load.keras_versions.native_operations import native_operation
from tfcompress.load.keras_versions.weights import copy_weights
from tfcompress.native_output import silenced
from tfcompress.runtime import keras, tf, tf_keras
from tfcompress.tensor_info import TensorInfo

__all__ = ["to_keras3", "to_tf_keras"]


def to_tf_keras(keras_model: KerasModel, *, sizes: Sequence[TensorInfo] | None = None) -> Any:
    """A tf_keras (Keras 2) model that computes what `keras_model` computes; tfmot takes only such models.

    Layers of one's own, and a subclassed model, are taken apart: their parts become layers of the new model.  A layer
    with control flow on values stays whole.

    Args:
        keras_model: a Keras 3 model; a subclassed one must have been called once.  A tf_keras model is returned as it
            is, but for one of mixed precision, which is rebuilt in float32.
        sizes: the inputs with the shapes that the data have, for a model that leaves sizes open; None tries sizes of
            our own choice.

    Returns:
        A functional tf_keras model with its own copies of the weights and, where it is compiled, the compile state.

    Raises:
        ModelError: a subclassed model that cannot be taken apart, or the two differ by more than 1e-5 relative on
            random inputs.
    """
    if isinstance(keras_model, tf_keras.Model):
        with in_float32(keras_model):
            return opened(keras_model) if has_half_tensors(keras_model) else keras_model
    with in_float32(keras_model):
        return _convert(keras_model, to_keras3=False, sizes=sizes)


def to_keras3(tf_keras_model: KerasModel) -> Any:
    """A Keras 3 model that computes what `tf_keras_model` computes; the way back from `to_tf_keras`.

    Args:
        tf_keras_model: a sequential or functional tf_keras model without tfmot's wrappers.  A Keras 3 model is
            returned as it is.

    Returns:
        A functional Keras 3 model with its own copies of the weights and, where it is compiled, the compile state.

    Raises:
        ModelError: a subclassed model, a wrapped one, or the two differ by more than 1e-5 relative.
    """
    return tf_keras_model if isinstance(tf_keras_model, keras.Model) else _convert(tf_keras_model, to_keras3=True)


@draws_replaced()
def _convert(source: Any, *, to_keras3: bool, sizes: Sequence[TensorInfo] | None = None) -> KerasModel:
    rebuilding = _Rebuilding(to_keras3=to_keras3)
    with silenced():
        graph = take_apart(source, sizes) if has_parts(source) or _is_half_in_keras3(source) else source
    _require_convertible(source, graph, to_keras3=to_keras3)
    with silenced():
        result = rebuilding.model(graph)
        for old, new in rebuilding.pairs:
            copy_weights(old, new)
    prove_equal(source, result, rebuilding.tensor_pairs, sizes)
    with silenced():
        copy_compile_state(source, result)
    return result


def _is_half_in_keras3(model: Any) -> bool:
    """Taken apart, a model of mixed precision that computes in float32 has float32 tensors in its graph too."""
    return isinstance(model, keras.Model) and has_half_tensors(model)


def _require_convertible(model: KerasModel, graph: Any, *, to_keras3: bool) -> None:
    library = "Keras 3" if to_keras3 else "tf_keras"
    if not isinstance(model, keras.Model | tf_keras.Model):
        raise ModelError(
            f"expected a keras.Model or a tf_keras.Model to turn into {library}, got {type(model).__name__}"
        )
    if isinstance(graph, FlatGraph) and model.name in graph.whole:
        raise ModelError(
            f"{model.name!r} cannot be taken apart into layers: {graph.whole[model.name]}; so it cannot be wrapped for "
            "fine-tuning. Converting it without fine-tuning works as it is"
        )
    if not isinstance(graph, FlatGraph) and not is_graph(model):
        raise ModelError(
            f"{model.name!r} is a subclassed (or unbuilt) model, whose layers' calls cannot be seen, so it cannot be "
            "wrapped for fine-tuning. Build it as a functional model: inputs = keras.Input(...); "
            "keras.Model(inputs, model.call(inputs)). Converting it without fine-tuning works as it is"
        )
    wrapped = [layer.name for layer in model.layers if type(layer).__name__ in _TRAINING_WRAPPERS]
    if wrapped and to_keras3:
        raise ModelError(
            f"{model.name!r} still has tfmot's wrappers (such as {wrapped[0]!r}): remove them first with "
            "tfcompress.compression.strip(model)"
        )


_HIDDEN = -1e9  # added to scores that a mask hides
_TRAINING_WRAPPERS = frozenset(
    {"QuantizeWrapper", "QuantizeWrapperV2", "QuantizeLayer", "QuantizeAnnotate", "PruneLowMagnitude", "ClusterWeights"}
)


@dataclass
class _Rebuilding:
    """One conversion: which layer became which, so that shared layers stay shared."""

    to_keras3: bool
    layers: dict[int, Any] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    # {id of a layer of a flat graph: its name there}
    flat_names: Mapping[int, str] = field(default_factory=dict)
    # {name of a layer of a flat graph that could not be taken apart: why}
    whole: Mapping[str, str] = field(default_factory=dict)
    # The first input, which says where in a graph a weight stands that no layer has.
    anchor: Any = None
    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    # One row per call of the outermost model: its name, the source's symbolic tensors and the result's.
    tensor_pairs: list[tuple[str, tuple[object, ...], tuple[object, ...]]] = field(default_factory=list)

    @property
    def library(self) -> Any:
        return keras if self.to_keras3 else tf_keras

    def model(self, source: Any, *, outermost: bool = True) -> Any:
        """The model, or the flat graph of one, rebuilt: its inputs, its calls in order, its outputs."""
        tensors: dict[int, Any] = {}
        flat = isinstance(source, FlatGraph)
        if flat:
            self.flat_names, self.whole = source.names, source.whole
        for call in source.calls if flat else calls(source):
            results = [self._input(call)] if call.is_input else self._call(call, self._replacer(tensors))
            tensors.update({id(old): new for old, new in zip(call.outputs, results, strict=True)})
            if outermost and not flat:
                self.tensor_pairs.append((call.layer.name, call.outputs, tuple(results)))
            if call.is_input and self.anchor is None:
                self.anchor = results[0]
        inputs, outputs = (source.inputs, source.outputs) if flat else nested_tensors(source)
        keras3 = flat or is_keras3(source)
        replace = self._replacer(tensors)
        converted = self.library.Model(
            map_structure(replace, inputs, keras3=keras3),
            map_structure(replace, outputs, keras3=keras3),
            name=source.name,
        )
        if not source.trainable:
            converted.trainable = False
        return converted

    @staticmethod
    def _replacer(tensors: Mapping[int, object]) -> Callable[[Any], Any]:
        return lambda value: tensors.get(id(value), value)

    def _input(self, call: Call) -> Any:
        (tensor,) = call.outputs
        shape = tuple(tensor.shape)
        return self.library.Input(
            shape=shape[1:], batch_size=shape[0], dtype=dtype_name(tensor.dtype), name=call.layer.name
        )

    def _call(self, call: Call, replace: Callable[[object], object]) -> list[Any]:
        try:
            outputs = self._run(call, replace)
        except TfCompressError:
            raise
        except Exception as error:  # the other Keras may refuse a combination in any way
            raise ModelError(
                f"the layer {call.layer.name!r} ({type(call.layer).__name__}) cannot be rebuilt in "
                f"{self.library.__name__}: {type(error).__name__}: {one_line(error, 300)}"
            ) from error
        return flatten(outputs, keras3=self.to_keras3)

    def _run(self, call: Call, replace: Callable[[Any], Any]) -> Any:
        layer = call.layer
        if isinstance(layer, Leaf):
            return self._leaf(layer)
        keras3 = is_keras3(layer)
        args = map_structure(replace, call.args, keras3=keras3)
        kwargs = map_structure(replace, dict(call.kwargs), keras3=keras3)
        if keras3 and kwargs.get("training") is True:
            # Keras 3 notes a layer's default here and overrides it when the model runs; in tf_keras it would stick.
            del kwargs["training"]
        if isinstance(layer, Keras3Graph | TfKerasGraph):
            return _unfolded(layer.graph, flatten(args, keras3=keras3))
        if isinstance(layer, TensorForBatch):
            return RepeatedForBatch(layer.shape_behind, name=layer.name)([*args])
        if isinstance(layer, TensorFlowCall):
            return layer.function(*args, **kwargs)
        if _is_plain_operation(layer):
            result = None if self.to_keras3 else native_operation(call, args)
            return self._adapted(call, replace) if result is None else result
        counterpart = self._layer(call)
        positional, named = call_arguments(layer, counterpart, args, kwargs)
        if type(counterpart) is tf_keras.layers.Softmax and isinstance(named.get("mask"), np.ndarray | tf.Tensor):
            return counterpart(_masked(positional[0], np.asarray(named["mask"])))
        return counterpart(*positional, **named)

    def _leaf(self, leaf: Leaf) -> Any:
        """A weight that belongs to no layer, or a constant."""
        value = leaf.value
        layer = Weight(value.shape, dtype_name(value.dtype), name=leaf.name)
        layer.trainable = bool(getattr(leaf.source, "trainable", False))
        result = layer(self.anchor)
        layer.set_weights([value])
        return result

    def _layer(self, call: Call) -> Any:
        """The counterpart of a layer, made at its first call."""
        layer = call.layer
        if id(layer) not in self.layers:
            built = self._make(layer, call)
            name = self.flat_names.get(id(layer), layer.name)
            self.layers[id(layer)] = built if name == built.name else rename(built, name)
        return self.layers[id(layer)]

    def _make(self, layer: Any, call: Call) -> Any:
        if isinstance(layer, Keras3Layer | TfKerasLayer):
            return copy_of(layer.layer)
        if isinstance(layer, FrozenLambda | FrozenLambda3):
            return (FrozenLambda3 if self.to_keras3 else FrozenLambda)(layer.serialized, name=layer.name)
        if isinstance(layer, keras.Model | tf_keras.Model) and is_graph(layer):
            return self.model(layer, outermost=False)
        native = native_layer(layer)
        if native is not None:
            self.pairs.append((layer, native))
            return native
        adapter = TfKerasLayer if self.to_keras3 else Keras3Layer
        return adapter(self._copied(layer, call), name=layer.name)

    def _copied(self, layer: Any, call: Call) -> Any:
        try:
            return copy_of(layer, call.args, call.kwargs)
        except ModelError as error:
            if layer.name not in self.whole:
                raise
            raise ModelError(
                f"{error}. It is copied since it cannot be taken apart: {self.whole[layer.name]}"
            ) from error

    def _adapted(self, call: Call, replace: Callable[[object], object]) -> Any:
        """An operation that stays in its own Keras: one adapter for each call."""
        keras3 = is_keras3(call.layer)
        leaves = flatten((call.args, dict(call.kwargs)), keras3=keras3)
        tensors = list({id(leaf): leaf for leaf in leaves if is_symbolic(leaf)}.values())
        library = keras if keras3 else tf_keras
        inputs = [library.Input(batch_shape=tuple(tensor.shape), dtype=dtype_name(tensor.dtype)) for tensor in tensors]
        fresh = self._replacer({id(old): new for old, new in zip(tensors, inputs, strict=True)})
        operation = copy_of(call.layer)
        outputs = operation(
            *map_structure(fresh, call.args, keras3=keras3), **map_structure(fresh, dict(call.kwargs), keras3=keras3)
        )
        adapter = TfKerasGraph if self.to_keras3 else Keras3Graph
        name = self._unused(call.layer.name)
        return adapter(library.Model(inputs, outputs), name=name)([replace(tensor) for tensor in tensors])

    def _unused(self, name: str) -> str:
        """A layer name for an operation's call: tf_keras calls one such layer several times."""
        count = self.names.get(name, 0)
        self.names[name] = count + 1
        return f"{name}_{count}" if count else name


def _masked(scores: Any, mask: np.ndarray) -> Any:
    """Scores as a softmax masks them; tf_keras would take a constant mask for that of the result, and fail in training.

    Source: keras/src/layers/activations/softmax.py.
    """
    return scores + tf.constant(np.where(mask, 0.0, _HIDDEN), dtype_name(scores.dtype))


def _is_plain_operation(layer: Layer) -> bool:
    """Whether something that was called is no layer: an operation of `keras.ops`, or of `tf` inside tf_keras."""
    if is_keras3(layer):
        return not isinstance(layer, keras.layers.Layer)
    return type(layer).__name__ in {
        "TFOpLambda",
        "SlicingOpLambda",
        "ClassMethod",
        "InstanceMethod",
        "InstanceProperty",
    }


def _unfolded(graph: Any, inputs: Sequence[Any]) -> Any:
    """The one call inside an adapter, made again on `inputs` in the Keras that it came from."""
    starts = {id(old): new for old, new in zip(graph.inputs, inputs, strict=True)}
    (call,) = [call for call in calls(graph) if not call.is_input]
    keras3 = is_keras3(graph)

    def replace(value: object) -> Any:
        return starts.get(id(value), value)

    return copy_of(call.layer)(
        *map_structure(replace, call.args, keras3=keras3), **map_structure(replace, dict(call.kwargs), keras3=keras3)
    )
