"""The user's process is after a call as it was before: random states, log levels, environment, import path.

Streams are restored by `native_output.silenced`, signal handlers by `interruption.stoppable`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

__all__ = ["leaves_process_alone", "restored"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_LOGGERS = (None, "absl", "tensorflow", "jax")
_MISSING = object()


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Put back what a conversion changes in the process: also where the block raises."""
    before = [(restore, save()) for save, restore in _PARTS]
    try:
        yield
    finally:
        for restore, state in before:
            restore(state)


def leaves_process_alone(function: _Function) -> _Function:
    """`function`, run inside `restored`."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: object) -> Any:
        with restored():
            return function(*arguments, **options)

    return wrapped  # type: ignore[return-value]


def _set_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _log_levels() -> tuple[int | None, list[int]]:
    """(absl's verbosity, of which it keeps a copy of its own; the levels of the loggers)."""
    absl = sys.modules.get("absl.logging")
    return None if absl is None else absl.get_verbosity(), [logging.getLogger(name).level for name in _LOGGERS]


def _set_log_levels(state: tuple[int | None, list[int]]) -> None:
    verbosity, levels = state
    absl = sys.modules.get("absl.logging")
    if absl is not None and verbosity is not None and absl.get_verbosity() != verbosity:
        absl.set_verbosity(verbosity)
    for name, level in zip(_LOGGERS, levels, strict=True):
        logging.getLogger(name).setLevel(level)


def _tensorflow_seed() -> tuple[object, object, object]:
    """(the eager context, its global seed, the state of its generator)."""
    module = sys.modules.get("tensorflow.python.eager.context")
    if module is None:
        return None, None, None
    context = module.context()
    generator = getattr(context, "_rng", None)
    return context, getattr(context, "_seed", None), None if generator is None else generator.getstate()


def _set_tensorflow_seed(state: tuple[Any, Any, Any]) -> None:
    context, seed, generator = state
    if context is None or _tensorflow_seed()[1:] == (seed, generator):
        return
    context._seed = seed
    if generator is None:
        context._rng = None
    else:
        context._rng = random.Random()
        context._rng.setstate(generator)


def _keras_seeds() -> list[tuple[object, str, object, object]]:
    """(where, attribute, value, state inside the value) of Keras 3's and tf_keras's own generators."""
    seeds: list[tuple[Any, str, Any, Any]] = []
    state = sys.modules.get("keras.src.backend.common.global_state")
    for name in ("global_random_seed", "global_seed_generator") if state is not None else ():
        tracker: object = state.GLOBAL_STATE_TRACKER  # type: ignore[union-attr]
        value = getattr(tracker, name, _MISSING)
        inner = getattr(value, "state", None)
        seeds.append((tracker, name, value, None if inner is None else inner.numpy()))
    backend = sys.modules.get("tf_keras.src.backend")
    if backend is not None:
        local: object = backend._SEED_GENERATOR
        value = getattr(local, "generator", _MISSING)
        seeds.append((local, "generator", value, value.getstate() if isinstance(value, random.Random) else None))
    return seeds


def _set_keras_seeds(state: list[tuple[Any, str, Any, Any]]) -> None:
    for where, name, value, inner in state:
        if value is _MISSING:
            if hasattr(where, name):
                delattr(where, name)
            continue
        setattr(where, name, value)
        if isinstance(value, random.Random):
            value.setstate(inner)
        elif inner is not None and not np.array_equal(value.state.numpy(), inner):
            value.state.assign(inner)


def _set_numpy_errors(before: dict[str, Any]) -> None:
    np.seterr(**before)


def _set_path(before: list[str]) -> None:
    sys.path[:] = before


_PARTS: tuple[tuple[Callable[[], Any], Callable[[Any], None]], ...] = (
    (random.getstate, random.setstate),
    (np.random.get_state, np.random.set_state),
    (np.geterr, _set_numpy_errors),
    (_tensorflow_seed, _set_tensorflow_seed),
    (_keras_seeds, _set_keras_seeds),
    (lambda: dict(os.environ), _set_environment),
    (_log_levels, _set_log_levels),
    (lambda: list(sys.path), _set_path),
)
