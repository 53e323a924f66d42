"""Runs `edgetpu_compiler` where it is installed, and compares what it did with the forecast."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tfcompress.converters.edgetpu.compiler_log import CompilerLog, parse_compiler_text
from tfcompress.converters.edgetpu.mapping import Mapping
from tfcompress.errors import ModelError, one_line

__all__ = ["COMPILER", "compile_model", "find_compiler", "with_measurement"]

COMPILER = "edgetpu_compiler"
# The compiler's own limit (--timeout_sec) is 180 s; it is given that long and a little more to say so.
TIME_LIMIT_SECONDS = 200


def find_compiler() -> str | None:
    """Path of the compiler, or None when it is not on PATH."""
    return shutil.which(COMPILER)


def compile_model(
    model: Path, *, compiler: str, options: Sequence[str] = (), time_limit: float = TIME_LIMIT_SECONDS
) -> tuple[Path | None, CompilerLog | None, str | None]:
    """Compile a .tflite; the compiled file appears beside it.

    Args:
        model: an int8 .tflite.
        compiler: path of `edgetpu_compiler`.
        options: more of its options.
        time_limit: seconds after which it is stopped.

    Returns:
        (compiled file or None, its log or None, why there is none or None).
    """
    command = [compiler, "-s", "-o", str(model.parent), *options, str(model)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its child compiles: both must be stopped at the time limit
        )
    except OSError as error:
        return None, None, f"{compiler} cannot be run: {error.strerror}"
    try:
        output, _ = process.communicate(timeout=time_limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, None, f"{COMPILER} did not finish within {time_limit:g} seconds and was stopped"
    return _result(model, output.decode("utf-8", "replace"), process.returncode)


def _result(model: Path, text: str, code: int) -> tuple[Path | None, CompilerLog | None, str | None]:
    try:
        log = parse_compiler_text(text, source=COMPILER)
    except ModelError:
        return None, None, f"{COMPILER} ended with status {code} and said {one_line(text, 160)!r}"
    compiled = model.with_name(f"{model.stem}_edgetpu.tflite")
    if code == 0 and compiled.exists():
        return compiled, log, None
    failure = next((run.failure for run in log.runs if run.failure), None)
    return None, log, f"{COMPILER} ended with status {code}: {failure or 'it gave no reason'}"


def with_measurement(mapping: Mapping, log: CompilerLog | None, reason: str | None) -> Mapping:
    """The forecast together with what the compiler did, and where the two differ.

    Args:
        mapping: the forecast.
        log: the compiler's log of the same model; None when there is none.
        reason: why the compiler gave no compiled file; None when it did.
    """
    run = log.runs[-1] if log is not None and log.runs else None
    measured: dict[str, object] = {
        "compiler_version": None if log is None else log.version,
        "compiled": reason is None,
        "reason": reason,
        "run": None if run is None else run.to_json(),
        "differences": [] if run is None else _differences(mapping, {(r.name, r.status): r.count for r in run.table}),
    }
    return dataclasses.replace(mapping, measured=measured)


def _differences(mapping: Mapping, measured: dict[tuple[str, str], int]) -> list[dict[str, object]]:
    """Rows of (operator, status) whose counts differ; the compiler's table has no finer grain."""
    expected = Counter((_compiler_name(operator.operator), operator.status) for operator in mapping.operators)
    keys = sorted(set(expected) | set(measured)) if measured else []
    return [
        {"op": name, "reason": status, "forecast": expected[name, status], "compiler": measured.get((name, status), 0)}
        for name, status in keys
        if expected[name, status] != measured.get((name, status), 0)
    ]


def _compiler_name(operator: str) -> str:
    """Builtin operators are in capitals; the compiler names all others alike."""
    return operator if operator.isupper() else "CUSTOM"
