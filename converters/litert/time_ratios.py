"""Which of two files is faster, told by several measurements, so that a busy machine is not what decides."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from tfcompress.converters.litert.latency import medians

__all__ = [
    "LEAST_MS",
    "ROUNDS",
    "WORTH",
    "in_rounds",
    "is_mostly_slower",
    "is_short",
    "is_slower",
    "is_surely_quicker",
    "typical",
]

LEAST_MS = 0.002  # of a file: below, it is the call of LiteRT that takes the time
SHORT_MS = 0.02  # of a file: below, nobody waits for it, and chance counts for more
CLEARLY = 1.1  # times the float file's time, for a file so short
WORTH = 0.97  # of the time in int8: what saves less is not worth the float operators
# Two files are compared in rounds with interpreters of their own, as where one's memory lies counts too.  Of two files
# that are equally fast, one is quicker in 8 of 9 rounds twice in a hundred times.
ROUNDS, NEARLY_ALL = 9, 8
FAR = 1.25  # times the other's time, in each of the first two rounds or more: no more rounds are needed
MOST_SECONDS = 30.0  # of all rounds of two slow files
_SECONDS = 0.1  # of measuring one file in a round
Rounds = Sequence[tuple[float, float]]


def is_mostly_slower(rounds: Rounds) -> bool:
    """Whether an int8 file is slower than float in most rounds.

    A mix with float is only tried then, and has to be quicker surely: an alarm that is false costs no more than time.

    Args:
        rounds: (milliseconds of the int8 file, of the float file); none where one cannot run.
    """
    return 2 * sum(is_slower(*each) for each in rounds) > len(rounds)


def is_short(rounds: Rounds) -> bool:
    """Whether the first file takes so little time that nobody waits for it, or cannot run.

    Args:
        rounds: of `in_rounds`.
    """
    return not rounds or min(first for first, _ in rounds) < max(SHORT_MS, LEAST_MS)


def is_surely_quicker(rounds: Rounds) -> bool:
    """Whether a mix saves time that is worth it, and in so many rounds that a busy machine cannot be what decides.

    Args:
        rounds: (milliseconds of the mix, of the file in int8); none where one cannot run.
    """
    if not rounds or typical(rounds) > WORTH:
        return False
    return sum(mix >= integers for mix, integers in rounds) <= ROUNDS - NEARLY_ALL


def typical(rounds: Rounds) -> float:
    """The median ratio of the first file's time to the second's.

    Args:
        rounds: of `in_rounds`; at least one.
    """
    return statistics.median(first / second for first, second in rounds)


def in_rounds(first: bytes, second: bytes) -> list[tuple[float, float]]:
    """(milliseconds of one file, of another) in some rounds; none where LiteRT cannot run one of them.

    Args:
        first: a .tflite.
        second: another.
    """
    rounds: list[tuple[float, float]] = []
    started = time.perf_counter()
    while len(rounds) < ROUNDS:
        ours, others = medians([first, second], seconds=_SECONDS)
        if ours is None or others is None:
            return []
        rounds.append((ours, others))
        if len(rounds) > 1 and (_is_far(rounds) or time.perf_counter() - started > MOST_SECONDS):
            break
    return rounds


def _is_far(rounds: Rounds) -> bool:
    """Whether one of two files is so much quicker in all rounds that more of them would tell nothing new."""
    return all(first * FAR < second for first, second in rounds) or all(
        second * FAR < first for first, second in rounds
    )


def is_slower(integers_ms: float, floats_ms: float) -> bool:
    """Whether an int8 file takes so much longer than its float file that it is worth a mix with float.

    Args:
        integers_ms: what one inference of the int8 file takes.
        floats_ms: what one of the float file takes.
    """
    return integers_ms >= max(floats_ms * (CLEARLY if integers_ms < SHORT_MS else 1.0), LEAST_MS)
