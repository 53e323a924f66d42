"""What `edgetpu_compiler` says: the table of operators in its log, and the lines around it.

The compiler prints the same table that it writes to ``X_edgetpu.log``; versions 2.0 to 16.0 are understood, several
models and several calls in one text, and texts that were quoted, indented or pasted (see `log_lines`).
"""

from __future__ import annotations

import codecs
import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from tfcompress.converters.edgetpu.log_lines import STATUSES, command_models, log_lines
from tfcompress.errors import ModelError
from tfcompress.plain_files import read_plain

__all__ = ["CompilerLog", "CompilerRun", "OperatorCount", "parse_compiler_log", "parse_compiler_text"]

_MAPPED = "mapped to edge tpu"
_STATUSES = tuple(status.lower() for status in STATUSES)
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_ROW = re.compile(
    r"^(?P<name>[A-Za-z][\w-]*)(?P<gap>\s*[|,;]\s*|\s+)(?P<count>\d+)(?:\s*[|,;]\s*|\s+)(?P<status>\S.*?)\s*\|?$"
)
_EMPHASIS = str.maketrans(dict.fromkeys('`*"', None))  # of cells in Markdown, and quotes of .csv files
_SIZE = re.compile(r"([\d.,]+)\s*(B|[KMG]i?B)\b", re.IGNORECASE)
_FIELDS = {
    "input": re.compile(r"^Input(?: model)?: *(.*)$", re.IGNORECASE),
    "output": re.compile(r"^Output(?: model)?: *(.*)$", re.IGNORECASE),
    "refused": re.compile(r"^Invalid model: *(.*)$", re.IGNORECASE),
    "version": re.compile(r"^Edge TPU Compiler version (\d[\d.]*)", re.IGNORECASE),
}
_SIZES = {
    "on_chip_bytes": "On-chip memory used for caching model parameters",
    "on_chip_available_bytes": "On-chip memory available for caching model parameters",
    "on_chip_remaining_bytes": "On-chip memory remaining for caching model parameters",
    "off_chip_bytes": "Off-chip memory used for streaming uncached model parameters",
}
_NUMBERS = {
    "subgraphs": "Number of Edge TPU subgraphs",
    "operators": "Total number of operations",
    "mapped_ops": "Number of operations that will run on Edge TPU",
    "cpu_ops": "Number of operations that will run on CPU",
}
_FAILURES = re.compile(
    r"Compilation failed|Compilation timeout|Compilation child process (?!completed)|ERROR:|error:"
    r"|Internal compiler error|(?:libc\+\+abi: )?terminating with|Invalid model|Model not quantized"
    r"|Model could not be parsed|Registration failed|Didn't find op|Package requires|Failed to|F\d{4} "
    r"|Segmentation fault|Illegal instruction|Bus error|Killed$|Aborted$|.*\(core dumped\)",
    re.IGNORECASE,
)
_LAST_WORDS = "Internal compiler error"
_BARE_FAILURE = re.compile(r"Compilation failed! *$")
_FLEX = re.compile(r"Node number (?P<node>\d+) \((?P<name>\w+)\) failed")
_ATTEMPT = re.compile(r"Try to compile segment with (\d+) ops")
_SUCCESS = ("compiled successfully", "successfully compiled")
_SILENT = "the compiler said nothing after its version"


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
        failure: the lines that say why not, with ``; `` between them; None when it was.
        failed_operator: the operator that the failure names, as ``FlexSplitV``; None when it names none.
        version: of the compiler; None when the text does not say.
        attempts: operators in each try of ``--search_delegate``.
        operators: operators in all.
        mapped_ops: operators on the Edge TPU.
        cpu_ops: operators on the CPU.
        subgraphs: Edge TPU subgraphs.
        on_chip_bytes: cached parameters; the log rounds to three digits.
        on_chip_available_bytes: cache in all, as compiler 2.0 says.
        on_chip_remaining_bytes: cache that is left, as later compilers say.
        off_chip_bytes: streamed parameters.
        table: the operator table.
    """

    input: str | None
    output: str | None
    compiled: bool
    failure: str | None
    failed_operator: str | None
    version: str | None
    attempts: tuple[int, ...]
    operators: int | None
    mapped_ops: int | None
    cpu_ops: int | None
    subgraphs: int | None
    on_chip_bytes: int | None
    on_chip_available_bytes: int | None
    on_chip_remaining_bytes: int | None
    off_chip_bytes: int | None
    table: tuple[OperatorCount, ...]

    def to_json(self) -> dict[str, object]:
        """The run as report.json has it."""
        return {**vars(self), "attempts": list(self.attempts), "table": [vars(row) for row in self.table]}


@dataclass(frozen=True)
class CompilerLog:
    """A parsed log.

    Attributes:
        version: of the first call of the compiler; None when the text does not say.
        runs: one per model that was given to it, and one per call that failed before it named one.
    """

    version: str | None
    runs: tuple[CompilerRun, ...]

    def to_json(self) -> dict[str, object]:
        """The log as `inspect --edgetpu_log --json` prints it."""
        return {"version": self.version, "runs": [run.to_json() for run in self.runs]}


MOST_BYTES = 4 << 20  # of a log; a network of 1,000 operators makes 200 KB


def parse_compiler_log(path: str | Path) -> CompilerLog:
    """Parse a log file.

    Raises:
        ModelError: it cannot be read, or nothing in it is from the Edge TPU compiler.
    """
    try:
        text = _decoded(read_plain(path, most_bytes=MOST_BYTES))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_compiler_text(text, source=str(path))


def _decoded(content: bytes) -> str:
    """UTF-8, or UTF-16 as PowerShell writes what it redirects to a file."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8", errors="replace")


def parse_compiler_text(text: str, *, source: str = "log") -> CompilerLog:
    """Parse what the compiler printed.

    Args:
        text: its standard output, or a log.
        source: for messages.

    Raises:
        ModelError: nothing in it is from the Edge TPU compiler.
    """
    runs = _without_repeats([run for call in _calls(log_lines(text)) for run in _runs(call)])
    if not runs:
        raise ModelError(f"{source}: not a log of edgetpu_compiler: no version, no input model and no operator table")
    return CompilerLog(next((run.version for run in runs if run.version is not None), None), tuple(runs))


@dataclass(frozen=True)
class _Call:
    """The lines of one call of the compiler, and the models on its command line where that is shown."""

    lines: list[str]
    models: tuple[str, ...]


def _calls(lines: list[str]) -> list[_Call]:
    """A call begins with its command line or with the compiler's version."""
    calls: list[_Call] = []
    current: list[str] = []
    models: tuple[str, ...] = ()
    versioned = False  # the current call has said its version; a search each time would take the square of the lines
    for line in lines:
        command, says_version = command_models(line), _FIELDS["version"].match(line) is not None
        if command or (says_version and versioned):
            calls.append(_Call(current, models))
            current, models, versioned = [], command, False
        if not command:
            current.append(line)
            versioned = versioned or says_version
    return [*calls, _Call(current, models)]


def _runs(call: _Call) -> list[CompilerRun]:
    version = _field(call.lines, "version")
    blocks = _blocks(call.lines)
    if len(blocks) == 1:
        run = _run(blocks[0], version, call.models)
        return [] if run is None else [run]
    return [run for block in blocks if (run := _run(block, version, ())) is not None]


def _blocks(lines: list[str]) -> list[list[str]]:
    """The lines of each model.

    A new one begins at an input model that follows another's, and at a try or a failure that follows a result.
    """
    blocks: list[list[str]] = [[]]
    named = finished = ended = False  # what the last block has said
    for line in lines:
        is_input, failed = _FIELDS["input"].match(line), _FAILURES.match(line.strip())
        if (named and is_input) or (finished and (failed or _ATTEMPT.match(line))) or (ended and (is_input or failed)):
            blocks.append([])
            named = finished = ended = False
        blocks[-1].append(line)
        named = named or is_input is not None
        finished = finished or _FIELDS["output"].match(line) is not None
        ended = ended or line.strip().startswith(_LAST_WORDS)
    return blocks


def _run(lines: list[str], version: str | None, models: tuple[str, ...]) -> CompilerRun | None:
    table = tuple(row for line in lines if (row := _row(line)) is not None)
    succeeded = any(words in line.lower() for words in _SUCCESS for line in lines)
    model = _field(lines, "input") or (models[0] if len(models) == 1 else _field(lines, "refused"))
    failures = [line.strip() for line in lines if _FAILURES.match(line.strip())]
    output = _field(lines, "output")
    compiled = succeeded or (bool(table or output) and not failures)
    if not (compiled or failures or model or version):
        return None
    numbers = _numbers(lines, table)
    reason = None if compiled else _reason(failures)
    flex = None if reason is None else _FLEX.search(reason)
    return CompilerRun(
        input=model,
        output=output,
        compiled=compiled,
        failure=reason,
        failed_operator=None if flex is None else flex["name"],
        version=version,
        attempts=tuple(int(match[1]) for line in lines if (match := _ATTEMPT.match(line)) is not None),
        table=table,
        **numbers,
        **{key: _size(lines, label) for key, label in _SIZES.items()},
    )


def _reason(failures: list[str]) -> str:
    """Every line that says something, once; the bare "Compilation failed!" where none does."""
    reasons = [line for line in failures if not _BARE_FAILURE.match(line)] or failures[:1] or [_SILENT]
    return "; ".join(dict.fromkeys(reasons))


def _row(line: str) -> OperatorCount | None:
    match = _ROW.match(line.translate(_EMPHASIS))
    if match is None:
        return None
    has_status = match["status"].lower().startswith(_STATUSES)
    clear = len(match["gap"]) > 1 or "\t" in match["gap"] or "|" in match["gap"]
    return OperatorCount(match["name"], int(match["count"]), match["status"]) if has_status or clear else None


def _numbers(lines: list[str], table: tuple[OperatorCount, ...]) -> dict[str, int | None]:
    numbers = {key: _number(lines, label) for key, label in _NUMBERS.items()}
    if table:
        mapped = sum(row.count for row in table if row.status.lower().startswith(_MAPPED))
        total = sum(row.count for row in table)
        counts = {"operators": total, "mapped_ops": mapped, "cpu_ops": total - mapped}
        return {key: counts.get(key) if value is None else value for key, value in numbers.items()}
    return {
        **numbers,
        **_counted(numbers, some_stay=any("not all operations are supported" in line.lower() for line in lines)),
    }


def _counted(numbers: dict[str, int | None], *, some_stay: bool) -> dict[str, int | None]:
    """The counts of a log that has no table; it gives them only where some operators stay on the CPU."""
    total, mapped, left = numbers["operators"], numbers["mapped_ops"], numbers["cpu_ops"]
    if total is None:
        return {}
    if mapped is not None or left is not None:
        return {
            "mapped_ops": total - (left or 0) if mapped is None else mapped,
            "cpu_ops": total - (mapped or 0) if left is None else left,
        }
    return {"mapped_ops": total, "cpu_ops": 0} if numbers["subgraphs"] and not some_stay else {}


def _without_repeats(runs: list[CompilerRun]) -> list[CompilerRun]:
    """The runs with the table of a ``.log`` file joined to what the compiler printed of the same model before it."""
    result: list[CompilerRun] = []
    for run in runs:
        if result and _is_table_of(run, result[-1]):
            last = result[-1]
            counts = {name: getattr(last, name) for name in ("operators", "mapped_ops", "cpu_ops")}
            once = {name: getattr(run, name) if count is None else count for name, count in counts.items()}
            result[-1] = dataclasses.replace(last, table=run.table, **once)
        else:
            result.append(run)
    return result


def _is_table_of(run: CompilerRun, last: CompilerRun) -> bool:
    same = (last.input, last.version) == (run.input, run.version)
    return same and last.compiled and not last.table and bool(run.table) and run.subgraphs is None


def _field(lines: list[str], name: str) -> str | None:
    return next((match[1].strip() for line in lines if (match := _FIELDS[name].match(line))), None)


def _after(lines: list[str], label: str) -> str | None:
    start = f"{label}:".lower()
    return next((line.split(":", 1)[1].strip() for line in lines if line.lower().startswith(start)), None)


def _number(lines: list[str], label: str) -> int | None:
    text = re.match(r"\d{1,3}(?:,\d{3})+|\d+", _after(lines, label) or "")
    return None if text is None else int(text[0].replace(",", ""))


def _size(lines: list[str], label: str) -> int | None:
    match = _SIZE.match(_after(lines, label) or "")
    try:
        return None if match is None else round(_decimal(match[1]) * _UNITS[match[2].lower()])
    except ValueError:
        return None


def _decimal(text: str) -> float:
    """A number that may have commas for thousands, or one for its point."""
    return float(text.replace(",", "") if "." in text else text.replace(",", "."))
