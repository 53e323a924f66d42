"""What to do about an operator that Vela leaves to the CPU."""

from __future__ import annotations

__all__ = ["fix_for"]

_GENERAL = "run `vela --supported-ops-report` for the limits of this operator, or compute it outside of the model"
_FIXES = {
    "DEQUANTIZE": "use int8 outputs, and layers that quantize, so that none is needed",
    "WHILE": "unroll the loop: tfcompress does so for recurrent layers of a fixed length",
    "CAST": "feed the model 8-bit values and keep casts out of it",
    "GATHER": "use slices with constant positions",
    "EMBEDDING_LOOKUP": "look the embedding up on the CPU, before the model",
}


def fix_for(operator: str, reason: str) -> str:
    """One line for the user.

    Args:
        operator: builtin name such as ``DEQUANTIZE``.
        reason: Vela's own.
    """
    if "Float32" in reason or "float32" in reason:
        return "quantize it: give calibration samples, and keep the layer out of --keep_float"
    if "dynamic" in reason.lower():
        return "export with fixed input sizes, batch included"
    return _FIXES.get(operator, _GENERAL)
