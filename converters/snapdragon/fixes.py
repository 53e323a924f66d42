"""What to do about an operator that Qualcomm's compiler leaves to the CPU."""

from __future__ import annotations

__all__ = ["fix_for"]

_GENERAL = "compute it before or after the model, or replace the layer by one whose operators map"
_FIXES = {
    "FLOOR_MOD": "write it as x - floor(x / y) * y, whose operators map",
    "ATAN2": "compute the angle after the model",
    "DEQUANTIZE": "keep its neighbours in int8, so that none is needed",
    "QUANTIZE": "keep its neighbours in int8, so that none is needed",
    "CALL_ONCE": "export without resources and hash tables",
    "VAR_HANDLE": "export the state as an input and an output of the model",
    "READ_VARIABLE": "export the state as an input and an output of the model",
    "ASSIGN_VARIABLE": "export the state as an input and an output of the model",
    "TRANSPOSE_CONV": "give it sides that the stride divides, or padding='valid' and a Cropping2D layer behind it",
    "WHILE": "unroll the loop: tfcompress does so for recurrent layers of a fixed length",
    "SHAPE": "export with fixed input sizes, batch included",
    "HASHTABLE_LOOKUP": "do the lookup before the model",
}


def fix_for(operator: str) -> str:
    """One line for the user.

    Args:
        operator: builtin name such as ``FLOOR_MOD``.
    """
    return _FIXES.get(operator, _GENERAL)
