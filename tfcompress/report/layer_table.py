"""The layers of all artifacts side by side, with bars of their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfcompress.report import figures
from tfcompress.report.schema import Compared, Layer

__all__ = ["LayerCell", "LayerRow", "layer_cells", "layer_rows", "worst_layers"]

FULL_BAR_DB = 60.0  # int8 layers lie between 20 and 50 dB
POOR_DB, FAIR_DB = 15.0, 25.0
MOST_LAYERS = 400
WORST = 12  # layers shown before the whole table is folded


@dataclass(frozen=True)
class LayerCell:
    """One layer of one artifact.

    Attributes:
        decibels: total SQNR.
        share: of the full bar in percent.
        grade: how good it is: `good`, `fair`, `poor`, or `unknown`.
        own: SQNR of the layer's own contribution.
        own_share: of the full bar in percent; None where it is not known.
        used: share of the range that its values take up.
        saturated: share of its values outside the range.
    """

    decibels: str
    share: float
    grade: str
    own: str
    own_share: float | None
    used: str
    saturated: str


@dataclass(frozen=True)
class LayerRow:
    """One layer: its name and class, and a cell for each artifact, None where that has no such layer."""

    name: str
    kind: str
    cells: tuple[LayerCell | None, ...]


def layer_rows(sections: Sequence[Compared]) -> tuple[LayerRow, ...]:
    """The first `MOST_LAYERS` layers of some artifacts, in the order of computation."""
    tables = [{row.layer: row for row in section.layers} for section in sections]
    kinds = {row.layer: row.type for section in sections for row in section.layers}
    names = _merged(tables)[:MOST_LAYERS]
    return tuple(
        LayerRow(name, kinds[name], tuple(_cell(table[name]) if name in table else None for table in tables))
        for name in names
    )


def worst_layers(rows: Sequence[LayerRow]) -> tuple[LayerRow, ...]:
    """The rows with the least SQNR in any artifact, the worst first; all in their order where they are few."""
    if len(rows) <= 2 * WORST:
        return tuple(rows)
    graded = [row for row in rows if any(cell and cell.grade != "unknown" for cell in row.cells)]
    graded.sort(key=lambda row: min(cell.share for cell in row.cells if cell and cell.grade != "unknown"))
    return tuple(graded[:WORST])


def layer_cells(section: Compared) -> tuple[LayerRow, ...]:
    """The layers of a single artifact, the worst first."""
    rows = [row for row in layer_rows([section]) if row.cells[0] is not None]
    return tuple(sorted(rows, key=lambda row: row.cells[0].share if row.cells[0] else 0.0))


def _merged(tables: Sequence[Mapping[str, Layer]]) -> list[str]:
    """Names of all layers: one that only a later artifact has follows the one that it follows there."""
    names: list[str] = []
    for table in tables:
        place = 0
        for name in table:
            if name in names:
                place = names.index(name) + 1
            else:
                names.insert(place, name)
                place += 1
    return names


def _cell(row: Layer) -> LayerCell:
    share, grade = _bar(row.sqnr_db)
    return LayerCell(
        decibels=figures.decibel(row.sqnr_db),
        share=share,
        grade=grade,
        own=figures.decibel(row.own_sqnr_db),
        own_share=None if row.own_sqnr_db is None else _bar(row.own_sqnr_db)[0],
        used=figures.percent(row.range_used, 0),
        saturated=figures.percent(row.saturation, 2),
    )


def _bar(decibels: float | None) -> tuple[float, str]:
    if decibels is None:
        return 0.0, "unknown"
    grade = "poor" if decibels < POOR_DB else "fair" if decibels < FAIR_DB else "good"
    return round(100 * min(max(decibels, 0.5) / FULL_BAR_DB, 1.0), 1), grade
