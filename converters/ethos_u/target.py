"""The ethos_u target, as the table of targets lists it."""

from __future__ import annotations

from pathlib import Path

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.ethos_u.options import EthosU
from tfcompress.converters.forecast import Forecast
from tfcompress.converters.npu.reporting import costs_of, report_rows
from tfcompress.converters.target import Target, convert_in, litert_options, require_tflite
from tfcompress.errors import MissingExtraError
from tfcompress.recipe import Recipe

__all__ = ["ETHOS_U"]


def _inspect(path: Path, recipe: Recipe) -> Forecast:
    from tfcompress.converters.ethos_u.compiler import compile_for
    from tfcompress.converters.npu.inspection import admitted_graph

    require_tflite(path, "ethos_u")
    content = admitted_graph(path)
    mapping = [compile_for(content, config).mapping.to_json() for config in recipe.section(EthosU).configs]
    return Forecast("mapping", mapping, costs_of({"mapping": mapping}))


def _runnable(artifact: Artifact) -> object:
    from tfcompress.converters.ethos_u.runner import reference_runner

    return reference_runner(artifact.runnable.read_bytes(), name=f"{artifact.runnable} (reference kernels)")


def _tools() -> dict[str, str | None]:
    from tfcompress.converters.ethos_u.compiler import vela_version

    try:
        return {"vela": vela_version()}
    except MissingExtraError:
        return {"vela": None}


ETHOS_U = Target(
    name="ethos_u",
    title="Ethos-U",
    options=EthosU,
    convert=convert_in("tfcompress.converters.ethos_u.conversion"),
    depends_on=lambda recipe: litert_options(recipe, EthosU),
    needs_calibration=lambda recipe: True,
    inspect=_inspect,
    inspect_reads=("configs",),
    costs=costs_of,
    runnable=_runnable,
    done=lambda recipe: "Ethos-U: 8-bit integers, compiled by Vela",
    report_rows=report_rows,
    tools=_tools,
    quantities=("npu", "cycles", "sram_bytes", "ddr_bytes"),
    gains_from_zeros=True,
)
