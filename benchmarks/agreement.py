"""How often two runners of one int8 model agree, on the same samples, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.fair_inputs import source_of
from benchmarks.models import is_trained
from tfcompress.accuracy_diff.runners import Runner
from tfcompress.converters.npu.ports import info_of, port_names
from tfcompress.graphs.tflite import Subgraph, read_tflite

__all__ = ["agreement", "agreement_summary", "sample_facts"]

CHUNK = 4  # samples between two looks at the clock
NEAR = 0.01  # of the range of an output that is no probability
BAR, BAR_SAMPLES = 0.99, 300
OWN_TASK = f"trained networks on {BAR_SAMPLES} samples of their own task"
OTHER_SAMPLES = "trained networks on other real samples, made-up ones, or fewer"
UNTRAINED = "untrained networks, where a class means nothing"
KINDS = {"SOFTMAX": "largest element", "LOGISTIC": "side of one half"}
OTHER_KIND = "numbers within 1 % of the range"


def agreement(
    content: bytes, reference: Runner, candidate: Runner, inputs: Mapping[str, np.ndarray], seconds: float
) -> dict[str, Any]:
    """Figures of the output on which two runners agree least.

    Args:
        content: the int8 .tflite of the model.
        reference: what is agreed with.
        candidate: compared with it.
        inputs: {input of `reference`: [n, ...]}, in the order of the candidate's inputs too.
        seconds: after which no further sample is begun.

    Returns:
        `samples`; `agreement`, and `agreement_of`, what it is the share of: samples with the same largest element where
        the output is a softmax, numbers on the same side of one half where it is a sigmoid, else numbers within 1 % of
        the range of the reference's; `agreement_or_tie`, the same where a tie agrees: largest elements that are equal
        in one of the two, a number that is one half in one of them, numbers that are one step of the output's integers
        apart; `equal_outputs`, the share of numbers that are equal to half a step; `largest_difference`, relative to
        the largest number; `largest_steps` (None where the output is not quantized).
    """
    file, count = read_tflite(content), len(next(iter(inputs.values())))
    graph, given_names = file.main, port_names(file.signatures)
    names = [info_of(graph.tensors[index], given_names).name for index in graph.outputs]
    ours: list[tuple[np.ndarray, ...]] = []
    theirs: list[tuple[np.ndarray, ...]] = []
    until = time.monotonic() + seconds
    for start in range(0, count, CHUNK):
        if time.monotonic() > until:
            break
        piece = {name: value[start : start + CHUNK] for name, value in inputs.items()}
        renamed = {info.name: value for info, value in zip(candidate.inputs, piece.values(), strict=True)}
        ours.append(_in_order(names, candidate.run(renamed)))
        theirs.append(_in_order(names, reference.run(piece)))
    outputs = [
        _figures(graph, output, np.concatenate(wanted), np.concatenate(got))
        for output, wanted, got in zip(graph.outputs, zip(*theirs, strict=True), zip(*ours, strict=True), strict=True)
    ]
    return min(outputs, key=lambda figures: float(figures["agreement"]))


def sample_facts(name: str) -> dict[str, Any]:
    """`trained`, whether the weights were learnt, and `inputs`, what the samples show (`fair_inputs.source_of`)."""
    return {"trained": is_trained(name), "inputs": source_of(name)}


def agreement_summary(rows: list[dict[str, Any]]) -> list[str]:
    """How many rows reach the bar, those of trained networks on samples of their own task apart from the others."""
    lines = [
        f"Agreement with LiteRT's kernels for the CPU of at least {BAR:.0%}; in brackets where ties agree, as they do"
        " between equal 8-bit scores:",
        "",
    ]
    measured = [row for row in rows if row.get("agreement") is not None]
    for title in (OWN_TASK, OTHER_SAMPLES, UNTRAINED):
        group = [row for row in measured if _group_of(row) == title]
        reached = sum(row["agreement"] >= BAR for row in group)
        tied = sum(row.get("agreement_or_tie", row["agreement"]) >= BAR for row in group)
        lines.append(f"- {title}: {reached} of {len(group)} ({tied}).")
    return [*lines, f"- not measured: {len(rows) - len(measured)}.", ""]


def _group_of(row: Mapping[str, Any]) -> str:
    if not row["trained"]:
        return UNTRAINED
    return OWN_TASK if row.get("inputs") == "own task" and row["samples"] >= BAR_SAMPLES else OTHER_SAMPLES


def _in_order(names: list[str], outputs: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """The outputs as the file has them, by name where the names are the file's."""
    return tuple(outputs[name] for name in names) if set(names) == set(outputs) else tuple(outputs.values())


def _figures(graph: Subgraph, output: int, wanted: np.ndarray, got: np.ndarray) -> dict[str, Any]:
    maker = graph.producer(output)
    quantization = graph.tensors[output].quantization
    step = 0.0 if quantization is None else float(quantization.scales[0])
    kind = KINDS.get("" if maker is None else maker.name, OTHER_KIND)
    if kind == KINDS["SOFTMAX"] and wanted.shape[-1] == 1:
        kind = OTHER_KIND
    same, tied = _agreed(kind, wanted, got, step)
    difference, largest = np.abs(wanted - got), float(np.abs(wanted).max())
    return {
        "samples": len(wanted),
        "agreement": round(float(same.mean()), 4),
        "agreement_or_tie": round(float((same | tied).mean()), 4),
        "agreement_of": kind,
        "equal_outputs": round(float((difference <= 0.5 * step).mean()), 4),
        "largest_difference": round(float(difference.max()) / largest, 5) if largest else 0.0,
        "largest_steps": round(float(difference.max()) / step) if step else None,
    }


def _agreed(kind: str, wanted: np.ndarray, got: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Where two runners agree, and where they do not for want of a finer output."""
    if kind == KINDS["SOFTMAX"]:
        first, second = ((values == values.max(-1, keepdims=True)) for values in (wanted, got))
        return wanted.argmax(-1) == got.argmax(-1), (first & second).any(-1)
    if kind == KINDS["LOGISTIC"]:
        return (wanted > 0.5) == (got > 0.5), (wanted == 0.5) | (got == 0.5)
    difference = np.abs(wanted - got)
    return difference <= NEAR * np.ptp(wanted), difference <= 1.5 * step
