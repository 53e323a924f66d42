"""Trials of repairs without --suggest: by expected gain, and never more than a few."""

from __future__ import annotations

from tfcompress.accuracy_diff import Cause, Suggestion, ladder
from tfcompress.job.stages.trying import MOST_TRIALS, in_order_of_trial
from tfcompress.recipe import Recipe

OWN = (Suggestion((Cause("range_too_wide", None, "it is"),), "--estimator=mse", Recipe()),)


def _flags(*, many_layers: bool) -> list[str]:
    rungs = ladder(Recipe(), (), training_data=True)
    return [item.flag for item in in_order_of_trial(OWN, rungs, many_layers=many_layers)]


def test_what_answers_a_cause_is_tried_first_and_the_rungs_in_their_order() -> None:
    flags = _flags(many_layers=False)
    assert flags[:2] == ["--estimator=mse", "--quality=best"]
    assert len(flags) > MOST_TRIALS, "else the bound bounds nothing"


def test_of_many_layers_what_converts_many_times_or_trains_comes_last() -> None:
    flags = _flags(many_layers=True)
    assert flags[0] == "--estimator=mse"
    assert flags[-2:] == ["--quality=best", "--quantization"]
    assert sorted(flags) == sorted(_flags(many_layers=False)), "none is lost"
