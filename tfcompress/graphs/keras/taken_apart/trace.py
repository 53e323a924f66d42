"""A Keras 3 model run on symbolic inputs with its layers of one's own open, so that what they call is noted.

Keras notes a call of a layer as a whole.  Here the layers that have parts are made to run their own code on the
symbolic tensors; Keras then notes the calls of the parts.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tfcompress.errors import one_line
from tfcompress.graphs.keras.call_graph import calls, is_graph, module_of, nested_tensors
from tfcompress.graphs.keras.taken_apart.leaf_layers import as_value
from tfcompress.graphs.keras.taken_apart.open_batch import CannotOpenError, is_layer, opened, opened_constant
from tfcompress.graphs.keras.taken_apart.tensorflow_calls import noting_tensorflow_calls
from tfcompress.graphs.tensorflow.private_names import (
    calls_noted_unless,
    flat_layers,
    forget_calls,
    mask_of,
    node_of,
    number_of_calls,
    record_call,
    set_mask,
)
from tfcompress.runtime import keras, tf

__all__ = ["Trace", "has_open_code"]

_LIBRARIES = frozenset({"keras", "tfcompress"})
# Settings of an instance that stand before those of its class while it is open.
_CALLS = ("symbolic_call", "call")


def has_open_code(layer: Any) -> bool:
    """Whether a Keras 3 layer runs code of one's own, which can be followed, rather than Keras's."""
    return _has_own_call(layer) or own_activation(layer) is not None


def _has_own_call(layer: Any) -> bool:
    return module_of(type(layer).call).partition(".")[0] not in _LIBRARIES


def own_activation(layer: Any) -> Callable[[Any], Any] | None:
    """The function of one's own that a layer of Keras has for its activation; None where it has none, or Keras's."""
    function = getattr(layer, "activation", None)
    if not inspect.isfunction(function) or isinstance(layer, keras.layers.RNN):
        return None
    return None if module_of(function).partition(".")[0] in _LIBRARIES else function


def _as_two(layer: Any, function: Callable[[Any], Any]) -> Callable[..., Any]:
    """The layer without its activation, and then the activation."""
    if isinstance(layer, keras.layers.Activation):
        return lambda x, **kwargs: function(x)
    plain = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    plain.build_from_config(layer.get_build_config())
    plain.set_weights(layer.get_weights())
    return lambda *args, **kwargs: function(plain(*args))


@dataclass
class Trace:
    """What is known while a model runs on symbolic inputs.

    Attributes:
        model: of Keras 3.
        batch: the prime that stands for the batch's size; None where the model fixes it.
        leaves: {id of a symbolic tensor: the weight or constant that it stands for}.
        aliases: {id of what a layer returned: (it, the tensor inside of the layer that it is)}.
        whole: {layer name: why it was not taken apart}.
        owner: {id of a noted call: name of the layer that was open around it}.
        masks: {id of a noted call's first output: mask that Keras gave to the layer}.
    """

    model: Any
    batch: int | None
    leaves: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    aliases: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)
    owner: dict[int, tuple[Any, str]] = field(default_factory=dict)
    masks: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    _by_source: dict[int, Any] = field(default_factory=dict)
    _in_two: dict[int, Callable[..., Any]] = field(default_factory=dict)

    def resolved(self, tensor: Any) -> Any:
        """The tensor that a tensor really is: one that a part computes, an input or a leaf."""
        while id(tensor) in self.aliases:
            tensor = self.aliases[id(tensor)][1]
        return tensor

    def leaf(self, source: Any) -> Any:
        """The symbolic tensor that stands for a weight or a constant; the same for the same."""
        if id(source) not in self._by_source:
            tensor = keras.KerasTensor(tuple(source.shape), keras.backend.standardize_dtype(source.dtype))
            self._by_source[id(source)] = tensor
            self.leaves[id(tensor)] = (tensor, source)
        return self._by_source[id(source)]

    def run(self, inputs: Any) -> Any:
        """The outputs of the model, symbolic, on symbolic inputs nested as it takes them."""
        return _replayed(self.model, inputs) if is_graph(self.model) else self.model(inputs)

    def nodes(self, outputs: Sequence[Any], until: Sequence[Any] = ()) -> list[Any]:
        """The noted calls that outputs come out of, each after those that it needs.

        Args:
            outputs: symbolic tensors.
            until: tensors whose own calls are not asked for.
        """
        given, result, order = {id(self.resolved(tensor)) for tensor in until}, set[int](), list[Any]()
        stack: list[tuple[Any, bool]] = [(node, False) for node in self._nodes_of(outputs, given)]
        while stack:
            node, entered = stack.pop()
            if entered:
                order.append(node)
            elif id(node) not in result:
                result.add(id(node))
                stack.append((node, True))
                stack.extend(
                    (item, False) for item in self._nodes_of(self._needs(node), given) if id(item) not in result
                )
        return order

    def _needs(self, node: Any) -> list[Any]:
        mask = self.masks.get(id(node.outputs[0])) if node.outputs else None
        return [*node.arguments.keras_tensors, *([] if mask is None else [mask[1]])]

    def _nodes_of(self, tensors: Sequence[Any], given: set[int]) -> Iterator[Any]:
        for tensor in map(self.resolved, tensors):
            node = None if id(tensor) in self.leaves or id(tensor) in given else node_of(tensor)
            if node is not None:
                yield node

    @contextlib.contextmanager
    def open_layers(self) -> Iterator[None]:
        """Within, layers with parts run their own code on symbolic tensors, and their weights are symbolic too.

        What Keras notes within is forgotten afterwards, so that the user's layers are as they were.
        """
        layers = list({id(layer): layer for layer in flat_layers(self.model)}.values())
        numbers = [(layer, number_of_calls(layer)) for layer in [*layers, *_operations(layers)]]
        try:
            with noting_tensorflow_calls(), calls_noted_unless(_is_open_and_returns_none):
                for layer in layers:
                    self._open(layer)
                yield
        finally:
            for layer in layers:
                _close(layer)
            for layer, number in numbers:
                forget_calls(layer, number)

    def _open(self, layer: Any) -> None:
        if is_graph(layer) or has_open_code(layer):
            vars(layer)["symbolic_call"] = lambda *args, **kwargs: self._inside(layer, args, kwargs)
            vars(layer)["add_loss"] = lambda loss: None
        else:
            vars(layer)["symbolic_call"] = lambda *args, **kwargs: self._noting_masks(layer, args, kwargs)
            if layer.weights:
                vars(layer)["call"] = lambda *args, **kwargs: self._on_constants(layer, args, kwargs)
        if _has_own_call(layer):
            _swap(layer, self.leaf)

    def _inside(self, layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """The outputs of an open layer; it stays whole where its code does not run on symbolic tensors."""
        attempts: tuple[Callable[[], object], ...] = (lambda: None, lambda: _swap_back(layer))
        reason: Exception | None = None
        for prepare in attempts:
            prepare()
            try:
                return self._outputs(layer, args, kwargs)
            except Exception as error:  # code of the user's own raises anything for a symbolic tensor
                reason = reason or error
        self.whole[layer.name] = one_line(reason, 200)
        for inner in flat_layers(layer):
            _close(inner)
        try:
            return layer.symbolic_call(*args, **kwargs)
        except Exception as error:  # Keras cannot note the call of a layer that also returns None
            raise CannotOpenError(f"{layer.name}: {self.whole[layer.name]}") from error

    def _outputs(self, layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        # Copies: an operation that returns its very input is noted on it as if it had made it.
        args, kwargs = keras.tree.map_structure(self._alias, (args, kwargs))
        starts = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, keras.KerasTensor)]
        if is_graph(layer):
            outputs = _replayed(layer, args[0])
        else:
            # Neither on nor off: the parts then heed what training says when the graph runs.
            given = {**kwargs, "training": None} if kwargs.get("training") is False else kwargs
            outputs = self._code(layer)(*args, **given)
        if any(node_of(start) is not None for start in starts):
            raise CannotOpenError("an operation that hands on its input as it is")
        tensors = keras.tree.map_structure(self._symbolic, outputs)
        flat = keras.tree.flatten(tensors)
        inside = self.nodes(flat, starts)
        for node in inside:
            if id(node) not in self.owner:
                self._require_clear(node)
        for node in inside:
            self.owner.setdefault(id(node), (node, layer.name))
        return keras.tree.map_structure(self._alias, tensors)

    def _code(self, layer: Any) -> Callable[..., Any]:
        function = own_activation(layer)
        if function is None or _has_own_call(layer):
            return partial(type(layer).call, layer)
        if id(layer) not in self._in_two:  # once for all calls, which share the weights
            self._in_two[id(layer)] = _as_two(layer, function)
        return self._in_two[id(layer)]

    def _require_clear(self, node: Any) -> None:
        opened(node, self.batch)
        for tensor in node.arguments.keras_tensors:
            if id(tensor) in self.leaves:
                self._require_constant(self.leaves[id(tensor)][1])
        for value in keras.tree.flatten((node.arguments.args, node.arguments.kwargs)):
            if tf.is_tensor(value) or isinstance(value, np.ndarray):
                self._require_constant(value)

    def _require_constant(self, value: Any) -> None:
        if self.batch is not None and not isinstance(value, keras.Variable) and self.batch in value.shape:
            opened_constant(as_value(value), self.batch)

    def _symbolic(self, value: Any) -> Any:
        if isinstance(value, keras.KerasTensor) or value is None:
            return value
        if isinstance(value, keras.Variable) or tf.is_tensor(value):
            self._require_constant(value)
            return self.leaf(value)
        raise CannotOpenError(f"it returns {type(value).__name__}")

    def _alias(self, tensor: Any) -> Any:
        """Another symbolic tensor in the place of one, on which Keras can note what it likes."""
        if not isinstance(tensor, keras.KerasTensor):
            return tensor
        copy = keras.KerasTensor(tensor.shape, tensor.dtype)
        if mask_of(tensor) is not None:
            set_mask(copy, mask_of(tensor))
        self.aliases[id(copy)] = (copy, tensor)
        return copy

    def _noting_masks(self, layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        outputs = type(layer).symbolic_call(layer, *args, **kwargs)
        mask = kwargs.get("mask")
        if isinstance(mask, keras.KerasTensor):
            first = keras.tree.flatten(outputs)[0]
            self.masks[id(first)] = (first, mask)
        return outputs

    def _on_constants(self, layer: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        """A part that is called on numbers, such as an embedding of positions: noted, so that its weights are seen."""
        if not tf.executing_eagerly():  # Keras works out the shapes of a call
            return type(layer).call(layer, *args, **kwargs)
        if any(tf.is_tensor(value) for value in keras.tree.flatten(kwargs)):
            raise CannotOpenError(f"{layer.name} is called on numbers by keyword")
        tensors = keras.tree.map_structure(lambda value: self.leaf(value) if tf.is_tensor(value) else value, args)
        outputs = type(layer).symbolic_call(layer, *tensors, **kwargs)
        record_call(layer, tensors, {k: v for k, v in kwargs.items() if k != "training"}, outputs)
        return outputs


def _is_open_and_returns_none(layer: Any, outputs: Any) -> bool:
    """Whether a call that Keras would refuse is not needed, since the calls within the layer are noted instead."""
    is_open = "symbolic_call" in vars(layer) and (is_graph(layer) or has_open_code(layer))
    return is_open and any(output is None for output in keras.tree.flatten(outputs))


def _operations(layers: Sequence[Any]) -> Iterator[Any]:
    """The operations of `keras.ops` inside functional models, which note calls too."""
    for layer in layers:
        if is_graph(layer):
            yield from (call.layer for call in calls(layer) if not is_layer(call.layer))


def _replayed(model: Any, inputs: Any) -> Any:
    """A functional model's calls made again on other symbolic tensors."""
    starts, ends = nested_tensors(model)
    flat = zip(keras.tree.flatten(starts), keras.tree.flatten(inputs), strict=True)
    new = {id(old): tensor for old, tensor in flat}

    def replace(value: Any) -> Any:
        return new.get(id(value), value)

    for call in calls(model):
        if call.is_input:
            continue
        args, kwargs = keras.tree.map_structure(replace, (call.args, dict(call.kwargs)))
        outputs = keras.tree.flatten(call.layer(*args, **kwargs))
        new.update({id(old): tensor for old, tensor in zip(call.outputs, outputs, strict=True)})
    return keras.tree.map_structure(replace, ends)


_SWAPPED = "_tfcompress_weights"


def _swap(layer: Any, leaf: Callable[[Any], Any]) -> None:
    """Put symbolic tensors in the place of the weights that a layer has as attributes."""
    own = vars(layer)
    weights = {name: value for name, value in own.items() if isinstance(value, keras.Variable)}
    own[_SWAPPED] = weights
    own.update({name: leaf(value) for name, value in weights.items()})


def _swap_back(layer: Any) -> None:
    vars(layer).update(vars(layer).pop(_SWAPPED, {}))


def _close(layer: Any) -> None:
    """The layer as it was."""
    _swap_back(layer)
    for name in (*_CALLS, "add_loss"):
        vars(layer).pop(name, None)
