"""The programs for all chips of each topology: compiled, and written where they fit."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfcompress.converters.cloud_tpu.chips import devices_of
from tfcompress.converters.cloud_tpu.proof import CompileRow, compile_all, compiler_version
from tfcompress.converters.cloud_tpu.saved_model import WeightStore
from tfcompress.converters.cloud_tpu.sharding.program import (
    Layout,
    Program,
    Unsplit,
    from_lowered,
    split_program,
    unsplit,
)
from tfcompress.converters.cloud_tpu.stablehlo import Lowered
from tfcompress.converters.usage.pages import sample
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph

__all__ = ["Sharded", "prove_split", "shard"]

FOLDER = "sharded"


@dataclass(frozen=True)
class Sharded:
    """What came of it.

    Attributes:
        rows: a compile proof for each program, figures of one device.
        notes: which batch and layout fits.
    """

    rows: tuple[CompileRow, ...]
    notes: tuple[str, ...]


def shard(
    graphs: Sequence[InferenceGraph],
    layout: Layout,
    topologies: Sequence[str],
    output: Path,
    layer_names: Collection[str] = (),
) -> Sharded:
    """Compile every graph for all chips of every topology, and write the programs that fit.

    Args:
        graphs: of one model, as they were written into the SavedModel.
        layout: tried first; the other one where it does not compile or fit.
        topologies: written ``chip:XxY``.
        output: gets ``sharded/LAYOUT_N_devices_batch_N.stablehlo``, and a ``.json`` of its arguments; its ``USE.md``
            gets a section.
        layer_names: of the Keras layers, for messages.

    Raises:
        ConversionError: XLA refuses an operator.
    """
    reason = _why_not(topologies)
    if reason:
        return Sharded((), (reason,))
    store = WeightStore(freeze=False, abstract=True)
    whole = [unsplit(graph, store, layer_names) for graph in graphs]
    compiled = _compiled(whole, layout, topologies, layer_names)
    fitting = [(program, row) for program, row in compiled if row.ok]
    for program, _ in fitting:
        _write(program, output / FOLDER)
    if fitting:
        _tell_usage(output, fitting[-1][0], graphs)
    rows = tuple(row for _, row in compiled)
    return Sharded(rows, _notes(rows))


def prove_split(
    lowered: Sequence[Lowered], layout: Layout, topologies: Sequence[str], layer_names: Collection[str] = ()
) -> list[CompileRow]:
    """Compile the signatures of a SavedModel for all chips of every topology.

    Args:
        lowered: as `lower_saved_model` gives them; those that XLA refuses are left out.
        layout: tried first; the other one where it does not compile or fit.
        topologies: written ``chip:XxY``.
        layer_names: of the Keras layers, for messages.
    """
    if _why_not(topologies):
        return []
    whole = [from_lowered(item) for item in lowered if not item.error]
    return [row for _, row in _compiled(whole, layout, topologies, layer_names)]


def _why_not(topologies: Sequence[str]) -> str | None:
    if compiler_version() is None:
        return "not split over chips: that needs jax and libtpu: pip install 'tfcompress[tpu]'"
    if all(devices_of(topology) == 1 for topology in topologies):
        return "not split over chips: no topology has several; give one, such as --topologies=v5e:2x2"
    return None


def _compiled(
    whole: Sequence[Unsplit], layout: Layout, topologies: Sequence[str], layer_names: Collection[str]
) -> list[tuple[Program, CompileRow]]:
    other: Layout = "tensor" if layout == "data" else "data"
    compiled = []
    for topology in topologies:
        if devices_of(topology) > 1:
            first = _compiled_in(whole, layout, topology, layer_names)
            left = [program.whole for program, row in first if not row.ok]
            compiled += first + (_compiled_in(left, other, topology, layer_names) if left else [])
    return compiled


def _compiled_in(
    whole: Sequence[Unsplit], layout: Layout, topology: str, layer_names: Collection[str]
) -> list[tuple[Program, CompileRow]]:
    programs = [split_program(item, layout, devices_of(topology)) for item in whole]
    rows = compile_all([program.lowered for program in programs], [topology], layer_names)
    return list(zip(programs, rows, strict=True))


def _name(program: Program) -> str:
    lowered = program.lowered
    return f"{lowered.sharding}_{lowered.devices}_devices_batch_{lowered.batch_size}"


def _write(program: Program, folder: Path) -> None:
    """The artifact, and what its arguments are; nothing of it depends on the topology but the number of devices."""
    folder.mkdir(exist_ok=True)
    (folder / f"{_name(program)}.stablehlo").write_bytes(program.lowered.artifact)
    text = json.dumps(program.described(), indent=2)
    (folder / f"{_name(program)}.json").write_text(text + "\n", encoding="utf-8")


def _tell_usage(output: Path, program: Program, graphs: Sequence[InferenceGraph]) -> None:
    """Add to USE.md how a program is run."""
    (graph,) = (graph for graph in graphs if graph.batch_size == program.lowered.batch_size)
    inputs = ", ".join(f"{info.name!r}: np.zeros({info.shape}, {info.dtype!r})" for info in graph.inputs)
    with (output / "USE.md").open("a", encoding="utf-8") as page:
        page.write("\n" + sample("sharded", name=_name(program), inputs=inputs).strip("\n") + "\n")


def _notes(rows: Sequence[CompileRow]) -> tuple[str, ...]:
    """A line a topology and layout: the largest batch that fits; and why a smaller or larger one does not."""
    notes = []
    for topology, layout in dict.fromkeys((row.topology, row.sharding) for row in rows):
        own = [row for row in rows if (row.topology, row.sharding) == (topology, layout)]
        best = max((row for row in own if row.ok), key=lambda row: row.batch_size or 0, default=None)
        if best is None:
            notes.append(f"{topology}, {layout}: no batch size fits: {own[0].error}")
        else:
            notes.append(
                f"{topology}, {layout}: fits up to batch {best.batch_size}, with {(best.hbm_bytes or 0) / 1e6:.0f} MB "
                f"on each of {best.devices} devices{_spent(best)}"
            )
    return tuple(notes)


def _spent(row: CompileRow) -> str:
    cycles = "" if row.estimated_cycles is None else f", {row.estimated_cycles:.0f} cycles each"
    collectives = (row.figures or {}).get("collectives")
    if not isinstance(collectives, dict):
        return cycles
    kinds = [f"{entry['count']} {kind} of {entry['bytes'] / 1e6:.1f} MB" for kind, entry in collectives.items()]
    return f"{cycles}; " + (", ".join(kinds) or "the devices exchange nothing")
