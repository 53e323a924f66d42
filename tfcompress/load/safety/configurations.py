"""What a configuration would run or read if it were loaded, found without loading it.

A configuration is JSON, but Keras follows it to classes, functions and files: a `Lambda` holds marshalled Python
bytecode, `TorchModuleWrapper` a pickle, `TFSMLayer` the path of a SavedModel, a `StringLookup` the path of a text
file, and a ``module`` entry names what to import.  So every object in it has to be known: from Keras itself, from
tfmot, from us, or from the user's custom objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tfcompress.errors import ModelError, UnsafeModelError

__all__ = [
    "TRUSTED_PACKAGES",
    "Finding",
    "code_findings",
    "is_unsafe_symbol",
    "refuse_code",
    "require_json_names",
    "walk_objects",
]

TRUSTED_PACKAGES = frozenset({"keras", "tf_keras", "tensorflow_model_optimization"})
"""A class named with a module of these is no custom object; ours and the user's are known by registration."""

# Layers that are a container for a program in another form, and what that form is.
_CODE_CLASSES = {
    "TorchModuleWrapper": "a pickled PyTorch module",
    "TFSMLayer": "the path of another SavedModel",
    "JaxLayer": "a Python function",
    "FlaxLayer": "a pickled Flax module",
}
_VOCABULARY_CLASSES = frozenset({"StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup"})

# Modules of Keras whose classes and functions do other things than compute, and those that hold a model's functions.
_NO_PART_OF_A_MODEL = frozenset({"utils", "saving", "datasets", "export", "distribution", "callbacks", "wrappers"})
_FUNCTION_MODULES = frozenset(
    {"activations", "losses", "metrics", "initializers", "regularizers", "constraints", "ops", "nn"}
)

# `tf.*` symbols that a TFOpLambda layer may name: those that only compute.
_SAFE_SYMBOL_ROOTS = frozenset(
    {"__operators__", "math", "nn", "linalg", "image", "signal", "random", "bitwise", "sets", "strings", "sparse",
     "ragged", "quantization", "keras", "experimental", "dtypes", "compat", "_AutoGraph"}
)  # fmt: skip
_UNSAFE_WORDS = (
    "py_func", "numpy_function", "load", "save", "io.", "raw_ops", "file", "write", "read", "print", "debugging",
    "import", "saved_model", "utils", "summary", "checkpoint", "session", "decode_proto", "get_logger",
)  # fmt: skip
_UNSAFE_GRAPH_OPS = ("PyFunc", "EagerPyFunc", "WriteFile", "ReadFile", "LoadLibrary", "Save", "Restore")


@dataclass(frozen=True)
class Finding:
    """One place of a configuration that would run code or read a file.

    Attributes:
        where: the name of the nearest layer, and the path of keys from there.
        what: the code or the file, in a few words.
    """

    where: str
    what: str


def refuse_code(path: object, config: Any, custom_objects: Mapping[str, Any]) -> None:
    """Refuse a configuration that carries code or reads files.

    Raises:
        UnsafeModelError: names each place.
    """
    findings = list(dict.fromkeys(code_findings(config, custom_objects)))
    if findings:
        places = "; ".join(f"{finding.where} holds {finding.what}" for finding in findings[:3])
        more = f" and {len(findings) - 3} more" if len(findings) > 3 else ""
        raise UnsafeModelError(
            f"{path}: the file carries code: {places}{more}. Nothing was run. If you trust where it comes from, "
            "--allow_unsafe_deserialization runs it in a separate process"
        )


def walk_objects(config: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every JSON object inside `config` with the name of the nearest layer around it, outermost first."""
    stack: list[tuple[str, Any]] = [("model", config)]
    while stack:
        where, value = stack.pop()
        if isinstance(value, Mapping):
            where = _name_of(value) or where
            yield where, value
            stack.extend((where, inner) for inner in reversed(list(value.values())))
        elif isinstance(value, list):
            stack.extend((where, inner) for inner in reversed(value))


def _name_of(value: Mapping[str, Any]) -> str | None:
    inner = value.get("config")
    name = inner.get("name") if isinstance(inner, Mapping) else None
    name = name or (value.get("name") if "class_name" in value else None)
    return f"layer {name!r}" if isinstance(name, str) and name else None


def code_findings(config: Any, custom_objects: Mapping[str, Any]) -> Iterator[Finding]:
    """The places of a configuration that would run code or read a file.

    Args:
        config: parsed JSON of a model, layer or training configuration.
        custom_objects: what the user supplied; a Lambda whose function is among them carries no code.
    """
    for where, value in walk_objects(config):
        what = _code_in(value, custom_objects)
        if what:
            yield Finding(where, what)


def _code_in(value: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> str | None:
    class_name = value.get("class_name")
    inner = value.get("config")
    settings = inner if isinstance(inner, Mapping) else {}
    if not isinstance(class_name, str) or class_name in custom_objects:
        class_name = ""
    if class_name == "__lambda__":
        return "marshalled Python bytecode (a lambda)"
    if any(isinstance(key, str) and key.endswith("_type") and entry == "lambda" for key, entry in value.items()):
        return "marshalled Python bytecode (a Lambda layer)"
    if class_name == "Lambda":
        return _code_of_lambda(settings, custom_objects)
    if class_name in _CODE_CLASSES:
        return f"{_CODE_CLASSES[class_name]} ({class_name})"
    if class_name in _VOCABULARY_CLASSES and isinstance(settings.get("vocabulary"), str):
        return f"the path of a file to read, {settings['vocabulary']!r} ({class_name})"
    return _code_of_operation(class_name, settings) or _code_of_reference(value, class_name, inner)


def _code_of_lambda(settings: Mapping[str, Any], custom_objects: Mapping[str, Any]) -> str | None:
    """A Lambda layer is harmless only where its functions are names that the user resolves."""
    for key in ("function", "output_shape", "mask"):
        function = settings.get(key)
        if isinstance(function, Mapping):
            function = function.get("config") if function.get("class_name") == "function" else "a function"
        if isinstance(function, list) and key == "function":
            return "marshalled Python bytecode (a Lambda layer)"
        if isinstance(function, str) and function not in custom_objects:
            return f"a reference to the Python function {function!r} (a Lambda layer)"
    return None


def _code_of_operation(class_name: str, settings: Mapping[str, Any]) -> str | None:
    if class_name == "TFOpLambda" and is_unsafe_symbol(settings.get("function")):
        return f"a call of tf.{settings.get('function')} (TFOpLambda)"
    if class_name == "ClassMethod" and is_unsafe_symbol(settings.get("cls_symbol")):
        return f"a call of tf.{settings.get('cls_symbol')}.{settings.get('method_name')} (ClassMethod)"
    if class_name == "TensorFlowOpLayer" and any(word in str(settings.get("node_def")) for word in _UNSAFE_GRAPH_OPS):
        return "a graph operation that runs Python or touches files (TensorFlowOpLayer)"
    if class_name in {"InstanceMethod", "InstanceProperty"} and str(settings.get("attr_name")).startswith("_"):
        return f"a call of the private attribute {settings.get('attr_name')!r} ({class_name})"
    return None


def is_unsafe_symbol(symbol: Any) -> bool:
    """Whether a ``tf.`` symbol is not among those that only compute."""
    if not isinstance(symbol, str) or any(word in f"{symbol.lower()}." for word in _UNSAFE_WORDS):
        return True
    root, dot, _ = symbol.partition(".")
    return bool(dot) and root not in _SAFE_SYMBOL_ROOTS


def _code_of_reference(value: Mapping[str, Any], class_name: str, inner: Any) -> str | None:
    """A function or class of Keras that is no part of a model, such as ``keras.utils.get_file``."""
    module = value.get("module")
    if not isinstance(module, str) or module.partition(".")[0] not in {"keras", "tf_keras"}:
        return None
    parts = set(module.split("."))
    is_function = class_name == "function"
    if parts & _NO_PART_OF_A_MODEL or (is_function and not parts & _FUNCTION_MODULES):
        return f"a reference to {module}.{inner if is_function else class_name}"
    return None


def require_json_names(path: object, config: Mapping[str, Any]) -> None:
    """Refuse class names that are not text, which Keras would meet with an unhelpful error.

    Raises:
        ModelError: the configuration was not written by Keras.
    """
    for where, value in walk_objects(config):
        if "class_name" in value and not isinstance(value["class_name"], str):
            raise ModelError(f"{path}: corrupt: {where} has a class_name that is not text")
