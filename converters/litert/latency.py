"""Latency where a phone would run it, LiteRT on the CPU with XNNPACK, and what XNNPACK leaves to slower kernels."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from tfcompress.cache import remembered
from tfcompress.converters.litert.xnnpack import delegated, reason_against
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import CANNOT_RUN, Interpreter, new_interpreter
from tfcompress.native_output import silenced

__all__ = ["measure_latency", "medians", "xnnpack_share"]

WARM_UP_RUNS = 3
RUNS = 30
MOST_RUNS = 1000  # where only the time limits them
SECONDS = 0.5  # stop earlier than `RUNS` when a model is slow, but never below `LEAST_RUNS`
LEAST_RUNS = 5
WARM_UP_SECONDS, MOST_SECONDS = 2.0, 20.0  # of all runs of a file so slow that even these runs take too long
LEAST_SECONDS = 2e-4  # of one reading of the clock


def measure_latency(content: bytes, float_content: bytes | None) -> dict[str, object]:
    """Latency of one inference at batch 1, of a file and of the float file that it was made from.

    Args:
        content: the .tflite.
        float_content: the float .tflite; None where there is none.

    Returns:
        `latency_ms`: {`median`, `p90`} on one thread; `latency_ms_all_threads`: the same with `threads` on all cores;
        `float_latency_ms` and `float_latency_ms_all_threads`: the float file's, measured by turns with the file.  None
        where LiteRT cannot run a file (TensorFlow operators without the Flex delegate) or there is none.
    """
    cores = os.cpu_count() or 1
    files = (content,) if float_content is None else (content, float_content)
    single, every = (_kept(files, threads) for threads in (1, cores))
    result: dict[str, object] = {}
    for place, prefix in enumerate(("", "float_")):
        alone, together = (times[place] if place < len(files) else None for times in (single, every))
        result[f"{prefix}latency_ms"] = alone
        result[f"{prefix}latency_ms_all_threads"] = None if together is None else {**together, "threads": cores}
    return result


def medians(contents: Sequence[bytes], *, threads: int = 1, seconds: float = SECONDS) -> tuple[float | None, ...]:
    """Milliseconds of one inference of each file, in the files' order; the median of runs by turns.

    A machine that does something else besides slows all files alike, so that their ratios mean something where the
    figures by themselves do not.  On one thread only that thread's own time counts.

    Args:
        contents: the .tflite files.
        threads: for XNNPACK.
        seconds: for all runs of one file; at least `LEAST_RUNS` are made.

    Returns:
        None for a file that LiteRT cannot run.
    """
    return tuple(
        None if not times else float(np.median(times)) for times in _by_turns(contents, threads, seconds, MOST_RUNS)
    )


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


def _kept(contents: tuple[bytes, ...], threads: int) -> tuple[dict[str, float] | None, ...]:
    """The times of files; kept, so that the same files are not given two sets of figures."""
    kind = tuple[dict[str, float] | None, ...]
    return remembered(kind, "latency", (contents, threads), lambda: _measured(contents, threads))


def _measured(contents: tuple[bytes, ...], threads: int) -> tuple[dict[str, float] | None, ...]:
    return tuple(
        None
        if not times
        else {"median": round(float(np.median(times)), 4), "p90": round(float(np.quantile(times, 0.9)), 4)}
        for times in _by_turns(contents, threads, SECONDS, RUNS)
    )


def _fill_inputs(interpreter: Interpreter) -> None:
    random = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        shape = np.maximum(detail["shape"], 1)
        values = random.uniform(0, 1, shape) if detail["dtype"] == np.float32 else np.zeros(shape)
        interpreter.set_tensor(detail["index"], values.astype(detail["dtype"]))


def _by_turns(contents: Sequence[bytes], threads: int, seconds: float, most: int) -> list[list[float]]:
    """Milliseconds of the runs of each file after its warm-up; none of a file that LiteRT cannot run."""
    ready = [_ready(content, threads) for content in contents]
    times: list[list[float]] = [[] for _ in contents]
    running = [(interpreter, own) for interpreter, own in zip(ready, times, strict=True) if interpreter is not None]
    # One thread is this one, whose own time leaves out what the machine does for others meanwhile.
    clock = time.thread_time if threads == 1 else time.perf_counter
    started, turns = time.perf_counter(), 0
    while running and (turns < LEAST_RUNS or time.perf_counter() - started < seconds * len(running)):
        if turns == most or (turns and time.perf_counter() - started > MOST_SECONDS * len(running)):
            break
        for interpreter, own in running:
            own.append(_one_run(interpreter, clock))
        turns += 1
    return times


def _one_run(interpreter: Interpreter, clock: Callable[[], float]) -> float:
    """Milliseconds of one inference; short ones are repeated, as a clock's reading costs about as much as they do."""
    begin, runs = clock(), 0
    while runs == 0 or clock() - begin < LEAST_SECONDS:
        interpreter.invoke()
        runs += 1
    return (clock() - begin) * 1e3 / runs


def _ready(content: bytes, threads: int) -> Interpreter | None:
    try:
        with silenced():
            interpreter = new_interpreter(content, threads=threads)
            _fill_inputs(interpreter)
            started = time.perf_counter()
            for number in range(WARM_UP_RUNS):
                if number and time.perf_counter() - started > WARM_UP_SECONDS:
                    break
                interpreter.invoke()
    except CANNOT_RUN:  # LiteRT says so for an operator that it does not have
        return None
    return interpreter
