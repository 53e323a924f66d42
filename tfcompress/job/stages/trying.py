"""Repairs tried on a few samples before they are printed: a flag that does not help is no remedy."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tfcompress import console
from tfcompress.accuracy_diff import CandidateResult, Cause, Suggestion
from tfcompress.errors import ConversionError
from tfcompress.job.stage import run_stages
from tfcompress.job.stages.comparing import DIFF
from tfcompress.job.state import State

__all__ = ["with_tried_causes"]

TRIED_SAMPLES = 256
MOST_SECONDS = 120.0  # for all trials of an artifact: a diagnosis must not cost more than a conversion
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
    started, outcomes = time.monotonic(), list[_Outcome]()
    for suggestion in (*own, *rungs):
        if time.monotonic() - started > MOST_SECONDS or (not suggestion.causes and any(o.passed for o in outcomes)):
            break
        outcome = _tried(few, name, suggestion, before, retry)
        if outcome is not None:
            outcomes.append(outcome)
    result = state.results[name]
    causes = tuple(_with_outcome(cause, outcomes) for cause in result.causes)
    state = dataclasses.replace(state, results={**state.results, name: dataclasses.replace(result, causes=causes)})
    helped = next((outcome for outcome in outcomes if outcome.passed), None)
    return state if causes or helped is None else _with_note(state, name, helped)


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


def _with_outcome(cause: Cause, outcomes: Sequence[_Outcome]) -> Cause:
    own = [outcome for outcome in outcomes if any(_same(cause, other) for other in outcome.suggestion.causes)]
    passed = next((outcome for outcome in (*own, *outcomes) if outcome.passed), None)
    if passed is None:
        text = "; ".join(dict.fromkeys(outcome.text for outcome in own))
        return dataclasses.replace(cause, tried=f"{text}, not enough" if text else None)
    if passed in own:
        return dataclasses.replace(cause, tried=passed.text)
    return dataclasses.replace(cause, tried=passed.text, remedy=passed.suggestion.flag)


def _same(first: Cause, second: Cause) -> bool:
    return (first.kind, first.layer) == (second.kind, second.layer)


def _with_note(state: State, name: str, helped: _Outcome) -> State:
    artifact = state.made[name]
    note = f"what helps: {helped.suggestion.flag} ({helped.text})"
    changed = dataclasses.replace(artifact, notes=(*artifact.notes, note))
    return dataclasses.replace(state, artifacts={**state.artifacts, name: changed})
