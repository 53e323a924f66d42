"""What `edgetpu_compiler` says: the table of operators in its log, and the lines around it.

The compiler prints the same text that it writes to ``X_edgetpu.log``; versions 2.0 to 16.0 are understood, and several
models in one text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tfcompress.errors import ModelError

__all__ = ["CompilerLog", "CompilerRun", "OperatorCount", "parse_compiler_log", "parse_compiler_text"]

_MAPPED = "Mapped to Edge TPU"
_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_ROW = re.compile(r"^(?P<name>[A-Za-z][\w-]*)\s{2,}(?P<count>\d+)\s{2,}(?P<status>\S.*?)\s*$")
_SIZE = re.compile(r"([\d.]+)\s*(B|KiB|MiB|GiB)\b")
_FIELDS = {
    "input": re.compile(r"^Input(?: model)?: (.*)$"),
    "output": re.compile(r"^Output(?: model)?: (.*)$"),
    "version": re.compile(r"^Edge TPU Compiler version (\S+)"),
}
_SIZES = {
    "on_chip_bytes": "On-chip memory used for caching model parameters",
    "on_chip_remaining_bytes": "On-chip memory remaining for caching model parameters",
    "off_chip_bytes": "Off-chip memory used for streaming uncached model parameters",
}
_NUMBERS = {
    "subgraphs": "Number of Edge TPU subgraphs",
    "operators": "Total number of operations",
    "mapped_ops": "Number of operations that will run on Edge TPU",
    "cpu_ops": "Number of operations that will run on CPU",
}
_FAILURES = (
    "Compilation failed",
    "ERROR:",
    "error:",
    "Internal compiler error",
    "Invalid model",
    "Model not quantized",
)


@dataclass(frozen=True)
class OperatorCount:
    """One row of the operator table: how many operators of a type have a status."""

    name: str
    count: int
    status: str


@dataclass(frozen=True)
class CompilerRun:
    """What the compiler said of one model.  A number that the text does not give is None.

    Attributes:
        input: the model, as it was named.
        output: the compiled model.
        compiled: it was compiled, even if nothing was mapped.
        failure: the first line that says why not; None when it was.
        operators: operators in all.
        mapped_ops: operators on the Edge TPU.
        cpu_ops: operators on the CPU.
        subgraphs: Edge TPU subgraphs.
        on_chip_bytes: cached parameters; the log rounds to three digits.
        on_chip_remaining_bytes: cache that is left.
        off_chip_bytes: streamed parameters.
        table: the operator table.
    """

    input: str | None
    output: str | None
    compiled: bool
    failure: str | None
    operators: int | None
    mapped_ops: int | None
    cpu_ops: int | None
    subgraphs: int | None
    on_chip_bytes: int | None
    on_chip_remaining_bytes: int | None
    off_chip_bytes: int | None
    table: tuple[OperatorCount, ...]

    def to_json(self) -> dict[str, object]:
        """The run as report.json has it."""
        return {**vars(self), "table": [vars(row) for row in self.table]}


@dataclass(frozen=True)
class CompilerLog:
    """A parsed log.

    Attributes:
        version: of the compiler; None when the text does not say.
        runs: one a model.
    """

    version: str | None
    runs: tuple[CompilerRun, ...]

    def to_json(self) -> dict[str, object]:
        """The log as `inspect --edgetpu_log --json` prints it."""
        return {"version": self.version, "runs": [run.to_json() for run in self.runs]}


def parse_compiler_log(path: str | Path) -> CompilerLog:
    """Parse a log file.

    Raises:
        ModelError: it cannot be read, or nothing in it is from the Edge TPU compiler.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_compiler_text(text, source=str(path))


def parse_compiler_text(text: str, *, source: str = "log") -> CompilerLog:
    """Parse what the compiler printed.

    Args:
        text: its standard output, or a log.
        source: for messages.

    Raises:
        ModelError: nothing in it is from the Edge TPU compiler.
    """
    lines = [line.strip("\r\n") for line in text.splitlines()]
    version = next((match[1] for line in lines if (match := _FIELDS["version"].match(line))), None)
    runs = tuple(run for block in _blocks(lines) if (run := _run(block)) is not None)
    if version is None and not runs:
        raise ModelError(f"{source}: not a log of edgetpu_compiler: no version, no input model and no operator table")
    return CompilerLog(version, runs)


def _blocks(lines: list[str]) -> list[list[str]]:
    """The lines of each model: a new one begins at an input model that follows another's."""
    blocks: list[list[str]] = [[]]
    seen_input = False
    for line in lines:
        if _FIELDS["input"].match(line):
            if seen_input:
                blocks.append([])
            seen_input = True
        blocks[-1].append(line)
    return blocks


def _run(lines: list[str]) -> CompilerRun | None:
    table = tuple(
        OperatorCount(match["name"], int(match["count"]), match["status"])
        for line in lines
        if (match := _ROW.match(line)) is not None
    )
    failure = next((line.strip() for line in lines if line.strip().startswith(_FAILURES)), None)
    succeeded = any("compiled successfully" in line or "successfully compiled" in line for line in lines)
    model = _field(lines, "input")
    if not table and failure is None and not succeeded and model is None:
        return None
    numbers = {key: _number(lines, label) for key, label in _NUMBERS.items()}
    if table:
        mapped = sum(row.count for row in table if row.status.startswith(_MAPPED))
        total = sum(row.count for row in table)
        known = {"operators": total, "mapped_ops": mapped, "cpu_ops": total - mapped}
        numbers = {key: known.get(key) if value is None else value for key, value in numbers.items()}
    compiled = succeeded or (bool(table) and failure is None)
    sizes = {key: _size(lines, label) for key, label in _SIZES.items()}
    return CompilerRun(
        input=model,
        output=_field(lines, "output"),
        compiled=compiled,
        failure=None if compiled else failure,
        table=table,
        **numbers,
        **sizes,
    )


def _field(lines: list[str], name: str) -> str | None:
    return next((match[1].strip() for line in lines if (match := _FIELDS[name].match(line))), None)


def _after(lines: list[str], label: str) -> str | None:
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{label}:")), None)


def _number(lines: list[str], label: str) -> int | None:
    text = _after(lines, label)
    return int(text) if text is not None and text.isdigit() else None


def _size(lines: list[str], label: str) -> int | None:
    match = _SIZE.match(_after(lines, label) or "")
    try:
        return None if match is None else round(float(match[1]) * _UNITS[match[2]])
    except ValueError:
        return None
