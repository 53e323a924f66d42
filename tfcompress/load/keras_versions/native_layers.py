"""The layer of the other Keras that computes the same, made from a layer's configuration."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfcompress.graphs.keras.call_graph import is_keras3, module_of
from tfcompress.graphs.keras.protocols import Layer
from tfcompress.graphs.tensorflow.private_names import declared_output_shape, layers_module_of
from tfcompress.load.keras_versions.activations import translated_activation
from tfcompress.runtime import keras, tf_keras

__all__ = ["accepted_settings", "native_layer", "settings_of"]

# (class, Keras 3 setting) -> tf_keras setting
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}

# Settings that only choose between equal implementations, or repeat what the graph says.
_INERT = frozenset(
    {"autocast", "use_cudnn", "implementation", "batch_input_shape", "input_length", "build_config", "input_spec",
     "quantization_config", "flash_attention", "query_shape", "key_shape", "value_shape"}
)  # fmt: skip
# Layers that compute something else in the other Keras: tf_keras encodes a batch of one number as a lone sample.
_UNLIKE = frozenset({"CategoryEncoding"})
# Arguments of every layer of Keras 3.
_OF_ALL_LAYERS = frozenset({"name", "trainable", "dtype", "autocast", "activity_regularizer"})
_FUNCTIONS = frozenset({"activation", "recurrent_activation"})


class _NoCounterpartError(Exception):
    """The other Keras has no layer, or no setting, that means the same."""


@dataclass(frozen=True)
class _Direction:
    to_keras3: bool

    @property
    def source(self) -> Any:
        return tf_keras if self.to_keras3 else keras

    @property
    def target(self) -> Any:
        return keras if self.to_keras3 else tf_keras


def native_layer(layer: Layer) -> Any:
    """A new layer of the other Keras with the settings of `layer`, without its weights.

    Args:
        layer: a built-in layer of Keras 3 or tf_keras, of any nesting (`Bidirectional`, `RNN`, `TimeDistributed`).

    Returns:
        The layer; None when the other Keras has none that computes the same, or `layer` is not built in.
    """
    direction = _Direction(to_keras3=not is_keras3(layer))
    kind = _built_in_class(layer, layers_module_of(direction.source))
    if kind is None:
        return None
    if kind.__name__ == "Lambda":
        return _lambda_layer(layer, direction)
    try:
        return _from_config(kind.__name__, _settings(layer, kind), direction)
    except (_NoCounterpartError, NotImplementedError):
        return None


def _built_in_class(layer: Any, module: str) -> Any:
    """The built-in class whose `call` a layer runs, be it under a name of one's own; None where it runs other code."""
    bases: tuple[Any, ...] = type(layer).__mro__
    first = next((base for base in bases if module_of(base).startswith(module)), None)
    if first is None or type(layer) is first:
        return first
    return first if first.__name__ != "Layer" and getattr(type(layer), "call", None) is first.call else None


def _settings(layer: Any, kind: Any) -> dict[str, Any]:
    """A layer's configuration; of one under another name only what its built-in class says."""
    return settings_of(layer) if type(layer) is kind else kind.get_config(layer)


def settings_of(layer: Any) -> dict[str, Any]:
    """A layer's configuration, also where Keras 3 cannot write down what all layers take, such as a policy of dtypes.

    Raises:
        NotImplementedError: it was given an argument of its own that Keras cannot write down, or may have been.
    """
    try:
        return dict(layer.get_config())
    except NotImplementedError:
        if not isinstance(layer, keras.layers.Layer) or _may_take_others(type(layer)):
            raise
        return {"name": layer.name, "trainable": layer.trainable, "dtype": layer.dtype_policy.name}


def _may_take_others(layer_class: type) -> bool:
    """Whether the constructor takes, or may take out of ``*args`` or ``**kwargs``, what not all layers have."""
    if accepted_settings(layer_class) - _OF_ALL_LAYERS:
        return True
    constructor = next(vars(base)["__init__"] for base in layer_class.__mro__ if "__init__" in vars(base))
    parameters = inspect.signature(constructor).parameters.values()
    takes_any = any(p.kind in {p.VAR_KEYWORD, p.VAR_POSITIONAL} for p in parameters)
    return takes_any and not module_of(constructor).startswith("keras.")


def _lambda_layer(layer: Any, direction: _Direction) -> Any:
    """Both Kerases call the very same Python function, on TensorFlow's tensors."""
    return direction.target.layers.Lambda(
        layer.function,
        output_shape=None if direction.to_keras3 else declared_output_shape(layer),
        mask=layer.mask,
        arguments=dict(layer.arguments or {}),
        name=layer.name,
        dtype=_dtype(layer.get_config()["dtype"]),
    )


def _from_config(class_name: str, config: Mapping[str, Any], direction: _Direction) -> Any:
    source_class = getattr(direction.source.layers, class_name, None)
    target_class = getattr(direction.target.layers, class_name, None)
    if source_class is None or target_class is None or class_name in _UNLIKE:
        raise _NoCounterpartError(class_name)
    accepted = accepted_settings(target_class)
    if issubclass(target_class, tf_keras.layers.RNN):
        accepted |= {"zero_output_for_mask"}  # taken out of **kwargs (rnn/base_rnn.py)
    defaults = _default_settings(source_class)
    settings = {}
    for key, value in config.items():
        name = _renamed(class_name, key, direction)
        if name in accepted:
            settings[name] = _translated(name, value, direction)
        elif key not in _INERT and value is not None and value != defaults.get(key):
            raise _NoCounterpartError(f"{class_name}.{key}")
    trainable = settings.pop("trainable", True)
    layer = target_class(**settings)
    layer.trainable = trainable
    return layer


def _renamed(class_name: str, key: str, direction: _Direction) -> str:
    if not direction.to_keras3:
        return _RENAMED.get((class_name, key), key)
    back = {(name, new): old for (name, old), new in _RENAMED.items()}
    return back.get((class_name, key), key)


def accepted_settings(layer_class: type) -> frozenset[str]:
    """Names that the class's constructor takes, following ``**kwargs`` up to the base layer."""
    names = {"name", "trainable", "dtype"}
    for base in layer_class.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names.update(p.name for p in parameters if p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL})
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return frozenset(names - {"self"})


def _default_settings(layer_class: type) -> dict[str, object]:
    defaults: dict[str, Any] = {}
    for base in reversed(layer_class.__mro__):
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            defaults.update({p.name: p.default for p in parameters if p.default is not p.empty})
    # Taken through **kwargs, with these defaults (base_layer.py, rnn/base_rnn.py, layer_normalization.py).
    hidden = {"time_major": False, "zero_output_for_mask": False, "groups": 1, "ragged": False, "rms_scaling": False}
    return {**hidden, **defaults}


def _translated(key: str, value: object, direction: _Direction) -> object:
    """One setting's value in the other library's terms."""
    if key == "dtype":
        return _dtype(value)
    if key == "axis" and direction.to_keras3 and isinstance(value, list | tuple) and len(value) == 1:
        return value[0]  # tf_keras keeps the one axis of a batch normalization as a list
    if key in _FUNCTIONS:
        return _activation(value, direction)
    if isinstance(value, list | tuple):
        translated = [_translated("", inner, direction) for inner in value]
        return tuple(translated) if isinstance(value, tuple) else translated
    if isinstance(value, Mapping) and "class_name" in value:
        return _object(key, value, direction)
    return value


def _dtype(value: Any) -> Any:
    """A dtype or a policy's name: the policies of mixed precision are called the same in both."""
    if not isinstance(value, Mapping):
        return value
    name = value.get("config", {}).get("name")
    if value.get("class_name") not in {"DTypePolicy", "Policy"} or not isinstance(name, str):
        raise _NoCounterpartError("dtype")
    return name


def _activation(value: object, direction: _Direction) -> object:
    if value is None:
        return None
    if isinstance(value, Mapping):
        if value.get("class_name") != "function":
            return _object("activation", value, direction)
        value = value.get("config")
    if not isinstance(value, str):
        raise _NoCounterpartError("activation")
    function = translated_activation(value.rpartition(">")[2], to_keras3=direction.to_keras3)
    if function is None:
        raise _NoCounterpartError(f"activation {value}")
    return function


def _object(key: str, value: Mapping[str, Any], direction: _Direction) -> Any:
    """An initializer, regularizer, constraint, inner layer or cell."""
    class_name, config = value["class_name"], value.get("config") or {}
    for module in ("initializers", "regularizers", "constraints"):
        counterpart = getattr(getattr(direction.target, module), class_name, None)
        if key.endswith(module.removesuffix("s")) and counterpart is not None:
            accepted = accepted_settings(counterpart)
            return counterpart(**{name: _plain(inner) for name, inner in config.items() if name in accepted})
    if key.endswith("initializer"):
        return "zeros"  # one of the user's own: it has done its work, the weights are copied
    if not isinstance(config, Mapping) or not hasattr(direction.source.layers, class_name):
        raise _NoCounterpartError(f"{key} {class_name}")
    return _from_config(class_name, config, direction)


def _plain(value: object) -> Any:
    """A setting of an initializer; a seed generator, which only Keras 3 has, becomes no seed."""
    return None if isinstance(value, Mapping) else value
