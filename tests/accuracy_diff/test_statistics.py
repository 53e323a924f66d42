"""Paired statistics, against scipy and against simulation."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from tfcompress.accuracy_diff.statistics import (
    PairedTable,
    drop_interval,
    jackknife_interval,
    mcnemar_exact,
    samples_needed,
)

TABLES = [(36, 12, 2, 50), (92, 0, 0, 8), (0, 5, 5, 0), (800, 31, 17, 152), (4600, 92, 108, 200), (3, 1, 0, 0)]


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (12, 2), (2, 12), (31, 17), (92, 108), (700, 640)])
def test_mcnemar_equals_scipys_binomial_test(lost: int, gained: int) -> None:
    expected = stats.binomtest(lost, lost + gained, 0.5).pvalue if lost + gained else 1.0
    assert mcnemar_exact(lost, gained) == pytest.approx(expected, rel=1e-9)


def _score_by_brute_force(table: PairedTable, delta: float) -> float:
    """Tango's statistic with the nuisance parameter found by maximising the likelihood numerically."""
    n, lost, gained = table.samples, table.lost, table.gained

    def minus_log_likelihood(share: float) -> float:
        rest = 1 - 2 * share - delta
        terms = [(lost, share + delta), (gained, share), (n - lost - gained, rest)]
        return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

    low, high = max(0.0, -delta), (1 - delta) / 2
    share = optimize.minimize_scalar(
        minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-13}
    ).x
    return (lost - gained - n * delta) / math.sqrt(n * (2 * share + delta * (1 - delta)))


@pytest.mark.parametrize("cells", TABLES[3:5])
def test_the_interval_ends_where_the_score_test_turns(cells: tuple[int, int, int, int]) -> None:
    table = PairedTable(*cells)
    interval = drop_interval(table)
    assert interval is not None
    critical = stats.norm.ppf(0.975)
    assert _score_by_brute_force(table, interval[0]) == pytest.approx(critical, abs=2e-3)
    assert _score_by_brute_force(table, interval[1]) == pytest.approx(-critical, abs=2e-3)
    assert abs(_score_by_brute_force(table, interval[1] + 0.002) + critical) > 0.1  # the check can fail


@pytest.mark.parametrize("cells", TABLES)
def test_the_interval_holds_the_drop_and_stays_within_one(cells: tuple[int, int, int, int]) -> None:
    table = PairedTable(*cells)
    interval = drop_interval(table)
    assert interval is not None
    assert table.drop is not None
    assert -1 <= interval[0] <= table.drop <= interval[1] <= 1


def test_the_interval_turns_with_the_table() -> None:
    interval, other = drop_interval(PairedTable(80, 12, 2, 6)), drop_interval(PairedTable(80, 2, 12, 6))
    assert interval is not None
    assert other is not None
    assert interval == pytest.approx((-other[1], -other[0]), abs=1e-12)


@pytest.mark.parametrize(
    ("samples", "lost", "gained"), [(500, 0.05, 0.03), (2000, 0.02, 0.02), (200, 0.15, 0.05), (5000, 0.018, 0.021)]
)
def test_the_interval_covers_the_truth_in_95_of_100_runs(samples: int, lost: float, gained: float) -> None:
    draws = np.random.default_rng(1).multinomial(samples, [0.7, lost, gained, 0.3 - lost - gained], size=5000)
    tables, counts = np.unique(draws[:, 1:3], axis=0, return_counts=True)
    inside = 0
    for (b, c), count in zip(tables, counts, strict=True):
        interval = drop_interval(PairedTable(samples - int(b) - int(c), int(b), int(c), 0))
        assert interval is not None
        inside += count * (interval[0] <= lost - gained <= interval[1])
    assert 0.94 <= inside / len(draws) <= 0.96


def test_no_samples_give_no_interval() -> None:
    assert drop_interval(PairedTable(0, 0, 0, 0)) is None


def test_so_many_samples_as_needed_see_the_difference_four_times_in_five() -> None:
    lost, gained = 0.06, 0.04
    needed = samples_needed(lost + gained, lost - gained)
    assert needed is not None
    draws = np.random.default_rng(2).multinomial(needed, [0.9, lost, gained], size=4000)
    difference = draws[:, 1] - draws[:, 2]
    seen = np.abs(difference) > stats.norm.ppf(0.975) * np.sqrt(draws[:, 1] + draws[:, 2])
    assert seen.mean() == pytest.approx(0.8, abs=0.03)


def test_no_number_of_samples_sees_no_difference() -> None:
    assert samples_needed(0.1, 0.0) is None


def test_the_jackknife_equals_the_t_interval_for_a_mean() -> None:
    values = np.random.default_rng(3).normal(size=20)
    left_out = [float(np.delete(values, i).mean()) for i in range(20)]
    interval = jackknife_interval(float(values.mean()), left_out)
    expected = stats.t.interval(0.95, 19, loc=values.mean(), scale=stats.sem(values))
    assert interval == pytest.approx(expected, abs=1e-5)


def test_four_groups_are_too_few_for_an_interval() -> None:
    assert jackknife_interval(0.0, [0.1, 0.0, -0.1, 0.0]) is None
