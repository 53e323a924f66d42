"""The schema's numbers by name: operators, tensor types and options tables (schema.fbs of TFLite)."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

__all__ = ["OPERATOR_CODES", "OPERATOR_NAMES", "OPTIONS_NAMES", "TYPE_CODES", "TYPE_NAMES", "numpy_dtype"]


def _by_number(enumeration: object) -> dict[int, str]:
    return {code: name for name, code in vars(enumeration).items() if isinstance(code, int)}


OPERATOR_NAMES: dict[int, str] = _by_number(schema.BuiltinOperator)
OPERATOR_CODES: dict[str, int] = {name: code for code, name in OPERATOR_NAMES.items()}
TYPE_NAMES: dict[int, str] = {code: name.lower() for code, name in _by_number(schema.TensorType).items()}
TYPE_CODES: dict[str, int] = {name: code for code, name in TYPE_NAMES.items()}
OPTIONS_NAMES: dict[int, str] = _by_number(schema.BuiltinOptions)

_WITHOUT_NUMPY_DTYPE = frozenset(
    {"int4", "uint4", "int2", "string", "resource", "variant", "float8_e4m3fn", "float8_e5m2"}
)


def numpy_dtype(name: str) -> np.dtype[np.generic] | None:
    """The numpy dtype in which a tensor type is stored; None for one below 8 bits or without a fixed width."""
    if name in _WITHOUT_NUMPY_DTYPE:
        return None
    return np.dtype("uint16" if name == "bfloat16" else name)
