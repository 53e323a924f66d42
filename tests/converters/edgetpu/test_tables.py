"""The committed tables of rules and latencies: whole, and without a rule that a public pair contradicts."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import table_edgetpu_latency, table_edgetpu_rules
from tfcompress.converters.edgetpu import RULES

TABLES = Path(table_edgetpu_rules.__file__).parent / "tables"


def test_every_rule_has_its_row_and_none_is_contradicted() -> None:
    rows = json.loads((TABLES / "edgetpu_rules.json").read_text())
    assert [row["model"] for row in rows] == table_edgetpu_rules.names()
    assert [row["model"] for row in rows if row["contradicting"]] == []
    for row in rows:
        assert (row["status"] == "ok") == (row["supporting"] > 0)
        assert row["reason"] or row["supporting"]


def test_the_threshold_of_long_inputs_stands_between_what_pairs_show_even_without_the_nearest() -> None:
    rows = {row["model"]: row for row in json.loads((TABLES / "edgetpu_rules.json").read_text())}
    row = rows["memory: long_input"]
    assert row["left_out_from"] <= row["agrees_from"] <= 8192 <= row["agrees_to"] <= row["left_out_to"]


def test_every_published_latency_has_its_row() -> None:
    rows = json.loads((TABLES / "edgetpu_latency.json").read_text())
    assert [row["model"] for row in rows] == table_edgetpu_latency.names()


def test_rules_of_operators_are_all_in_the_table() -> None:
    assert {f"operators: {rule.name}" for rule in RULES} <= set(table_edgetpu_rules.names())
