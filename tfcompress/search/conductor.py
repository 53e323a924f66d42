"""The search on one page: rounds of trials, the finalists confirmed, and the best converted whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tfcompress import console
from tfcompress.converters.target import TARGETS
from tfcompress.search.budget import cost_of
from tfcompress.search.figures import Figures
from tfcompress.search.options import SearchOptions
from tfcompress.search.rounds import ROUNDS, finalists, next_points
from tfcompress.search.space import Point, Space, space_for
from tfcompress.search.study import Study
from tfcompress.search.trial import CONFIRM, Trial
from tfcompress.search.workers import WorkerPool, fits_another_process, judge_for, run_claim

__all__ = ["Found", "search_trials"]

# Shares of the time after which no more candidates, and no more finalists, are tried; the rest is for the best one.
_SEARCHING, _CONFIRMING = 0.8, 0.9
_POLL_SECONDS = 0.5
_CONVERSION = 3  # times the longest trial: what a whole conversion, with its diff by layer and report, is given


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search came to.

    Attributes:
        trials: all of them, those of the last round with figures on the data held apart.
        space: what was varied.
        so_far: the best candidate that meets the budget where it was chosen; None where none does.
        best: the confirmed trial that meets the budget; None where none does.
    """

    trials: tuple[Trial, ...]
    space: Space
    so_far: Trial | None
    best: Trial | None

    @property
    def chosen_from(self) -> tuple[Trial, ...]:
        """The candidates, with the figures that they were chosen by."""
        return tuple(trial for trial in self.trials if trial.round != CONFIRM)

    @property
    def confirmed(self) -> tuple[Trial, ...]:
        """The finalists, with figures on the data held apart."""
        return tuple(trial for trial in self.trials if trial.round == CONFIRM)


@dataclass
class _Clock:
    """When a search has to stop taking candidates, and when it has to end."""

    minutes: float | None
    started: float

    def left(self, share: float) -> float:
        """Seconds until this share of the time is used up."""
        return float("inf") if self.minutes is None else self.started + 60 * self.minutes * share - time.monotonic()


def search_trials(
    options: SearchOptions,
    study: Study,
    storage: str,
    identity: str,
    on_change: Callable[[Found], None],
    on_round: Callable[[Found], None],
    *,
    started: float,
) -> Found:
    """Run the rounds of a search.

    Args:
        options: of the search.
        study: its trials, some of which an earlier run may have ended.
        storage: of the study, for worker processes.
        identity: of the search.
        on_change: called whenever a trial has ended, with what is known so far.
        on_round: called likewise whenever a round of candidates has ended and there is time for a whole conversion.
        started: when the search was asked for, by `time.monotonic`.
    """
    target = TARGETS[options.targets.strip().strip(",")]
    quantities = [*(limit.quantity for limit in options.limits.limits), options.minimize]
    space = space_for(target, quantities, trains=options.train is not None)
    clock = _Clock(options.max_minutes, started)
    study.release()

    def tell() -> None:
        state = _result(study, space, options)
        on_change(state)
        console.note(_progress(state, options, clock))

    with _workers(options, study, storage, identity) as work:
        earlier: tuple[Trial, ...] = ()
        for name in ROUNDS:
            left = options.max_trials - len(earlier)
            if left <= 0 or clock.left(_SEARCHING) <= 0:
                break
            space, points = next_points(
                name, space, earlier, options.limits, options.minimize, most=left, seed=options.seed
            )
            study.add([_trial(name, space, point) for point in points])
            work(name, lambda: clock.left(_SEARCHING), tell)
            earlier = tuple(trial for trial in study.trials() if trial.round in ROUNDS and trial.ended)
            if clock.left(_SEARCHING) > _CONVERSION * _longest(earlier):
                on_round(_result(study, space, options))
        study.add([_confirming(trial) for trial in finalists(earlier, options.limits, options.minimize)])
        work(CONFIRM, lambda: clock.left(_CONFIRMING), tell)
    return _result(study, space, options)


def _trial(name: str, space: Space, point: Point) -> Trial:
    candidate = space.candidate(point)
    return Trial(round=name, point=point, name=candidate.name, changes=candidate.changes)


def _confirming(trial: Trial) -> Trial:
    return Trial(round=CONFIRM, point=trial.point, name=trial.name, changes=trial.changes)


def _result(study: Study, space: Space, options: SearchOptions) -> Found:
    """What is known so far."""
    trials = study.trials()
    chosen_from = [trial for trial in trials if trial.round != CONFIRM and trial.stopped is None]
    confirmed = [trial for trial in trials if trial.round == CONFIRM]
    return Found(trials=trials, space=space, so_far=_least(chosen_from, options), best=_least(confirmed, options))


def _least(trials: Sequence[Trial], options: SearchOptions) -> Trial | None:
    """The trial with the least of what is minimised that meets the budget."""

    def passes(figures: Figures | None) -> bool:
        return (
            figures is not None and figures.value(options.minimize) is not None and not options.limits.why_not(figures)
        )

    passed = [trial for trial in trials if passes(trial.figures)]
    return min(passed, key=lambda trial: (cost_of(trial.figures, options.minimize), trial.key), default=None)


def _longest(trials: Sequence[Trial]) -> float:
    return max((trial.seconds or 0.0 for trial in trials), default=0.0)


def _progress(state: Found, options: SearchOptions, clock: _Clock) -> str:
    """How far the search is, in one line: trials, the time that it may still take, and the best candidate."""
    ended = [trial for trial in state.chosen_from if trial.ended]
    line = f"{len(ended)} of at most {options.max_trials} trials ended"
    seconds = [trial.seconds for trial in ended if trial.seconds is not None]
    if seconds:
        expected = sum(seconds) / len(seconds) * (options.max_trials - len(ended)) / options.workers
        line += f", at most about {max(1, round(min(expected, clock.left(1.0)) / 60))} min left"
    if state.so_far is None or state.so_far.figures is None:
        return f"{line}; nothing meets the budget so far"
    value = state.so_far.figures.value(options.minimize)
    return f"{line}; best so far: {state.so_far.name}, {options.minimize} {value:.6g}"


_Work = Callable[[str, Callable[[], float], Callable[[], None]], None]


@contextmanager
def _workers(options: SearchOptions, study: Study, storage: str, identity: str) -> Iterator[_Work]:
    """What ends the trials of a round: processes of their own, or this one where model or data came from memory."""
    if not fits_another_process(options):
        yield lambda name, left, ended: _alone(options, study, name, left, ended)
        return
    with WorkerPool.started(study, options, storage, identity) as pool:
        yield lambda name, left, ended: _watched(pool, study, name, left, ended)


def _alone(
    options: SearchOptions, study: Study, name: str, left: Callable[[], float], ended: Callable[[], None]
) -> None:
    """Work on the trials of a round in this process; one that would probably not end in time is not begun."""
    judge = judge_for(options)
    while _open(study, name):
        # What a finalist needs was made when it was a candidate, and kept.
        if left() <= (0 if name == CONFIRM else _longest(study.trials())):
            return
        claim = study.claim()
        if claim is None:  # another machine is at the last ones
            time.sleep(_POLL_SECONDS)
            continue
        console.note(f"trying {claim.trial.name}")
        run_claim(study, claim, options, judge)
        ended()


def _watched(pool: WorkerPool, study: Study, name: str, left: Callable[[], float], ended: Callable[[], None]) -> None:
    """Wait until the workers have ended the trials of a round, or the time is up."""
    seen = -1
    while True:
        waiting = _open(study, name)
        done = len(study.trials()) - len(waiting)
        if done != seen:
            seen = done
            ended()
        if not waiting:
            return
        if left() <= 0:
            pool.begin_anew()  # whatever a worker is at, it would not end in time
            return
        pool.look_after()
        time.sleep(_POLL_SECONDS)


def _open(study: Study, name: str) -> Sequence[Trial]:
    return [trial for trial in study.trials() if trial.round == name and not trial.ended]
