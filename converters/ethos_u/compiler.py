"""Compiles a .tflite for one Ethos-U configuration with Vela, Arm's own compiler, in a child process."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfcompress.converters.ethos_u.configurations import CONFIGS, EthosUConfig, check_configs
from tfcompress.converters.ethos_u.fixes import fix_for
from tfcompress.converters.ethos_u.log import cycles_by_operator, figures_in, last_words, reasons_in
from tfcompress.converters.npu.mapping import CompiledMapping, Refusal, rows_of
from tfcompress.converters.npu.process import Finished, run_limited
from tfcompress.converters.npu.store import Result, kept_or_made, result_key
from tfcompress.errors import MissingExtraError, one_line
from tfcompress.graphs.tflite import Subgraph, read_tflite

__all__ = ["CUSTOM_OPERATOR", "TIME_LIMIT_SECONDS", "Compiled", "compile_for", "vela_version"]

TIME_LIMIT_SECONDS = 900.0
CUSTOM_OPERATOR = "ethos-u"
_COMPILER = "Vela"
# The file may come from anywhere. Two of 3.3 and 4.0 MiB took 57 MiB.
_MEMORY, _MEMORY_PER_BYTE = 1536 << 20, 100
_NO_REASON = "Vela left it on the CPU and gave no reason"
_FLOAT_MODEL = "Ethos-U computes with integers alone, and this operator's tensors are float32"


@dataclass(frozen=True)
class Compiled:
    """Vela's result.

    Attributes:
        content: the compiled .tflite; None where Vela failed.
        mapping: where each operator of the file runs; where Vela failed, all stay on the CPU.
        stopped: Vela was killed, or took too long; that says nothing of the file.
    """

    content: bytes | None
    mapping: CompiledMapping
    stopped: bool = False


def vela_version() -> str:
    """Of the installed Vela.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec("ethosu") is None:
        raise MissingExtraError("ethos-u-vela", "ethos_u", "compiling for Ethos-U")
    return importlib.metadata.version("ethos-u-vela")


def compile_for(
    content: bytes,
    config: str,
    *,
    layer_names: Collection[str] = (),
    time_limit: float = TIME_LIMIT_SECONDS,
    use_cache: bool = True,
) -> Compiled:
    """Compile a .tflite.

    A compiler that fails, crashes or hangs is a result, not an error: its reason is in the mapping.

    Args:
        content: an int8 .tflite; of any other, all or most operators stay on the CPU.
        config: a name of `CONFIGS`.
        layer_names: of the Keras model, to say which layer an operator belongs to.
        time_limit: seconds after which Vela is stopped.
        use_cache: take the result of an earlier run on the same content, configuration and version.

    Raises:
        RecipeError: the configuration is not known.
        MissingExtraError: Vela is not installed.
        ModelError: `content` is no whole .tflite.
    """
    check_configs([config])
    graph, version = read_tflite(content).main, vela_version()
    chosen = CONFIGS[config]
    key = result_key("ethos_u", content, repr(chosen), version)
    facts, compiled = kept_or_made(key, lambda: _run(content, graph, chosen, time_limit), use_cache=use_cache)
    stopped = facts["code"] is None or facts["code"] < 0
    return Compiled(compiled, _mapping(graph, config, version, facts, layer_names), stopped)


def _run(content: bytes, graph: Subgraph, config: EthosUConfig, seconds: float) -> Result:
    """The facts as JSON values, and the compiled file."""
    with tempfile.TemporaryDirectory(prefix="tfcompress_ethos_u_") as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(content)
        done = _vela(folder, config, seconds, "--verbose-performance", "--show-cpu-operations")
        if done.code is not None and done.code > 0:  # it may have failed over the printing alone
            done = _vela(folder, config, seconds)
        compiled_file = next(folder.glob("out/*_vela.tflite"), None) if done.code == 0 else None
        compiled = None if compiled_file is None else compiled_file.read_bytes()
        failure = None if compiled is not None else done.failure(_COMPILER) or f"{_COMPILER} gave no file"
        if compiled is None:
            said = last_words(done.output, done.errors)
            reason = f"{failure}: {one_line(said, 200)}" if said else failure
            return {"code": done.code, "failure": reason, "refused": {}, "figures": {}, "cycles": {}}, None
        layers = next(folder.glob("out/*_per-layer.csv"), None)
        cycles = None if layers is None else cycles_by_operator(layers.read_text(encoding="utf-8"), graph)
        return {
            "code": done.code,
            "failure": None,
            "refused": _refusals(graph, read_tflite(compiled).main, reasons_in(done.output + done.errors)),
            "figures": figures_in(next(folder.glob("out/*_summary_*.csv")).read_text(encoding="utf-8")),
            "cycles": None if cycles is None else {str(index): count for index, count in cycles.items()},
        }, compiled


def _vela(folder: Path, config: EthosUConfig, seconds: float, *printing: str) -> Finished:
    return run_limited(
        [
            *(sys.executable, "-m", "ethosu.vela", "model.tflite", "--output-dir", "out"),
            *("--accelerator-config", config.name, "--config", "Arm/vela.ini"),
            *("--system-config", config.system, "--memory-mode", config.memory),
            *printing,
        ],
        seconds=seconds,
        folder=folder,
        memory=_MEMORY + _MEMORY_PER_BYTE * (folder / "model.tflite").stat().st_size,
    )


def _refusals(graph: Subgraph, compiled: Subgraph, reasons: Mapping[str, str]) -> dict[str, str]:
    """{operator index as text: reason}: what is still there in the compiled file, beside Vela's own operator."""
    left = Counter(
        compiled.tensors[operator.outputs[0]].name
        for operator in compiled.operators
        if operator.name != CUSTOM_OPERATOR and operator.outputs
    )
    refusals = {}
    for operator in graph.operators:
        name = graph.tensors[operator.outputs[0]].name if operator.outputs else ""
        if left[name] > 0:
            left[name] -= 1
            inputs = [graph.tensors[index].dtype for index in operator.inputs if index >= 0]
            default = _FLOAT_MODEL if "float32" in inputs else _NO_REASON
            refusals[str(operator.index)] = reasons.get(name, default)
    return refusals


def _mapping(
    graph: Subgraph, config: str, version: str, facts: Mapping[str, Any], layer_names: Collection[str]
) -> CompiledMapping:
    failure = facts["failure"]
    names = [operator.name for operator in graph.operators]
    refusals = {
        int(index): Refusal(reason, fix_for(names[int(index)], reason)) for index, reason in facts["refused"].items()
    }
    if failure is not None:  # it says nothing of any operator
        refusals = {operator.index: Refusal(failure) for operator in graph.operators}
    figures, cycles = dict(facts["figures"]), facts["cycles"]
    traffic = figures.get("dram_traffic_bytes", 0) + figures.get("flash_traffic_bytes", 0)
    return CompiledMapping(
        name=config,
        compiled=failure is None,
        operators=rows_of(
            graph,
            refusals,
            layer_names=layer_names,
            cycles=None if cycles is None else {int(index): count for index, count in cycles.items()},
        ),
        cycles=figures.pop("cycles", None),
        sram_bytes=figures.pop("sram_bytes", None),
        ddr_bytes=traffic if failure is None else None,
        compiler_version=f"Vela {version}",
        reason=failure,
        figures=figures,
    )
