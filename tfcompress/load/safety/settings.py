"""What the settings of a layer may name: recorded calls, files, and functions by their bare name."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tfcompress.load.safety.lists import keras_classes as lists
from tfcompress.load.safety.lists.tensorflow_functions import is_pure_function
from tfcompress.load.safety.lists.tensorflow_operators import OPERATORS
from tfcompress.load.safety.references import Problem, is_ours

__all__ = ["settings_problem", "unlisted_strings"]

_VOCABULARY_CLASSES = frozenset({"StringLookup", "IntegerLookup", "TextVectorization"})
# Attributes of ragged and sparse tensors, which tf_keras records when they are read from a symbolic tensor.
_TENSOR_ATTRIBUTES = frozenset(
    {"bounding_shape", "dense_shape", "dtype", "flat_values", "indices", "nested_row_lengths", "nested_row_splits",
     "nrows", "ragged_rank", "row_lengths", "row_limits", "row_splits", "row_starts", "shape", "to_sparse",
     "to_tensor", "value_rowids", "values", "with_flat_values", "with_values"}
)  # fmt: skip
_TENSOR_METHODS = frozenset(
    {("RaggedTensor", name) for name in ("from_row_lengths", "from_row_splits", "from_tensor", "from_value_rowids")}
)
# Setting names whose value may be the bare name of a function or class, and the list that must hold it.  `Identity`,
# `normal` and so on are names of Keras 1 and 2.
_OLD_INITIALIZERS = {"normal", "one", "uniform", "zero", "VarianceScaling"}
_BARE_NAMES = {
    "activation": lists.ACTIVATIONS,
    "initializer": lists.INITIALIZERS | _OLD_INITIALIZERS,
    "regularizer": lists.REGULARIZERS,
    "constraint": lists.CONSTRAINTS | {"maxnorm", "nonneg", "unitnorm"},
}


def settings_problem(value: Mapping[str, object], supplied: Collection[str]) -> Problem | None:
    """What an object's settings would run or read; None where they only describe a computation.

    Args:
        value: any JSON object.
        supplied: names of what the user supplied.
    """
    class_name, inner = value.get("class_name"), value.get("config")
    settings = inner if isinstance(inner, Mapping) else {}
    for name in (value.get("name"), settings.get("name")):
        if isinstance(name, str) and _is_path(name):
            return Problem(f"a name that leads to another folder, {name[:200]!r}")
    if any(isinstance(key, str) and key.endswith("_type") and entry == "lambda" for key, entry in value.items()):
        return Problem("marshalled Python bytecode (a Lambda layer)")
    if class_name == "MeanMetricWrapper" and not _is_metric_function(settings.get("fn"), supplied):
        return Problem(f"a metric of {str(settings.get('fn'))[:100]!r}")
    if not isinstance(class_name, str) or class_name in supplied:
        return None
    if class_name == "Lambda":
        return _of_lambda(settings, supplied)
    if class_name in _VOCABULARY_CLASSES and isinstance(settings.get("vocabulary"), str):
        return Problem(f"the path of a file to read, {settings['vocabulary'][:200]!r} ({class_name})")
    return _of_recorded_call(class_name, settings)


def _is_path(name: str) -> bool:
    """Keras makes file names of layers' names where it saves and loads what belongs to them (CVE-2026-12479)."""
    first, *more = parts = name.replace("\\", "/").split("/")
    return ".." in parts or "\0" in name or bool(more and (not first or first.endswith(":")))


def _of_lambda(settings: Mapping[str, object], supplied: Collection[str]) -> Problem | None:
    """A Lambda layer is harmless only where its functions are names that the user resolves."""
    for key in ("function", "output_shape", "mask"):
        function = settings.get(key)
        if isinstance(function, Mapping):
            function = function.get("config") if function.get("class_name") == "function" else "a function"
        if isinstance(function, list) and key == "function":
            return Problem("marshalled Python bytecode (a Lambda layer)")
        if isinstance(function, str) and function not in supplied:
            return Problem(f"a reference to the Python function {function[:100]!r} (a Lambda layer)")
    return None


def _is_metric_function(function: object, supplied: Collection[str]) -> bool:
    name = function.get("config") if isinstance(function, Mapping) else function
    return name is None or (isinstance(name, str) and (name in lists.METRIC_FUNCTIONS or name in supplied))


def _of_recorded_call(class_name: str, settings: Mapping[str, object]) -> Problem | None:
    """tf_keras stores calls of `tf.*` functions on symbolic tensors as layers of these classes."""
    if class_name == "TFOpLambda" and not is_pure_function(settings.get("function")):
        return Problem(f"a call of tf.{str(settings.get('function'))[:100]} (TFOpLambda)")
    if class_name == "SlicingOpLambda" and settings.get("function") != "__operators__.getitem":
        return Problem(f"a call of tf.{str(settings.get('function'))[:100]} (SlicingOpLambda)")
    method = (settings.get("cls_symbol"), settings.get("method_name"))
    if class_name == "ClassMethod" and method not in _TENSOR_METHODS:
        return Problem(f"a call of tf.{str(method[0])[:100]}.{str(method[1])[:100]} (ClassMethod)")
    attribute = settings.get("attr_name")
    if class_name in {"InstanceMethod", "InstanceProperty"} and attribute not in _TENSOR_ATTRIBUTES:
        return Problem(f"a call of the attribute {str(attribute)[:100]!r} ({class_name})")
    if class_name == "TensorFlowOpLayer":
        return _of_node(settings.get("node_def"))
    return None


def _of_node(node: object) -> Problem | None:
    """A `TensorFlowOpLayer` holds one operator as the JSON text, or the JSON object, of a NodeDef."""
    try:
        node = json.loads(node) if isinstance(node, str) else node
    except (ValueError, RecursionError):
        node = None
    operator = node.get("op") if isinstance(node, Mapping) else None
    attributes = (node.get("attr") or {}) if isinstance(node, Mapping) else {}
    if operator not in OPERATORS:
        return Problem(f"the graph operation {str(operator)[:100]!r} (TensorFlowOpLayer)")
    if any(isinstance(entry, Mapping) and ("func" in entry or "func" in str(entry)) for entry in attributes.values()):
        return Problem(f"the graph operation {operator} with a function (TensorFlowOpLayer)")
    return None


def unlisted_strings(value: Mapping[str, Any], supplied: Collection[str]) -> Iterator[str]:
    """Bare names of functions and classes among the settings that are on no list."""
    for key, name in value.items():
        listed = _BARE_NAMES.get(str(key).rpartition("_")[2])
        if listed is None or not isinstance(name, str) or name in supplied:
            continue
        if name not in listed and not is_ours(name):
            yield name
