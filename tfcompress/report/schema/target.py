"""One target's part of report.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tfcompress.compile_row import CompileRow
from tfcompress.report.schema.accuracy import Compared
from tfcompress.report.schema.mapping import ConfigurationMapping, DeviceMapping, MappingTotals

__all__ = [
    "CompileSection",
    "Engine",
    "FactRow",
    "Latency",
    "LayerBitWidths",
    "NextStep",
    "OperatorTime",
    "Rewrite",
    "TargetSection",
    "Weights",
    "XnnpackShare",
]

SHOWN_OPERATORS = 30  # of a file, on the page; report.json has all


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one inference at batch 1 on the machine that converted, on `threads` (None: one) threads."""

    median: float | None = None
    p90: float | None = None
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Who quantized, and why that one."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The kernels' weights: how many, share of zeros, most distinct values in one, and the file's size after gzip."""

    count: int
    sparsity: float | None
    clusters: int | None
    gzip_bytes: int


@dataclass(frozen=True, kw_only=True)
class XnnpackShare:
    """Operators in the main graph, how many XNNPACK takes here, and {name: number} of those that it leaves.

    Attributes:
        reasons: {operator: why one of them was left}; empty in the report of an older version.
    """

    operators: int
    taken: int
    left: Mapping[str, int]
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class OperatorTime:
    """Milliseconds of an operator in the float file, and of what computes the same in int8, on one thread here.

    Attributes:
        tensor: name of what it computes.
        operator: its name in the float file.
        layer: the Keras layer; None where names do not tell.
        int8_ms: None where the two files do not correspond.
        float_ms: the same.
        reason: why XNNPACK leaves the int8 form to slower kernels; None where it takes it.
    """

    tensor: str
    operator: str
    layer: str | None = None
    int8_ms: float | None = None
    float_ms: float | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class LayerBitWidths:
    """Decibels that 4, 8 and 16 bits keep of a layer's weights and activations, and the fewest bits that suffice."""

    layer: str
    weights_db: Mapping[str, float | None] | None = None
    weights_need_bits: int | None = None
    activations_db: Mapping[str, float | None] | None = None
    activations_need_bits: int | None = None


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """A kind of rewrite that was done to the graph, with the largest difference that its proof saw, and in what."""

    name: str
    level: str
    what: str
    operators: int
    keras_layers: tuple[str, ...] = ()
    max_abs_error: float | None = None
    in_int8: bool = False
    arithmetic: str = "float32"


@dataclass(frozen=True, kw_only=True)
class CompileSection(CompileRow):
    """A `CompileRow` in the report."""

    @property
    def seconds(self) -> float | None:
        """The best estimate of one call's time: the scheduler's, else the lower bound."""
        return self.optimal_seconds if self.estimated_seconds is None else self.estimated_seconds


@dataclass(frozen=True, kw_only=True)
class FactRow:
    """A figure that only its target knows, in words: what every view shows without knowing the target.

    Attributes:
        label: what it is, such as ``arena``.
        value: for people, with its unit, such as ``93.5 kB``.
        summary: show it on the target's card too, not only among its details.
    """

    label: str
    value: str
    summary: bool = False


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """What to do with the artifact next: a sentence, and a command line or code where there is one."""

    text: str
    command: str | None = None


@dataclass(frozen=True, kw_only=True)
class TargetSection(Compared):
    """Everything about one target.  What is not known is None, and what does not apply is empty.

    Attributes:
        title: for people; None shows the target's name.
        files: below the output folder.
        packed_bytes: of the smallest file that gives the artifact back (``tfcompress pack``); None above 4 MiB.
        macs: multiply-accumulates of one inference, where compression changed them.
        parameters: number of weights, where compression changed it.
        fully_integer: no operator and no edge is float.
        input_dtypes, output_dtypes: in order.
        float_ops: names of the operators that compute in float.
        latency_ms: on this machine's CPU, one thread; not the accelerator's, which `mapping` has.
        float_latency_ms: the float file's.
        latency_ms_all_threads, float_latency_ms_all_threads: the same on all cores.
        select_ops: TensorFlow operators, which need the Flex delegate.
        resizable_batch: it runs with other batch sizes.
        xnnpack: what XNNPACK takes.
        operator_times: what each operator of the float file takes, and what computes the same in this file.
        slow_operators: those that int8 slows down so much that it counts, the worst first.
        engine: who quantized.
        bit_widths: what each layer needs.
        weights: zeros and shared values.
        rewrites, repairs: what was done to the graph.
        mapping: where the operators run; a list where the target has several chips.
        mapping_svg: a picture of that.
        batch_sizes: of the signatures.
        compile: proofs by the TPU compiler.
        notes: one line each.
        rows: the target's own figures.
        next_steps: what to do with the artifact.
        figures: the target's own further facts, for programs.
    """

    title: str | None = None
    files: tuple[str, ...] = ()
    packed_bytes: int | None = None
    macs: int | None = None
    parameters: int | None = None
    fully_integer: bool | None = None
    input_dtypes: tuple[str, ...] = ()
    output_dtypes: tuple[str, ...] = ()
    float_ops: tuple[str, ...] = ()
    latency_ms: Latency | None = field(default_factory=Latency)
    float_latency_ms: Latency | None = None
    latency_ms_all_threads: Latency | None = None
    float_latency_ms_all_threads: Latency | None = None
    select_ops: tuple[str, ...] = ()
    resizable_batch: bool | None = None
    xnnpack: XnnpackShare | None = None
    operator_times: tuple[OperatorTime, ...] = ()
    slow_operators: tuple[OperatorTime, ...] = ()
    engine: Engine | None = None
    bit_widths: tuple[LayerBitWidths, ...] = ()
    weights: Weights | None = None
    rewrites: tuple[Rewrite, ...] = ()
    repairs: tuple[str, ...] = ()
    mapping: DeviceMapping | tuple[ConfigurationMapping, ...] | None = None
    mapping_svg: str | None = None
    batch_sizes: tuple[int, ...] = ()
    compile: tuple[CompileSection, ...] = ()
    notes: tuple[str, ...] = ()
    rows: tuple[FactRow, ...] = ()
    next_steps: tuple[NextStep, ...] = ()
    figures: Mapping[str, object] = field(default_factory=dict)

    @property
    def longest_operators(self) -> tuple[OperatorTime, ...]:
        """Those of `operator_times` that take longest in this file, at most `SHOWN_OPERATORS`."""
        measured = [each for each in self.operator_times if each.int8_ms is not None]
        return tuple(sorted(measured, key=lambda each: -(each.int8_ms or 0.0))[:SHOWN_OPERATORS])

    @property
    def mappings(self) -> tuple[MappingTotals, ...]:
        """The mapping of each chip: one, several or none."""
        if self.mapping is None:
            return ()
        return self.mapping if isinstance(self.mapping, tuple) else (self.mapping,)
