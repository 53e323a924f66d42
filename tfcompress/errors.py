"""Every error that tfcompress raises on purpose.

    TfCompressError
    ├── InputError            bad usage or bad input: exit code 2
    │   ├── ModelError        the model file cannot be used
    │   │   └── UnsafeModelError   it would run code, and the user did not opt in
    │   ├── DataError         calibration, evaluation or training data cannot be used
    │   ├── RecipeError       a recipe or an option is wrong
    │   └── MissingExtraError an optional dependency is not installed
    ├── ConversionError       a conversion failed: exit code 1
    └── OutputError           the output cannot be written: exit code 1

The message of each is one line: what, where, expected, got, and how to fix it.
"""

from __future__ import annotations

import re

from tfcompress.printable import printable

__all__ = [
    "GATE_FAILED",
    "ConversionError",
    "DataError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "RecipeError",
    "TfCompressError",
    "UnsafeModelError",
    "cause_of",
    "one_line",
]


GATE_FAILED = 3
"""Exit code of a run whose artifacts are whole, but one of which lost more accuracy than the gate allows."""


def one_line(text: object, limit: int = 400) -> str:
    """`text` folded into one line of at most `limit` characters, safe to print; quotes another library's message."""
    folded = printable(" ".join(str(text).split()))
    return folded if len(folded) <= limit else folded[: limit - 1] + "…"


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WHERE_IN_GRAPH = re.compile(r"\{\{(?:function_)?node [^}]*\}\}|\[\[.*?\]\]|\[Op:[^\]]*\]")
_TRACE = ("Graph execution error:", "Detected at node", "  File ", "    ")


def cause_of(error: BaseException, limit: int = 400) -> str:
    """Another library's error in one line: its kind, and its message without colours and TensorFlow's own traceback."""
    lines = [line for line in str(error).splitlines() if not line.startswith(_TRACE)]
    message = _WHERE_IN_GRAPH.sub("", _COLOUR.sub("", "\n".join(lines) or str(error)))
    return one_line(f"{type(error).__name__}: {message}", limit)


class TfCompressError(Exception):
    """Base of every error that tfcompress raises on purpose."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message, 2000))


class InputError(TfCompressError):
    """Bad usage or bad input."""

    exit_code = 2


class ModelError(InputError):
    """The model cannot be used: missing, corrupt, of an unknown format, or of an unsupported kind."""


class UnsafeModelError(ModelError):
    """Loading the model would run code that the file carries, and the user did not opt in."""


class DataError(InputError):
    """Calibration, evaluation or training data cannot be used."""


class RecipeError(InputError):
    """A recipe or an option has a value or a name that is not allowed."""


class MissingExtraError(InputError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed: pip install 'tfcompress[{extra}]'")


class ConversionError(TfCompressError):
    """A conversion failed for a reason that lies in the model or in the engine."""

    exit_code = 1


class OutputError(TfCompressError):
    """The output cannot be written: the disk is full, a size limit is reached, the file system refuses."""

    exit_code = 1
