"""search.html: the trade-off as a picture, and every candidate with why it was taken or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfcompress.report import figures, tradeoff
from tfcompress.report.html import environment, template_text
from tfcompress.search.figures import Figures
from tfcompress.search.result import Row, SearchResult

__all__ = ["render_search"]


@dataclass(frozen=True)
class _Line:
    number: str
    name: str
    cells: tuple[str, ...]
    why_not: str | None


def render_search(result: SearchResult, model: str, peers: Sequence[Path] = ()) -> str:
    """The page, complete in itself.

    Args:
        result: of the search.
        model: its name.
        peers: .tflite files of other tools; of these only the size is known.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    shown = [row for row in (*result.pareto, *result.rejected) if row.figures is not None]
    numbers = {row.name: str(number + 1) for number, row in enumerate(shown)}
    chosen = "Figures on the half of the data that chose."
    tables = (
        (
            "Finalists",
            "Figures on the half of the data that no choice was made on, corrected for three looks.",
            result.finalists,
        ),
        ("Pareto set", f"{chosen} No other candidate beats one of these in everything that counts.", result.pareto),
        ("Rejected", chosen, result.rejected),
    )
    page: str = (
        environment()
        .get_template("search.html.jinja")
        .render(
            model=model,
            minimize=result.minimize,
            target=result.target,
            budget=result.budget,
            evaluated=result.evaluated,
            tried=result.trials,
            best=result.best,
            verdict=result.verdict,
            panels=tuple(_panels(shown, result)),
            canvas=tradeoff,
            peers=[(path.name, figures.size(path.stat().st_size)) for path in peers],
            tables=[_table(title, note, rows, numbers) for title, note, rows in tables],
            steps=result.steps,
            left_out=result.left_out,
            style=template_text("style.css"),
        )
    )
    return page


def _panels(rows: Sequence[Row], result: SearchResult) -> Iterator[tradeoff.Panel]:
    """The drop against size, and against time and what is minimised where they are others."""
    for name in dict.fromkeys(("bytes", result.minimize, "latency_ms")):
        if name in ("accuracy_drop", "npu"):
            continue
        write = (
            figures.size if name.endswith("bytes") else figures.milliseconds if name == "latency_ms" else figures.amount
        )
        points = [point for number, row in enumerate(rows) if (point := _point(row, name, number)) is not None]
        if len(points) > 1:
            limit = next(
                (float(part.split("<=")[1]) for part in result.budget.split(",") if "accuracy_drop" in part), None
            )
            yield tradeoff.panel(
                f"Accuracy against {name}", f"{name} (log scale)", "accuracy change, points", write, points, limit
            )


def _point(row: Row, quantity: str, number: int) -> tradeoff.Point | None:
    assert row.figures is not None
    cost, drop = row.figures.value(quantity), row.figures.accuracy_drop
    if not cost or drop is None:
        return None
    bounds = row.figures.accuracy_drop_ci95
    interval = None if bounds is None else (-100 * bounds[1], -100 * bounds[0])
    status = "ok" if row.why_not is None else "gate_failed"
    return tradeoff.Point(str(number + 1), status, cost, -100 * drop, interval, f"{number + 1}: {row.name}")


@dataclass(frozen=True)
class _Table:
    """A table of candidates; columns of which nothing is known are left out."""

    title: str
    note: str
    columns: tuple[str, ...]
    lines: tuple[_Line, ...]


_COLUMNS: Mapping[str, Callable[[Figures], str]] = {
    "drop": lambda figure_set: "" if figure_set.accuracy_drop is None else f"{figure_set.accuracy_drop:.4f}",
    "95 % interval": lambda figure_set: (
        "{:.4f} to {:.4f}".format(*figure_set.accuracy_drop_ci95) if figure_set.accuracy_drop_ci95 else ""
    ),
    "bytes": lambda figure_set: figures.count(figure_set.bytes),
    "packed": lambda figure_set: figures.count(figure_set.packed_bytes) if figure_set.packed_bytes else "",
    "MACs": lambda figure_set: figures.count(figure_set.macs) if figure_set.macs else "",
    "time": lambda figure_set: figures.milliseconds(figure_set.latency_ms) if figure_set.latency_ms else "",
    "cycles": lambda figure_set: figures.count(figure_set.cycles) if figure_set.cycles else "",
    "SRAM": lambda figure_set: figures.size(figure_set.sram_bytes) if figure_set.sram_bytes else "",
    "to and from memory": lambda figure_set: figures.size(figure_set.ddr_bytes) if figure_set.ddr_bytes else "",
    "on the NPU": lambda figure_set: "" if figure_set.npu is None else figures.percent(figure_set.npu),
}


def _why_not(row: Row, numbers: Mapping[str, str]) -> str | None:
    if row.beaten_by is None:
        return row.why_not
    return f"{numbers.get(row.beaten_by, row.beaten_by)} is better, and nowhere worse, in what was asked for"


def _table(title: str, note: str, rows: Sequence[Row], numbers: Mapping[str, str]) -> _Table:
    cells = {name: [write(row.figures) if row.figures else "" for row in rows] for name, write in _COLUMNS.items()}
    columns = tuple(name for name, texts in cells.items() if any(texts))
    lines = [
        _Line(
            numbers.get(row.name, ""), row.name, tuple(cells[name][place] for name in columns), _why_not(row, numbers)
        )
        for place, row in enumerate(rows)
    ]
    return _Table(title, note, columns, tuple(lines))
