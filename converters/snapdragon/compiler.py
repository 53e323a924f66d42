"""Compiles a .tflite for one Snapdragon chip with Qualcomm's own compiler, in a child process."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfcompress.converters.npu.mapping import CompiledMapping, Refusal, rows_of
from tfcompress.converters.npu.process import Finished, run_limited
from tfcompress.converters.npu.store import Result, kept_or_made, result_key
from tfcompress.converters.snapdragon.chips import QUALCOMM, check_socs
from tfcompress.converters.snapdragon.fixes import fix_for
from tfcompress.converters.snapdragon.log import CompilerLog, failure_in, parse_log, reasons_in
from tfcompress.converters.snapdragon.sdk import VendorSdk
from tfcompress.converters.snapdragon.stub import empty_library
from tfcompress.errors import one_line
from tfcompress.graphs.tflite import Subgraph, read_tflite

__all__ = ["DISPATCH", "TIME_LIMIT_SECONDS", "Compiled", "compile_for", "partition_for"]

TIME_LIMIT_SECONDS = 600.0
DISPATCH = "DISPATCH_OP"  # LiteRT's custom operator for a part that an NPU runs
_STUB = "libQnnLpai.so"
_COMPILER = "Qualcomm's compiler"


@dataclass(frozen=True)
class Compiled:
    """The compiler's result.

    Attributes:
        content: the compiled .tflite; None where the compiler failed.
        mapping: where each operator of the file runs; where the compiler failed, all stay on the CPU.
    """

    content: bytes | None
    mapping: CompiledMapping


def compile_for(
    content: bytes,
    soc: str,
    sdk: VendorSdk,
    *,
    layer_names: Collection[str] = (),
    time_limit: float = TIME_LIMIT_SECONDS,
    use_cache: bool = True,
) -> Compiled:
    """Compile a .tflite ahead of time.

    A compiler that fails, crashes or hangs is a result, not an error: its reason is in the mapping.

    Args:
        content: an int8 or float .tflite.
        soc: a name of `SOCS`.
        sdk: see `find_sdk`.
        layer_names: of the Keras model, to say which layer an operator belongs to.
        time_limit: seconds after which the compiler is stopped.
        use_cache: take the result of an earlier run on the same content, chip and versions.

    Raises:
        RecipeError: the chip is not known.
        ModelError: `content` is no whole .tflite.
    """
    check_socs([soc])
    graph = read_tflite(content).main
    key = result_key("snapdragon", content, soc, sdk.version)
    facts, compiled = kept_or_made(key, lambda: _run(content, graph, soc, sdk, time_limit), use_cache=use_cache)
    return Compiled(compiled, _mapping(graph, soc, facts, layer_names))


def partition_for(
    content: bytes, soc: str, sdk: VendorSdk, *, time_limit: float = TIME_LIMIT_SECONDS
) -> dict[int, str] | None:
    """What the compiler would leave to the CPU, without compiling the rest.

    Returns:
        {operator index: reason} of the main graph; None where the compiler fails on the file.
    """
    with tempfile.TemporaryDirectory(prefix="tfcompress_snapdragon_") as name:
        folder = _prepared(Path(name), content)
        done = _tool("partition", folder, soc, sdk, time_limit, "verbose")
    if done.code != 0:
        return None
    log = parse_log(done.output, done.errors)
    refused = _refusals(read_tflite(content).main, log, reasons_in(done.output))
    return {int(index): reason for index, reason in refused.items()}


def _prepared(folder: Path, content: bytes) -> Path:
    """The folder with the model and the library that the plugin misses."""
    (folder / "model.tflite").write_bytes(content)
    (folder / _STUB).write_bytes(empty_library(_STUB))
    return folder


def _run(content: bytes, graph: Subgraph, soc: str, sdk: VendorSdk, seconds: float) -> Result:
    """The facts as JSON values, and the compiled file."""
    with tempfile.TemporaryDirectory(prefix="tfcompress_snapdragon_") as name:
        folder = _prepared(Path(name), content)
        done = _tool("apply", folder, soc, sdk, seconds, "info")
        log = parse_log(done.output, done.errors)
        compiled_file = folder / "out.tflite"
        compiled = compiled_file.read_bytes() if done.code == 0 and compiled_file.is_file() else None
        reasons = _reasons(log, folder, soc, sdk, seconds)
    failure = None if compiled is not None else done.failure(_COMPILER) or f"{_COMPILER} gave no file"
    said = failure_in(done.errors)
    return {
        "code": done.code,
        "failure": f"{failure}: {one_line(said, 200)}" if failure and said else failure,
        "refused": {} if compiled is None else _left(graph, compiled) | _refusals(graph, log, reasons),
        "version": log.version,
        "partitions": log.partitions,
        "traffic": log.traffic,
    }, compiled


def _tool(command: str, folder: Path, soc: str, sdk: VendorSdk, seconds: float, level: str) -> Finished:
    search = [str(sdk.libraries), str(folder), str(sdk.tool.parents[1]), os.environ.get("LD_LIBRARY_PATH", "")]
    return run_limited(
        [
            *(str(sdk.tool), f"--cmd={command}", "--model=model.tflite", "--o=out.tflite", "--err=--"),
            *(f"--soc_manufacturer={sdk.vendor.name}", f"--soc_model={soc}", f"--libs={sdk.plugins}"),
            *([f"--qualcomm_log_level={level}"] if sdk.vendor is QUALCOMM else []),
        ],
        seconds=seconds,
        environment={"LD_LIBRARY_PATH": os.pathsep.join(filter(None, search))},
        folder=folder,
    )


def _reasons(log: CompilerLog, folder: Path, soc: str, sdk: VendorSdk, seconds: float) -> Mapping[str, str]:
    """The validator's words about refused operators: a second run that only partitions, as they fill megabytes."""
    if not any(refused.qnn_operators for refused in log.refused):
        return {}
    return reasons_in(_tool("partition", folder, soc, sdk, seconds, "verbose").output)


def _refusals(graph: Subgraph, log: CompilerLog, reasons: Mapping[str, str]) -> dict[str, str]:
    """{operator index as text: the compiler's reason} of the main graph."""
    refusals: dict[str, str] = {}
    for refused in log.refused:
        if refused.index >= len(graph.operators):
            continue
        outputs = graph.operators[refused.index].outputs
        if refused.tensor >= 0 and (not outputs or outputs[0] != refused.tensor):
            continue  # of another graph, a body of control flow
        why = [reasons[name] for name in refused.qnn_operators if name in reasons]
        refusals[str(refused.index)] = "; ".join(dict.fromkeys(why)) or refused.message
    return refusals


def _left(graph: Subgraph, compiled: bytes) -> dict[str, str]:
    """{operator index as text: no reason} of what is still there in the compiled file, beside its NPU parts."""
    after = read_tflite(compiled).main
    names = {after.tensors[i].name for op in after.operators if op.name != DISPATCH for i in op.outputs}
    return {
        str(operator.index): "the compiler left it on the CPU and gave no reason"
        for operator in graph.operators
        if any(graph.tensors[index].name in names for index in operator.outputs)
    }


def _mapping(graph: Subgraph, soc: str, facts: Mapping[str, Any], layer_names: Collection[str]) -> CompiledMapping:
    failure = facts["failure"]
    names = [operator.name for operator in graph.operators]
    refusals = {int(index): Refusal(reason, fix_for(names[int(index)])) for index, reason in facts["refused"].items()}
    if failure is not None:  # it says nothing of any operator
        refusals = {operator.index: Refusal(failure) for operator in graph.operators}
    traffic = facts["traffic"]
    return CompiledMapping(
        name=soc,
        compiled=failure is None,
        operators=rows_of(graph, refusals, layer_names=layer_names),
        ddr_bytes=traffic["read_bytes"] + traffic["write_bytes"] if failure is None else None,
        compiler_version=None
        if facts["version"] is None
        else f"QAIRT {re.sub(r'[.][0-9]{12}$', '', facts['version'])}",
        reason=failure,
        figures={"partitions": facts["partitions"], "ddr": dict(traffic)},
    )
