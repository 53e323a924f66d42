"""A functional tf_keras graph, replayed call by call into a new one.

`tf_keras.models.clone_model` can swap a layer for another, but cannot see where a layer stands, split it in two, or
look inside a nested model.  Here every *call* of a layer is handed to a function that returns what it becomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfcompress.errors import ModelError
from tfcompress.graphs.keras.call_graph import calls, is_symbolic, nested_tensors
from tfcompress.graphs.keras.protocols import KerasModel, Layer, Tensor
from tfcompress.graphs.tensorflow.private_names import is_graph_network
from tfcompress.runtime import tf, tf_keras
from tfcompress.unique_names import unique_name

__all__ = ["Call", "Copies", "Emit", "calls_of", "consumers_of", "flatten", "is_model", "rebuild"]


@dataclass(frozen=True)
class Call:
    """One call of a layer in the graph that is being replayed.

    Attributes:
        layer: the layer that was called, of the old graph.
        args: positional arguments, with tensors of the new graph.
        kwargs: keyword arguments, the same.
        old_inputs: the tensors that it was called with in the old graph, flat.
        old_outputs: the tensors that it returned in the old graph, flat.
    """

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    old_inputs: tuple[Tensor, ...]
    old_outputs: tuple[Tensor, ...]

    @property
    def inputs(self) -> list[Tensor]:
        """Tensors of the new graph, flat, in the order of `old_inputs`."""
        return [x for x in tf.nest.flatten((self.args, self.kwargs)) if is_symbolic(x)]


# What becomes of a call: the new tensor, or the nest of tensors, that stands for its outputs.
Emit = Callable[[Call], object]


def is_model(layer: Layer) -> bool:
    """Whether a layer is a nested functional or sequential model, whose graph can be walked."""
    return isinstance(layer, tf_keras.Model) and is_graph_network(layer)


class Copies:
    """New layers for old ones, made once each, so that a shared layer stays shared."""

    def __init__(self) -> None:
        self._made: dict[object, Any] = {}
        self._names: set[str] = set()

    def unique_name(self, name: str) -> str:
        """`name`, or with a number where a layer of that name was already made (nested models repeat names)."""
        return unique_name(name, self._names)

    def get(self, key: object, make: Callable[[], object]) -> Any:
        """The layer made for `key` (an old layer, or a tuple that begins with one); made now if it is the first."""
        identity = tuple(id(part) if hasattr(part, "weights") else part for part in _as_tuple(key))
        if identity not in self._made:
            # The key is kept too: an `id` is only unique while its object lives.
            self._made[identity] = (key, make())
        return self._made[identity][1]

    def plain(self, layer: Any, *, prefix: str = "", without: str = "") -> Any:
        """A copy of `layer` with the same configuration and, once `copy_weights` is called, the same weights.

        Args:
            layer: of the old graph.
            prefix: put before its name.
            without: taken off the front of its name.
        """

        def make() -> object:
            config = layer.get_config()
            config["name"] = self.unique_name(prefix + layer.name.removeprefix(without))
            copy = type(layer).from_config(config)
            if isinstance(layer, tf_keras.layers.Lambda):
                # Its configuration has the code alone, without what a function of TensorFlow's own refers to.
                copy.function = layer.function
            return copy

        return self.get(layer, make)

    def repeat(self, call: Call) -> Any:
        """The call as it is, on a copy of its layer."""
        return self.plain(call.layer)(*call.args, **call.kwargs)

    def copy_weights(self) -> None:
        """Give every copy made by `plain` the weights of its original."""
        for key, copy in self._made.values():
            if not isinstance(key, tuple) and key.weights:
                copy.set_weights(key.get_weights())


def _as_tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _require_graph(model: KerasModel) -> None:
    if isinstance(model, tf_keras.Sequential) and not is_model(model):
        raise ModelError(f"model {model.name!r} has no input shape yet; build it, or begin it with an Input layer")
    if not is_model(model):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        raise ModelError(f"model {model.name!r} is a {kind}; expected a sequential or functional tf_keras model")


def _replay_calls(model: KerasModel, new: Mapping[int, object]) -> Iterator[Call]:
    """Every layer call in an order in which it can be computed, with tensors replaced by those in `new`.

    Args:
        model: sequential or functional tf_keras model.
        new: {id of a tensor: what stands for it}, looked up at each call, so that it may grow; a tensor that is not in
            it stays.
    """
    for call in calls(model):
        if not call.is_input:
            given = (call.args, dict(call.kwargs))
            args, kwargs = tf.nest.map_structure(lambda value: new.get(id(value), value), given)
            yield Call(call.layer, args, kwargs, tuple(filter(is_symbolic, tf.nest.flatten(given))), call.outputs)


def calls_of(model: KerasModel) -> list[Call]:
    """Every layer call of a model in an order in which it can be computed; not inside nested models."""
    _require_graph(model)
    return list(_replay_calls(model, {}))


def consumers_of(model: KerasModel) -> dict[int, list[Call | None]]:
    """{id of a tensor: the calls that read it}; None stands for a model output."""
    consumers: dict[int, list[Call | None]] = {}
    for call in calls_of(model):
        for tensor in call.old_inputs:
            consumers.setdefault(id(tensor), []).append(call)
    for tensor in model.outputs:
        consumers.setdefault(id(tensor), []).append(None)
    return consumers


def rebuild(
    model: Any,
    emit: Emit,
    *,
    enter: Callable[[object, object], object] = lambda old, new: new,
    make_model: Callable[..., object] = tf_keras.Model,
) -> Any:
    """A new functional model in which each layer call is what `emit` made of it.

    Nested models are opened: their layers become layers of the new model.

    Args:
        model: sequential or functional tf_keras model.
        emit: called for each layer call, in an order in which they can be computed.
        enter: called with each old and new input; returns the tensor that stands for the input.
        make_model: called as ``make_model(inputs, outputs, name=...)``.

    Raises:
        ModelError: the model has no graph of layers.
    """
    _require_graph(model)
    inputs = [
        tf_keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)
        for tensor, name in zip(model.inputs, model.input_names, strict=True)
    ]
    entered = [enter(old, new) for old, new in zip(model.inputs, inputs, strict=True)]
    outputs = _replay(model, entered, emit)
    nested_inputs, nested_outputs = nested_tensors(model)
    return make_model(
        tf.nest.pack_sequence_as(nested_inputs, inputs),
        tf.nest.pack_sequence_as(nested_outputs, outputs),
        name=model.name,
    )


def _replay(model: KerasModel, inputs: Sequence[object], emit: Emit) -> list[object]:
    """Replay a model's graph on `inputs`, tensors of the new graph; its outputs, flat."""
    new = {id(old): tensor for old, tensor in zip(model.inputs, inputs, strict=True)}
    for call in _replay_calls(model, new):
        outputs = _replay(call.layer, call.inputs, emit) if is_model(call.layer) else tf.nest.flatten(emit(call))
        new.update({id(old): tensor for old, tensor in zip(call.old_outputs, outputs, strict=True)})
    return [new[id(tensor)] for tensor in model.outputs]


def flatten(model: KerasModel) -> Any:
    """A copy of a model, weights included, in which nested models are opened."""
    copies = Copies()
    flat = rebuild(model, copies.repeat)
    copies.copy_weights()
    return flat
