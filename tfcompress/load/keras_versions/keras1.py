"""Configurations of Keras 1 in the words of Keras 2.

Keras 2 renamed nearly every argument (its release notes of 2017: `nb_filter` to `filters`, `output_dim` to `units`,
`border_mode` to `padding`, `dim_ordering` to `data_format`, `subsample` to `strides`, `bias` to `use_bias`, `W_*` to
`kernel_*`).  The stored arrays are left alone: tf_keras converts them itself when a file says that Keras 1 wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["is_keras1_config", "keras2_config"]

_CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "SeparableConvolution2D": "SeparableConv2D",
}
_SETTINGS: dict[str, str] = {
    "output_dim": "units", "nb_filter": "filters", "subsample": "strides", "subsample_length": "strides",
    "border_mode": "padding", "bias": "use_bias", "p": "rate", "pool_length": "pool_size", "stride": "strides",
    "init": "kernel_initializer", "inner_init": "recurrent_initializer", "inner_activation": "recurrent_activation",
    "W_regularizer": "kernel_regularizer", "b_regularizer": "bias_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "W_constraint": "kernel_constraint", "b_constraint": "bias_constraint", "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout", "length": "size",
    "beta_init": "beta_initializer", "gamma_init": "gamma_initializer", "atrous_rate": "dilation_rate",
}  # fmt: skip
_DROPPED = frozenset(
    {"input_dtype", "consume_less", "mode", "forget_bias_init", "dim_ordering", "nb_row", "nb_col", "filter_length",
     "kernel_dim1", "kernel_dim2", "kernel_dim3", "input_dim", "create_input_layer", "batch_input_dtype"}
)  # fmt: skip
_MERGES: dict[object, str] = {
    "sum": "Add",
    "mul": "Multiply",
    "ave": "Average",
    "max": "Maximum",
    "concat": "Concatenate",
    "dot": "Dot",
}
_DATA_FORMATS = {"tf": "channels_last", "th": "channels_first"}
_ONLY_KERAS1 = frozenset({"nb_filter", "border_mode", "dim_ordering", "W_regularizer", "inner_activation", "subsample"})


def is_keras1_config(item: Mapping[str, object]) -> bool:
    """Whether a layer's configuration uses names that only Keras 1 had."""
    config = item.get("config")
    return isinstance(config, Mapping) and bool(_ONLY_KERAS1 & set(config))


def keras2_config(item: dict[str, Any]) -> None:
    """Rewrite one layer's configuration in place; a model's, which only lists layers, is left as it is."""
    class_name: str = item["class_name"]
    old: dict[str, Any] = item["config"]
    if class_name in {"Sequential", "Model", "L1L2"} or not isinstance(old, dict):
        return
    item["class_name"] = _CLASSES.get(class_name, class_name)
    if class_name == "Merge":
        _rewrite_merge(item)
        return
    new: dict[str, Any] = {_SETTINGS.get(key, key): _value(value) for key, value in old.items() if key not in _DROPPED}
    kernel = _kernel_size(old)
    if kernel:
        new["kernel_size"] = kernel
    if "dim_ordering" in old:
        new["data_format"] = _DATA_FORMATS.get(old["dim_ordering"], "channels_last")
    special = _SPECIAL.get(item["class_name"])
    if special:
        special(old, new)
    item["config"] = new


def _value(value: object) -> object:
    """Keras 1 wrote a regularizer as ``{"name": "WeightRegularizer", "l1", "l2"}``."""
    if isinstance(value, Mapping) and "l1" in value and "class_name" not in value:
        return {"class_name": "L1L2", "config": {"l1": value.get("l1", 0.0), "l2": value.get("l2", 0.0)}}
    return value


def _kernel_size(old: Mapping[str, Any]) -> list[int] | None:
    for keys in (("kernel_dim1", "kernel_dim2", "kernel_dim3"), ("nb_row", "nb_col"), ("filter_length",)):
        if all(key in old for key in keys):
            return [int(old[key]) for key in keys]
    return None


def _rewrite_merge(item: dict[str, Any]) -> None:
    config = item["config"]
    mode = config.get("mode")
    item["class_name"] = _MERGES.get(mode, "Merge")
    item["config"] = {"name": config.get("name")}
    if mode == "concat":
        item["config"]["axis"] = config.get("concat_axis", -1)
    if mode == "dot":
        item["config"]["axes"] = config.get("dot_axes", -1)


def _embedding(old: Mapping[str, object], new: dict[str, object]) -> None:
    new["input_dim"] = old.get("input_dim")
    new["output_dim"] = new.pop("units", None)
    new["embeddings_initializer"] = new.pop("kernel_initializer", "uniform")
    new["embeddings_regularizer"] = new.pop("kernel_regularizer", None)
    new.pop("kernel_constraint", None)
    new.pop("dropout", None)


def _gru(old: Mapping[str, object], new: dict[str, object]) -> None:
    new["reset_after"] = False  # what every Keras before 2.1 computed


def _batch_normalization(old: Mapping[str, object], new: dict[str, object]) -> None:
    if old.get("mode") == 1:
        new["axis"] = -1


def _input(old: Mapping[str, object], new: dict[str, object]) -> None:
    new["dtype"] = old.get("input_dtype", "float32")


_SPECIAL: dict[str, Callable[[Mapping[str, Any], dict[str, Any]], None]] = {
    "InputLayer": _input,
    "Embedding": _embedding,
    "GRU": _gru,
    "BatchNormalization": _batch_normalization,
}
