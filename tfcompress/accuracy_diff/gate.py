"""The accuracy gate: passed, failed, or not decidable with the data at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Gate", "judge_drop", "judge_unlabelled", "worst"]

Verdict = Literal["passed", "failed", "undecidable"]
SPOILT_DB = 10.0  # signal to noise of an output's values, a tenth of whose power is noise
_ORDER: tuple[Verdict, ...] = ("passed", "undecidable", "failed")


@dataclass(frozen=True)
class Gate:
    """The verdict on one candidate.

    Attributes:
        verdict: `failed` where the measured drop is over the limit; `undecidable` where it is not, but the data do not
            rule out that the true drop is; `passed` where they do.
        reason: one line with the figures.
        max_accuracy_drop: the limit.
        samples_needed: how many samples would decide; None where the data suffice or cannot tell.
    """

    verdict: Verdict
    reason: str
    max_accuracy_drop: float
    samples_needed: int | None = None

    @property
    def failed(self) -> bool:
        """Whether the artifact is to be refused (exit code 3)."""
        return self.verdict == "failed"


def judge_drop(
    drop: float | None,
    interval: tuple[float, float] | None,
    limit: float,
    *,
    metric: str = "accuracy",
    samples: int,
    needed: int | None = None,
) -> Gate:
    """The verdict from a drop in a metric and its 95 % interval.

    Args:
        drop: reference minus candidate; None where it is not defined.
        interval: of the drop; None where the data are too few for one.
        limit: the largest allowed drop.
        metric: for the reason.
        samples: how many were compared.
        needed: how many samples would decide.
    """
    if drop is None:
        return Gate("undecidable", f"{metric} is not defined on these {samples} samples", limit)
    said = f"{metric} {'gain' if drop < 0 else 'drop'} {abs(drop):.4f} on {samples} samples"
    if interval is not None:
        said += f" (95 % interval of the change {-interval[1]:+.4f} to {-interval[0]:+.4f})"
    if drop > limit:
        return Gate("failed", f"{said} is over the limit of {limit:g}{_luck(interval, limit)}", limit)
    if interval is not None and interval[1] <= limit:
        return Gate("passed", f"{said} is within the limit of {limit:g}", limit)
    more = f"; about {needed:,} samples would decide" if needed is not None and needed > samples else ""
    return Gate(
        "undecidable", f"{said} does not prove a limit of {limit:g}: not decidable with this data{more}", limit, needed
    )


def _luck(interval: tuple[float, float] | None, limit: float) -> str:
    return ", though the interval does not rule out that it is within" if interval and interval[0] <= limit else ""


def judge_unlabelled(
    agreement: float | None,
    interval: tuple[float, float] | None,
    limit: float,
    *,
    samples: int,
    sqnr_db: float | None = None,
) -> Gate:
    """The verdict without labels: accuracy cannot drop by more than the share of answers that differ.

    An output of which less than `SPOILT_DB` is left never passes, whatever its answers; it fails where it has no
    answers, or where more of them differ than the limit allows.

    Args:
        agreement: share of samples with the same answer; None for a task without answers.
        interval: of the share of differing answers.
        limit: the largest allowed drop.
        samples: how many were compared.
        sqnr_db: of the output's values; None where the reference has no signal.
    """
    differ = "" if agreement is None else f" (answers agree on {agreement:.4f} of {samples} samples)"
    if sqnr_db is not None and sqnr_db < SPOILT_DB:
        said = f"no labels, and the values keep only {sqnr_db:.1f} dB of the reference's{differ}"
        if agreement is None or (interval is not None and interval[0] > limit):
            return Gate("failed", f"{said}: a tenth of their power is noise, or more", limit)
        return Gate("undecidable", f"{said}: not decidable with this data", limit)
    if agreement is not None and interval is not None and interval[1] <= limit:
        return Gate("passed", f"no labels, but the answers differ on at most {interval[1]:.4f} of samples", limit)
    return Gate("undecidable", f"no labels, so no accuracy{differ}: not decidable with this data", limit)


def worst(gates: list[Gate]) -> Gate:
    """The gate that decides when there are several outputs."""
    return max(gates, key=lambda gate: _ORDER.index(gate.verdict))
