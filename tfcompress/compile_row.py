"""A program compiled for a Cloud TPU: what the target proves, and what the report shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

__all__ = ["CompileRow", "has_own_signatures", "refusals"]

MOST_LAYERS = 20


@dataclass(frozen=True, kw_only=True)
class CompileRow:
    """One signature of a SavedModel compiled for one TPU topology.  Unknown values are None.

    Attributes:
        topology: such as ``v5e:2x2``.
        signature: the SavedModel's signature.
        batch_size: samples in one call.
        ok: whether it compiles and fits the chip; None when that was not tried.
        error: the compiler's own message in one line, or why there is no proof.
        hbm_bytes: peak memory on the chip: arguments, results, temporaries and code.
        hbm_limit_bytes: memory of one chip (`converters.cloud_tpu.chips.CHIPS`).
        argument_bytes: weights and inputs on the chip, in the compiler's layouts.
        weight_bytes: of these, the weights; 0 where they are constants of the program.
        flops: floating-point operations of one call, by the compiler's count, which takes a loop's body once; so for
            the next two.
        bytes_accessed: bytes moved in one call.
        estimated_cycles: of one call on one chip (on v2, v3 and tpu7x: one core), by the compiler's scheduler.
        estimated_seconds: of one call, see `converters.cloud_tpu.estimates`.
        optimal_seconds: the compiler's other estimate of one call's time, which does not know that narrow dtypes are
            faster; None where it is negative.
        compiler_version: of libtpu and jaxlib.
        time_share: {kind of operator: share of the time}, see `converters.cloud_tpu.findings`; so for the next two.
        padding_waste: share of the matrix unit's work that is padding.
        advice: what to change about the model, a line each.
        figures: ``bound``, {unit: share of the cycles that wait for it}, and ``layers``, the costliest first; for
            several devices also ``collectives``, {kind: {"count", "bytes"}}.
        sharding: ``data`` or ``tensor`` for a program of several devices, whose figures are those of each; else None.
        devices: how many run the program.
    """

    topology: str
    signature: str | None = None
    batch_size: int | None = None
    ok: bool | None = None
    error: str | None = None
    hbm_bytes: int | None = None
    hbm_limit_bytes: int | None = None
    argument_bytes: int | None = None
    weight_bytes: int | None = None
    flops: float | None = None
    bytes_accessed: float | None = None
    estimated_cycles: float | None = None
    estimated_seconds: float | None = None
    optimal_seconds: float | None = None
    compiler_version: str | None = None
    time_share: Mapping[str, float] | None = None
    padding_waste: float | None = None
    advice: tuple[str, ...] = ()
    figures: Mapping[str, object] | None = None
    sharding: str | None = None
    devices: int = 1

    @property
    def place(self) -> str:
        """The topology, and how the program is laid out over several devices: ``v5e:2x2, tensor over 4``."""
        return f"{self.topology}, {self.sharding} over {self.devices}" if self.sharding else self.topology

    @property
    def cycles_by_layer(self) -> dict[str, int]:
        """{layer: estimated cycles}; empty where the compiler tells none by layer."""
        layers = (self.figures or {}).get("layers")
        return {item["layer"]: item["cycles"] for item in layers} if isinstance(layers, list) else {}

    def to_json(self) -> dict[str, object]:
        """The row of ``compile.json`` and of report.json's ``compile``, with the costliest layers alone."""
        figures = None if self.figures is None else dict(self.figures)
        layers = None if figures is None else figures.get("layers")
        if figures is not None and isinstance(layers, list):
            figures["layers"] = layers[:MOST_LAYERS]
        return {**asdict(self), "advice": list(self.advice), "figures": figures}


def refusals(rows: Sequence[CompileRow]) -> tuple[str, ...]:
    """A line for each reason why programs do not compile, do not fit or were not tried, led by which if not all."""
    reasons: dict[str, list[CompileRow]] = {}
    for row in rows:
        if not row.ok:
            reasons.setdefault(row.error or "does not compile", []).append(row)
    return tuple(
        reason if len(refused) == len(rows) else f"{_programs(refused, rows)}: {reason}"
        for reason, refused in reasons.items()
    )


def has_own_signatures(rows: Sequence[CompileRow]) -> bool:
    """Whether there are several signatures with other names than ``batch_N``, which the batch size tells already."""
    names = {row.signature for row in rows}
    return len(names) > 1 and names != {f"batch_{row.batch_size}" for row in rows}


def _programs(some: Sequence[CompileRow], rows: Sequence[CompileRow]) -> str:
    """Which programs these are: by topology, signature, batch size and split, each where it tells them from others."""
    parts = {
        "": [row.topology for row in some],
        "signature ": [f"'{row.signature}'" for row in some if has_own_signatures(rows)],
        "batch ": [str(row.batch_size) for row in some if row.batch_size is not None],
        "split by ": [row.sharding for row in some if row.sharding],
    }
    return "; ".join(what + ", ".join(dict.fromkeys(names)) for what, names in parts.items() if names)
