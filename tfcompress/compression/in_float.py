"""A quantization-aware model computing in float, as if it had no quantizers, while it is traced or run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["in_float", "is_in_float"]

_in_float: ContextVar[bool] = ContextVar("quantizers let everything pass", default=False)


@contextmanager
def in_float() -> Iterator[None]:
    """Quantizers let values pass as they are; weights keep their zeros and clusters.

    It counts while a function is traced: what was traced before or after has its quantizers.
    """
    token = _in_float.set(True)
    try:
        yield
    finally:
        _in_float.reset(token)


def is_in_float() -> bool:
    """Whether quantizers let everything pass now."""
    return _in_float.get()
