"""The micro target, as the table of targets lists it."""

from __future__ import annotations

from pathlib import Path

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.forecast import Cost, Forecast
from tfcompress.converters.npu.reporting import most_samples
from tfcompress.converters.target import Facts, ReportRow, Step, Target, convert_in, litert_options, require_tflite
from tfcompress.errors import MissingExtraError
from tfcompress.recipe import Recipe

__all__ = ["MICRO"]


def _inspect(path: Path, recipe: Recipe) -> Forecast:
    from tfcompress.converters.micro.proof import prove

    del recipe
    require_tflite(path, "micro")
    mapping = [prove(path.read_bytes()).mapping.to_json()]
    return Forecast("mapping", mapping, _costs({"mapping": mapping}))


def _runnable(artifact: Artifact) -> object:
    from tfcompress.converters.micro.runner import runner_of

    return runner_of(artifact.runnable.read_bytes(), name=str(artifact.runnable))


def _costs(facts: Facts) -> tuple[Cost, ...]:
    costs = []
    for entry in facts.get("mapping") or ():
        source = entry["compiler_version"] or "the file itself"
        costs.append(Cost("flash_bytes", entry["figures"]["flash_bytes"], "observed", source))
        if entry["sram_bytes"] is not None:
            costs.append(Cost("sram_bytes", entry["sram_bytes"], "observed", source))
    return tuple(costs)


def _report_rows(facts: Facts) -> tuple[ReportRow, ...]:
    rows = []
    for entry in facts.get("mapping") or ():
        rows.append(ReportRow("flash for the model", entry["figures"].get("flash_bytes"), "bytes"))
        rows.append(ReportRow("RAM for the arena", entry["sram_bytes"], "bytes"))
        kinds = len({operator["op"] for operator in entry["ops"]})
        rows.append(ReportRow("operators to register", kinds, "count"))
    return tuple(rows)


def _next_steps(facts: Facts) -> tuple[Step, ...]:
    del facts
    return (Step("Add micro/model.cc and micro/model.h to the firmware; micro/USE.md has its main function."),)


def _tools() -> dict[str, str | None]:
    from tfcompress.converters.micro.proof import micro_version

    try:
        return {"tflite_micro": micro_version()}
    except MissingExtraError:
        return {"tflite_micro": None}


MICRO = Target(
    name="micro",
    title="Micro",
    convert=convert_in("tfcompress.converters.micro.conversion"),
    depends_on=litert_options,
    needs_calibration=lambda recipe: True,
    inspect=_inspect,
    costs=_costs,
    runnable=_runnable,
    most_samples=most_samples,
    done=lambda recipe: "microcontroller: 8-bit integers, with TensorFlow Lite Micro's operators alone",
    report_rows=_report_rows,
    next_steps=_next_steps,
    tools=_tools,
)
