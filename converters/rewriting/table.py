"""Every rewrite of a .tflite, one row each, in the order in which they are tried.

To add one, write a function of the form in `activations`, and a row in the file of its kind.  Each row is proven on the
model at hand before it is kept (`tfcompress.graphs.tflite.proof`); `tests/converters/rewriting` wants an example of it.
"""

from __future__ import annotations

from typing import Literal

from tfcompress.converters.rewriting.rows_of_edgetpu import EDGETPU_ROWS
from tfcompress.converters.rewriting.rows_of_float import FLOAT_ROWS
from tfcompress.converters.rewriting.rows_of_integers import INTEGER_ROWS
from tfcompress.graphs.tflite.rewriting import Rewrite

__all__ = ["REWRITES", "rows_for"]

REWRITES: tuple[Rewrite, ...] = (*FLOAT_ROWS, *EDGETPU_ROWS, *INTEGER_ROWS)


def rows_for(use: str, level: Literal["none", "safe", "all"] = "safe") -> tuple[Rewrite, ...]:
    """The rows for a use, in order.

    Args:
        use: one of the constants of `row`.
        level: `none` gives no row, `safe` those that leave the function as it was, `all` the others too.
    """
    return tuple(row for row in REWRITES if use in row.uses and level != "none" and row.level in ("safe", level))
