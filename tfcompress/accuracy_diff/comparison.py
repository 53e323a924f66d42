"""What the accuracy diff found, in the form that report.json has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from tfcompress.accuracy_diff.causes import Cause
from tfcompress.accuracy_diff.flips import Flip
from tfcompress.accuracy_diff.gate import Gate
from tfcompress.accuracy_diff.judge import Confusion
from tfcompress.accuracy_diff.layers import LayerDiff
from tfcompress.accuracy_diff.pictures import picture_of
from tfcompress.accuracy_diff.tasks import Metrics
from tfcompress.layer_histogram import LayerHistogram
from tfcompress.remarks import optional

__all__ = ["CandidateResult", "Comparison", "ReferenceResult", "plain"]

MOST_ROWS = 100  # flipped samples in report.json
MOST_PICTURES = 12  # of them with a picture
_STATUSES = {"passed": "ok", "undecidable": "undecided", "failed": "gate_failed"}


@dataclass(frozen=True)
class ReferenceResult:
    """The reference's own figures.

    Attributes:
        metrics: of the first labelled output; those of further outputs as ``output/metric``.
        samples: how many were compared.
        task: found or given, of the first labelled output.
        class_names: of that output, in the model's order; None where nothing names the classes.
        confusion: how often each of its classes (row) got each answer (column); None where that was not counted.
    """

    metrics: Metrics
    samples: int
    task: str
    class_names: tuple[str, ...] | None = None
    confusion: Confusion | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The `reference` section of report.json."""
        return plain({item.name: getattr(self, item.name) for item in fields(self)})


@dataclass(frozen=True)
class CandidateResult:
    """One candidate's figures.

    Attributes:
        metrics: as the reference's.
        diff: the `diff` section of report.json; `outputs` inside when there are several.
        gate: the verdict.
        flipped: number of samples with different answers on the first labelled output.
        flips: the most telling of them.
        layers: one row a Keras layer, in the model's order; empty where they were not asked for or cannot be told.
        causes: what costs accuracy, found from the layers.
        confusion: as the reference's.
        histograms: of the layers that are to blame.
    """

    metrics: Metrics
    diff: Mapping[str, Any]
    gate: Gate
    flipped: int = 0
    flips: tuple[Flip, ...] = field(default=(), repr=False)
    layers: tuple[LayerDiff, ...] = field(default=(), repr=False)
    causes: tuple[Cause, ...] = ()
    confusion: Confusion | None = field(default=None, repr=False)
    histograms: tuple[LayerHistogram, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """The candidate's keys of report.json: `status`, `reason`, `metrics`, `diff`, `layers`, `gate`, `flipped`."""
        gate = {
            "verdict": self.gate.verdict,
            "reason": self.gate.reason,
            "max_accuracy_drop": self.gate.max_accuracy_drop,
            "samples_needed": self.gate.samples_needed,
        }
        rows: list[dict[str, Any]] = [
            {
                "index": flip.index,
                "label": flip.label,
                "reference": flip.reference,
                "candidate": flip.candidate,
                "reference_confidence": flip.reference_confidence,
                "candidate_confidence": flip.candidate_confidence,
                "picture": _picture(flip) if number < MOST_PICTURES else None,
            }
            for number, flip in enumerate(self.flips[:MOST_ROWS])
        ]
        return plain(
            {
                "status": _STATUSES[self.gate.verdict],
                "reason": None if self.gate.verdict == "passed" else self.gate.reason,
                "metrics": dict(self.metrics),
                "diff": dict(self.diff),
                "layers": [row.to_json() for row in self.layers],
                "causes": [cause.to_json() for cause in self.causes],
                "gate": gate,
                "flipped": {"total": self.flipped, "samples": rows},
                "confusion": self.confusion,
                "histograms": [vars(histogram) for histogram in self.histograms],
            }
        )


def _picture(flip: Flip) -> str | None:
    with optional("a picture of a sample"):
        return None if flip.input is None else picture_of(flip.input)
    return None


@dataclass(frozen=True)
class Comparison:
    """The reference and every candidate.

    Attributes:
        reference: see `ReferenceResult`.
        candidates: {name: result}, in the order given.
    """

    reference: ReferenceResult
    candidates: Mapping[str, CandidateResult]

    def to_json(self) -> dict[str, Any]:
        """``{"reference": {...}, "candidates": {name: {...}}}``, ready for `json.dumps`."""
        return {
            "reference": self.reference.to_json(),
            "candidates": {name: result.to_json() for name, result in self.candidates.items()},
        }


def plain(value: Any) -> Any:
    """`value` in JSON's own types: NaN and infinity become null, numpy numbers become Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
