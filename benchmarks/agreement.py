"""How often two runners of one int8 model agree, on the same samples, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.runners import Runner
from tfcompress.graphs.tflite import read_tflite

__all__ = ["agreement"]

CHUNK = 4  # samples between two looks at the clock
NEAR = 0.01  # of the range of an output that is no probability


def agreement(
    content: bytes, reference: Runner, candidate: Runner, inputs: Mapping[str, np.ndarray], seconds: float
) -> dict[str, Any]:
    """Figures of the first output.

    Args:
        content: the int8 .tflite of the model.
        reference: what is agreed with.
        candidate: compared with it.
        inputs: {input of `reference`: [n, ...]}, in the order of the candidate's inputs too.
        seconds: after which no further sample is begun.

    Returns:
        `samples`; `agreement`, and `agreement_of`, what it is the share of: samples with the same largest element where
        the model ends in a softmax, numbers on the same side of one half where it ends in a sigmoid, else numbers
        within 1 % of the range of the reference's; `equal_outputs`, the share of numbers that are equal to half a step;
        `largest_difference`, relative to the largest number; `largest_steps` (None where the output is not quantized).
    """
    count = len(next(iter(inputs.values())))
    ours: list[np.ndarray] = []
    theirs: list[np.ndarray] = []
    until = time.monotonic() + seconds
    for start in range(0, count, CHUNK):
        if time.monotonic() > until:
            break
        piece = {name: value[start : start + CHUNK] for name, value in inputs.items()}
        renamed = {info.name: value for info, value in zip(candidate.inputs, piece.values(), strict=True)}
        ours.append(next(iter(candidate.run(renamed).values())))
        theirs.append(next(iter(reference.run(piece).values())))
    wanted, ours_all = np.concatenate(theirs), np.concatenate(ours)
    graph = read_tflite(content).main
    maker = graph.producer(graph.outputs[0])
    quantization = graph.tensors[graph.outputs[0]].quantization
    step = 0.0 if quantization is None else float(quantization.scales[0])
    return {"samples": len(wanted), **_agreed("" if maker is None else maker.name, wanted, ours_all)} | _apart(
        wanted, ours_all, step
    )


def _agreed(last: str, wanted: np.ndarray, got: np.ndarray) -> dict[str, Any]:
    if last == "SOFTMAX" and wanted.shape[-1] > 1:
        kind, same = "largest element", wanted.argmax(-1) == got.argmax(-1)
    elif last == "LOGISTIC":
        kind, same = "side of one half", (wanted > 0.5) == (got > 0.5)
    else:
        kind, same = "numbers within 1 % of the range", np.abs(wanted - got) <= NEAR * np.ptp(wanted)
    return {"agreement": round(float(same.mean()), 4), "agreement_of": kind}


def _apart(wanted: np.ndarray, got: np.ndarray, step: float) -> dict[str, Any]:
    difference, largest = np.abs(wanted - got), float(np.abs(wanted).max())
    return {
        "equal_outputs": round(float((difference <= 0.5 * step).mean()), 4),
        "largest_difference": round(float(difference.max()) / largest, 5) if largest else 0.0,
        "largest_steps": round(float(difference.max()) / step) if step else None,
    }
