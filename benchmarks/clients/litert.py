"""What LiteRT makes of a .tflite, with each set of its kernels, as a whole and operator by operator."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.graphs.tflite.extraction import extract
from tfcompress.graphs.tflite.interpreter import new_interpreter, run

__all__ = ["REFERENCE", "USUAL", "lone_operators", "outputs_by_kernels"]

USUAL, REFERENCE = "LiteRT", "LiteRT's reference kernels"


def outputs_by_kernels(content: bytes, inputs: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """{kernels: the outputs [samples, ...]} by LiteRT as it comes, without XNNPACK, and with its reference kernels.

    Args:
        content: the .tflite, for one sample at a time.
        inputs: stored numbers [samples, ...], in the file's order.
    """
    return {
        USUAL: _outputs(new_interpreter(content), inputs),
        "LiteRT without XNNPACK": _outputs(new_interpreter(content, xnnpack=False), inputs),
        REFERENCE: _outputs(new_interpreter(content, reference=True), inputs),
    }


def _outputs(interpreter: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    shapes = [detail["shape"] for detail in interpreter.get_input_details()]
    rows = [
        run(interpreter, [value.reshape(shape) for value, shape in zip(sample, shapes, strict=True)])
        for sample in zip(*inputs, strict=True)
    ]
    return [np.stack(column).reshape(len(rows), *column[0].shape[1:]) for column in zip(*rows, strict=True)]


def lone_operators(content: bytes, inputs: Sequence[np.ndarray]) -> Iterator[tuple[str, bytes, list[np.ndarray]]]:
    """Each operator that reads what was computed: its name, a file of it alone, and what that is given [samples, ...].

    Args:
        content: the .tflite.
        inputs: as for `outputs_by_kernels`; what lies between is what LiteRT's reference kernels make of them.
    """
    interpreter = new_interpreter(content, reference=True, keep_all=True)
    places = {detail["name"]: detail["index"] for detail in interpreter.get_tensor_details()}
    rows = []
    for sample in zip(*inputs, strict=True):
        run(interpreter, [value[None] for value in sample])
        rows.append(_values(interpreter, places))
    for operator in ModelEditor.read(content).main.operators:
        sources = [tensor for tensor in operator.operands if not tensor.is_constant]
        if sources:
            alone = extract([operator], inputs=sources, outputs=operator.outputs)
            yield operator.name, alone, [np.stack([row[tensor.name] for row in rows]) for tensor in sources]


def _values(interpreter: Any, places: Mapping[str, int]) -> dict[str, np.ndarray]:
    """{tensor: value} of those that have one."""
    values = {}
    for name, index in places.items():
        with contextlib.suppress(ValueError):  # a kernel's own scratch memory
            values[name] = np.array(interpreter.get_tensor(index))
    return values
