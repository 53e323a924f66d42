"""What a search tries next: it follows from what was measured, and no round repeats another's trials."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import pytest

from tfcompress.converters.target import TARGETS
from tfcompress.recipe import Recipe, Student
from tfcompress.search.additive import predicted_points
from tfcompress.search.budget import Budget
from tfcompress.search.figures import Figures
from tfcompress.search.rounds import ROUNDS, next_points
from tfcompress.search.space import WIDER, Point, Space, space_for
from tfcompress.search.trial import Trial

LIMIT = 0.01
BUDGET = Budget.parse(f"accuracy_drop<={LIMIT}")
LAYERS = tuple(f"layer_{number}" for number in range(20))
FLAT_NOISE = tuple(1.0 for _ in LAYERS)
Measured = Callable[[Point], tuple[float, float]]  # (drop, latency) of a point


def space() -> Space:
    return space_for(TARGETS["phone"], ["latency_ms"], trains=True)


def tried(round: str, completed: Space, point: Point, measured: Measured) -> Trial:
    drop, latency = measured(point)
    candidate = completed.candidate(point)
    figures = Figures(accuracy_drop=drop, latency_ms=latency, bytes=1000)
    noise = {"ranked": LAYERS, "noise": FLAT_NOISE} if round == "start" else {}
    return Trial(round=round, point=point, name=candidate.name, changes=candidate.changes, figures=figures, **noise)  # type: ignore[arg-type]


def searched(measured: Measured, *, most: int = 60, rounds: tuple[str, ...] = ROUNDS) -> list[Trial]:
    """All trials of these rounds."""
    completed, trials = space(), list[Trial]()
    for name in rounds:
        left = most - len(trials)
        completed, points = next_points(name, completed, trials, BUDGET, "latency_ms", most=left, seed=0)
        assert len(points) <= left
        trials += [tried(name, completed, point, measured) for point in points]
    return trials


def labels_of(trials: list[Trial], dimension: str) -> list[str]:
    start = space().start
    return [trial.point[dimension] for trial in trials if trial.point[dimension] != start[dimension]]


def changes(point: Point) -> Mapping[str, str]:
    return {name: label for name, label in point.items() if label != space().start[name]}


SAVINGS = {
    ("channels", "0.75 of the MACs"): (0.001, 0.75),
    ("channels", "0.5 of the MACs"): (0.004, 0.5),
    ("channels", "0.35 of the MACs"): (0.02, 0.35),
    ("channels", "0.25 of the MACs"): (0.05, 0.25),
    ("ranks", "99% of the energy"): (0.001, 0.95),
    ("ranks", "95% of the energy"): (0.003, 0.8),
    ("blocks left out", "1"): (0.2, 0.9),
    ("rounding", "best"): (-0.002, 1.0),
}


def additive(point: Point) -> tuple[float, float]:
    drop, latency = 0.0, 1.0
    for item in changes(point).items():
        loss, factor = SAVINGS.get(item, (0.3, 1.0))
        drop, latency = drop + loss, latency * factor
    return drop, latency


def test_the_predicted_best_is_the_best_of_all_combinations_where_effects_add_up() -> None:
    completed, names = space(), ["channels", "ranks", "rounding"]
    singles = [{**completed.start, name: label} for name, label in SAVINGS]
    trials = [tried("start", completed, completed.start, additive)]
    trials += [tried("alone", completed, point, additive) for point in singles]
    first = predicted_points(completed, trials, BUDGET, "latency_ms")[0]
    options = [completed.named(name) for name in names]
    labels = [[label for label in item.options if (item.name, label) in SAVINGS] for item in options if item]
    combinations = [
        {**completed.start, **dict(zip(names, chosen, strict=True))}
        for chosen in itertools.product(*([completed.start[n], *part] for n, part in zip(names, labels, strict=True)))
    ]
    best = min(additive(p)[1] for p in combinations if additive(p)[0] <= LIMIT)
    drop, latency = additive(first)
    assert drop == pytest.approx(0.005)
    assert latency == best


def test_options_that_do_more_of_one_thing_are_halved_towards_the_strongest_good_one() -> None:
    trials = searched(additive)
    channels = labels_of([trial for trial in trials if trial.round.startswith("alone")], "channels")
    assert channels == ["0.35 of the MACs", "0.75 of the MACs", "0.5 of the MACs"]
    assert min(trial.figures.latency_ms for trial in trials if good(trial)) == pytest.approx(0.5 * 0.8)  # type: ignore[union-attr, type-var]


def good(trial: Trial) -> bool:
    return trial.figures is not None and (trial.figures.accuracy_drop or 0.0) <= LIMIT


def test_no_candidate_is_tried_twice_and_all_trials_are_used() -> None:
    trials = searched(additive, most=24)
    assert len(trials) == len({trial.key for trial in trials}) == 24


def test_what_only_costs_is_not_tried_where_nothing_is_lost() -> None:
    trials = searched(additive, rounds=ROUNDS[:4])
    assert not labels_of(trials, WIDER)
    assert not labels_of(trials, "scheme")
    assert labels_of(trials, "rounding") == ["best"]


@pytest.mark.parametrize("needed", [1, 3, 8, 16])
def test_the_least_number_of_layers_in_16_bits_is_found_in_few_trials(needed: int) -> None:
    """Each of the first layers brings an equal part of what is lost."""

    def measured(point: Point) -> tuple[float, float]:
        count = int(point[WIDER])
        return 0.03 * max(0, needed - count) / needed, 1 + 0.1 * count

    trials = searched(measured, rounds=ROUNDS[:4])
    counts = [int(label) for label in labels_of(trials, WIDER)]
    assert min(count for count in counts if measured({WIDER: str(count)})[0] <= LIMIT) <= 2 * needed
    assert len(counts) <= 3


def test_a_narrower_student_may_have_separable_convolutions() -> None:
    point = {**space().start, "width of a student": "50%", "convolutions": "depthwise separable"}
    student = space().candidate(point).recipe(Recipe()).student
    assert student == Student(width=0.5, convolutions="depthwise_separable")
