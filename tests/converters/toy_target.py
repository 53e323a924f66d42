"""A target as somebody else would add one: this file, with options of its own, and a row in the table of targets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tfcompress.converters import Artifact, Cost, Forecast, Target
from tfcompress.converters.target import Facts, ReportRow
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import documented, option
from tfcompress.recipe.section import Section

if TYPE_CHECKING:
    from tfcompress.data import Samples
    from tfcompress.model import FloatModel

__all__ = ["TOY", "ToyBrick"]


@documented()
@dataclass(frozen=True, kw_only=True)
class ToyBrick(Section):
    """Options of the toy target."""

    key: ClassVar[str] = "toy"
    brick_bytes: int = option(100, flag="brick_bytes", metavar="BYTES", help="how many bytes make a brick")
    color: str = option("red", help="color of the bricks")

    def _check(self) -> None:
        self.require(self.brick_bytes >= 1, "brick_bytes", "at least 1")


def _convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path, /) -> Artifact:
    from tfcompress.converters.litert import to_float_tflite

    del calibration
    options, path = recipe.section(ToyBrick), output / "toy.tflite"
    path.write_bytes(to_float_tflite(model))
    return Artifact("toy", output, path, {"bricks": _bricks(path, recipe)}, (f"built from {options.color} bricks",))


def _bricks(path: Path, recipe: Recipe) -> int:
    return path.stat().st_size // recipe.section(ToyBrick).brick_bytes


def _inspect(path: Path, recipe: Recipe) -> Forecast:
    bricks = _bricks(path, recipe)
    return Forecast("mapping", {"bricks": bricks}, (Cost("bricks", bricks, "documented", "the toy's manual"),))


def _report_rows(facts: Facts) -> tuple[ReportRow, ...]:
    return (ReportRow("bricks", facts["bricks"], "count"),)


TOY = Target(
    name="toy",
    title="Toy brick",
    options=ToyBrick,
    convert=_convert,
    depends_on=lambda recipe: {"toy": recipe.section(ToyBrick)},
    inspect=_inspect,
    refusal=lambda facts: "more than a million bricks" if facts["bricks"] > 1_000_000 else None,
    done=lambda recipe: "Toy brick: stacked",
    report_rows=_report_rows,
)
