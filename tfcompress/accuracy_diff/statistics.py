"""Paired statistics of right and wrong answers: what a drop in accuracy is worth.

Both models answer the same samples, so only the discordant ones carry information: `lost` (the reference is right, the
candidate wrong) and `gained` (the other way round).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

__all__ = ["PairedTable", "drop_interval", "jackknife_interval", "mcnemar_exact", "samples_needed"]

BISECTIONS = 60  # halvings of an interval of length <= 2: an error below 1e-17


@dataclass(frozen=True)
class PairedTable:
    """The 2x2 table of two models on the same samples.

    Attributes:
        both: both right.
        lost: the reference right, the candidate wrong.
        gained: the reference wrong, the candidate right.
        neither: both wrong.
    """

    both: int
    lost: int
    gained: int
    neither: int

    @property
    def samples(self) -> int:
        """Number of samples."""
        return self.both + self.lost + self.gained + self.neither

    @property
    def drop(self) -> float | None:
        """Reference accuracy minus candidate accuracy; None without samples."""
        return (self.lost - self.gained) / self.samples if self.samples else None


def mcnemar_exact(lost: int, gained: int) -> float:
    """Two-sided exact McNemar test: how likely at least so uneven a split is if neither model is better.

    The binomial test of `lost` successes in `lost + gained` throws of a fair coin (McNemar 1947; the exact form is in
    Agresti, "Categorical Data Analysis", 3rd ed., section 11.1.2).  1.0 without discordant samples.
    """
    discordant = lost + gained
    if discordant == 0:
        return 1.0
    log_half = discordant * math.log(2.0)
    tail = math.fsum(math.exp(_log_choose(discordant, k) - log_half) for k in range(max(lost, gained), discordant + 1))
    return min(1.0, 2.0 * tail)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def drop_interval(table: PairedTable, confidence: float = 0.95) -> tuple[float, float] | None:
    """Confidence interval of the drop: the values that Tango's score test does not reject.

    Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17, equations 18 to 21.

    Returns:
        (low, high) within [-1, 1]; None without samples.
    """
    if table.samples == 0 or table.drop is None:
        return None
    critical = NormalDist().inv_cdf(0.5 + confidence / 2)
    low = _bisect(lambda delta: _tango_score(table, delta) > critical, -1.0, table.drop)
    high = _bisect(lambda delta: _tango_score(table, delta) > -critical, table.drop, 1.0)
    return low, high


def _tango_score(table: PairedTable, delta: float) -> float:
    """Score statistic of the hypothesis that the true drop is `delta`; falls as `delta` rises."""
    n, lost, gained = table.samples, table.lost, table.gained
    a = 2 * n
    b = -lost - gained + (2 * n - lost + gained) * delta
    c = -gained * delta * (1 - delta)
    nuisance = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * nuisance + delta * (1 - delta))
    distance = lost - gained - n * delta
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _bisect(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The point of [low, high] up to which `holds` is true."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2


def samples_needed(
    discordant_share: float, difference: float, *, confidence: float = 0.95, power: float = 0.8
) -> int | None:
    """Samples needed to tell a paired difference in accuracy from none.

    Connor 1987, "Sample size for testing differences in proportions for the paired-sample design", Biometrics 43,
    equation 2.

    Args:
        discordant_share: share of samples on which exactly one model is right.
        difference: the difference in accuracy to be seen, in (0, 1].
        confidence: of the two-sided test.
        power: probability of seeing a difference that is there.

    Returns:
        The number, or None when `difference` is not positive.
    """
    if difference <= 0:
        return None
    share = max(discordant_share, difference)  # fewer discordant samples could not make up the difference
    normal = NormalDist()
    z_alpha, z_power = normal.inv_cdf(0.5 + confidence / 2), normal.inv_cdf(power)
    root = z_alpha * math.sqrt(share) + z_power * math.sqrt(max(share - difference**2, 0.0))
    return math.ceil((root / difference) ** 2)


def jackknife_interval(
    estimate: float, leave_one_out: Sequence[float], confidence: float = 0.95
) -> tuple[float, float] | None:
    """Interval of any smooth statistic from its values with one group of samples left out at a time.

    Delete-a-group jackknife (Efron & Tibshirani, "An Introduction to the Bootstrap", section 11.5), with the Student
    quantile for `groups - 1` degrees of freedom.  None for fewer than five groups: the interval would mean nothing.
    """
    groups = len(leave_one_out)
    if groups < 5:
        return None
    mean = math.fsum(leave_one_out) / groups
    variance = (groups - 1) / groups * math.fsum((value - mean) ** 2 for value in leave_one_out)
    half = _student_quantile(0.5 + confidence / 2, groups - 1) * math.sqrt(variance)
    return estimate - half, estimate + half


def _student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's distribution, good from 4 degrees up; Abramowitz & Stegun, formula 26.7.5."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / freedom ** (power + 1) for power, term in enumerate(terms))
