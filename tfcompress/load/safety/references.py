"""Whether what a configuration names as a class or a function is on the lists, each with the modules it may be in."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tfcompress.load.safety.lists import keras_classes as lists

__all__ = ["Problem", "class_problem", "function_problem", "is_ours"]


@dataclass(frozen=True)
class Problem:
    """Why an object is not let in.

    Attributes:
        text: what it is, in a few words; the bare name where it is `missing`.
        missing: it is of no library: the user's own, and has to be supplied.
    """

    text: str
    missing: bool = False


# Layers that are a container for a program in another form, and what that form is.
_CODE_CLASSES = {
    "TorchModuleWrapper": "a pickled PyTorch module",
    "TFSMLayer": "the path of another SavedModel",
    "JaxLayer": "a Python function",
    "FlaxLayer": "a pickled Flax module",
}
# How Keras writes values that JSON lacks; each is taken apart without a look-up of any name.
_VALUES = frozenset(
    {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__", "__tuple__",
     "CompositeTensor", "NoDependency", "TensorShape"}
)  # fmt: skip
_SPECIFICATIONS = frozenset({"RaggedTensorSpec", "SparseTensorSpec", "TensorSpec"})
_SPECIFICATION_MODULES = frozenset(
    {None, "builtins", "tensorflow.python.framework.sparse_tensor", "tensorflow.python.framework.tensor",
     "tensorflow.python.framework.tensor_spec", "tensorflow.python.ops.ragged.ragged_tensor"}
)  # fmt: skip

_ANY = (
    lists.LAYERS
    | lists.MODELS
    | lists.INITIALIZERS
    | lists.REGULARIZERS
    | lists.CONSTRAINTS
    | lists.OTHERS
    | lists.TFMOT
    | frozenset({"InputSpec"})
)
# Which list holds for which modules of either Keras; a module that matches none holds nothing of a model.
_BY_MODULE = (
    (r"(\.src)?\.layers(\.\w+)*", lists.LAYERS | {"InputSpec"}),
    (r"\.src\.legacy\.layers|(\.src)?\.applications(\.\w+)*|\.src\.legacy_tf_layers(\.\w+)*", lists.LAYERS),
    (r"(\.src)?(\.engine|\.models)(\.\w+)*", lists.MODELS | {"InputLayer", "InputSpec", "TensorFlowOpLayer"}),
    (r"", lists.MODELS | {"DTypePolicy", "DTypePolicyMap"}),
    (r"(\.src)?\.initializers(\.\w+)*", lists.INITIALIZERS),
    (r"(\.src)?\.regularizers(\.\w+)*", lists.REGULARIZERS),
    (r"(\.src)?\.constraints(\.\w+)*", lists.CONSTRAINTS),
    (r"(\.src)?(\.dtype_policies|\.mixed_precision|\.quantizers|\.random)(\.\w+)*", lists.OTHERS),
    (r"\.src\.backend\.common\.(dtypes|variables)", lists.OTHERS),
)
_PATTERNS = tuple((re.compile(pattern), names) for pattern, names in _BY_MODULE)
_ACTIVATION_MODULES = re.compile(r"(builtins|(tf_)?keras(\.src)?\.(activations(\.\w+)*|ops(\.nn)?))")
_LIBRARIES = frozenset({"keras", "tf_keras", "tensorflow", "tensorflow_model_optimization"})
_OUR_ACTIVATIONS = frozenset({"keras2_hard_sigmoid", *(f"keras3_{name}" for name in lists.ACTIVATIONS)})


def is_ours(name: str) -> bool:
    """Whether ``tfcompress>NAME`` is one of the layers or activations that we register."""
    package, _, short = name.partition(">")
    return package == "tfcompress" and (short in lists.OURS or short in _OUR_ACTIVATIONS)


def class_problem(value: Mapping[str, Any], supplied: Collection[str]) -> Problem | None:
    """Why the object of a class is not let in; None where it is on a list or the user's.

    Args:
        value: a JSON object with a ``class_name`` that is text.
        supplied: names of what the user supplied.
    """
    name, registered, module = value["class_name"], value.get("registered_name"), value.get("module")
    if name == "__lambda__":
        return Problem("marshalled Python bytecode (a lambda)")
    if name in supplied or (isinstance(registered, str) and registered in supplied):
        return None
    if name in _VALUES or (name == "Lambda" and module in _LAMBDA_MODULES):
        return None  # what a Lambda calls is judged among its settings
    if name in {"__typespec__", "TypeSpec"}:
        return _specification_problem(value)
    if name in _CODE_CLASSES:
        return Problem(f"{_CODE_CLASSES[name]} ({name})")
    short = name.rpartition(">")[2]
    if isinstance(registered, str) and registered.rpartition(">")[2] != short:
        return Problem(f"the class {registered[:100]} under the name of {short[:100]}")
    return _place_problem(name, registered, module)


_LAMBDA_MODULES = frozenset({None, "keras.layers", "tf_keras.layers", "keras.src.layers.core.lambda_layer"})


def _place_problem(name: str, registered: object, module: object) -> Problem | None:
    for full in (registered, name):
        if isinstance(full, str) and full.startswith("tfcompress>"):
            return None if is_ours(full) else Problem(full, missing=True)
    short = name.rpartition(">")[2]
    if name.startswith("Custom>") or str(registered).startswith("Custom>"):
        return None if short == "CustomScaleLayer" else Problem(name, missing=True)
    if ">" in name or not isinstance(module, str):
        return None if name in _ANY else Problem(name, missing=True)
    package = module.partition(".")[0]
    if package not in _LIBRARIES:
        return Problem(name, missing=True)
    if name in lists.OPERATIONS.get(module, ()) or name in _listed(package, module.removeprefix(package)):
        return None
    return Problem(f"a reference to {module[:100]}.{name[:100]}, which is not on the list of what a model is made of")


def _listed(package: str, rest: str) -> Collection[str]:
    """The names that a library's module may give a model."""
    if package == "tensorflow_model_optimization":
        return lists.TFMOT
    if package == "tensorflow":
        return ()
    return next((names for pattern, names in _PATTERNS if pattern.fullmatch(rest)), ())


def _specification_problem(value: Mapping[str, object]) -> Problem | None:
    name = str(value.get("spec_name", value.get("type_spec"))).rpartition(".")[2]
    if name in _SPECIFICATIONS and value.get("module") in _SPECIFICATION_MODULES:
        return None
    return Problem(f"a type specification {name[:100]!r} that is no tensor's")


def function_problem(value: Mapping[str, object], supplied: Collection[str]) -> Problem | None:
    """Why a reference to a function is not let in; None where it is an activation on the list, ours or the user's."""
    name, registered, module = value.get("config"), value.get("registered_name"), value.get("module")
    if not isinstance(name, str):
        return Problem("a reference to a function that is not named by text")
    if name in supplied or (isinstance(registered, str) and registered in supplied):
        return None
    if is_ours(name):
        return None
    if name in lists.ACTIVATIONS and (module is None or _ACTIVATION_MODULES.fullmatch(str(module))):
        is_registered = registered in {None, "function", name}
        return None if is_registered else Problem(f"the function {str(registered)[:100]} under the name of {name}")
    if isinstance(module, str) and module.partition(".")[0] in _LIBRARIES:
        return Problem(f"a reference to {module[:100]}.{name[:100]}")
    return Problem(name, missing=True)
