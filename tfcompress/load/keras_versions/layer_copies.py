"""A layer copied within its own Keras, and the arguments of a call in the other's terms."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from tfcompress.errors import ModelError, one_line
from tfcompress.graphs.keras.call_graph import module_of
from tfcompress.load.keras_versions.native_layers import settings_of
from tfcompress.load.keras_versions.weights import set_weights
from tfcompress.runtime import tf_keras

__all__ = ["call_arguments", "copy_of"]

_OF_LIBRARIES = ("keras.", "tf_keras.", "tensorflow.")


def copy_of(layer: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
    """A second layer or operation with the same settings and its own copies of the weights.

    Args:
        layer: of either Keras.
        args: symbolic tensors with which it is called, for a layer whose parts get their weights by a call alone.
        kwargs: likewise.

    Raises:
        ModelError: the layer, one of the user's own, does not describe itself by `get_config`.
    """
    try:
        copy = type(layer).from_config(_settings(layer))
    except Exception as error:  # code of the user's own: a setting that is no attribute, or no argument
        raise ModelError(
            f"the layer {layer.name!r} of class {type(layer).__name__} cannot be copied: {type(error).__name__}: "
            f"{one_line(error, 200)}; "
            "give the class a get_config() that returns all arguments of its constructor"
        ) from error
    values = layer.get_weights() if hasattr(layer, "get_weights") else []
    if values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has no `build()`, which is why it is called below
            copy.build_from_config(layer.get_build_config())
        if len(copy.weights) < len(values) and args:
            copy(*args, **dict(kwargs or {}))
        set_weights(copy, values)
    return copy


def _settings(layer: Any) -> dict[str, Any]:
    """The layer's configuration, functions of the user's own as they are: as text, only who registers them has them."""
    settings = settings_of(layer)
    for name in settings:
        function = getattr(layer, name, None)
        if inspect.isfunction(function) and not module_of(function).startswith(_OF_LIBRARIES):
            settings[name] = function
    return settings


def call_arguments(
    source: Any, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a call of `source` as `target`, its counterpart, takes them.

    The two libraries order the arguments of some layers differently (the `initial_state` of an LSTM), so all but the
    first go by name; None, which is every optional argument's default, is left out.
    """
    if isinstance(source, tf_keras.layers.RNN | tf_keras.layers.Bidirectional) and isinstance(args[0], list | tuple):
        # tf_keras joins the initial states of a recurrent layer to its input.
        sequence, *states = args[0]
        return [sequence], {"initial_state": list(states), **dict(kwargs)}
    if len(args) <= 1:
        return list(args), {key: value for key, value in kwargs.items() if value is not None}
    bound = inspect.signature(source.call).bind_partial(*args, **kwargs)
    names = list(bound.arguments)
    if any(p.kind is p.VAR_POSITIONAL for p in bound.signature.parameters.values()):
        return list(args), dict(kwargs)
    named = {name: bound.arguments[name] for name in names[1:] if bound.arguments[name] is not None}
    named.update(named.pop("kwargs", {}))
    return [bound.arguments[names[0]]], named
