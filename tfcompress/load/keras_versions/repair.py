"""Known incompatibilities between a configuration and the Keras that is going to read it.

tf_keras reads what Keras 2 wrote.  Keras 3 refuses most of it for small reasons, and has to read it all the same when
the user's custom layers are Keras 3 layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfcompress.load.keras_versions.keras1 import is_keras1_config, keras2_config
from tfcompress.load.safety.configurations import walk_objects

__all__ = ["repaired_config"]

# Our own layers that hold one of the other Keras, in its form and as this version wrote it: nothing to repair.
_ADAPTERS = frozenset({"Keras3Graph", "Keras3Layer", "TfKerasGraph", "TfKerasLayer"})


def repaired_config(config: Mapping[str, object], *, keras3: bool) -> dict[str, object]:
    """A copy of a model's configuration that the chosen Keras accepts; equal to `config` where nothing is wrong.

    Args:
        config: a serialized model: ``{"class_name", "config", ...}``.
        keras3: which Keras is going to read it.
    """
    repairs: tuple[Callable[[dict[str, Any]], None], ...] = (_name_sequential_layers, _drop_initializer_dtype)
    if any(is_keras1_config(item) for _, item in walk_objects(config)):
        repairs = (_name_sequential_layers, keras2_config)
    if keras3:
        repairs += (_drop_single_group, _rename_batch_shape, _lift_input_shape)
    result = {key: _copied(value) for key, value in config.items()}
    _visit(result, repairs)
    return result


def _copied(value: object) -> object:
    """A copy of JSON values; where a list has millions of numbers, `copy.deepcopy` takes seconds."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copied(inner) if isinstance(inner, dict | list) else inner for inner in value]
    return value


def _visit(value: object, repairs: tuple[Callable[[dict[str, object]], None], ...]) -> None:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if "class_name" in item:
                if item["class_name"] in _ADAPTERS:
                    continue
                for repair in repairs:
                    repair(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _name_sequential_layers(item: dict[str, object]) -> None:
    """Keras before 2.2.3 saved a Sequential as a bare list of layers."""
    if item["class_name"] == "Sequential" and isinstance(item.get("config"), list):
        item["config"] = {"name": "sequential", "layers": item["config"]}


def _drop_initializer_dtype(item: dict[str, object]) -> None:
    """TensorFlow 1.13 to 2.1 stored the dtype inside each initializer, which later constructors do not take."""
    config = item.get("config")
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        if key.endswith("_initializer") and isinstance(value, dict) and isinstance(value.get("config"), dict):
            value["config"].pop("dtype", None)


def _drop_single_group(item: dict[str, object]) -> None:
    """Keras 2.3 to 2.15 stored ``groups: 1`` for depthwise convolutions, which never used it."""
    if item["class_name"] in {"DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"}:
        config = item.get("config")
        if isinstance(config, dict) and config.get("groups") in {1, None}:
            config.pop("groups", None)


def _rename_batch_shape(item: dict[str, object]) -> None:
    """Keras 3 calls an input layer's ``batch_input_shape`` ``batch_shape``."""
    config = item.get("config")
    if item["class_name"] == "InputLayer" and isinstance(config, dict) and "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
        config.pop("optional", None)


def _lift_input_shape(item: dict[str, object]) -> None:
    """In Keras 2 the first layer of a Sequential may declare its input; in Keras 3 an input layer has to."""
    config = item.get("config")
    if item["class_name"] != "Sequential" or not isinstance(config, dict) or not config.get("layers"):
        return
    first = config["layers"][0]
    settings = first.get("config") if isinstance(first, dict) else None
    if not isinstance(settings, dict) or first.get("class_name") == "InputLayer":
        return
    shape = settings.get("batch_input_shape")
    if shape is not None:
        name = f"{settings.get('name', 'model')}_input"
        dtype = "float32" if first.get("class_name") == "Embedding" else settings.get("dtype", "float32")
        inputs = {"class_name": "InputLayer", "config": {"batch_shape": shape, "dtype": dtype, "name": name}}
        config["layers"].insert(0, inputs)
    for layer in config["layers"]:
        if isinstance(layer, dict) and isinstance(layer.get("config"), dict):
            layer["config"].pop("batch_input_shape", None)
