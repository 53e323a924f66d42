"""Which operators are float is the cheapest of all choices, conversions counted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from tfcompress.converters.litert.cheapest_cut import Place, _reached, cheapest_float

INFINITE = float("inf")


def chain(*costs: tuple[float, float]) -> list[Place]:
    """Operators one behind the other, between ends that are integers."""
    last = len(costs)
    ends = Place("ends", (f"t{last}",), ("t0",), 0.0, INFINITE)
    return [ends, *(Place(f"{i}", (f"t{i}",), (f"t{i + 1}",), *pair) for i, pair in enumerate(costs))]


def chosen(places: Sequence[Place], conversion: float) -> set[str]:
    names = {name: conversion for place in places for name in place.gives}
    return cheapest_float(places, to_float=names, to_integer=names)


def cost(places: Sequence[Place], floats: set[str], conversion: float) -> float:
    maker = {tensor: place.name in floats for place in places for tensor in place.gives}
    total = sum(place.as_float if place.name in floats else place.as_integer for place in places)
    for tensor, is_float in maker.items():
        readers = {place.name in floats for place in places if tensor in place.reads}
        total += conversion * ((not is_float) in readers)
    return total


def test_an_operator_that_int8_slows_down_is_float_where_two_conversions_cost_less() -> None:
    places = chain((1, 2), (9, 1), (1, 2))
    assert chosen(places, 3) == {"1"}
    assert chosen(places, 5) == set()


def test_what_lies_between_two_slow_operators_is_float_too_where_that_saves_conversions() -> None:
    places = chain((9, 1), (1, 2), (9, 1))
    assert chosen(places, 3) == {"0", "1", "2"}
    assert chosen(places, 0.1) == {"0", "2"}


def test_a_tensor_is_converted_once_for_all_of_its_readers() -> None:
    readers = [Place(f"{i}", ("t",), (f"r{i}",), 5.0, 1.0) for i in range(3)]
    places = [Place("maker", ("t0",), ("t",), 1.0, 50.0), *readers, Place("ends", (), ("t0",), 0.0, INFINITE)]
    assert chosen(places, 6) == {"0", "1", "2"}
    assert chosen(places, 13) == set()


def test_what_is_paid_either_way_costs_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[int] = []

    def reached(residual: Any) -> Any:
        searches.append(1)
        return _reached(residual)

    monkeypatch.setattr("tfcompress.converters.litert.cheapest_cut._reached", reached)
    assert chosen(chain(*[(1, 2)] * 50, (9, 1), *[(1, 2)] * 50), 3) == {"50"}
    assert len(searches) <= 10


def test_an_operator_with_no_form_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="neither"):
        chosen(chain((INFINITE, INFINITE)), 1)


@pytest.mark.parametrize("seed", range(20))
def test_no_other_choice_is_cheaper(seed: int) -> None:
    random = np.random.default_rng(seed)
    places = [Place("ends", ("t6",), ("t0",), 0.0, INFINITE)]
    for i in range(7):
        reads = tuple(f"t{j}" for j in range(i + 1) if random.random() < 0.5) or ("t0",)
        places.append(Place(f"{i}", reads, (f"t{i + 1}",), *(float(x) for x in random.integers(0, 9, 2))))
    names = [place.name for place in places[1:]]
    options = [{n for n, on in zip(names, bits, strict=True) if on} for bits in product((0, 1), repeat=len(names))]
    best = min(cost(places, option, 3) for option in options)
    assert cost(places, chosen(places, 3), 3) == pytest.approx(best)
