"""Which Keras layers a TFLite or TensorFlow tensor belongs to, read off its name.

TensorFlow names an operator after the name scopes it was made in, and Keras opens a scope for each layer.  The TFLite
converter joins the names of the operators that it fused with ``;``, the last one computed first.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection
from typing import Any

__all__ = ["all_layers", "layers_of", "patterns_match"]


def all_layers(keras_model: Any) -> list[Any]:
    """Every layer of a Keras model, the inner ones of nested models too, containers first."""
    found: list[Any] = []
    for layer in getattr(keras_model, "layers", []):
        found.append(layer)
        found.extend(all_layers(layer))
        inner = getattr(layer, "layer", None)  # wrappers: TimeDistributed, Bidirectional, tfmot's own
        if inner is not None and hasattr(inner, "name"):
            found.append(inner)
    return found


def layers_of(tensor_name: str, layer_names: Collection[str], *, keras3: bool = False) -> tuple[str, ...]:
    """The Keras layers fused into a tensor, the last computed first; empty when none is recognised.

    Keras 3 opens a layer's scope twice, to build it and to call it, so TensorFlow numbers the second one: layer
    ``conv2d`` computes in scope ``conv2d_1``, and layer ``conv2d_1`` in ``conv2d_1_2``.

    Args:
        tensor_name: such as ``model/act/Relu;model/bn/FusedBatchNormV3;model/conv/Conv2D1``.
        layer_names: names of all the model's layers.
        keras3: the model is a Keras 3 one, so the last number of a scope is TensorFlow's.
    """
    known = frozenset(layer_names)
    found: dict[str, None] = {}
    for part in tensor_name.split(";"):
        scopes = [re.sub(r"^quant_|^prune_low_magnitude_|^cluster_", "", scope) for scope in part.split("/")]
        inner = next((layer for scope in reversed(scopes) if (layer := _layer_of(scope, known, keras3))), None)
        if inner is not None:
            found.setdefault(inner)
    return tuple(found)


def _layer_of(scope: str, known: Collection[str], keras3: bool) -> str | None:
    unnumbered = re.sub(r"_\d+$", "", scope)
    candidates = (unnumbered, scope) if keras3 else (scope, unnumbered)
    return next((name for name in candidates if name in known), None)


def patterns_match(name: str, patterns: Collection[str]) -> bool:
    """Whether a layer name matches any of the shell patterns (case-sensitive `fnmatch`)."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
