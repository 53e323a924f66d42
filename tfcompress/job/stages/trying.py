"""Repairs tried on a few samples before they are printed: a flag that does not help is no remedy."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tfcompress import console
from tfcompress.accuracy_diff import CandidateResult, Cause, Suggestion
from tfcompress.errors import ConversionError
from tfcompress.job.stage import run_stages
from tfcompress.job.stages.comparing import DIFF
from tfcompress.job.state import State

__all__ = ["in_order_of_trial", "with_tried_causes"]

TRIED_SAMPLES = 256
MOST_TRIALS = 4  # of an artifact, each a conversion and a comparison: what was asked for is one conversion
MANY_LAYERS = 60  # of a model: from there on, a trial that converts many times, or trains, comes last
Retry = Callable[[State, Suggestion, Path], State]


@dataclasses.dataclass(frozen=True)
class _Outcome:
    suggestion: Suggestion
    passed: bool
    text: str


def with_tried_causes(
    state: State, name: str, own: Sequence[Suggestion], rungs: Sequence[Suggestion], retry: Retry
) -> State:
    """The state whose causes say what a trial of their repair gave, and name another repair where that was not enough.

    Args:
        state: with an artifact that failed the gate.
        name: of its target.
        own: a suggestion for each kind of cause.
        rungs: what is tried where none of them is enough, in that order.
        retry: converts and compares anew with a suggestion, in a folder.
    """
    few, before = _few(state, name)
    result, outcomes = state.results[name], list[_Outcome]()
    order = in_order_of_trial(own, rungs, many_layers=len(result.layers) >= MANY_LAYERS)
    for suggestion in order[:MOST_TRIALS]:
        if not suggestion.causes and any(outcome.passed for outcome in outcomes):
            break
        outcome = _tried(few, name, suggestion, before, retry)
        if outcome is not None:
            outcomes.append(outcome)
    left = order[MOST_TRIALS:]
    causes = tuple(_with_outcome(cause, outcomes, left) for cause in result.causes)
    state = dataclasses.replace(state, results={**state.results, name: dataclasses.replace(result, causes=causes)})
    helped = next((outcome for outcome in outcomes if outcome.passed), None)
    if causes or not outcomes:
        return state
    note = f"what helps: {helped.suggestion.flag} ({helped.text})" if helped else _in_vain(outcomes, left)
    return _with_note(state, name, note)


def in_order_of_trial(
    own: Sequence[Suggestion], rungs: Sequence[Suggestion], *, many_layers: bool
) -> tuple[Suggestion, ...]:
    """What is tried, by expected gain: what answers a cause that was found, then the rungs in their order.

    Args:
        own: a suggestion for each kind of cause, each with the changes of those before it.
        rungs: what is tried where none of them is enough.
        many_layers: trials take long: rungs that convert many times, or train, come last.
    """
    slow = [rung for rung in rungs if many_layers and rung.is_slow]
    return (*own, *(rung for rung in rungs if rung not in slow), *slow)


def _in_vain(outcomes: Sequence[_Outcome], left: Sequence[Suggestion]) -> str:
    tried = "; ".join(f"{outcome.suggestion.flag} ({outcome.text})" for outcome in outcomes)
    return f"tried in vain: {tried}{_not_tried(left)}"


def _not_tried(left: Sequence[Suggestion]) -> str:
    if not left:
        return ""
    return f"; after {MOST_TRIALS} trials not tried: {', '.join(item.flag for item in left)} (--suggest tries all)"


def _few(state: State, name: str) -> tuple[State, CandidateResult]:
    """The state that compares on few samples, and the artifact's own figures on them."""
    evaluation = state.data_sets.evaluation
    assert evaluation is not None, "there is a result"
    data_sets = dataclasses.replace(state.data_sets, evaluation=evaluation.spread(TRIED_SAMPLES))
    artifacts = {key: value for key, value in state.artifacts.items() if key == name}
    few = dataclasses.replace(state, data=data_sets, targets=(name,), artifacts=artifacts, results={})
    return few, run_stages((DIFF,), few).results[name]


def _tried(few: State, name: str, suggestion: Suggestion, before: CandidateResult, retry: Retry) -> _Outcome | None:
    console.note(f"{name}: a trial on {TRIED_SAMPLES} samples at most: {suggestion.flag}")
    scratch = few.work / f".trial_{name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        after = retry(few, suggestion, scratch).results[name]
    except ConversionError:
        return None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    number = few.data_sets.evaluation.count if few.data_sets.evaluation is not None else None
    said = f"tried on {number or TRIED_SAMPLES} samples: {_change(before, after)}"
    return _Outcome(suggestion, not after.gate.failed, said)


def _change(before: CandidateResult, after: CandidateResult) -> str:
    for key, what, unit in (("accuracy_drop", "drop", ""), ("sqnr_db", "SQNR", " dB")):
        first, second = before.diff.get(key), after.diff.get(key)
        if first is not None and second is not None:
            return f"{what} {first:.3f} -> {second:.3f}" if not unit else f"{what} {first:.1f} -> {second:.1f}{unit}"
    return f"{before.gate.reason} -> {after.gate.reason}"


def _with_outcome(cause: Cause, outcomes: Sequence[_Outcome], left: Sequence[Suggestion]) -> Cause:
    own = [outcome for outcome in outcomes if any(_same(cause, other) for other in outcome.suggestion.causes)]
    passed = next((outcome for outcome in (*own, *outcomes) if outcome.passed), None)
    if passed is None:
        text = "; ".join(dict.fromkeys(outcome.text for outcome in own))
        return dataclasses.replace(cause, tried=f"{text}, not enough{_not_tried(left)}" if text else None)
    if passed in own:
        return dataclasses.replace(cause, tried=passed.text)
    return dataclasses.replace(cause, tried=passed.text, remedy=passed.suggestion.flag)


def _same(first: Cause, second: Cause) -> bool:
    return (first.kind, first.layer) == (second.kind, second.layer)


def _with_note(state: State, name: str, note: str) -> State:
    artifact = state.made[name]
    changed = dataclasses.replace(artifact, notes=(*artifact.notes, note))
    return dataclasses.replace(state, artifacts={**state.artifacts, name: changed})
