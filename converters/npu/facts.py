"""What report.json says of a compiled artifact, beside its mapping."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tfcompress.converters.litert.facts import float_operators, select_operators, used_dtypes
from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.npu.picture import mappings_svg
from tfcompress.converters.npu.quantization import NpuFile
from tfcompress.graphs.tflite import Subgraph, read_tflite
from tfcompress.remarks import optional

__all__ = ["facts_of", "mapping_notes", "write_companions", "written"]

_FLOAT = ("float32", "float16")


def facts_of(npu_file: NpuFile, mappings: Sequence[CompiledMapping], runnable: Path) -> dict[str, object]:
    """The target's own keys of report.json.

    Args:
        npu_file: the int8 file that was compiled.
        mappings: of each chip.
        runnable: the compiled file that is compared.
    """
    file = read_tflite(npu_file.result.content)
    floats = list(float_operators(file))
    return {
        "bytes": runnable.stat().st_size,
        "int8_bytes": len(npu_file.result.content),
        "fully_integer": not any(used_dtypes(graph).intersection(_FLOAT) for graph in file.subgraphs),
        "input_dtypes": [file.main.tensors[index].dtype for index in file.main.inputs],
        "output_dtypes": [file.main.tensors[index].dtype for index in file.main.outputs],
        "float_ops": floats,
        "select_ops": list(select_operators(file)),
        "engine": {"name": npu_file.result.engine, "reason": npu_file.result.reason},
        "rewrites": [rewrite.to_json() for rewrite in npu_file.rewrites],
        "mapping": [mapping.to_json() for mapping in mappings],
        **_picture(mappings, file.main),
    }


def _picture(mappings: Sequence[CompiledMapping], graph: Subgraph) -> dict[str, object]:
    with optional("the picture of what runs where"):
        return {"mapping_svg": mappings_svg(mappings, graph)}
    return {}


def written(mapping: CompiledMapping, content: bytes | None, output: Path) -> CompiledMapping:
    """The mapping of a chip with its compiled file, where there is one, written into the target's folder."""
    if content is None:
        return mapping
    path = output / f"model_{mapping.name}.tflite"
    path.write_bytes(content)
    return mapping.with_file(path.name)


def write_companions(file: NpuFile, mappings: Sequence[CompiledMapping], usage: str, output: Path) -> Path:
    """Write what stands beside the compiled files; the path of the int8 file that they were compiled from."""
    rows = [mapping.to_json() for mapping in mappings]
    (output / "mapping.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (output / "USE.md").write_text(usage, encoding="utf-8")
    path = output / "model.tflite"
    path.write_bytes(file.result.content)
    return path


def mapping_notes(file: NpuFile, mappings: Sequence[CompiledMapping]) -> list[str]:
    """What people should know: the engine, what was rewritten, and what each chip leaves to the CPU and why."""
    notes = [f"engine: {file.result.engine} ({file.result.reason})"]
    notes += [rewrite.note() for rewrite in file.rewrites]
    notes += file.result.notes
    for mapping in mappings:
        total = len(mapping.operators)
        if mapping.compiled is False:
            notes.append(f"{mapping.name}: not compiled: {mapping.reason}")
            continue
        notes.append(f"{mapping.name}: {mapping.mapped_ops} of {total} operators on the NPU{_costs(mapping)}")
        left = Counter(row.operator for row in mapping.operators if not row.mapped)
        first = next((row for row in mapping.operators if not row.mapped), None)
        if first is not None:
            named = ", ".join(f"{count} {name}" for name, count in left.items())
            notes.append(f"{mapping.name}: on the CPU: {named}; {first.operator}: {first.reason}; {first.fix}")
    return notes


def _costs(mapping: CompiledMapping) -> str:
    parts = [
        f"{value:,} {unit}"
        for value, unit in (
            (mapping.cycles, "cycles"),
            (mapping.sram_bytes, "bytes of SRAM"),
            (mapping.ddr_bytes, "bytes to and from memory"),
        )
        if value
    ]
    return f", {', '.join(parts)} an inference" if parts else ""
