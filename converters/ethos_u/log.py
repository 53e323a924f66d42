"""Reads what Vela prints and writes: reasons on standard output, figures in two CSV files.

For an operator that stays on the CPU, Vela prints

    Warning (supported operators) operator: QUANTIZE, ofm: 'tfl.quantize'
    Reason: Operation has tensor with unsupported DataType Float32 (functional_1/modulo_1/FloorMod)
    Feature-map dataTypes must be one of {"BOOL", "INT16", "INT32", "INT64", "INT8", "UINT8"}

where ``ofm`` is the first result.  The summary has one row a network; its memories are in KiB.  The table by layer has
one row for each operator that Vela makes: those of one TFLite operator follow each other, and the last one writes the
TFLite operator's own result, whose name it bears.
"""

from __future__ import annotations

import csv
import io
import re

from tfcompress.graphs.tflite import Subgraph

__all__ = ["cycles_by_operator", "figures_in", "last_words", "reasons_in"]

_REFUSED = re.compile(r"^Warning \(([^)]*)\) operator: [^\n]*, ofm: '([^'\n]*)'\nReason: ((?:[^\n]+\n)+)", re.MULTILINE)
_KIB = {
    "sram_bytes": "sram_memory_used",
    "dram_bytes": "dram_memory_used",
    "on_chip_flash_bytes": "on_chip_flash_memory_used",
    "off_chip_flash_bytes": "off_chip_flash_memory_used",
}
_COUNTS = {
    "cycles": "cycles_total",
    "npu_cycles": "cycles_npu",
    "macs": "nn_macs",
    "original_weight_bytes": "total_original_weights",
    "encoded_weight_bytes": "total_npu_encoded_weights",
    "dram_traffic_bytes": "dram_total_bytes",
    "flash_traffic_bytes": "off_chip_flash_total_bytes",
}


def reasons_in(output: str) -> dict[str, str]:
    """{name of the first result: why the operator stays on the CPU, in one line}."""
    return {name: "; ".join(text.split("\n")).strip("; ") for _, name, text in _REFUSED.findall(output)}


def last_words(output: str, errors: str) -> str:
    """What a run that failed says of it: the exception, which ends standard error, else its last line of output."""
    lines = [line.strip() for text in (output, errors) for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def figures_in(summary: str) -> dict[str, int | float | str]:
    """The summary of a network: bytes, counts, cycles, and `milliseconds` at the clock of the assumed system.

    Args:
        summary: content of ``*_summary_*.csv``.
    """
    row = next(csv.DictReader(io.StringIO(summary)))
    figures: dict[str, int | float | str] = {name: round(1024 * float(row[key])) for name, key in _KIB.items()}
    figures |= {name: round(float(row[key])) for name, key in _COUNTS.items()}
    return figures | {
        "milliseconds": 1000 * float(row["inference_time"]),
        "clock_hz": round(float(row["core_clock"])),
        "system": row["system_config"],
        "memory_mode": row["memory_mode"],
    }


def cycles_by_operator(per_layer: str, graph: Subgraph) -> dict[int, int]:
    """{operator index: cycles} from Vela's table by layer; an operator that Vela folded away is not in it.

    Args:
        per_layer: content of ``*_per-layer.csv``.
        graph: the main graph that Vela was given.
    """
    makers = {graph.tensors[i].name: operator.index for operator in graph.operators for i in operator.outputs}
    cycles: dict[int, int] = {}
    waiting = 0
    last: int | None = None
    for row in csv.DictReader(io.StringIO(per_layer)):
        waiting += round(float(row["Op Cycles"]))
        index = makers.get(row["Name"])
        if index is not None:
            cycles[index] = cycles.get(index, 0) + waiting
            waiting, last = 0, index
    if waiting and last is not None:
        cycles[last] += waiting
    return cycles
