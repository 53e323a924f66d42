"""Whether two float graphs compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tfcompress.native_output import silenced

__all__ = ["TOLERANCE", "largest_difference"]

TOLERANCE = 1e-5  # of float32 outputs, relative to their largest value where that is above 1
_RUNS = 2


def largest_difference(first: bytes, second: bytes, *, seed: int = 0) -> float:
    """Largest difference of any output of two .tflite files on the same random inputs.

    Args:
        first: a float .tflite.
        second: another with the same inputs and outputs.
        seed: of the inputs; floats are normal, 8-bit integers take all values, wider ones 0 and 1.

    Returns:
        max |a - b| / max(1, max |a|) over all outputs; infinity when one has NaN where the other has not, when shapes
        differ, or when one of the files cannot be run.
    """
    try:
        return _largest_difference(first, second, seed)
    except (RuntimeError, ValueError):  # what the interpreter raises for a graph that it cannot prepare
        return float("inf")


def _largest_difference(first: bytes, second: bytes, seed: int) -> float:
    with silenced():
        one, other = _interpreter(first), _interpreter(second)
    random = np.random.default_rng(seed)
    worst = 0.0
    for _ in range(_RUNS):
        inputs = [_random_input(random, detail) for detail in one.get_input_details()]
        worst = max(worst, _difference(_run(one, inputs), _run(other, inputs)))
    return worst


def _interpreter(content: bytes) -> Any:
    interpreter = Interpreter(model_content=content, num_threads=2)
    interpreter.allocate_tensors()
    return interpreter


def _random_input(random: np.random.Generator, detail: dict[str, Any]) -> np.ndarray:
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return random.normal(size=shape).astype(dtype)
    low, high = (-128, 128) if dtype == np.int8 else (0, 256) if dtype == np.uint8 else (0, 2)
    return random.integers(low, high, size=shape).astype(dtype)


def _run(interpreter: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def _difference(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    worst = 0.0
    for a, b in zip(first, second, strict=True):
        if a.shape != b.shape:
            return float("inf")
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        gap = np.abs(wide_a - wide_b)
        gap[np.isnan(wide_a) & np.isnan(wide_b)] = 0
        scale = max(1.0, float(np.nanmax(np.abs(wide_a), initial=0)))
        worst = max(worst, float("inf") if np.isnan(gap).any() else float(gap.max(initial=0)) / scale)
    return worst
