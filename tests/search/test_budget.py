"""A budget is read, refused where nothing can meet it, and says which limit an artifact misses."""

from __future__ import annotations

import pytest

from tfcompress.converters import TARGETS
from tfcompress.errors import InputError, RecipeError
from tfcompress.search.budget import QUANTITIES, Budget
from tfcompress.search.figures import Figures
from tfcompress.search.options import SearchOptions
from tfcompress.search.pareto import pareto_set

SMALL = Figures(accuracy_drop=0.004, accuracy_drop_ci95=(0.001, 0.008), samples=500, bytes=1000, latency_ms=2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("bytes", "expected a limit such as"),
        ("size<=5", "unknown quantity 'size'"),
        ("bytes>=5", "expected bytes<=5"),
        ("npu<=1", "expected npu>=1"),
        ("bytes<=many", "expected a number"),
        ("bytes<=nan", "can be met by nothing"),
        ("bytes<=0", "can be met by nothing"),
        ("latency_ms<=-1", "can be met by nothing"),
        ("accuracy_drop<=2", "is a share"),
        ("bytes<=5,bytes<=6", "limited twice"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        Budget.parse(text)
    assert "\n" not in str(error.value)


def test_a_drop_meets_its_limit_only_with_the_whole_interval() -> None:
    assert Budget.parse("accuracy_drop<=0.008").why_not(SMALL) == ()
    (line,) = Budget.parse("accuracy_drop<=0.007,bytes<=1000").why_not(SMALL)
    assert line == "accuracy_drop<=0.007: is 0.004, 95 % interval 0.0010 to 0.0080 on 500 samples"


def test_what_is_not_known_meets_no_limit() -> None:
    assert Budget.parse("cycles<=10").why_not(SMALL) == ("cycles<=10: not known of this artifact",)
    assert Budget.parse("cycles<=10").excess(SMALL) == float("inf")


def test_the_excess_is_that_of_the_limit_that_binds() -> None:
    assert Budget.parse("bytes<=500,latency_ms<=1.9").excess(SMALL) == 1.0
    assert Budget.parse("bytes<=1000").excess(SMALL) == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minimize": "speed"}, "--minimize: got 'speed'"),
        ({"minimize": "npu"}, "--minimize: npu is not known of target phone"),
        ({"budget": "npu>=1"}, "--budget: npu is not known of target phone"),
        ({"targets": "snapdragon", "minimize": "cycles"}, "--minimize: cycles is not known of target snapdragon"),
        ({"targets": "phone,edgetpu"}, "a search is for one target"),
        ({"targets": "android"}, "unknown target 'android'"),
        ({"workers": 0}, "--workers: got 0"),
        ({"max_trials": 0}, "--max_trials: got 0"),
        ({"max_minutes": -1.0}, "--max_minutes: got -1.0"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_loaded(options: dict[str, object], message: str) -> None:
    with pytest.raises((InputError, RecipeError), match=message):
        SearchOptions(**{"model": "m.keras", "output": "out", "budget": "bytes<=5", **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TARGETS)
def test_every_quantity_that_a_target_has_can_be_limited_and_minimised(name: str) -> None:
    for quantity in TARGETS[name].quantities:
        limit = f"{quantity}{QUANTITIES[quantity]}0.5"
        SearchOptions(model="m.keras", output="out", targets=name, budget=limit, minimize=quantity)
        assert Budget.parse(limit).why_not(Figures(**{quantity: 0.5})) == ()  # type: ignore[arg-type]


def test_the_pareto_set_has_what_nothing_else_beats() -> None:
    each = {
        "small": Figures(bytes=1, accuracy_drop=0.3),
        "between": Figures(bytes=2, accuracy_drop=0.2),
        "beaten": Figures(bytes=3, accuracy_drop=0.2),
        "exact": Figures(bytes=9, accuracy_drop=0.0),
        "unknown": Figures(bytes=1),
    }
    unbeaten = pareto_set(list(each), each.__getitem__, ["bytes", "accuracy_drop"])
    assert unbeaten == ("small", "between", "exact")
    assert pareto_set(["beaten"], each.__getitem__, ["bytes", "accuracy_drop"]) == ("beaten",)
