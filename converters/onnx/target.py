"""The onnx target, as the table of targets lists it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.target import Facts, ReportRow, Target
from tfcompress.recipe import Recipe

if TYPE_CHECKING:
    from tfcompress.data import Samples
    from tfcompress.model import FloatModel

__all__ = ["ONNX"]


def _convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path, /) -> Artifact:
    from tfcompress.converters.onnx.conversion import convert

    return convert(model, calibration, recipe, output)


def _report_rows(facts: Facts) -> tuple[ReportRow, ...]:
    tensorrt = facts.get("tensorrt")
    if not tensorrt:
        return ()
    broken = tensorrt["broken_rules"]
    kept = f"{len(broken)} rules broken" if broken else "the file keeps its rules"
    return (ReportRow("TensorRT", f"not proven ({tensorrt['reason']}); {kept}"),)


ONNX = Target(
    name="onnx",
    title="ONNX",
    convert=_convert,
    depends_on=lambda recipe: {"post_training": recipe.post_training, "keep_float": recipe.keep_float},
    needs_calibration=lambda recipe: True,
    takes_quantizers=False,
    done=lambda recipe: "ONNX: 8-bit integers in Q/DQ pairs",
    report_rows=_report_rows,
)
