"""The terminal's tables of what a target's compiler does: operators and where they run, logs, TPU compilations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tfcompress.compile_row import has_own_signatures
from tfcompress.report import figures
from tfcompress.report.compile_notes import compile_notes
from tfcompress.report.schema import (
    CompileSection,
    ConfigurationMapping,
    DeviceMapping,
    LatencyForecast,
    MappingTotals,
    OperatorRow,
)

__all__ = ["compile_tables", "log_tables", "mapping_tables"]


def mapping_tables(mapping: MappingTotals) -> list[RenderableType]:
    """A line of totals, and a row an operator: where it runs, and for one on the CPU why and what to change."""
    parts: list[RenderableType] = [Text(_totals(mapping))]
    if isinstance(mapping, DeviceMapping):
        parts += _device_lines(mapping)
    table = Table()
    for name in ("", "operator", "runs on", "layer", "why not, and the fix"):
        table.add_column(name, overflow="fold", ratio=1 if name.startswith("why") else None)
    for op in mapping.ops:
        table.add_row(*_operator(op, mapping))
    return [*parts, table]


def _totals(mapping: MappingTotals) -> str:
    if isinstance(mapping, ConfigurationMapping):
        said = f"{mapping.name}: {_counted(mapping)} on {mapping.runs_on}"
        said += "" if mapping.cycles is None else f", {figures.amount(mapping.cycles)} cycles"
        said += "" if mapping.sram_bytes is None else f", {figures.size(mapping.sram_bytes)} of SRAM"
        said += "" if mapping.ddr_bytes is None else f", {figures.size(mapping.ddr_bytes)} to and from memory"
        return said + (f"; {mapping.reason}" if mapping.reason else "")
    assert isinstance(mapping, DeviceMapping)
    between = " to ".join(map(figures.size, mapping.streamed_between or ()))
    return (
        f"{_counted(mapping)} on the Edge TPU, {mapping.subgraphs} subgraph(s); "
        f"{figures.size(mapping.on_chip_bytes)} of parameters on the chip, "
        f"{figures.size(mapping.off_chip_bytes)} streamed{f' ({between}, inferred)' if between else ''}; "
        f"runtime {mapping.min_runtime} or newer"
    )


def _counted(mapping: MappingTotals) -> str:
    return f"{mapping.mapped_ops} of {mapping.mapped_ops + mapping.cpu_ops} operators"


def _device_lines(mapping: DeviceMapping) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(line) for line in _latency(mapping.latency_ms)]
    if (failure := mapping.failure) is not None:
        line = f"{failure.message} {failure.explanation}; {failure.fix} ({failure.certainty})"
        parts.append(Text(line, style="bold red"))
    if mapping.tail is not None:
        line = f"on the CPU after the Edge TPU part, in the same file: {', '.join(mapping.tail.names)}"
        parts.append(Text(f"{line}, from {', '.join(mapping.tail.tensors)}"))
    parts += [Text(warning, style="yellow") for warning in mapping.warnings]
    return parts + [Text(line, style="cyan") for line in mapping.advice]


def _latency(latency: LatencyForecast | None) -> Iterator[str]:
    """One line: milliseconds over each link, with their intervals."""
    if latency is None or latency.estimate is None:
        return
    titles = {"usb3": "USB 3", "pcie": "PCIe"}
    links = [latency] if latency.pcie is None else [latency, latency.pcie]
    text = (
        f"{figures.milliseconds(link.estimate)} over {titles.get(link.link or '', link.link)}"
        f" ({figures.milliseconds(link.low)} to {figures.milliseconds(link.high)})"
        for link in links
    )
    yield f"one inference is forecast to take {', '.join(text)}"


def _operator(op: OperatorRow, mapping: MappingTotals) -> list[RenderableType]:
    here, else_ = ("Edge TPU", "CPU")
    if isinstance(mapping, ConfigurationMapping):
        here, else_ = mapping.runs_on.removeprefix("the "), mapping.runs_else
    where = Text(here, style="green") if op.mapped else Text(else_, style="bold red")
    layer = (op.keras_layer or op.tensor or "").split(";")[0]
    why = ""
    if not op.mapped:
        why = "; ".join(part for part in (op.reason, op.explanation, op.fix) if part)
        why += f" ({op.certainty})" if op.certainty else ""
    return [str(op.index), Text(op.op), where, Text(layer), Text(why)]


def log_tables(logs: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """A line of totals and the operator table of each model in the Edge TPU compiler's logs.

    Args:
        logs: what `inspect --edgetpu_log` found, one per file.
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
    verdict = totals if run["compiled"] else str(run["failure"])
    table = Table()
    for name in ("operator", "count", "status"):
        table.add_column(name, overflow="fold", justify="right" if name == "count" else "left")
    for row in run["table"]:
        table.add_row(Text(row["name"]), str(row["count"]), Text(row["status"]))
    return [
        Text(f"{run['input'] or 'a model'}, compiler {run['version'] or 'unknown'}: {verdict}"),
        *([table] if run["table"] else []),
    ]


def compile_tables(rows: Sequence[CompileSection]) -> list[RenderableType]:
    """A row per topology, signature and batch size; below them why some fail, and what to change about the model.

    Args:
        rows: the `compile` section of a target.
    """
    table = Table(
        title="compiled by the TPU compiler",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        collapse_padding=True,
    )
    several = has_own_signatures(rows)
    columns: tuple[str, ...] = ("topology", "batch", "result", "HBM", "flops", "bytes", "estimate", "padding")
    if several:  # as many columns as fit a terminal of 80 characters
        columns = ("topology", "signature", "batch", "result", "HBM", "bytes", "estimate")
    for name in columns:
        justify: Literal["left", "right"] = "left" if name in ("topology", "signature", "result") else "right"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name in ("topology", "estimate"))
    for row in rows:
        result = Text("compiles", style="green") if row.ok else Text("fails", style="bold red")
        table.add_row(
            row.place,
            *([Text(row.signature or "")] if several else []),
            figures.value(row.batch_size),
            result if row.ok is not None else Text("not proven", style="yellow"),
            figures.size(row.hbm_bytes),
            *([] if several else [figures.amount(row.flops)]),
            figures.size(row.bytes_accessed),
            figures.milliseconds(None if row.seconds is None else row.seconds * 1000),
            *([] if several else [figures.percent(row.padding_waste, 0)]),
        )
    return [table, *(Text(line, style="dim") for line in compile_notes(rows))]
