"""Which layers multiply int8 and which bfloat16: by the TPU compiler's own cycles, measured, not guessed.

Both give the same result, as bfloat16 holds these integers exactly; so only cycles decide.  Between products in
bfloat16 they are stored in that dtype too, where packing them into int8 may cost more than it saves.  Three programs
are compiled: int8 in every product that gains at all, bfloat16 in every product, and the mix that takes for each layer
the kind in which it needed fewer cycles.  The cheapest of the three is taken: what a layer costs depends on its
neighbours.

Before that, samples are put side by side in the channels of narrow layers, twice as many as long as that needs fewer
cycles.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tfcompress.converters.cloud_tpu.int8.lanes import largest_factor
from tfcompress.converters.cloud_tpu.int8.program import Program
from tfcompress.converters.cloud_tpu.proof import CompileRow, compile_all
from tfcompress.converters.cloud_tpu.stablehlo import Lowered, lower_graph
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.model import FloatModel

__all__ = ["Choice", "choose", "cycles_of", "mixed", "row_of"]


@dataclass(frozen=True)
class Choice:
    """A program, and how it was chosen.

    Attributes:
        program: to be written.
        topology: that the cycles are for; None where nothing could be compiled.
        batch_size: likewise.
        cycles: {kind of program: estimated cycles}, of each that compiled.
        in_bfloat16: layers whose products are made in bfloat16.
    """

    program: Program
    topology: str | None
    batch_size: int | None
    cycles: dict[str, float]
    in_bfloat16: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """For report.json."""
        return {
            "topology": self.topology,
            "batch_size": self.batch_size,
            "samples_side_by_side": self.program.samples_side_by_side,
            "cycles": self.cycles,
            "in_bfloat16": list(self.in_bfloat16),
        }


def choose(
    program: Program, model: FloatModel, batch_size: int, topologies: Sequence[str], *, side_by_side: bool = True
) -> Choice:
    """The cheapest program for the first topology at a batch size; `program` itself where nothing can be compiled.

    Args:
        program: of the int8 file.
        model: that the file was made from.
        batch_size: to compile at.
        topologies: that the user asked for.
        side_by_side: samples may lie side by side; not in a program for several chips, which share the samples.

    Raises:
        ConversionError: an operator has no form.
    """
    if not topologies:
        return Choice(program, None, None, {}, _scopes(program))
    trials = _Trials(model, batch_size, topologies[0])
    narrow = trials.compile("int8", program)
    base, marks = program, ""
    for factor in _factors(program, batch_size) if side_by_side else ():
        candidate = replace(program, samples_side_by_side=factor)
        row = trials.compile(f"int8{_mark(factor)}", candidate)
        if not _is_cheaper(row, narrow):
            break
        base, narrow, marks = candidate, row, _mark(factor)
    wide = trials.compile(f"bfloat16 products{marks}", base.with_wide(base.products()))
    mix = mixed(base, narrow, wide)
    if mix is not None and mix.wide not in (base.wide, base.products().keys()):
        trials.compile(f"mixed{marks}", mix)
    if not trials.cycles:
        return Choice(program, None, None, {}, _scopes(program))
    best = trials.programs[min(trials.cycles, key=lambda name: trials.cycles[name])]
    return Choice(best, topologies[0], batch_size, trials.cycles, _scopes(best))


class _Trials:
    """Programs that are compiled: `programs` by name, and the `cycles` of those that compile."""

    def __init__(self, model: FloatModel, batch_size: int, topology: str) -> None:
        self.model, self.batch_size, self.topology = model, batch_size, topology
        self.programs: dict[str, Program] = {}
        self.cycles: dict[str, float] = {}

    def compile(self, name: str, program: Program) -> CompileRow:
        """What the compiler says of a program."""
        row = row_of(program.at_batch(self.model, self.batch_size), self.topology, program.layer_names)
        self.programs[name] = program
        if row.ok and row.estimated_cycles:
            self.cycles[name] = row.estimated_cycles
        return row


def _factors(program: Program, batch_size: int) -> list[int]:
    """How many samples to try side by side: powers of two that divide the batch, up to what fills the lanes."""
    powers = (2**place for place in range(1, largest_factor(program.graph).bit_length()))
    return [factor for factor in powers if batch_size % factor == 0]


def _mark(factor: int) -> str:
    return f", {factor} samples side by side"


def _is_cheaper(row: CompileRow, other: CompileRow) -> bool:
    cycles, others = (item.estimated_cycles if item.ok else None for item in (row, other))
    return cycles is not None and (others is None or cycles < others)


def cycles_of(graph: InferenceGraph, topology: str) -> float | None:
    """The estimated cycles of a graph; None where it does not compile, or the compiler tells none."""
    row = row_of(graph, topology, ())
    return row.estimated_cycles if row.ok else None


def row_of(graph: InferenceGraph, topology: str, layer_names: Collection[str]) -> CompileRow:
    """What the TPU compiler says of a graph, its weights as arguments."""
    artifact = lower_graph(graph, layer_names, freeze=False)
    lowered = Lowered("candidate", graph.batch_size, artifact, inputs=len(graph.inputs))
    (row,) = compile_all([lowered], [topology], layer_names)
    return row


def mixed(program: Program, narrow: CompileRow, wide: CompileRow) -> Program | None:
    """The program that takes each layer's cheaper kind; None where the compiler told no cycles by layer.

    What makes a product's operand is counted with it where it multiplies bfloat16 in any case and nothing else reads
    it, as it stores that dtype then.  A layer that the compiler fused into another one in one of the two programs alone
    cannot be compared, and multiplies int8.
    """
    costs = [row.cycles_by_layer for row in (narrow, wide)]
    if not all(costs):
        return None
    scopes = program.products()
    cheaper_wide = set(program.wide)
    for index in scopes:
        parts = {scopes[index]} | {scopes[before] for before in _before(program, index)}
        if all(part in cost for part in parts for cost in costs):
            sums = [sum(cost[part] for part in parts) for cost in costs]
            cheaper_wide |= {index} if sums[1] < sums[0] else set()
    return program.with_wide(cheaper_wide)


def _before(program: Program, index: int) -> set[int]:
    """The product in bfloat16 that makes the operand of product `index` for it alone; empty where there is none."""
    operand = program.graph.operators[index].inputs[0]
    producer = program.graph.producer(operand)
    alone = len(program.graph.consumers(operand)) == 1
    return {producer.index} & program.wide if producer is not None and alone else set()


def _scopes(program: Program) -> tuple[str, ...]:
    products = program.products()
    return tuple(dict.fromkeys(products[index] for index in sorted(program.wide & products.keys())))
