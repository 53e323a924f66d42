"""The versions of `edgetpu_compiler`: what each writes into a package, and since when it has an operator."""

from __future__ import annotations

from dataclasses import dataclass

from tfcompress.converters.edgetpu.operators import Certainty
from tfcompress.errors import InputError

__all__ = ["COMPILERS", "NEWEST", "RUNTIMES", "SINCE", "Since", "known_compiler"]

COMPILERS = (1, 2, 14, 15, 16)
NEWEST = COMPILERS[-1]
# The runtime version that each asks for in its packages, unless told otherwise with --min_runtime_version.  Seen in
# public packages; Coral's release notes say 13 for the compiler of January 2020 and later.
RUNTIMES = {1: 10, 2: 12, 14: 12, 15: 12, 16: 14}


@dataclass(frozen=True)
class Since:
    """Operators that a compiler was the first to take.

    Attributes:
        compiler: its major version.
        operators: their TFLite names.
        certainty: how sure that is.
        source: where it is from.
    """

    compiler: int
    operators: tuple[str, ...]
    certainty: Certainty
    source: str


SINCE = (
    Since(
        2,
        ("EXPAND_DIMS", "PACK", "QUANTIZE", "SUM", "TRANSPOSE_CONV"),
        "documented",
        "Coral release notes, January 2020 (compiler 2.0.291256449)",
    ),
    Since(
        14,
        ("UNIDIRECTIONAL_SEQUENCE_LSTM",),
        "inferred",
        "mapped in a public pair whose package names runtime 12; in no log of compiler 2",
    ),
    Since(15, ("PRELU",), "documented", "google-coral/edgetpu issue 147, staff: not in 14.1, in the next release"),
    Since(
        16,
        ("REDUCE_MAX", "REDUCE_MIN", "RSQRT", "SQUARED_DIFFERENCE", "TRANSPOSE"),
        "observed",
        "TRANSPOSE: refused by 15.0 in google-coral/edgetpu issues 317 and 342, mapped by 16; the others: Coral's table"
        " names runtime 14, which compiler 16 was the first to ask for (inferred)",
    ),
)


def known_compiler(version: int | str) -> int:
    """The major version of a compiler.

    Args:
        version: 16, ``16`` or ``16.0.384591198``.

    Raises:
        InputError: there was no such compiler.
    """
    major = str(version).split(".")[0]
    if not major.isdigit() or int(major) not in COMPILERS:
        names = ", ".join(map(str, reversed(COMPILERS)))
        raise InputError(f"--edgetpu_compiler={version}: no such version, expected one of {names}")
    return int(major)
