"""The user's own objects that a configuration names: whether they were supplied."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from tfcompress.errors import ModelError
from tfcompress.load.safety.configurations import unlisted_names, walk_objects
from tfcompress.runtime import keras, tf_keras

__all__ = ["missing_objects", "registered_objects", "require_known_objects", "supplied_names"]

_NOT_THE_USERS = frozenset({"keras", "tf_keras", "tensorflow_model_optimization", "tfcompress"})


def supplied_names(custom_objects: Mapping[str, object]) -> frozenset[str]:
    """The names of what the user gave, and of what the user's code registered with either Keras."""
    return frozenset({*custom_objects, *_registered()})


def _registered() -> dict[str, object]:
    return {
        name: value
        for library in (keras, tf_keras)
        for name, value in library.saving.get_custom_objects().items()
        if str(getattr(value, "__module__", "")).partition(".")[0] not in _NOT_THE_USERS
    }


def registered_objects(config: object) -> dict[str, object]:
    """Of what the user's code registered with either Keras, those that a configuration names."""
    registered = _registered()
    if not registered:
        return {}
    named = {
        name
        for _, value in walk_objects(config)
        for key in ("class_name", "registered_name", "config", "activation")
        if isinstance(name := value.get(key), str)
    }
    return {name: value for name, value in registered.items() if name in named}


def require_known_objects(path: Path, config: Mapping[str, object], supplied: Collection[str]) -> None:
    """Refuse a configuration that names objects which neither Keras, tfmot nor the user supplies.

    Args:
        path: for the message.
        config: of the model.
        supplied: names of what the user supplied.

    Raises:
        ModelError: names the objects and the flag that supplies them.
    """
    missing = sorted(set(missing_objects(config, supplied)))
    if missing:
        names = ", ".join(name[:100] for name in missing[:8])
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise ModelError(
            f"{path}: the file names custom objects that it does not contain: {names}{more}; "
            "supply them with --custom_objects=package.module:dict, where dict maps each name to its class or function"
        )


def missing_objects(config: Mapping[str, object], supplied: Collection[str]) -> Iterator[str]:
    """The names of the classes and functions in `config` that nobody supplies."""
    yield from unlisted_names(config, supplied)
