"""The trade-off picture: everything known is in it, in the right place, and nothing covers anything."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

from tests.report.sample import PLAIN, report, with_targets
from tfcompress.report.tradeoff import APART, BOTTOM, CHARACTER, HEIGHT, LEFT, LINE, WIDTH, Mark, Panel, panels


def artifact(size: int, drop: float | None, width: float = 0.01, **more: Any) -> dict[str, Any]:
    diff = {} if drop is None else {"accuracy_drop": drop, "accuracy_drop_ci95": [drop - width, drop + width]}
    return {"status": "ok", "bytes": size, "diff": diff, **more}


def drawn(**targets: dict[str, Any]) -> Panel:
    return panels(with_targets(**targets))[0]


def mark(panel: Panel, label: str) -> Mark:
    return next(mark for mark in panel.marks if label in mark.labels)


def test_the_float_model_and_every_artifact_are_in_it() -> None:
    panel = panels(report())[0]
    assert [label for mark in panel.marks for label in mark.labels] == ["float", "Phone"]  # the others have no accuracy
    panel = drawn(a=artifact(1000, 0.01), b=artifact(2000, 0.02), failed={"status": "failed"})
    assert {label for mark in panel.marks for label in mark.labels} == {"float", "a", "b"}


def test_an_axis_has_at_least_two_values_and_not_many() -> None:
    for low, high in ((700, 1_100), (1_000, 1_050), (1_000, 9_000), (1_000, 10_000_000)):
        panel = drawn(small=artifact(low, 0.05), big=artifact(high, -0.01))
        assert 2 <= len(panel.x_ticks) <= 8, (low, high)
        assert len({tick.text for tick in panel.x_ticks}) == len(panel.x_ticks)


def test_smaller_is_left_and_better_is_up() -> None:
    panel = drawn(small=artifact(1000, 0.05), big=artifact(3000, -0.01))
    assert mark(panel, "small").x < mark(panel, "big").x < mark(panel, "float").x
    assert mark(panel, "big").y < mark(panel, "float").y < mark(panel, "small").y


def test_an_interval_that_crosses_the_gate_is_seen_to() -> None:
    panel = drawn(passed=artifact(1000, 0.0, 0.005), undecided=artifact(2000, 0.0, 0.02), failed=artifact(3000, 0.05))
    assert panel.gate is not None
    low = {label: mark(panel, label).low for label in ("passed", "undecided", "failed")}
    high = {label: mark(panel, label).high for label in ("passed", "undecided", "failed")}
    assert low["passed"] is not None
    assert low["passed"] < panel.gate
    assert low["undecided"] is not None
    assert high["undecided"] is not None
    assert high["undecided"] < panel.gate < low["undecided"]
    assert high["failed"] is not None
    assert high["failed"] > panel.gate


def test_equal_artifacts_are_one_mark_with_all_their_names() -> None:
    panel = drawn(phone=artifact(1000, 0.01), edgetpu=artifact(1000, 0.01))
    assert mark(panel, "phone").labels == ("phone", "edgetpu")
    assert "edgetpu: 1 kB" in mark(panel, "phone").title


def test_labels_cover_no_other_label_and_stay_in_the_picture() -> None:
    sizes = {f"target_{n}": artifact(1000 + 40 * n, 0.001 * n, 0.002 * n) for n in range(6)}
    panel = drawn(**sizes)
    boxes = []
    for item in panel.marks:
        assert LEFT < item.label_x < WIDTH - CHARACTER * max(map(len, item.labels))
        assert 0 < item.label_y < HEIGHT - BOTTOM
        width, height = CHARACTER * max(map(len, item.labels)), LINE * len(item.labels)
        boxes.append((item.label_x, item.label_y - LINE, item.label_x + width, item.label_y - LINE + height))
    for first, second in combinations(boxes, 2):
        assert first[2] <= second[0] or second[2] <= first[0] or first[3] <= second[1] or second[3] <= first[1]


def test_where_it_is_crowded_a_line_leads_from_each_mark_to_its_own_label() -> None:
    near = {f"target_{n}": artifact(1000 + 30 * n, 0.001 * (n % 2), 0.004 * (n % 2) + 0.001) for n in range(6)}
    panel = drawn(**near)
    assert any(item.leader for item in panel.marks)
    for item in panel.marks:
        if item.leader is None:
            continue
        for share in (0.25, 0.5, 0.75, 1.0):
            place = (item.x + share * (item.leader[0] - item.x), item.y + share * (item.leader[1] - item.y))
            assert all(math.dist(place, (other.x, other.y)) > APART for other in panel.marks if other is not item)


def test_time_is_the_devices_own() -> None:
    latency = {"estimate": 2.5}
    npu = artifact(1000, 0.0, mapping={"mapped_ops": 1, "cpu_ops": 0, "latency_ms": latency}, latency_ms={"median": 99})
    phone = artifact(1000, 0.01, latency_ms={"median": 4.0}, float_latency_ms={"median": 9.0})
    tpu = artifact(1000, 0.0, compile=[{"topology": "v5e:2x2", "batch_size": 8, "optimal_seconds": 8e-3}])
    titles = " ".join(item.title for item in panels(with_targets(npu=npu, phone=phone, tpu=tpu))[1].marks)
    for said in ("float model: 9 ms", "npu: 2.5 ms", "phone: 4 ms", "tpu: 1 ms"):
        assert said in titles
    assert "99" not in titles


def test_without_labels_it_shows_the_share_of_the_same_answers() -> None:
    agree = {"top1_agreement": 0.97}
    panel = drawn(phone={"status": "undecided", "bytes": 1000, "diff": agree})
    assert (panel.y_name, panel.gate) == ("same answers, %", None)
    assert "97.00 %" in mark(panel, "phone").title


def test_there_is_no_picture_of_nothing() -> None:
    assert panels(with_targets(phone=artifact(1000, None))) == ()
    assert panels(report(targets={}, model={"name": "net"})) == ()
    assert (
        panels(
            with_targets(phone=artifact(0, 0.01)),
        )
        == ()
    )
    assert len(panels(with_targets(phone=artifact(4000, 0.0, 0.0)))) == 1  # as large as the float model, and as good
    assert PLAIN["model"]["float_bytes"] == 4000
