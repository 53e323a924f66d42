"""Which objects a configuration names, and whether anybody knows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfcompress.errors import ModelError
from tfcompress.load.safety.configurations import TRUSTED_PACKAGES, walk_objects
from tfcompress.runtime import keras, tf_keras

__all__ = ["missing_objects", "require_known_objects"]

# Class names that a configuration may hold and that are not public names of either library: kinds of models and cells,
# what functional graphs of `tf.*` and `keras.ops` calls are stored as, tfmot's wrappers, and serialized values (whether
# a lambda may be restored is not asked here).
_INTERNAL_CLASSES = frozenset(
    {"Functional", "Model", "Network", "Sequential", "function", "TFOpLambda", "SlicingOpLambda", "ClassMethod",
     "InstanceMethod", "InstanceProperty", "TensorFlowOpLayer", "DTypePolicy", "Policy", "PolicyV1",
     "__lambda__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__", "__keras_tensor__",
     "__typespec__", "TensorShape", "NoDependency", "CudnnLSTM", "CuDNNLSTM", "CuDNNGRU"}
)  # fmt: skip

# Setting names whose value may be the bare name of a function, and the module that must know it.
_FUNCTION_SETTINGS = {
    "activation": "activations",
    "initializer": "initializers",
    "regularizer": "regularizers",
    "constraint": "constraints",
}


def require_known_objects(
    path: Path, config: Mapping[str, Any], custom_objects: Mapping[str, Any], *, keras3: bool
) -> None:
    """Refuse a configuration that names objects which neither Keras, tfmot nor the user supplies.

    Args:
        path: for the message.
        config: of the model.
        custom_objects: what the user supplied.
        keras3: which Keras is going to read it.

    Raises:
        ModelError: names the objects and the flag that supplies them.
    """
    missing = sorted(set(missing_objects(config, custom_objects, keras3=keras3)))
    if missing:
        names = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
        raise ModelError(
            f"{path}: the file names custom objects that it does not contain: {names}; "
            "supply them with --custom_objects=package.module:dict, where dict maps each name to its class or function"
        )


def missing_objects(config: Mapping[str, Any], custom_objects: Mapping[str, Any], *, keras3: bool) -> Iterator[str]:
    """The names of the classes and functions in `config` that nobody supplies."""
    library = keras if keras3 else tf_keras
    for _, value in walk_objects(config):
        name = _missing_class(value, library, custom_objects)
        if name:
            yield name
        yield from _missing_functions(value, library, custom_objects)


def _missing_class(value: Mapping[str, Any], library: Any, custom_objects: Mapping[str, Any]) -> str | None:
    class_name, registered, module = value.get("class_name"), value.get("registered_name"), value.get("module")
    if not isinstance(class_name, str) or ("config" not in value and "spec_name" not in value):
        return None
    if class_name == "function":
        class_name = value["config"] if isinstance(value.get("config"), str) else class_name
    if any(name in custom_objects or _is_registered(library, name) for name in (class_name, registered)):
        return None
    # What Keras calls builtins are its own functions: those of Python must not be reached that way.
    if isinstance(module, str) and module != "builtins":
        return None if module.partition(".")[0] in TRUSTED_PACKAGES else class_name
    if class_name in _INTERNAL_CLASSES or _is_public(library, class_name):
        return None
    return class_name


def _is_registered(library: Any, name: Any) -> bool:
    return isinstance(name, str) and library.saving.get_registered_object(name) is not None


def _is_public(library: Any, name: str) -> bool:
    """Whether a class or function is a public name of one of the library's modules."""
    modules = ("layers", "models", "initializers", "regularizers", "constraints", "activations", "losses", "metrics",
               "optimizers", "quantizers", "random", "dtype_policies", "mixed_precision")  # fmt: skip
    found = [getattr(library, module, None) for module in modules]
    nested = [getattr(module, inner, None) for module in found for inner in ("schedules", "legacy", "experimental")]
    return any(hasattr(module, name) for module in [*found, *nested] if module is not None)


def _missing_functions(value: Mapping[str, Any], library: Any, custom_objects: Mapping[str, Any]) -> Iterator[str]:
    for key, name in value.items():
        module = _FUNCTION_SETTINGS.get(str(key).rpartition("_")[2])
        if module is None or not isinstance(name, str) or name in custom_objects:
            continue
        if _is_registered(library, name):
            continue
        try:
            getattr(library, module).get(name)
        except (ValueError, TypeError):
            yield name
