"""The snapdragon target, as the table of targets lists it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.forecast import Forecast
from tfcompress.converters.npu.reporting import costs_of, most_samples, report_rows
from tfcompress.converters.snapdragon.options import Snapdragon
from tfcompress.converters.target import Target, convert_in, litert_options, require_tflite
from tfcompress.recipe import Recipe

__all__ = ["SNAPDRAGON"]


def _inspect(path: Path, recipe: Recipe) -> Forecast:
    """Each chip by the compiler, where it is installed; else by the forecast."""
    from tfcompress.converters.snapdragon.inspection import inspect

    require_tflite(path, "snapdragon")
    mapping = [entry.to_json() for entry in inspect(path, recipe.section(Snapdragon).socs)]
    return Forecast("mapping", mapping, costs_of({"mapping": mapping}))


def _runnable(artifact: Artifact) -> object:
    from tfcompress.converters.snapdragon.emulator import EmulatorRunner

    compared: Any = artifact.facts["compared"]
    return EmulatorRunner(artifact.folder / compared["file"])


def _tools() -> dict[str, str | None]:
    from tfcompress.cache.fingerprints import versions_of
    from tfcompress.converters.snapdragon.sdk import installed_version

    return {"qualcomm_compiler": installed_version(), **versions_of(("onnxruntime",))}


SNAPDRAGON = Target(
    name="snapdragon",
    title="Snapdragon",
    options=Snapdragon,
    convert=convert_in("tfcompress.converters.snapdragon.conversion"),
    depends_on=lambda recipe: litert_options(recipe, Snapdragon),
    needs_calibration=lambda recipe: True,
    inspect=_inspect,
    inspect_reads=("socs",),
    costs=costs_of,
    runnable=_runnable,
    most_samples=most_samples,
    done=lambda recipe: "Snapdragon: 8-bit integers, compiled by Qualcomm's compiler",
    report_rows=report_rows,
    tools=_tools,
    quantities=("npu", "ddr_bytes"),
)
