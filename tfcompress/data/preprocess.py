"""What happens to raw values before the model sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from tfcompress.data.functions import import_attribute
from tfcompress.errors import InputError

__all__ = ["PREPROCESSINGS", "Preprocess", "preprocess_for"]

Preprocess = Callable[[np.ndarray], np.ndarray]


def _unit(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) / np.float32(255)


def _signed_unit(value: np.ndarray) -> np.ndarray:
    return value.astype(np.float32) / np.float32(127.5) - np.float32(1)


_KNOWN: dict[str, Preprocess | None] = {"none": None, "unit": _unit, "signed_unit": _signed_unit}
PREPROCESSINGS = tuple(_KNOWN)
"""Names that `preprocess_for` knows."""


def preprocess_for(spec: str | Preprocess | None) -> Preprocess | None:
    """The function that ``--preprocess`` names.

    Args:
        spec: ``none``, ``unit`` (x / 255, to 0..1), ``signed_unit`` (x / 127.5 - 1, to -1..1), or, as a function or as
            ``package.module:function``, what maps one raw sample (an array without a batch dimension) to the input.

    Returns:
        The function, or None where values are used as they are.

    Raises:
        InputError: none of these.
    """
    if spec is None or callable(spec):
        return spec
    if spec in _KNOWN:
        return _KNOWN[spec]
    if ":" not in spec:
        raise InputError(f"--preprocess={spec}: expected one of {', '.join(_KNOWN)} or package.module:function")
    function = import_attribute(spec, "--preprocess")
    if not callable(function):
        raise InputError(f"--preprocess={spec}: is not a function")
    return cast(Preprocess, function)
