"""Where each operator of a .tflite runs on one chip: one entry of the `mapping` section of report.json."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from tfcompress.graphs.tflite import Operator, Subgraph
from tfcompress.layer_names import as_named_in, layer_or_scope

__all__ = ["CompiledMapping", "OperatorRow", "Refusal", "rows_of"]


@dataclass(frozen=True)
class Refusal:
    """Why an operator is left to the CPU, and what to do about it.

    Attributes:
        reason: in the compiler's own words; of a forecast, the rule.
        fix: what the user can do; empty where nothing is known.
    """

    reason: str
    fix: str = ""


@dataclass(frozen=True)
class OperatorRow:
    """Where one operator runs.

    Attributes:
        index: of the operator in the main graph.
        operator: TFLite builtin operator, or the custom operator's name.
        mapped: it runs on the NPU.
        reason: why it does not; empty for a mapped operator.
        tensor: name of the first result.
        keras_layer: the layer that the operator computes, or None when the names do not tell.
        fix: what to do; empty for a mapped operator.
        cycles: of this operator, where the compiler estimates them; None where it does not.
    """

    index: int
    operator: str
    mapped: bool
    reason: str
    tensor: str
    keras_layer: str | None
    fix: str
    cycles: int | None = None

    def to_json(self) -> dict[str, object]:
        """The operator's row of `ops` in report.json."""
        return {
            "index": self.index,
            "op": self.operator,
            "mapped": self.mapped,
            "reason": self.reason,
            "tensor": self.tensor,
            "keras_layer": self.keras_layer,
            "fix": self.fix,
            "cycles": self.cycles,
        }


@dataclass(frozen=True)
class CompiledMapping:
    """What a compiler, or the forecast of one, makes of a file for one chip.

    Attributes:
        name: the SoC or the accelerator configuration.
        compiled: the compiler made a file; False when it failed; None for a forecast.
        operators: one row an operator of the main graph, in order.
        cycles: estimated for one inference; None where the compiler gives none.
        sram_bytes: of on-chip memory that the file needs; None where the compiler gives none.
        ddr_bytes: read from and written to memory outside the chip for one inference; None where not given.
        compiler_version: None for a forecast.
        reason: why there is no file, in one line; None when there is one.
        file: name of the compiled file beside mapping.json; None where there is none.
        figures: what this compiler says beyond that, in plain numbers and words.
        runs_on: where a mapped operator runs, for people.
        runs_else: where any other operator runs.
    """

    name: str
    compiled: bool | None
    operators: tuple[OperatorRow, ...]
    cycles: int | None = None
    sram_bytes: int | None = None
    ddr_bytes: int | None = None
    compiler_version: str | None = None
    reason: str | None = None
    file: str | None = None
    figures: Mapping[str, object] = field(default_factory=dict)
    runs_on: str = "the NPU"
    runs_else: str = "CPU"

    @property
    def mapped_ops(self) -> int:
        """Number of operators on the NPU."""
        return sum(row.mapped for row in self.operators)

    @property
    def cpu_ops(self) -> int:
        """Number of operators on the CPU."""
        return len(self.operators) - self.mapped_ops

    def with_file(self, name: str) -> CompiledMapping:
        """The mapping of the compiled file that lies beside mapping.json under this name."""
        return replace(self, file=name)

    def to_json(self) -> dict[str, object]:
        """The entry of `mapping` in report.json, and of mapping.json."""
        return {
            "name": self.name,
            "compiled": self.compiled,
            "reason": self.reason,
            "file": self.file,
            "mapped_ops": self.mapped_ops,
            "cpu_ops": self.cpu_ops,
            "cycles": self.cycles,
            "sram_bytes": self.sram_bytes,
            "ddr_bytes": self.ddr_bytes,
            "compiler_version": self.compiler_version,
            "figures": dict(self.figures),
            "runs_on": self.runs_on,
            "runs_else": self.runs_else,
            "ops": [row.to_json() for row in self.operators],
        }


def rows_of(
    graph: Subgraph,
    refusals: Mapping[int, Refusal],
    *,
    layer_names: Collection[str] = (),
    cycles: Mapping[int, int] | None = None,
) -> tuple[OperatorRow, ...]:
    """A row for each operator of a graph.

    Args:
        graph: the main graph of the file that the compiler was given.
        refusals: {operator index: why it stays on the CPU}; all others are mapped.
        layer_names: of the Keras model; without them the name scope of a tensor is taken for the layer.
        cycles: {operator index: estimated cycles}; None where the compiler estimates none.
    """
    names = as_named_in(layer_names, (tensor.name for tensor in graph.tensors))
    return tuple(_row(graph, operator, refusals.get(operator.index), names, cycles) for operator in graph.operators)


def _row(
    graph: Subgraph,
    operator: Operator,
    refusal: Refusal | None,
    layer_names: Collection[str],
    cycles: Mapping[int, int] | None,
) -> OperatorRow:
    tensors = [graph.tensors[index].name for index in (*operator.outputs, *operator.inputs) if index >= 0]
    return OperatorRow(
        index=operator.index,
        operator=operator.name,
        mapped=refusal is None,
        reason="" if refusal is None else refusal.reason,
        tensor=tensors[0] if operator.outputs else "",
        keras_layer=next((layer for name in tensors if (layer := layer_or_scope(name, layer_names))), None),
        fix="" if refusal is None else refusal.fix,
        cycles=None if cycles is None else cycles.get(operator.index, 0),
    )
