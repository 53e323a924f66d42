"""A target as somebody else would add one: this file, and a row in the table of targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfcompress.converters import Artifact, Cost, Forecast, Target
from tfcompress.converters.target import Facts, ReportRow
from tfcompress.recipe import Recipe

if TYPE_CHECKING:
    from tfcompress.data import Samples
    from tfcompress.model import FloatModel

__all__ = ["TOY"]


def _convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path, /) -> Artifact:
    from tfcompress.converters.litert import to_float_tflite

    del calibration, recipe
    path = output / "toy.tflite"
    path.write_bytes(to_float_tflite(model))
    return Artifact("toy", output, path, {"bricks": path.stat().st_size // 100}, ("built from bricks",))


def _inspect(path: Path, recipe: Recipe) -> Forecast:
    del recipe
    bricks = path.stat().st_size // 100
    return Forecast("mapping", {"bricks": bricks}, (Cost("bricks", bricks, "documented", "the toy's manual"),))


def _report_rows(facts: Facts) -> tuple[ReportRow, ...]:
    return (ReportRow("bricks", facts["bricks"], "count"),)


TOY = Target(
    name="toy",
    title="Toy brick",
    convert=_convert,
    depends_on=lambda recipe: {},
    inspect=_inspect,
    refusal=lambda facts: "more than a million bricks" if facts["bricks"] > 1_000_000 else None,
    done=lambda recipe: "Toy brick: stacked",
    report_rows=_report_rows,
)
