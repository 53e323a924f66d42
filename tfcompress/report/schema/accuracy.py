"""What the accuracy diff says of a model or an artifact, as report.json has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tfcompress.layer_histogram import LayerHistogram

__all__ = [
    "Cause",
    "Compared",
    "Diff",
    "Flipped",
    "FlippedSample",
    "GateVerdict",
    "Layer",
    "Reference",
    "Status",
]

Status = Literal["ok", "undecided", "failed", "gate_failed", "skipped"]
Metrics = Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The float model's own figures.

    Attributes:
        name: as it was given; only in a diff of two models.
        metrics: {metric: value}; those of each class are called ``accuracy[class]``.
        samples: how many were compared.
        task: what the outputs were taken for; None without data.
        bytes: of its files; only in a diff of two models.
        class_names: in the model's order; None where nothing names the classes.
        confusion: how often each class (row) got each answer (column); None where it was not counted.
    """

    name: str | None = None
    metrics: Metrics = field(default_factory=dict)
    samples: int = 0
    task: str | None = None
    bytes: int | None = None
    class_names: tuple[str, ...] | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ChannelError:
    """One column of an output.

    Attributes:
        channel: its place on the last axis.
        sqnr_db: signal to quantization noise ratio, in dB; None for a column that is zero.
        low: smallest float value.
        high: largest float value.
    """

    channel: int
    sqnr_db: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Diff:
    """How far an artifact is from the float model on the same samples.

    Attributes:
        metric: of which `accuracy_drop` is the difference.
        accuracy_drop: reference minus artifact: above zero is a loss.
        accuracy_drop_ci95: its 95 % interval.
        top1_agreement: share of samples with the same answer.
        p_value: exact McNemar test.
        lost: right answers that the artifact has lost.
        gained: right answers that only the artifact has.
        sqnr_db: signal to quantization noise ratio of the output, in dB.
        quiet_sqnr_db: what all but a twentieth of the samples reach, in whole dB: loud samples do not hide quiet ones.
        channels: the columns of the output (last axis), the worst first, ten at most; empty for one without.
        cosine: mean over samples.
        kl_divergence: mean in nats; None where the outputs are no distributions.
        max_abs_error: the largest error of an output value.
        not_finite: samples with NaN or an infinity.
        constant_output: the artifact answers every sample alike.
        retrieval_agreement: of embeddings, share of samples with the same nearest neighbour.
        retrieval_overlap: of embeddings, share of the nearest five that are the same.
        outputs: {output: the same for it}, where there are several.
    """

    metric: str | None = None
    accuracy_drop: float | None = None
    accuracy_drop_ci95: tuple[float, float] | None = None
    top1_agreement: float | None = None
    p_value: float | None = None
    lost: int | None = None
    gained: int | None = None
    sqnr_db: float | None = None
    quiet_sqnr_db: float | None = None
    channels: tuple[ChannelError, ...] = ()
    cosine: float | None = None
    kl_divergence: float | None = None
    max_abs_error: float | None = None
    not_finite: int | None = None
    constant_output: bool | None = None
    retrieval_agreement: float | None = None
    retrieval_overlap: float | None = None
    outputs: Mapping[str, Diff] | None = None


@dataclass(frozen=True, kw_only=True)
class GateVerdict:
    """Whether the artifact keeps within the largest drop that is allowed.

    Attributes:
        verdict: `undecidable` where the samples neither prove the limit nor break it.
        reason: one line with the figures.
        max_accuracy_drop: the limit.
        samples_needed: about how many would decide; None where they suffice or none would.
    """

    verdict: Literal["passed", "failed", "undecidable"]
    reason: str
    max_accuracy_drop: float
    samples_needed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One Keras layer, float against artifact; see `accuracy_diff.layers.LayerDiff` for each figure."""

    layer: str
    type: str = ""
    operator: str | None = None
    fused: tuple[str, ...] = ()
    tensor: int | None = None
    tensor_name: str | None = None
    dtype: str | None = None
    sqnr_db: float | None = None
    own_sqnr_db: float | None = None
    cosine: float | None = None
    own_cosine: float | None = None
    range: tuple[float, float] | None = None
    observed: tuple[float, float] | None = None
    range_used: float | None = None
    bulk_used: float | None = None
    saturation: float | None = None
    dead: bool | None = None
    affine_share: float | None = None
    channel_sqnr_db: float | None = None


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One reason for an error.

    Attributes:
        cause: which of the known ones.
        layer: to which it belongs; None for the whole model.
        text: one line with the figures that gave it away.
        repair: one line: what to do.
        flag: for the command line or the recipe; None where no one flag does it.
        repaired: whether a repair was made for it and held; None where none was tried.
        tried: what a trial of the repair on a few samples gave; None where it was not tried.
    """

    cause: str
    layer: str | None
    text: str
    repair: str
    flag: str | None = None
    repaired: bool | None = None
    tried: str | None = None


@dataclass(frozen=True, kw_only=True)
class FlippedSample:
    """One sample with two answers.

    Attributes:
        index: position in the data.
        label: the true class; None without labels.
        reference: the float model's answer.
        candidate: the artifact's; -1 for NaN.
        reference_confidence: probability that the float model gave its answer.
        candidate_confidence: the artifact's for its own.
        picture: a PNG as a ``data:`` address; None where the sample is none, or beyond the first few.
    """

    index: int
    label: int | None = None
    reference: int
    candidate: int
    reference_confidence: float | None = None
    candidate_confidence: float | None = None
    picture: str | None = None


@dataclass(frozen=True, kw_only=True)
class Flipped:
    """The samples whose answer differs: how many in all, and the most telling of them."""

    total: int = 0
    samples: tuple[FlippedSample, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What is known of anything that was compared with the float model.

    Attributes:
        status: `ok` only where the accuracy gate passed; `undecided` where the data do not decide it.
        reason: why the status is not `ok`, in one line.
        bytes: of its files.
        metrics: as the reference's.
        diff: against the reference.
        gate: the verdict; None where nothing was compared.
        layers: in the order of computation; empty where they cannot be told.
        causes: what costs accuracy.
        flipped: samples with another answer.
        confusion: as the reference's.
        histograms: of the layers that are to blame.
    """

    status: Status
    reason: str | None = None
    bytes: int | None = None
    metrics: Metrics = field(default_factory=dict)
    diff: Diff = field(default_factory=Diff)
    gate: GateVerdict | None = None
    layers: tuple[Layer, ...] = ()
    causes: tuple[Cause, ...] = ()
    flipped: Flipped = field(default_factory=Flipped)
    confusion: tuple[tuple[int, ...], ...] | None = None
    histograms: tuple[LayerHistogram, ...] = ()

    @property
    def converted(self) -> bool:
        """Whether there is an artifact, good or bad."""
        return self.status in ("ok", "undecided", "gate_failed")
