"""Latency where a phone would run it, LiteRT on the CPU with XNNPACK, and what XNNPACK leaves to slower kernels."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from typing import cast

import numpy as np

from tfcompress.cache import remembered
from tfcompress.converters.litert.xnnpack import delegated, reason_against
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import CANNOT_RUN, Interpreter, new_interpreter
from tfcompress.native_output import silenced

__all__ = ["measure_latency", "xnnpack_share"]

WARM_UP_RUNS = 3
RUNS = 30
SECONDS = 0.5  # stop earlier than `RUNS` when a model is slow, but never below `LEAST_RUNS`
LEAST_RUNS = 5


def measure_latency(content: bytes, float_content: bytes | None) -> dict[str, object]:
    """Latency of one inference at batch 1, of a file and of the float file that it was made from.

    Args:
        content: the .tflite.
        float_content: the float .tflite; None where there is none (a quantization-aware model).

    Returns:
        `latency_ms`: {`median`, `p90`} on one thread; `latency_ms_all_threads`: the same with `threads` on all cores;
        `float_latency_ms` and `float_latency_ms_all_threads`: the float file's.  None where LiteRT cannot run a file
        (TensorFlow operators without the Flex delegate) or there is none.
    """
    cores = os.cpu_count() or 1
    result: dict[str, object] = {}
    for prefix, file in (("", content), ("float_", float_content)):
        single, every = (None, None) if file is None else (_one(file, 1), _one(file, cores))
        result[f"{prefix}latency_ms"] = single
        result[f"{prefix}latency_ms_all_threads"] = None if every is None else {**every, "threads": cores}
    return result


def xnnpack_share(content: bytes) -> dict[str, object] | None:
    """How much of a file XNNPACK computes here, as LiteRT divided it.

    Returns:
        `operators` in the main graph; `taken` by XNNPACK; `left`: {operator name: how many} of the others; `reasons`:
        {operator name: why one of them was left}.  None where LiteRT cannot run the file.
    """
    taken = delegated(content)
    if taken is None:
        return None
    graph = read_tflite(content).main
    rest = [operator for operator in graph.operators if operator.index not in taken]
    left = Counter(operator.name for operator in rest)
    reasons = {operator.name: reason for operator in rest if (reason := reason_against(operator, graph)) is not None}
    return {
        "operators": len(graph.operators),
        "taken": len(taken),
        "left": dict(sorted(left.items())),
        "reasons": dict(sorted(reasons.items())),
    }


def _one(content: bytes, threads: int) -> Mapping[str, float] | None:
    """The times of a file; kept, so that the same file is not given two figures."""
    kind = cast(type[Mapping[str, float] | None], Mapping[str, float] | None)  # a union is no class to mypy
    return remembered(kind, "latency", (content, threads), lambda: _measured(content, threads))


def _measured(content: bytes, threads: int) -> dict[str, float] | None:
    try:
        with silenced():
            interpreter = new_interpreter(content, threads=threads)
            _fill_inputs(interpreter)
            times = _times(interpreter)
    except CANNOT_RUN:  # LiteRT says so for an operator that it does not have
        return None
    return {"median": round(float(np.median(times)), 4), "p90": round(float(np.quantile(times, 0.9)), 4)}


def _fill_inputs(interpreter: Interpreter) -> None:
    random = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        shape = np.maximum(detail["shape"], 1)
        values = random.uniform(0, 1, shape) if detail["dtype"] == np.float32 else np.zeros(shape)
        interpreter.set_tensor(detail["index"], values.astype(detail["dtype"]))


def _times(interpreter: Interpreter) -> list[float]:
    """Milliseconds of each run after the warm-up."""
    for _ in range(WARM_UP_RUNS):
        interpreter.invoke()
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < RUNS and (len(times) < LEAST_RUNS or time.perf_counter() - started < SECONDS):
        begin = time.perf_counter()
        interpreter.invoke()
        times.append((time.perf_counter() - begin) * 1e3)
    return times
