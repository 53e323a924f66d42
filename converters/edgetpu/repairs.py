"""Repairs of the quantized file: what compiler 16 would refuse for its form alone (rows of `rewriting.table`)."""

from __future__ import annotations

from tfcompress.converters.rewriting import EDGETPU_FILE, rewrite_graph, rows_for

__all__ = ["repair_int8_file"]

_LEAKY_RELU = "leaky_relu"


def repair_int8_file(content: bytes, *, leaky_relu: bool = False) -> tuple[bytes, tuple[str, ...]]:
    """Give the file the form that the compiler accepts; without `leaky_relu` every output stays, bit for bit.

    Args:
        content: a quantized .tflite.
        leaky_relu: write LeakyReLU as maximum(x, alpha * x) too (the rewrite of that name), which may move a value by
            one step.

    Returns:
        The .tflite and a note for each kind of repair; the same bytes when there is nothing to do.
    """
    rows = [row for row in rows_for(EDGETPU_FILE) if leaky_relu or row.name != _LEAKY_RELU]
    result = rewrite_graph(content, rows)
    done = (item.note() for item in result.applied if item.name != _LEAKY_RELU)
    return result.content, (*done, *(item.note() for item in result.dropped))
