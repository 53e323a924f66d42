"""The files of `latency` on ARM: LiteRT's own aarch64 build in an emulator, its outputs beside this machine's.

A phone is not here, and an emulator's time says nothing of one; what it can tell is whether the integers are the same,
and how many instructions an inference takes.  `same` is the share of output integers of our file that are equal to
those of x86, on `SAMPLES` random inputs; `most_steps` the largest difference.  `_instructions` are in millions, of a
Cortex-A76 (its instruction set, with dot products), inside of LiteRT and XNNPACK; an instruction that waits for memory
counts as much as another.  The files are those that the row of `latency` was made with, so make that first.
`heaviest` has the operators of our file, each run as a file of its own, that take most.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import Any

import numpy as np

from benchmarks.arm import Emulator, Unavailable
from benchmarks.measured_files import kept_files
from benchmarks.table_latency import names
from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.graphs.tflite.extraction import extract
from tfcompress.graphs.tflite.interpreter import new_interpreter

__all__ = ["SECONDS", "names", "row"]

SECONDS = 900
SAMPLES = 4
OURS, FLOAT, PEERS = "ours", "float", ("tfliteconverter", "litert_quantizer")
MOST_NAMED = 3


def row(name: str) -> dict[str, Any]:
    """One model."""
    files = kept_files(name)
    if not {OURS, FLOAT} <= set(files):
        return {"status": "failed", "reason": "its row of `latency` was not made on this machine"}
    try:
        emulator = _emulator()
        counts = {who: emulator.run(files[who], _inputs(files[who], 1)).instructions for who in _measured(files)}
        same, steps = _compared(emulator, files[OURS])
        heaviest = _heaviest(emulator, files[OURS])
    except (Unavailable, ValueError) as error:
        return {"status": "failed", "reason": str(error)}
    peers = [counts[who] for who in PEERS if who in counts]
    return {
        "status": "ok" if same == 1 and counts[OURS] <= min([counts[FLOAT], *peers]) else "partly",
        "same": round(same, 4),
        "most_steps": steps,
        "over_best_peer": round(counts[OURS] / min(peers), 3) if peers else None,
        "over_float": round(counts[OURS] / counts[FLOAT], 3),
        **{f"{who}_instructions": round(count / 1e6, 4) for who, count in counts.items()},
        "heaviest": heaviest,
        "reason": "",
    }


@cache
def _emulator() -> Emulator:
    """One for all rows of this process."""
    return Emulator()


def _measured(files: dict[str, bytes]) -> list[str]:
    return [who for who in (OURS, FLOAT, *PEERS) if who in files]


def _inputs(content: bytes, samples: int) -> list[np.ndarray]:
    """Values in each input's dtype, [samples, ...]; whole numbers other than int8 are zeros, as they may be indices."""
    random = np.random.default_rng(0)
    arrays: list[np.ndarray] = []
    for detail in new_interpreter(content, allocate=False).get_input_details():
        shape = (samples, *np.maximum(detail["shape"], 1))
        values: np.ndarray = np.zeros(shape)
        if detail["dtype"] is np.float32:
            values = random.uniform(0, 1, shape)
        elif detail["dtype"] in (np.int8, np.uint8):
            limits = np.iinfo(detail["dtype"])
            values = random.integers(limits.min, limits.max + 1, shape)
        arrays.append(values.astype(detail["dtype"]))
    return arrays


def _compared(emulator: Emulator, content: bytes) -> tuple[float, float]:
    """The share of outputs that are equal on both machines, and the largest difference."""
    inputs = _inputs(content, SAMPLES)
    there = emulator.run(content, inputs).outputs
    interpreter = new_interpreter(content, threads=1)
    equal, total, most = 0, 0, 0.0
    for number in range(SAMPLES):
        for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], values[number])
        interpreter.invoke()
        for detail, values in zip(interpreter.get_output_details(), there, strict=True):
            apart = np.abs(interpreter.get_tensor(detail["index"]).astype(np.float64) - values[number])
            equal, total = equal + int((apart == 0).sum()), total + apart.size
            most = max(most, float(apart.max(initial=0)))
    return equal / total, most


def _heaviest(emulator: Emulator, content: bytes) -> str:
    """The kinds of operators with the largest shares of the instructions."""
    counts: Counter[str] = Counter()
    for operator in ModelEditor.read(content).main.operators:
        if operator.computed_inputs:
            file = extract([operator], inputs=list(dict.fromkeys(operator.computed_inputs)), outputs=operator.outputs)
            counts[operator.name] += emulator.run(file, _inputs(file, 1)).instructions
    total = math.fsum(counts.values())
    return ", ".join(f"{name} {count / total:.0%}" for name, count in counts.most_common(MOST_NAMED))
