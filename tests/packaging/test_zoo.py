"""The table of other people's networks is well-formed, and what is said of it as a whole follows from its rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.table_zoo import done, last_words
from benchmarks.zoo.cells import (
    BARS,
    CLOSE_WHEN_ASKED,
    COLUMNS,
    WHEN_ASKED,
    Row,
    cell_of,
    shares,
    status_of,
    summary_of,
)

ROOT = Path(__file__).parents[2]
STATUSES = {"ok", "partly", "failed", "not built"}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    table: list[Row] = json.loads((ROOT / "benchmarks/tables/zoo.json").read_text(encoding="utf-8"))
    return table


def test_every_row_names_its_network_once_and_says_what_came_of_it(rows: list[Row]) -> None:
    assert len({row["model"] for row in rows}) == len(rows) > 0
    for row in rows:
        assert row["status"] in STATUSES
        assert row["model"].startswith(f"{row['collection']}/")
        assert row["status"] == "ok" or row["reason"]


def test_every_cell_has_an_outcome_and_what_it_took_and_a_failed_one_has_a_reason(rows: list[Row]) -> None:
    for row in rows:
        for column in COLUMNS:
            assert row.get(column) in (None, "converts", "failed")
            if row.get(column) == "failed":
                assert row[f"{column}:reason"]
            if row.get(column) == "converts":
                assert row[f"{column}:seconds"] > 0
                assert row[f"{column}:mib"] > 0


def test_the_status_of_every_row_follows_from_its_cells(rows: list[Row]) -> None:
    for row in rows:
        if row["status"] != "not built":
            assert status_of(row) == {"status": row["status"], "reason": row["reason"]}, row["model"]


def test_the_summary_in_the_document_is_that_of_the_rows(rows: list[Row]) -> None:
    document = (ROOT / "benchmarks/TABLES.md").read_text(encoding="utf-8")
    section = document.split("\n## zoo\n", 1)[1]
    assert "\n".join(summary_of(rows)) in section


def test_shares_count_what_ran_and_leave_out_what_could_not_be_built() -> None:
    good = {
        "phone": "converts",
        "phone:fully_integer": True,
        "phone:sqnr_db": 30.0,
        "phone:seconds": 10,
        "phone:mib": 900,
    }
    noisy = {**good, "phone:sqnr_db": 19.9, "phone:fully_integer": False, "phone:seconds": 301}
    failed = {"phone": "failed", "phone:reason": "no", "phone:seconds": 5, "phone:mib": 900}
    rows = [{"model": "a/b", "collection": "a", **status_of(cells), **cells} for cells in (good, noisy, failed)] + [
        {"model": "a/c", "collection": "a", "status": "not built", "reason": "ImportError"}
    ]
    measured = shares(rows)
    assert measured["phone converts"] == (2, 3)
    assert measured["phone fully integer, by default"] == (1, 3)
    assert measured["phone SQNR above 20 dB"] == (1, 2)
    assert measured["cells within 300 s and 4 GiB"] == (2, 3)
    assert measured["qat converts"] == (0, 0)
    assert [row["status"] for row in rows] == ["ok", "partly", "failed", "not built"]
    assert {measure for measure, _ in BARS} | {WHEN_ASKED, CLOSE_WHEN_ASKED} == set(measured)


def test_the_integer_only_file_counts_where_it_was_measured_and_with_its_own_error() -> None:
    default = {"phone": "converts", "phone:float_ops": "ADD", "phone:sqnr_db": 40.0}
    asked = {**default, "integers": "converts", "integers:fully_integer": True, "integers:sqnr_db": 18.0}
    still = {**default, "integers": "converts", "integers:float_ops": "EXP", "integers:sqnr_db": 30.0}
    whole = {"phone": "converts", "phone:fully_integer": True, "phone:sqnr_db": 30.0}
    rows = [
        {"model": "a/b", "collection": "a", **status_of(cells), **cells} for cells in (default, asked, still, whole)
    ]
    measured = shares(rows)
    assert measured["phone fully integer, by default"] == (1, 4)
    assert measured[WHEN_ASKED] == (2, 4)
    assert measured[CLOSE_WHEN_ASKED] == (1, 2)
    assert any(line.endswith("counted as if in float: 1 files.") for line in summary_of(rows))
    assert "the file of --integer_only has none" in str(rows[1]["reason"])
    assert [done(row, "integers") for row in rows] == [False, True, True, True]


def test_float_where_the_edge_tpu_s_file_has_integers_alone_is_said_to_be_a_choice() -> None:
    mixed = {"phone": "converts", "phone:float_ops": "ADD", "edgetpu": "converts", "edgetpu:fully_integer": True}
    forced = {**mixed, "edgetpu:fully_integer": False}
    lost = {**mixed, "phone": "failed"}
    rows = [{"model": "a/b", "collection": "a", **status_of(cells), **cells} for cells in (mixed, forced, lost)]
    assert shares(rows)["phone fully integer, by default"] == (0, 3)
    assert ["quicker or closer" in str(row["reason"]) for row in rows] == [True, False, False]


def test_the_reason_of_a_network_that_cannot_be_built_is_its_exception() -> None:
    trace = (
        "Traceback (most recent call last):\n  File 'a.py'\nTypeError: call() got an argument\n\n  • constants=None\n"
    )
    assert last_words(f"warning\n{trace}") == "TypeError: call() got an argument • constants=None"
    assert last_words("keras.errors.ShapeError: no\n") == "keras.errors.ShapeError: no"
    assert last_words("a\nkilled\n") == "killed"
    assert last_words("") == ""


def test_a_program_that_does_not_compile_is_a_failed_cell_with_the_compilers_words() -> None:
    measured = {"status": "ok", "compiles": False, "errors": ["no such operator"], "seconds": 3.0, "mib": 800}
    cell = cell_of("cloud_tpu", measured)
    assert cell["cloud_tpu"] == "failed"
    assert cell["cloud_tpu:reason"] == "no such operator"
    assert cell_of("cloud_tpu", {**measured, "compiles": True, "errors": []})["cloud_tpu"] == "converts"
