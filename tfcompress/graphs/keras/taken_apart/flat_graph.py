"""A Keras 3 model as one flat graph of built-in layers and operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfcompress.graphs.keras.call_graph import Call, input_structure, is_graph, subclassed_structures
from tfcompress.graphs.keras.taken_apart.leaf_layers import TensorForBatch, as_value
from tfcompress.graphs.keras.taken_apart.open_batch import batch_size_for, is_layer, opened, opened_constant
from tfcompress.graphs.keras.taken_apart.trace import Trace, has_open_code
from tfcompress.graphs.tensorflow.private_names import flat_layers, forget_calls, node_of, number_of_calls
from tfcompress.runtime import keras, tf
from tfcompress.tensor_info import TensorInfo
from tfcompress.unique_names import unique_name

__all__ = ["FlatGraph", "Leaf", "has_parts", "take_apart"]


@dataclass(frozen=True)
class Leaf:
    """What a graph computes with besides its inputs.

    Attributes:
        name: unique in the graph.
        source: a Keras 3 variable, which training may change, or an array.
    """

    name: str
    source: Any

    @property
    def value(self) -> np.ndarray:
        """The numbers."""
        return as_value(self.source)


@dataclass(frozen=True)
class FlatGraph:
    """A model taken apart.

    Attributes:
        name: of the model.
        trainable: whether the model as a whole is.
        calls: of inputs, leaves, layers and operations, each after those that it needs.
        inputs: symbolic tensors, nested as the model takes them.
        outputs: symbolic tensors, nested as the model returns them.
        names: {id of a layer: its name in this graph}, unique where layers of several parts are called the same.
        whole: {name of a layer that could not be taken apart: why}.
    """

    name: str
    trainable: bool
    calls: tuple[Call, ...] = field(repr=False)
    inputs: Any = field(repr=False)
    outputs: Any = field(repr=False)
    names: Mapping[int, str] = field(repr=False)
    whole: Mapping[str, str]


def has_parts(model: Any) -> bool:
    """Whether a model is, or has at any depth, a layer of Keras 3 that runs code of one's own."""
    if not isinstance(model, keras.layers.Layer):
        return False
    return not is_graph(model) or any(has_open_code(layer) for layer in flat_layers(model))


def take_apart(model: Any, sizes: Sequence[TensorInfo] | None = None) -> FlatGraph:
    """The flat graph of a Keras 3 model.

    Args:
        model: functional, sequential, or subclassed and built; it is not changed.
        sizes: of the inputs; the new graph has these where the model leaves sizes open, since code that counts
            positions needs their number.  None leaves them open.

    Raises:
        ModelError: a subclassed model that has not been built.
    """
    structure = input_structure(model) if is_graph(model) else subclassed_structures(model)[0]
    fixed = {info.name: info.shape[1:] for info in sizes or ()}
    infos = [info.of_sample_shape(fixed.get(info.name, info.shape[1:])) for info in structure.infos]
    return _taken_apart(model, infos, structure.template)


def _taken_apart(model: Any, infos: Sequence[TensorInfo], template: Any) -> FlatGraph:
    own_sizes = [size for weight in model.weights for size in weight.shape]
    open_batch = all(info.shape[0] is None for info in infos)
    size = batch_size_for([*own_sizes, *(s for info in infos for s in info.shape[1:] if s)]) if open_batch else None
    starts = [keras.KerasTensor((size or info.shape[0], *info.shape[1:]), info.dtype) for info in infos]
    trace = Trace(model, size)
    with trace.open_layers():
        outputs = trace.run(keras.tree.pack_sequence_as(template, starts))
        noted = trace.nodes([trace.resolved(tensor) for tensor in keras.tree.flatten(outputs)])
        # What is noted is forgotten with the context, so the new graph is drawn up from here on with plain lists.
        again = _Again(trace, {id(start): info for start, info in zip(starts, infos, strict=True)}, starts)
        plans = [(node, opened(node, size)) for node in noted]
    with _forgetting(flat_layers(model)):
        again.run(plans)
    inputs = keras.tree.pack_sequence_as(template, [again.new[id(start)] for start in starts])
    results = keras.tree.map_structure(lambda tensor: again.tensor(tensor), outputs)
    return FlatGraph(model.name, model.trainable, tuple(again.calls), inputs, results, again.names, dict(trace.whole))


class _forgetting:
    """Lets layers forget the calls that are noted within."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = list({id(layer): layer for layer in layers}.values())

    def __enter__(self) -> None:
        self.numbers = [number_of_calls(layer) for layer in self.layers]

    def __exit__(self, *_: object) -> None:
        for layer, number in zip(self.layers, self.numbers, strict=True):
            forget_calls(layer, number)


class _Again:
    """The noted calls made again, with a batch of any size, as the calls of a flat graph."""

    def __init__(self, trace: Trace, infos: Mapping[int, TensorInfo], starts: Sequence[Any]) -> None:
        self.trace = trace
        self.calls: list[Call] = []
        self.names: dict[int, str] = {}
        self.new: dict[int, Any] = {}
        self._taken: set[str] = set()
        self._numbers: dict[int, Any] = {}
        self._kept: list[Any] = []
        for start in starts:
            info = infos[id(start)]
            tensor = keras.KerasTensor(info.shape, info.dtype)
            self.new[id(start)] = tensor
            layer = _Input(self._unused(info.name))
            self.calls.append(Call(layer, (), {}, (tensor,), is_input=True))
        self.anchor = self.new[id(starts[0])]

    def run(self, plans: Sequence[tuple[Any, Any]]) -> None:
        """Make every call."""
        for node, run in plans:
            kwargs = {k: v for k, v in node.arguments.kwargs.items() if k != "training" or v is True}
            mask = self.trace.masks.get(id(node.outputs[0]))
            if mask is not None and "mask" not in kwargs:
                kwargs["mask"] = mask[1]
            args, kwargs = keras.tree.map_structure(self.tensor, (node.arguments.args, kwargs))
            outputs = keras.tree.flatten(run(args, kwargs, self.anchor))
            self._note(node, args, kwargs, outputs)

    def _note(self, node: Any, args: Any, kwargs: Any, outputs: list[Any]) -> None:
        """What was called may be another operation than the noted one, with other arguments: Keras knows."""
        built = node_of(outputs[0])
        operation = built.operation
        owner = self.trace.owner.get(id(node), (None, ""))[1]
        if not is_layer(operation):
            operation.name = self._unused(operation.name)
            args, kwargs = built.arguments.args, built.arguments.kwargs
        elif id(operation) not in self.names:
            self.names[id(operation)] = self._unused(operation.name, owner)
        self.calls.append(Call(operation, tuple(args), dict(kwargs), tuple(outputs), is_input=False))
        for old, new in zip(node.outputs, outputs, strict=True):
            self.new[id(old)] = new

    def tensor(self, value: Any) -> Any:
        """What stands for an argument in the new graph: a tensor for tensors, weights and constants of the batch."""
        if isinstance(value, keras.KerasTensor):
            value = self.trace.resolved(value)
            if id(value) in self.new:
                return self.new[id(value)]
            source = self.trace.leaves[id(value)][1]
            self.new[id(value)] = self._leaf(source)
            return self.new[id(value)]
        if isinstance(value, keras.Variable):
            return self.tensor(self.trace.leaf(value))
        if (tf.is_tensor(value) or isinstance(value, np.ndarray)) and self.trace.batch in value.shape:
            return self.tensor(self.trace.leaf(value))
        return value

    def _leaf(self, source: Any) -> Any:
        size = self.trace.batch
        if isinstance(source, keras.Variable):
            return self._noted_leaf(Leaf(self._unused(_path(source)), source), source)
        value = as_value(source)
        if size is None or size not in value.shape:
            return self._noted_leaf(Leaf(self._unused("constant"), value), source)
        item = opened_constant(value, size)
        tensor = self._noted_leaf(Leaf(self._unused("constant"), item), item)
        operation = TensorForBatch(item.shape[1:], name=self._unused("for_batch"))
        result = operation(tensor, self.anchor)
        self.calls.append(Call(operation, (tensor, self.anchor), {}, (result,), is_input=False))
        return result

    def _noted_leaf(self, leaf: Leaf, like: Any) -> Any:
        tensor = keras.KerasTensor(tuple(like.shape), keras.backend.standardize_dtype(like.dtype))
        self.calls.append(Call(leaf, (), {}, (tensor,), is_input=False))
        self._kept.append(leaf)
        return tensor

    def _unused(self, name: str, owner: str = "") -> str:
        """A name that no other layer of the graph has: with that of the layer around it, or a number."""
        return unique_name(f"{owner}_{name}" if name in self._taken and owner else name, self._taken)


@dataclass(frozen=True)
class _Input:
    """Stands for an input layer."""

    name: str


def _path(variable: Any) -> str:
    """A weight's name with that of its layer: ``pooling_kernel``."""
    return "_".join(str(getattr(variable, "path", variable.name)).split("/")[-2:])
