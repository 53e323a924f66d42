"""What a search found, as pareto.json has it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfcompress.recipe import Recipe
from tfcompress.search.budget import QUANTITIES
from tfcompress.search.conductor import Found
from tfcompress.search.figures import Figures
from tfcompress.search.options import SearchOptions
from tfcompress.search.pareto import dominates, pareto_set
from tfcompress.search.trial import CONFIRM, Trial

__all__ = ["Row", "SearchResult", "result_of"]

_KEYS = (
    "accuracy_drop",
    "accuracy_drop_ci95",
    "bytes",
    "packed_bytes",
    "macs",
    "latency_ms",
    "cycles",
    "sram_bytes",
    "ddr_bytes",
    "npu",
    "samples",
)


@dataclass(frozen=True)
class Row:
    """One candidate for people and programs.

    Attributes:
        name: in words.
        recipe: that makes it again.
        figures: None where it failed.
        why_not: how it misses the budget; None where it meets it.
        confirmed: its figures come from the data held apart.
        beaten_by: the name of a candidate that is nowhere worse and somewhere better in what the budget and the goal
            name; None where there is none, or where it misses the budget anyway.
    """

    name: str
    recipe: Recipe
    figures: Figures | None
    why_not: str | None
    confirmed: bool = False
    beaten_by: str | None = None

    def to_plain(self) -> dict[str, Any]:
        """A row of pareto.json."""
        figures = (self.figures or Figures()).to_plain()
        figures_by_key = {key: figures[key] for key in _KEYS}
        recipe = json.loads(self.recipe.to_json())
        return {
            "name": self.name,
            "recipe": recipe,
            **figures_by_key,
            "why_not": self.why_not,
            "confirmed": self.confirmed,
            "beaten_by": self.beaten_by,
        }


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What `search` returns.

    Attributes:
        budget: as it was given.
        minimize: the quantity.
        target: its name.
        trials: number of candidates that were tried.
        best: the confirmed row that meets the budget; None where none does.
        pareto: the candidates that no other beats in everything that the budget and the goal name.
        rejected: all others, and those that failed.
        finalists: with figures on the data held apart.
        verdict: one line: the best, or the nearest miss and which limit binds.
        left_out: what was not tried, and why.
        steps: what each choice of the best saved and cost, a line each.
    """

    budget: str
    minimize: str
    target: str
    trials: int
    best: Row | None
    pareto: tuple[Row, ...]
    rejected: tuple[Row, ...]
    finalists: tuple[Row, ...]
    verdict: str
    left_out: tuple[str, ...]
    steps: tuple[str, ...] = field(default=())

    @property
    def evaluated(self) -> int:
        """Number of candidates with figures."""
        return sum(row.figures is not None for row in (*self.pareto, *self.rejected))

    @property
    def exit_code(self) -> int:
        """0 where an artifact meets the budget, else 3."""
        return 0 if self.best is not None else 3

    def to_plain(self) -> dict[str, Any]:
        """The content of pareto.json."""
        rows: Mapping[str, Sequence[Row]] = {
            "pareto": self.pareto,
            "rejected": self.rejected,
            "finalists": self.finalists,
        }
        return {
            "budget": self.budget,
            "minimize": self.minimize,
            "target": self.target,
            "trials": self.trials,
            "evaluated": self.evaluated,
            "best": None if self.best is None else self.best.to_plain(),
            **{name: [row.to_plain() for row in part] for name, part in rows.items()},
            "verdict": self.verdict,
            "left_out": list(self.left_out),
            "steps": list(self.steps),
        }


def result_of(outcome: Found, options: SearchOptions) -> SearchResult:
    """The rows of what was found so far."""
    start, budget = options.recipe or Recipe(), options.limits

    def row(trial: Trial, others: Sequence[Trial] = ()) -> Row:
        figures = trial.figures or Figures()
        missed = trial.failure or trial.stopped
        if missed is None and trial.figures is not None:
            missed = "; ".join(budget.why_not(figures)) or None
        better = [it.name for it in others if missed is None and dominates(it.figures or Figures(), figures, names)]
        recipe = trial.candidate.recipe(start)
        return Row(trial.name, recipe, trial.figures, missed, trial.round == CONFIRM, next(iter(better), None))

    ended = [trial for trial in outcome.chosen_from if trial.ended]
    compared = [trial for trial in ended if trial.figures is not None and trial.stopped is None]
    names = list(dict.fromkeys([options.minimize, *(limit.quantity for limit in budget.limits)]))
    best_of = pareto_set(compared, lambda trial: trial.figures or Figures(), names)
    others = [trial for trial in ended if trial not in best_of]
    best = None if outcome.best is None else row(outcome.best)
    return SearchResult(
        budget=str(budget),
        minimize=options.minimize,
        target=options.targets,
        trials=len(outcome.chosen_from),
        best=best,
        pareto=tuple(row(trial) for trial in best_of),
        rejected=tuple(row(trial, best_of) for trial in others),
        finalists=tuple(row(trial) for trial in outcome.confirmed if trial.ended),
        verdict=_verdict(best, outcome, options),
        left_out=outcome.space.left_out,
        steps=_steps(outcome, options),
    )


def _verdict(best: Row | None, outcome: Found, options: SearchOptions) -> str:
    if best is not None and best.figures is not None:
        value = best.figures.value(options.minimize)
        return (
            f"best: {best.name}, {options.minimize} {value:.6g}, confirmed on {best.figures.samples} samples held apart"
        )
    if outcome.so_far is not None and not any(trial.ended for trial in outcome.confirmed):
        return f"nothing confirmed in the time given; {outcome.so_far.name} meets the budget where it was chosen"
    pool = [t for t in outcome.confirmed if t.figures is not None] or [
        t for t in outcome.trials if t.figures is not None
    ]
    if not pool:
        reasons = [trial.failure for trial in outcome.trials if trial.failure]
        return "nothing could be compared" + (f": {reasons[0]}" if reasons else " in the time given")
    nearest = min(pool, key=lambda trial: (options.limits.excess(trial.figures or Figures()), trial.key))
    assert nearest.figures is not None
    missed = options.limits.why_not(nearest.figures)
    why = "; ".join(missed) or "it could not be compared on the data held apart"
    return f"nothing meets the budget; the nearest miss is {nearest.name}: {why}"


def _steps(outcome: Found, options: SearchOptions) -> tuple[str, ...]:
    """What each choice of the best did alone, against the recipe as given."""
    if outcome.best is None:
        return ()
    start = next((trial for trial in outcome.chosen_from if trial.round == "start"), None)
    if start is None or start.figures is None:
        return ()
    lines = []
    for name, label in outcome.best.point.items():
        if label == start.point[name]:
            continue
        alone = next((t for t in outcome.chosen_from if t.point == {**start.point, name: label}), None)
        if alone is not None and alone.figures is not None:
            lines.append(f"{name}: {label}: {_change(start.figures, alone.figures, options.minimize)}")
    return tuple(lines)


def _change(before: Figures, after: Figures, minimize: str) -> str:
    first, second = before.value(minimize), after.value(minimize)
    ratio = math.nan if not first or second is None else second / first
    better = "of" if QUANTITIES[minimize] == "<=" else "times"
    said = f"alone {ratio:.3g} {better} {minimize}"
    if before.accuracy_drop is None or after.accuracy_drop is None:
        return said
    return f"{said}, a drop of {after.accuracy_drop:.4f} where it was {before.accuracy_drop:.4f}"
