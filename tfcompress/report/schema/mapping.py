"""Where the operators of a file run: on an accelerator or on the CPU, forecast or as its compiler said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "CompilerFailure",
    "ConfigurationMapping",
    "CpuTail",
    "DeviceMapping",
    "LatencyForecast",
    "MappingTotals",
    "OperatorRow",
]


@dataclass(frozen=True, kw_only=True)
class OperatorRow:
    """Where one operator runs, and why.

    Attributes:
        index: of the operator in the main graph.
        op: TFLite builtin operator, or the custom operator's name.
        mapped: it runs on the accelerator.
        reason: why it does not, or the compiler's own words.
        tensor: name of the tensor that decides, or of the first result.
        keras_layer: the layer that it computes; None when the names do not tell.
        fix: what to do.
        version: operator version.
        explanation: the rule in a sentence.
        certainty: how sure the rule is.
        rule: its name.
        source: where the rule is from.
        shape: of `tensor`.
        cycles: of this operator in one inference; None where nothing estimates them.
        figures: what else the target says of it.
    """

    index: int
    op: str
    mapped: bool
    reason: str | None = None
    tensor: str | None = None
    keras_layer: str | None = None
    fix: str | None = None
    version: int | None = None
    explanation: str | None = None
    certainty: str | None = None
    rule: str | None = None
    source: str | None = None
    shape: tuple[int, ...] | None = None
    cycles: float | None = None
    figures: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class CompilerFailure:
    """The compiler is expected to abort: its message, why, what to do, how sure that is and where it is from."""

    message: str
    explanation: str
    fix: str
    certainty: str
    source: str


@dataclass(frozen=True, kw_only=True)
class CpuTail:
    """What runs on the CPU after the accelerator's part: operator indices and types, and the tensors read."""

    operators: tuple[int, ...]
    names: tuple[str, ...]
    tensors: tuple[str, ...]
    explanation: str


@dataclass(frozen=True, kw_only=True)
class LatencyForecast:
    """Milliseconds of one inference on the device, with the range that the forecast allows for.

    Attributes:
        estimate: the likeliest; None where there is none.
        low: it is hardly less.
        high: it is hardly more.
        source: what the forecast rests on.
        link: how the device is connected, where that matters.
        streaming: the part of the estimate that is streamed parameters.
        cpu: the part that operators on the CPU take.
        pcie: the same over PCIe, where `link` is another.
        figures: what else the target says of it.
    """

    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    source: str | None = None
    link: str | None = None
    streaming: float | None = None
    cpu: float | None = None
    pcie: LatencyForecast | None = None
    figures: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class MappingTotals:
    """What every mapping has.

    Attributes:
        mapped_ops: operators on the accelerator.
        cpu_ops: operators on the CPU.
        latency_ms: of one inference on the device; None where nothing forecasts it.
        ops: one row an operator of the main graph, in order.
        figures: what else the target says.
    """

    mapped_ops: int
    cpu_ops: int
    latency_ms: LatencyForecast | None = None
    ops: tuple[OperatorRow, ...] = ()
    figures: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class DeviceMapping(MappingTotals):
    """The mapping to the one device that a target has (the Edge TPU).

    Attributes:
        subgraphs: parts that run there in one go.
        on_chip_bytes: parameters cached on the chip; None when not known.
        off_chip_bytes: parameters streamed in every inference; None when not known.
        streamed_between: the fewest and the most bytes that may be streamed, where that is inferred; None where not.
        min_runtime: runtime version that the compiler writes into the file; None when nothing maps.
        lowest_runtime: oldest runtime that has all the mapped operators.
        advice: what would make the model fit the chip, and what that is worth; one line each.
        failure: the compiler is expected to abort; None when not.
        warnings: one line each.
        tail: what runs on the CPU afterwards; None when nothing does.
        compiled: what an already compiled file contains; None for any other.
        measured: what the compiler itself said; None when it was not run.
    """

    subgraphs: int | None = None
    on_chip_bytes: int | None = None
    off_chip_bytes: int | None = None
    streamed_between: tuple[int, ...] | None = None
    min_runtime: int | None = None
    lowest_runtime: int | None = None
    advice: tuple[str, ...] = ()
    failure: CompilerFailure | None = None
    warnings: tuple[str, ...] = ()
    tail: CpuTail | None = None
    compiled: Mapping[str, object] | None = None
    measured: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class ConfigurationMapping(MappingTotals):
    """The mapping to one of the chips or configurations that a target has.

    Attributes:
        name: the SoC or the accelerator configuration.
        compiled: a compiler made a file; False when it failed; None for a forecast.
        reason: why there is no file, in one line.
        file: name of the compiled file.
        cycles: estimated for one inference; None where the compiler gives none.
        sram_bytes: of on-chip memory that the file needs.
        ddr_bytes: read from and written to memory outside the chip for one inference.
        compiler_version: None for a forecast.
        runs_on: where a mapped operator runs.
        runs_else: where any other operator runs.
    """

    name: str
    compiled: bool | None = None
    reason: str | None = None
    file: str | None = None
    cycles: float | None = None
    sram_bytes: int | None = None
    ddr_bytes: int | None = None
    compiler_version: str | None = None
    runs_on: str = "the NPU"
    runs_else: str = "CPU"
