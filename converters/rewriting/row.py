"""The form of a row of the table of rewrites, and what a row can be for."""

from __future__ import annotations

from typing import Literal

from tfcompress.graphs.tflite.rewriting import Rewrite

__all__ = [
    "EDGETPU",
    "EDGETPU_FILE",
    "ETHOS_U",
    "ETHOS_U_FILE",
    "FLOAT_FILE",
    "IDENTITY",
    "INT8_FILE",
    "PHONE",
    "PHONE_FILE",
    "SNAPDRAGON_FILE",
    "SPECIFICATION",
    "row_of",
]

# What a row is for: every float .tflite; the float .tflite that the Edge TPU's int8 one is made of; every int8 file;
# the Edge TPU's int8 file; the int8 file that XNNPACK will run on a CPU; the float .tflite that Ethos-U's int8 one is
# made of, beside the Edge TPU's rows; Ethos-U's int8 file; Snapdragon's; the float .tflite that a phone's int8 one is
# made of.
FLOAT_FILE, EDGETPU, INT8_FILE, EDGETPU_FILE = "float file", "edgetpu", "int8 file", "edgetpu int8 file"
PHONE, PHONE_FILE = "phone", "phone int8 file"
ETHOS_U, ETHOS_U_FILE = "ethos_u", "ethos_u int8 file"
SNAPDRAGON_FILE = "snapdragon int8 file"
SPECIFICATION = "LiteRT 8-bit quantization specification"
IDENTITY = "identity of real functions"


def row_of(
    use: str | tuple[str, ...],
    name: str,
    operators: tuple[str, ...],
    apply: object,
    what: str,
    source: str,
    *,
    level: Literal["safe", "all"] = "safe",
    **more: object,
) -> Rewrite:
    """A row; see `Rewrite` for what its fields mean."""
    uses = frozenset({use} if isinstance(use, str) else use)
    return Rewrite(name, operators, level, apply, what, source, uses, **more)  # type: ignore[arg-type]
