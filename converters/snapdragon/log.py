"""Reads what LiteRT's compiler tool and Qualcomm's libraries print.

LiteRT writes to standard error, Qualcomm's libraries to standard output.  For an operator that is refused, LiteRT says

    QNN op validation failed: 'ElementWiseBinary_2' (type=ElementWiseBinary, operation=Mod)
    ...
    LiteRT Op #2 'FloorMod' (code=95) is not supported in Qualcomm Compiler.

where the first line is missing if the plugin does not know the operator at all.  With ``--qualcomm_log_level=verbose``
Qualcomm's own validator says why, between ``Validating Op Config ElementWiseBinary_2`` and ``htp op validator failed``.
Of what it does not know of one chip's operator but of the operator as such, it says ``Validating Native Op NAME:...``,
the fault as an error, and ``master op validator NAME:... failed``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["CompilerLog", "Refused", "failure_in", "parse_log", "reasons_in"]

_REFUSED = re.compile(r"LiteRT Op #(\d+) '([^']*)' \(code=\d+\) is not supported in Qualcomm Compiler")
_OUTPUT = re.compile(r"Outputs:\s*\[0\] name=\"(.*?)\"\s+tensor_idx=(\d+)", re.DOTALL)
_INVALID = re.compile(r"QNN op validation failed: '([^']+)' \(type=([^)]*)\)")
_PARTITIONED = re.compile(
    r"Partitioned subgraph<(\d+)>, selected (\d+) ops, from a total of (\d+) ops\. resulted in (\d+) partitions"
)
_SDK = re.compile(r"Applying plugin with SDK version: v?([\w.]+)")
_TRAFFIC = {
    "spill_bytes": re.compile(r"\bspill_bytes=(\d+)"),
    "fill_bytes": re.compile(r"\bfill_bytes=(\d+)"),
    "write_bytes": re.compile(r"\bwrite_total_bytes=(\d+)"),
    "read_bytes": re.compile(r"\bread_total_bytes=(\d+)"),
}
_FAULT = re.compile(r"\[ ERROR \]\s+([^\n<]+)\n[^\n]*\[ ERROR \]\s+Op specific validation failed")
_ERROR = re.compile(r"ERROR: \[[\w.]+:\d+\]\s*([^\n]+)")


@dataclass(frozen=True)
class Refused:
    """An operator that the compiler left to the CPU.

    Attributes:
        index: of the operator in its graph.
        operator: the plugin's name for it.
        tensor: index of its first result.
        message: the plugin's own words.
        qnn_operators: names of the QNN operators that failed the validation; empty where the plugin makes none.
    """

    index: int
    operator: str
    tensor: int
    message: str
    qnn_operators: tuple[str, ...]


@dataclass(frozen=True)
class CompilerLog:
    """What one run said.

    Attributes:
        version: of Qualcomm's runtime.
        refused: operators left to the CPU, of all graphs.
        selected: operators given to the NPU, of all graphs.
        total: operators of all graphs.
        partitions: parts that the NPU runs.
        traffic: bytes between the chip and memory in one inference, summed over the parts: `read_bytes`,
            `write_bytes`, and of those `spill_bytes` and `fill_bytes` of what did not fit the chip's own memory.
    """

    version: str | None
    refused: tuple[Refused, ...]
    selected: int
    total: int
    partitions: int
    traffic: dict[str, int]


def parse_log(output: str, errors: str) -> CompilerLog:
    """The log of one run of ``apply_plugin_main``.

    Args:
        output: its standard output.
        errors: its standard error.
    """
    parts = [tuple(map(int, match)) for match in _PARTITIONED.findall(errors)]
    version = _SDK.search(errors)
    return CompilerLog(
        version=None if version is None else version.group(1),
        refused=tuple(_refused(errors)),
        selected=sum(part[1] for part in parts),
        total=sum(part[2] for part in parts),
        partitions=sum(part[3] for part in parts),
        traffic={name: sum(map(int, pattern.findall(output))) for name, pattern in _TRAFFIC.items()},
    )


def _refused(errors: str) -> list[Refused]:
    refusals, start = [], 0
    for match in _REFUSED.finditer(errors):
        invalid = [f"{name} ({kind})" for name, kind in _INVALID.findall(errors, start, match.start())]
        output = _OUTPUT.search(errors, match.end())
        refusals.append(
            Refused(
                index=int(match.group(1)),
                operator=match.group(2),
                tensor=-1 if output is None else int(output.group(2)),
                message=match.group(0),
                qnn_operators=tuple(dict.fromkeys(name.split(" ")[0] for name in invalid)),
            )
        )
        start = match.end()
    return refusals


def reasons_in(output: str) -> dict[str, str]:
    """{QNN operator: what the validator says against it}, from the standard output of a verbose run."""
    reasons: dict[str, str] = {}
    for block in re.split(r"Validating Native Op ", output)[1:]:
        fault = _FAULT.search(block.partition("Validating Op Config ")[0])
        if fault is not None:
            reasons[block.partition(":")[0]] = fault.group(1).strip()
    for block in re.split(r"Validating Op Config ", output)[1:]:
        name = block.split("\n", 1)[0].strip().rstrip(".")
        before, failed, _ = block.partition("htp op validator failed")
        reason = _reason(before) if failed else None
        if reason is not None:
            reasons[name] = reason
    return reasons


def _reason(block: str) -> str | None:
    """The telling line of the validator's words about one operator, with the types that were asked for."""
    mismatch = re.search(r"<E> (Unsupported [^\n]*? HTP Op '\w+') in the node", block)
    if mismatch is not None:
        asked = re.search(r"Requested I/O datatype set:\s*((?:\s*(?:in|out)\[\d+\]:\w+)+)", block)
        types = "" if asked is None else ": " + ", ".join(asked.group(1).replace("QNN_DATATYPE_", "").split())
        return mismatch.group(1) + types
    kind = re.search(r"constraints for (\w+) with", block)
    lines = re.findall(r"<[EV]> ([^\n]+)", block)
    telling = [line for line in lines if re.search(r"incorrect|not support|unsupported|exceed|invalid", line, re.I)]
    if not telling:
        return None
    prefix = f"{kind.group(1)}: " if kind is not None and kind.group(1) not in telling[-1] else ""
    return prefix + telling[-1].strip()


def failure_in(errors: str) -> str | None:
    """The last error line of a run that gave no file; None where it printed none."""
    lines = [line for line in _ERROR.findall(errors) if "is not supported" not in line]
    return lines[-1].strip() if lines else None
