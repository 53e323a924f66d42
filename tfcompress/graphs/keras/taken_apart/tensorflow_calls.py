"""Calls of `tf` on the symbolic tensors of Keras 3, which TensorFlow refuses: noted while a layer is taken apart."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from tfcompress.graphs.tensorflow.private_names import CallDispatcher
from tfcompress.runtime import keras

__all__ = ["TensorFlowCall", "noting_tensorflow_calls"]

_noting: ContextVar[bool] = ContextVar("noting_tensorflow_calls", default=False)


class TensorFlowCall(keras.Operation):
    """A function of `tf` as an operation of Keras 3."""

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.function = function

    def call(self, *args: Any, **kwargs: object) -> Any:
        """What the function returns."""
        return self.function(*args, **kwargs)


class _Dispatcher(CallDispatcher):
    """TensorFlow asks it about every call that it cannot do itself."""

    def handle(self, op: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        symbolic = any(isinstance(leaf, keras.KerasTensor) for leaf in keras.tree.flatten((args, dict(kwargs))))
        if not _noting.get() or not symbolic:
            return self.NOT_SUPPORTED
        return TensorFlowCall(op)(*args, **kwargs)


@contextlib.contextmanager
def noting_tensorflow_calls() -> Iterator[None]:
    """Within, a call of `tf` on a symbolic tensor of Keras 3 is a `TensorFlowCall` in its graph."""
    global _registered
    if not _registered:
        _Dispatcher().register()
        _registered = True
    token = _noting.set(True)
    try:
        yield
    finally:
        _noting.reset(token)


_registered = False
