"""How a measured cell stands in the table, and what the table says as a whole against the bars of the issue."""

from __future__ import annotations

from typing import Any

__all__ = ["BARS", "CLOSE_WHEN_ASKED", "COLUMNS", "WHEN_ASKED", "Row", "cell_of", "shares", "status_of", "summary_of"]

Row = dict[str, Any]
COLUMNS = ("phone", "integers", "edgetpu", "cloud_tpu", "qat")
KEPT = ("reason", "fully_integer", "float_ops", "sqnr_db", "mapped_ops", "cpu_ops", "seconds", "cpu_seconds", "mib")
CLOSE_DB = 20.0  # signal to quantization noise that counts as close
MOST_SECONDS, MOST_MIB = 300, 4096
# (measure, least share), as the issue sets them.
BARS = (
    ("phone converts", 0.97),
    ("phone fully integer, by default", 0.85),
    ("phone SQNR above 20 dB", 0.95),
    ("edgetpu converts", 0.95),
    ("cloud_tpu compiles", 0.95),
    ("qat converts", 0.90),
    ("cells within 300 s and 4 GiB", 1.0),
)
WHEN_ASKED = "phone fully integer, with --integer_only where the default is not"
CLOSE_WHEN_ASKED = "phone SQNR above 20 dB of these fully integer files"
CONVERTED = ("ok", "undecided", "gate_failed")  # statuses of report.json that come with an artifact


def cell_of(column: str, measured: Row) -> Row:
    """The row's entries of one column: its outcome under the column's name, figures under ``column:figure``."""
    outcome = "converts" if measured["status"] in CONVERTED else "failed"
    if column == "cloud_tpu" and outcome == "converts" and not measured.get("compiles"):
        outcome = "failed"
    figures = {key: measured[key] for key in KEPT if measured.get(key) not in (None, [], "")}
    if outcome == "converts":
        figures.pop("reason", None)  # of the accuracy gate, which has nothing to decide on without labels
    errors = measured.get("errors")
    if errors:
        figures["reason"] = "; ".join(errors)[:400]
    floats = figures.pop("float_ops", None)
    if floats:
        figures["float_ops"] = ", ".join(sorted({str(name) for name in floats}))
    return {column: outcome, **{f"{column}:{key}": value for key, value in figures.items()}}


def status_of(cells: Row) -> Row:
    """Status and reason of a row: ``ok`` where every cell converts and the phone's is close, else ``partly``."""
    outcomes = {column: cells[column] for column in COLUMNS if column in cells}
    failed = [column for column, outcome in outcomes.items() if outcome == "failed"]
    if failed:
        reasons = [f"{column}: {cells.get(f'{column}:reason', 'no reason given')}" for column in failed]
        return {"status": "failed" if len(failed) == len(outcomes) else "partly", "reason": "; ".join(reasons)}
    without = _file_without_floats(cells)
    why = f", as that is quicker or closer here ({without} has none)" if without else ""
    lacking = [
        *([f"phone: operators in float{why}: {cells['phone:float_ops']}"] if "phone:float_ops" in cells else []),
        *(["phone: below 20 dB"] if cells.get("phone:sqnr_db", CLOSE_DB) < CLOSE_DB else []),
    ]
    return {"status": "partly" if lacking else "ok", "reason": "; ".join(lacking) or None}


def _file_without_floats(row: Row) -> str:
    """Which file shows that all operators have integer forms, where the phone's has some in float; empty for none."""
    if row.get("phone") != "converts" or row.get("phone:fully_integer"):
        return ""
    files = {"integers": "the file of --integer_only", "edgetpu": "the Edge TPU's file"}
    return next((file for column, file in files.items() if row.get(f"{column}:fully_integer")), "")


def _db_in_integers(row: Row) -> float | None:
    """The SQNR of the phone's fully integer file, be it the default's or asked for; None where there is none."""
    for column in ("phone", "integers"):
        if row.get(column) == "converts" and row.get(f"{column}:fully_integer"):
            return float(row.get(f"{column}:sqnr_db", 0.0))
    return None


def shares(rows: list[Row]) -> dict[str, tuple[int, int]]:
    """{measure: (how many rows meet it, of how many)}; networks that could not be built are left out.

    A network whose file of ``--integer_only`` was not measured counts as if it had operators in float.
    """
    built = [row for row in rows if row["status"] != "not built"]
    counted = {column: [row for row in built if column in row] for column in COLUMNS}
    converted = {column: [row for row in some if row[column] == "converts"] for column, some in counted.items()}
    compared = [row["phone:sqnr_db"] for row in converted["phone"] if "phone:sqnr_db" in row]
    integers = [value for value in map(_db_in_integers, counted["phone"]) if value is not None]
    cells = [
        (row.get(f"{column}:seconds", 0), row.get(f"{column}:mib", 0)) for column in COLUMNS for row in counted[column]
    ]
    return {
        "phone converts": (len(converted["phone"]), len(counted["phone"])),
        "phone fully integer, by default": (
            sum(bool(row.get("phone:fully_integer")) for row in counted["phone"]),
            len(counted["phone"]),
        ),
        WHEN_ASKED: (len(integers), len(counted["phone"])),
        CLOSE_WHEN_ASKED: (sum(value > CLOSE_DB for value in integers), len(integers)),
        "phone SQNR above 20 dB": (sum(value > CLOSE_DB for value in compared), len(compared)),
        "edgetpu converts": (len(converted["edgetpu"]), len(counted["edgetpu"])),
        "cloud_tpu compiles": (len(converted["cloud_tpu"]), len(counted["cloud_tpu"])),
        "qat converts": (len(converted["qat"]), len(counted["qat"])),
        "cells within 300 s and 4 GiB": (
            sum(seconds <= MOST_SECONDS and mib <= MOST_MIB for seconds, mib in cells),
            len(cells),
        ),
    }


def summary_of(rows: list[Row]) -> list[str]:
    """Lines of markdown: each bar, and what the rows show."""
    collections = {row["collection"] for row in rows if row["status"] != "not built"}
    lines = [
        f"{len(collections)} collections have a network that could be built.",
        "",
        "| measure | shown | bar |",
        "|---|---|---|",
    ]
    measured = shares(rows)
    for measure, bar in (*BARS, (WHEN_ASKED, None), (CLOSE_WHEN_ASKED, None)):
        met, of = measured[measure]
        shown = f"{met} of {of} ({met / of:.1%})" if of else "not run"
        lines.append(f"| {measure} | {shown} | {'' if bar is None else f'{bar:.0%}'} |")
    unmeasured = sum(
        row.get("phone") == "converts" and not row.get("phone:fully_integer") and "integers" not in row for row in rows
    )
    note = f"Not converted with `--integer_only`, and counted as if in float: {unmeasured} files."
    return [*lines, "", *([note, ""] if unmeasured else [])]
