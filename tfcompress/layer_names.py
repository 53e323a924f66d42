"""Which Keras layers a TFLite or TensorFlow tensor belongs to, read off its name.

TensorFlow names an operator after the name scopes it was made in, and Keras opens a scope for each layer.  The TFLite
converter joins the names of the operators that it fused with ``;``, the last one computed first.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable
from typing import Any

__all__ = [
    "NumberedLayers",
    "all_layers",
    "as_named_in",
    "layer_or_scope",
    "layers_of",
    "patterns_match",
    "without_wrapper",
]


def all_layers(keras_model: object) -> list[Any]:
    """Every layer of a Keras model, the inner ones of nested models too, containers first."""
    layers: list[Any] = []
    for layer in getattr(keras_model, "layers", []):
        layers.append(layer)
        layers.extend(all_layers(layer))
        inner = getattr(layer, "layer", None)  # wrappers: TimeDistributed, Bidirectional, tfmot's own
        if inner is not None and hasattr(inner, "name"):
            layers.append(inner)
    return layers


class NumberedLayers(tuple[str, ...]):
    """Layer names of a model whose name scopes TensorFlow has numbered, as it does for Keras 3.

    Keras 3 opens a layer's scope twice, to build it and to call it, so TensorFlow numbers the second one: layer
    ``conv2d`` computes in scope ``conv2d_1``, and layer ``conv2d_1`` in ``conv2d_1_2``.
    """


def as_named_in(layer_names: Collection[str], tensor_names: Iterable[str]) -> Collection[str]:
    """`layer_names`, marked as numbered where the tensors' names show that they are.

    They do where a layer has no scope of its very name, but one of its name and a number that is no layer's.

    Args:
        layer_names: names of all the model's layers.
        tensor_names: of all tensors of the file or graph.
    """
    plain = frozenset(layer_names)
    scopes = {scope for name in tensor_names for part in name.split(";") for scope in part.split("/")[:-1]}
    strangers = {_unnumbered(scope) for scope in scopes - plain}
    return NumberedLayers(layer_names) if strangers & (plain - scopes) else layer_names


def without_wrapper(scope: str) -> str:
    """A layer's scope without what training wrapped it in: ``conv`` for ``quant_conv``."""
    return re.sub(r"^quant_|^prune_low_magnitude_|^cluster_", "", scope)


def layers_of(tensor_name: str, layer_names: Collection[str]) -> tuple[str, ...]:
    """The Keras layers fused into a tensor, the last computed first; empty when none is recognised.

    Args:
        tensor_name: such as ``model/act/Relu;model/bn/FusedBatchNormV3;model/conv/Conv2D1``.
        layer_names: names of all the model's layers; `NumberedLayers` where scopes bear numbers.
    """
    plain = frozenset(layer_names)
    numbered = isinstance(layer_names, NumberedLayers)
    layers: dict[str, None] = {}
    for part in tensor_name.split(";"):
        scopes = [without_wrapper(scope) for scope in part.split("/")]
        inner = next((layer for scope in reversed(scopes) if (layer := _layer_of(scope, plain, numbered))), None)
        if inner is not None:
            layers.setdefault(inner)
    return tuple(layers)


def layer_or_scope(tensor_name: str, layer_names: Collection[str]) -> str | None:
    """The last computed layer of a tensor; without layer names, the name scope that Keras gives to a layer.

    Args:
        tensor_name: see `layers_of`.
        layer_names: names of all the model's layers; empty for a file without its Keras model.

    Returns:
        None where the name does not tell.
    """
    if layer_names:
        return next(iter(layers_of(tensor_name, layer_names)), None)
    scopes = [
        scope for scope in tensor_name.split(";")[0].split("/") if not scope.startswith("StatefulPartitionedCall")
    ]
    return scopes[1] if len(scopes) >= 3 else None  # model/layer/operator, as Keras names them


def _unnumbered(scope: str) -> str:
    return re.sub(r"_\d+$", "", scope)


def _layer_of(scope: str, plain: Collection[str], numbered: bool) -> str | None:
    candidates = (_unnumbered(scope), scope) if numbered else (scope, _unnumbered(scope))
    return next((name for name in candidates if name in plain), None)


def patterns_match(name: str, patterns: Collection[str]) -> bool:
    """Whether a layer name matches any of the shell patterns (case-sensitive `fnmatch`)."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
