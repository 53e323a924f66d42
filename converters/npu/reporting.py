"""What the report and a search read from the mapping of a compiled artifact; imports nothing heavy."""

from __future__ import annotations

from tfcompress.converters.forecast import Certainty, Cost
from tfcompress.converters.target import Facts, ReportRow

__all__ = ["costs_of", "most_samples", "report_rows"]


def costs_of(facts: Facts) -> tuple[Cost, ...]:
    """What a search can minimise, for each chip, from the facts of an artifact or of an inspected file."""
    costs = []
    for entry in facts.get("mapping") or ():
        operators = entry["mapped_ops"] + entry["cpu_ops"]
        sure: Certainty = "inferred" if entry["compiled"] is None else "compiled"
        source = entry["compiler_version"] or "forecast from what the compiler said of single operators"
        values = {"npu": entry["mapped_ops"] / operators if operators else None}
        values |= {key: entry[key] for key in ("cycles", "sram_bytes", "ddr_bytes") if entry[key] is not None}
        costs += [Cost(key, value, sure, source, entry["name"]) for key, value in values.items()]
    return tuple(costs)


def most_samples(facts: Facts) -> int | None:
    """How many samples the accuracy diff may take; None takes all."""
    most: int | None = facts["compared"]["most_samples"]
    return most


def report_rows(facts: Facts) -> tuple[ReportRow, ...]:
    """A row per chip: operators on the NPU and what the compiler says of cycles and memory."""
    rows = []
    for entry in facts.get("mapping") or ():
        total = entry["mapped_ops"] + entry["cpu_ops"]
        words = f"{entry['mapped_ops']} of {total} operators on the NPU"
        words += f", {entry['cycles']:,} cycles" if entry.get("cycles") else ""
        words += f", {entry['sram_bytes']:,} B SRAM" if entry.get("sram_bytes") else ""
        words += f", {entry['ddr_bytes']:,} B to and from memory" if entry.get("ddr_bytes") else ""
        rows.append(ReportRow(entry["name"], words if entry["compiled"] is not False else entry["reason"]))
    return tuple(rows)
