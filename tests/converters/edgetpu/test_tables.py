"""The committed tables of rules and latencies: whole, and without a rule that a public pair contradicts."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import table_edgetpu_latency, table_edgetpu_rules
from benchmarks.edgetpu_thresholds import THRESHOLDS
from tfcompress.converters.edgetpu import RULES

TABLES = Path(table_edgetpu_rules.__file__).parent / "tables"


def committed(name: str) -> dict[str, Any]:
    """A row of the committed table of rules."""
    rows: list[dict[str, Any]] = json.loads((TABLES / "edgetpu_rules.json").read_text())
    return next(row for row in rows if row["model"] == name)


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


@pytest.mark.parametrize("name", THRESHOLDS)
def test_the_threshold_of_every_operator_rule_stands_between_what_was_seen(name: str) -> None:
    rule = next(rule for rule in RULES if rule.name == name)
    assert isinstance(rule.check, functools.partial)
    limit = rule.check.keywords["limit"] + ("above" in rule.check.func.__name__)
    row = committed(f"operators: {name}")
    assert row["threshold"] == limit
    assert row["agrees_from"] <= limit
    assert row["agrees_to"] is None or limit <= row["agrees_to"]
    assert row["left_out_from"] is None or row["left_out_from"] < row["agrees_from"]


def test_no_rule_with_a_threshold_is_without_its_bounds() -> None:
    limited = {rule.name for rule in RULES if isinstance(rule.check, functools.partial)}
    assert {name for name in limited if not name.endswith("_version")} == set(THRESHOLDS)


def test_the_largest_layer_stands_between_published_figures_even_without_the_nearest() -> None:
    row = committed("memory: largest_layer")
    assert row["left_out_from"] <= row["agrees_from"] <= row["threshold"] <= row["agrees_to"] <= row["left_out_to"]


def test_a_rule_from_one_pair_alone_says_how_wrong_it_is_without_it() -> None:
    row = committed("memory: unrolled_lstm")
    assert (row["supporting"], row["left_out_pairs"]) == (1, 0)
    assert 0.5 < row["left_out_error"] < 1


def test_every_published_latency_has_its_row() -> None:
    rows = json.loads((TABLES / "edgetpu_latency.json").read_text())
    assert [row["model"] for row in rows] == table_edgetpu_latency.names()


def test_rules_of_operators_are_all_in_the_table() -> None:
    assert {f"operators: {rule.name}" for rule in RULES} <= set(table_edgetpu_rules.names())
