"""Latency where a phone would run it: LiteRT on the CPU, with XNNPACK."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tfcompress.chatter import silenced

__all__ = ["measure_latency"]

WARM_UP_RUNS = 3
RUNS = 30
SECONDS = 1.0  # stop earlier than `RUNS` when a model is slow, but never below `LEAST_RUNS`
LEAST_RUNS = 5


def measure_latency(content: bytes) -> dict[str, object]:
    """Latency of one inference at batch 1.

    Returns:
        `latency_ms`: {`median`, `p90`} on one thread; `latency_ms_all_threads`: the same with `threads` on all cores;
        both None where LiteRT cannot run the file (TensorFlow operators without the Flex delegate).
    """
    cores = os.cpu_count() or 1
    single = _one(content, 1)
    every = _one(content, cores)
    return {"latency_ms": single, "latency_ms_all_threads": None if every is None else {**every, "threads": cores}}


def _one(content: bytes, threads: int) -> dict[str, float] | None:
    try:
        with silenced():
            interpreter = Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
            _fill_inputs(interpreter)
            times = _times(interpreter)
    except (RuntimeError, ValueError):  # LiteRT says so for an operator that it does not have
        return None
    return {"median": round(float(np.median(times)), 4), "p90": round(float(np.quantile(times, 0.9)), 4)}


def _fill_inputs(interpreter: Any) -> None:
    random = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        shape = np.maximum(detail["shape"], 1)
        values = random.uniform(0, 1, shape) if detail["dtype"] == np.float32 else np.zeros(shape)
        interpreter.set_tensor(detail["index"], values.astype(detail["dtype"]))


def _times(interpreter: Any) -> list[float]:
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
