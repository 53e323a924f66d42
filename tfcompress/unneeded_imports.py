"""Libraries that TensorFlow and Keras import where they are installed, and that we have no use for there.

Keras 3 imports scikit-learn for its wrappers, TensorFlow imports JAX for `TFLiteConverter.experimental_from_jax`.
Together they take two of the eight seconds in which a command starts.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

__all__ = ["leave_out", "left_out"]

_UNNEEDED = ("jax", "sklearn")
_leaves_out = False


def leave_out() -> None:
    """Let `left_out` do something from now on; for a process that is ours, as a user's code may need them."""
    global _leaves_out
    _leaves_out = True


@contextlib.contextmanager
def left_out() -> Iterator[None]:
    """Within, the libraries count as not installed, unless they were imported before; afterwards, as installed."""
    names = [name for name in _UNNEEDED if _leaves_out and name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None there makes an import fail
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
