"""The page's tables: layers of all artifacts, classes, changed answers, bars."""

from __future__ import annotations

from typing import Any

from tests.report.sample import PIXEL, report, with_targets
from tfcompress.report import Report
from tfcompress.report.bars import bar_groups
from tfcompress.report.classes import class_rows, confusions
from tfcompress.report.flips import flip_rows
from tfcompress.report.layer_table import WORST, layer_rows, worst_layers


def layers(*names: str, sqnr: float = 30.0) -> dict[str, Any]:
    return {"status": "ok", "layers": [{"layer": name, "sqnr_db": sqnr} for name in names]}


def test_layers_stand_in_the_order_of_computation_also_those_that_one_artifact_lacks() -> None:
    result = with_targets(phone=layers("a", "c", "d"), cloud=layers("a", "b", "c", "e"))
    rows = layer_rows(list(result.targets.values()))
    assert [row.name for row in rows] == ["a", "b", "c", "e", "d"]
    assert [[cell is not None for cell in row.cells] for row in rows[:2]] == [[True, True], [False, True]]


def test_of_many_layers_the_worst_are_shown_first() -> None:
    names = [f"layer_{number}" for number in range(100)]
    table = {"status": "ok", "layers": [{"layer": name, "sqnr_db": 50.0 - n / 4} for n, name in enumerate(names)]}
    rows = layer_rows([with_targets(phone=table).targets["phone"]])
    assert [row.name for row in worst_layers(rows)] == names[: -WORST - 1 : -1]
    assert len(worst_layers(rows[:20])) == 20


def confused() -> Report:
    reference = {
        "metrics": {"accuracy": 0.8, "accuracy[cat]": 0.9, "accuracy[dog]": 0.7},
        "class_names": ["cat", "dog"],
        "confusion": [[9, 1], [3, 7]],
    }
    phone = {
        "status": "ok",
        "metrics": {"accuracy[cat]": 0.6, "accuracy[dog]": 0.8},
        "confusion": [[6, 4], [2, 8]],
        "flipped": {
            "total": 1,
            "samples": [{"index": 3, "label": 0, "reference": 0, "candidate": 1, "picture": PIXEL}],
        },
    }
    edgetpu = {**phone, "flipped": {"total": 1, "samples": [{"index": 3, "label": 0, "reference": 0, "candidate": -1}]}}
    return report(reference=reference, targets={"phone": phone, "edgetpu": edgetpu})


def test_classes_are_named_and_the_one_that_lost_most_comes_first() -> None:
    result = confused()
    rows = class_rows(result, list(result.targets.values()))
    assert [row.name for row in rows] == ["cat", "dog"]
    changes = [row.changes[0] for row in rows]
    assert [(change.text, change.share, change.grade) for change in changes if change] == [
        ("−30.0", 100.0, "loss"),
        ("+10.0", 33.3, "gain"),
    ]


def test_the_confusions_that_grew_most_come_first() -> None:
    result = confused()
    table = next(iter(confusions(result, list(result.targets.items()))))
    assert table.pairs == (("cat", "dog", 1, 4), ("dog", "cat", 3, 2))
    assert table.rows[0] == ((6, 60, True), (4, 40, False))


def test_a_changed_sample_stands_once_with_every_artifacts_answer() -> None:
    result = confused()
    (row,) = flip_rows(result.reference, result.targets)
    assert (row.label, row.reference, row.picture) == ("cat", "cat", PIXEL)
    assert row.answers == (("phone", "dog"), ("edgetpu", "NaN"))


def test_only_what_is_known_of_two_or_more_has_bars() -> None:
    assert [group.title for group in bar_groups(with_targets(phone={"status": "ok", "bytes": 1000}))] == ["Size"]
    (size,) = bar_groups(with_targets(phone={"status": "ok", "bytes": 1000}))
    assert [(bar.label, bar.figure, bar.share) for bar in size.bars] == [
        ("float", "4 kB", 100.0),
        ("phone", "1 kB (4.0× less)", 25.0),
    ]


def test_an_accelerators_file_has_no_bar_of_this_machines_time() -> None:
    mapped = {"status": "ok", "latency_ms": {"median": 9.0}, "mapping": {"mapped_ops": 1, "cpu_ops": 0}}
    phone = {"status": "ok", "latency_ms": {"median": 3.0}, "float_latency_ms": {"median": 6.0}}
    groups = bar_groups(with_targets(phone=phone, edgetpu=mapped))
    assert [[bar.label for bar in group.bars] for group in groups] == [["float", "phone"]]
