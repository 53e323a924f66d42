"""What TensorFlow Lite Micro itself says of a file: whether it runs, in how much memory, and what it cannot take."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tfcompress.converters.micro.operators import fix_for, lacking
from tfcompress.converters.npu.mapping import CompiledMapping, Refusal, rows_of
from tfcompress.converters.npu.store import get_result, put_result, result_key
from tfcompress.converters.npu.worker import Worker
from tfcompress.errors import ConversionError, MissingExtraError
from tfcompress.graphs.tflite import TfliteFile, read_tflite

__all__ = ["NAME", "NOT_PROVEN", "TIME_LIMIT_SECONDS", "Proof", "micro_version", "new_worker", "prove"]

NAME = "tflite_micro"
TIME_LIMIT_SECONDS = 600.0
NOT_PROVEN = "not proven: the package tflite-micro has no wheel for this machine"
_LACKS = "TensorFlow Lite Micro has no such operator"
_WHEELS = "Linux", ("x86_64",), ((3, 10), (3, 13))  # of tflite-micro 0.dev20261023
_FAILED_NODE = re.compile(r"Node (\w+) \(number (\d+)\) failed to (?:prepare|invoke)")
_NOT_FOUND = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
_TITLE = "TensorFlow Lite Micro"


@dataclass(frozen=True)
class Proof:
    """What is known of a file in TFLM.

    Attributes:
        mapping: where each operator runs: in TFLM or nowhere; `sram_bytes` is the arena.
        milliseconds: of one inference on this machine, with TFLM's reference kernels; None where it did not run.
    """

    mapping: CompiledMapping
    milliseconds: float | None


def micro_version() -> str | None:
    """Of the installed package; None where it is not installed and has no wheel for this machine.

    Raises:
        MissingExtraError: it is not installed, and could be.
    """
    if importlib.util.find_spec("tflite_micro") is not None:
        return importlib.metadata.version("tflite-micro")
    system, machines, (oldest, newest) = _WHEELS
    here = platform.system() == system and platform.machine() in machines
    if here and oldest <= sys.version_info[:2] <= newest:
        raise MissingExtraError("tflite-micro", "micro", "proving a file for microcontrollers")
    return None


def new_worker(content: bytes) -> Worker:
    """TFLM with a file, in a process of its own; its first answer is what `worker` measured.

    Raises:
        ConversionError: TFLM cannot run it.
    """
    module = "tfcompress.converters.micro.worker"
    return Worker(module, [content], suffix=".tflite", seconds=TIME_LIMIT_SECONDS, title=_TITLE)


def prove(content: bytes, *, layer_names: Collection[str] = (), use_cache: bool = True) -> Proof:
    """Run a file in TFLM, and measure the arena that it needs.

    Args:
        content: a .tflite.
        layer_names: of the Keras model, to say which layer an operator belongs to.
        use_cache: take the result of an earlier run on the same content and version.

    Raises:
        MissingExtraError: tflite-micro is not installed, and could be.
        ModelError: `content` is no whole .tflite.
    """
    file, version = read_tflite(content), micro_version()
    if version is None:
        return Proof(_mapping(file, content, {"failure": None, "measured": None}, None, layer_names), None)
    key = result_key("TFLM", content, version)
    kept = get_result(key) if use_cache else None
    if kept is None:
        facts = _measured(content)
        if not facts["late"]:  # on an idle machine it may be in time
            put_result(key, facts, None)
    else:
        facts = kept[0]
    measured = facts["measured"]
    milliseconds = None if measured is None else measured[4] / 1000
    return Proof(_mapping(file, content, facts, version, layer_names), milliseconds)


def _measured(content: bytes) -> dict[str, Any]:
    """The facts as JSON values."""
    try:
        worker = new_worker(content)
    except ConversionError as error:
        text = str(error)
        return {"failure": text.removeprefix(f"{_TITLE} failed: "), "measured": None, "late": "within" in text}
    worker.close()
    return {"failure": None, "measured": worker.started[0].tolist(), "late": False}


def _refusals(file: TfliteFile, failure: str | None) -> dict[int, Refusal]:
    """{index of an operator of the main graph: why TFLM cannot run it}."""
    result, missing = {}, set(lacking(file))
    if failure is not None:
        missing |= set(_NOT_FOUND.findall(failure))
    for operator in file.main.operators:
        if operator.name in missing:
            result[operator.index] = Refusal(_LACKS, fix_for(operator.name, _LACKS))
    node = None if failure is None else _FAILED_NODE.search(failure)
    if node is not None and failure is not None:
        name, number = node[1], int(node[2])
        if number < len(file.main.operators) and file.main.operators[number].name == name:
            said = failure[: node.start()].strip() or failure
            result[number] = Refusal(f"TFLM refuses it: {said}", fix_for(name, said))
    return result


def _mapping(
    file: TfliteFile, content: bytes, facts: Mapping[str, Any], version: str | None, layer_names: Collection[str]
) -> CompiledMapping:
    failure, measured = facts["failure"], facts["measured"]
    refusals = {} if measured is not None else _refusals(file, failure)
    figures: dict[str, object] = {"flash_bytes": len(content)}
    if measured is not None:
        figures |= dict(zip(("arena_used_bytes", "activation_bytes", "persistent_bytes"), measured[1:4], strict=True))
    if version is None:
        failure = f"TensorFlow Lite Micro lacks {', '.join(lacking(file))}" if lacking(file) else NOT_PROVEN
    return CompiledMapping(
        name=NAME,
        compiled=None if version is None and not lacking(file) else measured is not None,
        operators=rows_of(file.main, refusals, layer_names=layer_names),
        sram_bytes=None if measured is None else measured[0],
        compiler_version=None if version is None else f"tflite-micro {version}",
        reason=failure,
        figures=figures,
        runs_on="TFLM",
        runs_else="nowhere",
    )
