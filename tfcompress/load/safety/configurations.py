"""What a configuration would be made of if it were loaded, judged without loading it.

A configuration is JSON, but Keras follows it to classes, functions and files: a `Lambda` holds marshalled Python
bytecode, `TorchModuleWrapper` a pickle, `TFSMLayer` the path of a SavedModel, a `StringLookup` the path of a text
file, and a ``module`` entry names what to import.  So every object in it has to stand on a list of what only computes
(`tfcompress.load.safety.lists`), or be the user's own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tfcompress.errors import ModelError, UnsafeModelError
from tfcompress.load.safety.references import class_problem, function_problem
from tfcompress.load.safety.settings import settings_problem, unlisted_strings

__all__ = [
    "LONGEST_NAME",
    "Finding",
    "code_findings",
    "refuse_code",
    "require_json_names",
    "unlisted_names",
    "walk_objects",
    "without_training_state",
]

_TRAINING_STATE = frozenset({"compile_config", "training_config", "loss_config", "optimizer_config"})
LONGEST_NAME = 1000
"""Characters of the name of a layer, a model or a variable."""
_PLAIN = (float, int, str, type(None))  # what JSON has beside objects and lists


@dataclass(frozen=True)
class Finding:
    """One place of a configuration that would run code or read a file.

    Attributes:
        where: the name of the nearest layer, and the path of keys from there.
        what: the code or the file, in a few words.
    """

    where: str
    what: str


def refuse_code(path: object, config: object, custom_objects: Collection[str]) -> None:
    """Refuse a configuration that carries code, reads files, or names parts of Keras that do other than compute.

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
            stack.extend((where, inner) for inner in reversed(_nested(value.values())))
        elif isinstance(value, list):
            stack.extend((where, inner) for inner in reversed(_nested(value)))


def _nested(values: Iterable[object]) -> list[object]:
    """Those that may hold objects; a file may have millions of numbers, which are passed over."""
    return [value for value in values if not isinstance(value, _PLAIN)]


def _name_of(value: Mapping[str, object]) -> str | None:
    inner = value.get("config")
    name = inner.get("name") if isinstance(inner, Mapping) else None
    name = name or (value.get("name") if "class_name" in value else None)
    return f"layer {name[:100]!r}" if isinstance(name, str) and name else None


def code_findings(config: Any, custom_objects: Collection[str]) -> Iterator[Finding]:
    """The places of a configuration that would run code, read a file or call what is on no list.

    Args:
        config: parsed JSON of a model, layer or training configuration.
        custom_objects: names of what the user supplied; a Lambda whose function is among them carries no code.
    """
    for where, value in walk_objects(config):
        for problem in _problems(value, custom_objects):
            if not problem.missing:
                yield Finding(where, problem.text)


def unlisted_names(config: Any, custom_objects: Collection[str]) -> Iterator[str]:
    """The names in a configuration that are of no library: the user's own classes and functions, not supplied."""
    for _, value in walk_objects(config):
        yield from (problem.text for problem in _problems(value, custom_objects) if problem.missing)
        yield from unlisted_strings(value, custom_objects)


def _problems(value: Mapping[str, Any], supplied: Collection[str]) -> Iterator[Any]:
    class_name = value.get("class_name")
    problems = (
        function_problem(value, supplied)
        if class_name == "function"
        else class_problem(value, supplied)
        if isinstance(class_name, str)
        else None
    )
    problems = problems or settings_problem(value, supplied)
    if problems:
        yield problems


def without_training_state(config: Any) -> Any:
    """A copy of a configuration without losses, metrics and optimizers, those of nested models included."""
    if isinstance(config, Mapping):
        kept = config.items() if "class_name" not in config else _without(config)
        return {key: without_training_state(value) for key, value in kept}
    if isinstance(config, list):
        return [value if isinstance(value, _PLAIN) else without_training_state(value) for value in config]
    return config


def _without(config: Mapping[str, object]) -> list[tuple[str, object]]:
    return [(key, value) for key, value in config.items() if key not in _TRAINING_STATE]


def require_json_names(path: object, config: Mapping[str, object]) -> None:
    """Refuse class names that are not text, which Keras would meet with an unhelpful error, and very long names.

    TensorFlow writes a layer's name before that of each of its operations, and each of many graphs keeps them.

    Raises:
        ModelError: the configuration was not written by Keras.
    """
    for where, value in walk_objects(config):
        inner = value.get("config")
        for name in (value.get("name"), inner.get("name") if isinstance(inner, Mapping) else None):
            if isinstance(name, str) and len(name) > LONGEST_NAME:
                raise ModelError(
                    f"{path}: {name[:20]!r}... is a name of {len(name):,} characters, expected at most "
                    f"{LONGEST_NAME:,}; give the layer a shorter one"
                )
        if "class_name" in value and not isinstance(value["class_name"], str):
            raise ModelError(f"{path}: corrupt: {where} has a class_name that is not text")
