"""The terminal's tables of what a target's compiler does: Edge TPU operators and logs, Cloud TPU compilations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tfcompress.report import figures
from tfcompress.report.compile_notes import compile_notes

__all__ = ["compile_tables", "log_tables", "mapping_tables"]


def mapping_tables(mapping: Mapping[str, Any]) -> list[RenderableType]:
    """A line of totals, and a row an operator: where it runs, and for one on the CPU why and what to change.

    Args:
        mapping: the `mapping` section of report.json.
    """
    ops = mapping.get("ops") or []
    totals = (
        f"{mapping.get('mapped_ops')} of {len(ops)} operators on the Edge TPU, {mapping.get('subgraphs')} subgraph(s); "
        f"{figures.size(mapping.get('on_chip_bytes'))} of parameters on the chip, "
        f"{figures.size(mapping.get('off_chip_bytes'))} streamed; runtime {mapping.get('min_runtime')} or newer"
    )
    parts: list[RenderableType] = [Text(totals), *_latency(mapping.get("latency_ms"))]
    failure, tail = mapping.get("failure"), mapping.get("tail")
    if failure:
        line = f"{failure['message']} {failure['explanation']}; {failure['fix']} ({failure['certainty']})"
        parts.append(Text(line, style="bold red"))
    if tail:
        line = f"on the CPU after the Edge TPU part, in the same file: {', '.join(tail['names'])}"
        parts.append(Text(f"{line}, from {', '.join(tail['tensors'])}"))
    parts += [Text(str(warning), style="yellow") for warning in mapping.get("warnings") or ()]
    parts += [Text(str(line), style="cyan") for line in mapping.get("advice") or ()]
    table = Table()
    for name in ("", "operator", "runs on", "layer", "why not, and the fix"):
        table.add_column(name, overflow="fold", ratio=1 if name.startswith("why") else None)
    for op in ops:
        table.add_row(*_operator(op))
    return [*parts, table]


def _latency(latency: Mapping[str, Any] | None) -> list[RenderableType]:
    """One line: milliseconds over each link, with their intervals."""
    if not latency:
        return []
    titles = {"usb3": "USB 3", "pcie": "PCIe"}
    links = [latency, *(part for part in latency.values() if isinstance(part, Mapping))]
    told = (
        f"{figures.milliseconds(link['estimate'])} over {titles.get(link['link'], link['link'])}"
        f" ({figures.milliseconds(link['low'])} to {figures.milliseconds(link['high'])})"
        for link in links
    )
    return [Text(f"one inference is foretold to take {', '.join(told)}")]


def _operator(op: Mapping[str, Any]) -> list[RenderableType]:
    where = Text("Edge TPU", style="green") if op["mapped"] else Text("CPU", style="bold red")
    layer = str(op.get("keras_layer") or op.get("tensor") or "").split(";")[0]
    why = ""
    if not op["mapped"]:
        parts = (op.get("reason"), op.get("explanation"), op.get("fix"))
        why = "; ".join(str(part) for part in parts if part) + f" ({op.get('certainty')})"
    return [str(op["index"]), Text(str(op["op"])), where, Text(layer), Text(why)]


def log_tables(logs: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """A line of totals and the operator table of each model in the Edge TPU compiler's logs.

    Args:
        logs: what `inspect --edgetpu_log` found, one a file.
    """
    return [part for log in logs for run in log["runs"] for part in _run(run)]


def _run(run: Mapping[str, Any]) -> list[RenderableType]:
    counted = (
        "compiled, but the log does not count operators"
        if run["operators"] is None
        else f"{figures.value(run['mapped_ops'])} of {run['operators']} operators on the Edge TPU"
    )
    totals = (
        f"{counted}, {figures.value(run['subgraphs'])} subgraph(s); "
        f"{figures.size(run['on_chip_bytes'])} of parameters on the chip, "
        f"{figures.size(run['off_chip_bytes'])} streamed"
    )
    told = totals if run["compiled"] else str(run["failure"])
    table = Table()
    for name in ("operator", "count", "status"):
        table.add_column(name, overflow="fold", justify="right" if name == "count" else "left")
    for row in run["table"]:
        table.add_row(Text(row["name"]), str(row["count"]), Text(row["status"]))
    return [
        Text(f"{run['input'] or 'a model'}, compiler {run['version'] or 'unknown'}: {told}"),
        *([table] if run["table"] else []),
    ]


def compile_tables(rows: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """A row a topology and batch size, and below them what to change about the model, for the largest batch.

    Args:
        rows: the `compile` section of report.json.
    """
    table = Table(
        title="compiled by the TPU compiler",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        collapse_padding=True,
    )
    for name in ("topology", "batch", "result", "HBM", "flops", "bytes", "estimate", "padding"):
        table.add_column(name, justify="left" if name in ("topology", "result") else "right")
    for row in rows:
        seconds = row.get("optimal_seconds")
        good = row.get("ok")
        result = Text("compiles", style="green") if good else Text(str(row.get("error") or "fails"), style="bold red")
        table.add_row(
            str(row.get("topology")),
            figures.value(row.get("batch_size")),
            result if good is not None else Text("not proven", style="yellow"),
            figures.size(row.get("hbm_bytes")),
            figures.amount(row.get("flops")),
            figures.size(row.get("bytes_accessed")),
            figures.milliseconds(None if seconds is None else seconds * 1000),
            figures.percent(row.get("padding_waste"), 0),
        )
    return [table, *(Text(line, style="dim") for line in compile_notes(rows))]
