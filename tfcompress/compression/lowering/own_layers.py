"""Layers of one's own in a model of Keras 2, taken apart: what their code calls becomes part of the graph.

The code of such a layer runs once on symbolic tensors, with a `Weight` in the place of each variable that the layer
itself holds.  Keras notes every tensor operator and every inner layer that it calls.  What cannot run so, as control
flow that depends on values, stays whole, and in float.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tfcompress.graphs.keras.call_graph import module_of
from tfcompress.graphs.keras.protocols import KerasModel, Tensor
from tfcompress.graphs.keras.replay import Call, calls_of, flatten
from tfcompress.graphs.keras.rewriting import Rewrite, Rewriter
from tfcompress.graphs.keras.taken_apart.leaf_layers import Weight
from tfcompress.graphs.tensorflow.private_names import flat_layers, rename
from tfcompress.load.keras_versions.equivalence import prove_equal
from tfcompress.runtime import tf, tf_keras
from tfcompress.unique_names import unique_name

__all__ = ["own_layers"]

_KNOWN = ("tf_keras.", "tfcompress.", "tensorflow_model_optimization.")


def own_layers(model: KerasModel) -> dict[object, Rewriter]:
    """{class: how its layers are taken apart} of the layers whose class is neither Keras's nor ours.

    Args:
        model: flat tf_keras model.
    """
    classes = {type(layer) for layer in model.layers}
    return dict.fromkeys(filter(_is_own, classes), _taken_apart)


def _is_own(kind: object) -> bool:
    return not module_of(kind).startswith(_KNOWN)


@dataclass(frozen=True)
class _Parts:
    """A nested model of what a layer's code calls; None where it cannot be made."""

    model: Any


def _taken_apart(call: Call, state: Rewrite) -> Any:
    """The outputs of the layer's parts; None where it stays whole."""
    shapes = tuple(tuple(tensor.shape) for tensor in call.inputs)
    if not shapes or call.kwargs.get("training"):
        return None
    name = f"{call.layer.name}_parts"
    parts = state.copies.get((call.layer, shapes), lambda: _parts(call, state.copies.unique_name(name)))
    return None if parts.model is None else tf.nest.flatten(parts.model(call.inputs))


def _parts(call: Call, name: str) -> _Parts:
    inputs = [tf_keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in call.inputs]
    new = {id(tensor): inner for tensor, inner in zip(call.inputs, inputs, strict=True)}
    args, kwargs = tf.nest.map_structure(lambda value: new.get(id(value), value), (call.args, call.kwargs))
    try:
        own = type(call.layer).from_config(call.layer.get_config())
        whole = tf_keras.Model(inputs, own(*args, **kwargs))
        own.set_weights(call.layer.get_weights())
        outputs = _Tracing(inputs[0], flat_layers(own)).run(own, *args, **kwargs)
        model = flatten(tf_keras.Model(inputs, outputs, name=name))
        if _holds_variables(model):
            return _Parts(None)
        prove_equal(whole, model, [])
    except Exception:  # the layer's own code, which was not written to run so, raises whatever it likes
        return _Parts(None)
    return _Parts(model)


def _holds_variables(model: KerasModel) -> bool:
    """Whether a variable is a constant of an operator, where training would not reach it."""
    given = (tf.nest.flatten((call.args, call.kwargs)) for call in calls_of(model))
    return any(isinstance(value, tf.Variable) for values in given for value in values)


class _Tracing:
    """Runs the code of layers on symbolic tensors.

    Args:
        anchor: a tensor of the new graph, where the weights stand.
        layers: the layer that is taken apart and all within it, a copy of the user's; they get names of their own.
    """

    def __init__(self, anchor: Tensor, layers: Sequence[Any]) -> None:
        self._anchor = anchor
        self._weights: dict[int, Any] = {}
        self._names: set[str] = set()
        for layer in dict.fromkeys(layers):
            rename(layer, unique_name(layer.name, self._names))

    def run(self, layer: Any, *args: object, **kwargs: object) -> Any:
        """What the layer's code returns, its variables being symbolic tensors and layers of one's own within open."""
        attributes = vars(layer)
        before = dict(attributes)
        for name, value in before.items():
            if isinstance(value, list | tuple) and not name.startswith("_"):
                attributes[name] = [self._stand_in(part) for part in value]
            else:
                attributes[name] = self._stand_in(value)
        try:
            return layer.call(*args, **kwargs)
        finally:
            attributes.update(before)

    def _stand_in(self, value: Any) -> Any:
        if isinstance(value, tf.Variable):
            return self._weight(value)
        return _Open(value, self.run) if isinstance(value, tf_keras.layers.Layer) and _is_own(type(value)) else value

    def _weight(self, variable: Any) -> Any:
        if id(variable) not in self._weights:
            name = unique_name(variable.name.replace("/", "_").partition(":")[0], self._names)
            layer = Weight(variable.shape, variable.dtype.name, name=name)
            self._weights[id(variable)] = layer(self._anchor)
            layer.set_weights([variable.numpy()])
        return self._weights[id(variable)]


class _Open:
    """In the place of a layer of one's own: called, it runs that layer's code; where that fails, the layer is whole."""

    def __init__(self, layer: Any, run: Callable[..., Any]) -> None:
        self._layer, self._run = layer, run

    def __call__(self, *args: object, **kwargs: object) -> Any:
        try:
            return self._run(self._layer, *args, **kwargs)
        except Exception:  # as in `_parts`
            return self._layer(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)
