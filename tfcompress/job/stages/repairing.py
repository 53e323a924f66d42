"""The stage that repairs: the same stages with another recipe, for each artifact that lost too much.

Without --suggest the repairs are tried on a few samples all the same, so that what is printed is known to help.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from tfcompress import console
from tfcompress.accuracy_diff import CandidateResult, Gate, Suggestion, ladder, suggest, try_suggestions
from tfcompress.converters import TARGETS, Artifact
from tfcompress.data import Samples
from tfcompress.data.preprocess import preprocess_for
from tfcompress.errors import ConversionError
from tfcompress.job.stage import Stage, run_stages
from tfcompress.job.stages.comparing import DIFF
from tfcompress.job.stages.converting import CONVERT
from tfcompress.job.stages.training import TRAINING
from tfcompress.job.stages.trying import with_tried_causes
from tfcompress.job.state import State
from tfcompress.layer_names import all_layers
from tfcompress.remarks import optional

__all__ = ["REPAIR"]

_LOSSES = ("clusters_lost", "sparsity_lost")
_TRAINED = ("pruning", "clustering", "quantization", "distillation", "training")
_AGAIN = (CONVERT, DIFF)


def _run(state: State, parts: Sequence[str]) -> State:
    """Replace each artifact that failed the gate or lost zeros or clusters, where a repair is found."""
    del parts
    if state.data_sets.calibration is None:
        return state
    for name, result in state.results.items():
        if state.options.suggest and not _is_good(result):
            state = _repaired(state, name, result)
        elif result.gate.failed:
            with optional(f"{name}: the trial of what may repair it"):
                state = _with_trials(state, name, result)
    return state


def _with_trials(state: State, name: str, result: CandidateResult) -> State:
    """The state whose causes say what a trial of their repair gave."""

    def retry(few: State, suggestion: Suggestion, scratch: Path) -> State:
        return _tried(few, name, suggestion, scratch)

    own, rungs = _suggestions(state, name, result)
    return with_tried_causes(state, name, own, rungs, retry)


def _suggestions(
    state: State, name: str, result: CandidateResult
) -> tuple[tuple[Suggestion, ...], tuple[Suggestion, ...]]:
    """What answers the causes, and what is tried where that is not enough."""
    number, names = state.options.calibration_samples, _layer_names(state)
    own = suggest(result.causes, state.recipe, calibration_samples=number, layer_names=names)
    given = state.data_sets.train is not None and state.options.train is not None
    rungs = ladder(state.recipe, result.layers, wide_activations=TARGETS[name].takes_every_scheme, training_data=given)
    return own, rungs


def _is_good(result: CandidateResult) -> bool:
    """Whether the gate did not fail, and nothing is lost that compression had gained."""
    return not result.gate.failed and not any(cause.kind in _LOSSES for cause in result.causes)


def _repaired(state: State, name: str, result: CandidateResult) -> State:
    """The state with the first good artifact that a suggestion brings, and a line that says what was changed."""
    scratch, last = state.work / f".{name}", list[State]()

    def retry(suggestion: Suggestion) -> Gate:
        console.note(f"{name}: a trial: {suggestion.flag}")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            tried = _tried(state, name, suggestion, scratch)
        except ConversionError:
            return result.gate
        last[:] = [tried]
        return tried.results[name].gate

    own, rungs = _suggestions(state, name, result)
    trials = try_suggestions((*own, *rungs), retry)
    if last and _is_good(last[0].results[name]):
        done = trials[-1:] if trials[-1].suggestion in rungs else trials  # a rung changes the first recipe alone
        note = f"repaired: {'; '.join(trial.suggestion.flag for trial in done)}"
        state = _with_artifact(state, name, last[0], note)
    shutil.rmtree(scratch, ignore_errors=True)
    return state


def _layer_names(state: State) -> list[str]:
    keras_model = state.model.model.value.keras_model
    return [] if keras_model is None else [layer.name for layer in all_layers(keras_model)]


def _tried(state: State, name: str, suggestion: Suggestion, scratch: Path) -> State:
    """The state of a conversion for one target with a suggestion's recipe and samples."""
    before, recipe = state.recipe, suggestion.recipe
    trains_anew = any(getattr(recipe, section) != getattr(before, section) for section in _TRAINED)
    # A target's changes before training are those of all the targets that were asked for.
    retrained = state
    if trains_anew:
        retrained = run_stages((TRAINING,), dataclasses.replace(state, recipe=recipe, trained=None))
    fresh = dataclasses.replace(
        retrained,
        targets=(name,),
        recipe=recipe,
        work=scratch,
        representative=_samples(state, suggestion),
        artifacts={},
        results={},
    )
    return run_stages(_AGAIN, fresh)


def _samples(state: State, suggestion: Suggestion) -> Samples:
    calibration = state.data_sets.calibration
    assert calibration is not None, "without, nothing is repaired"
    samples = calibration.spread(max(state.options.calibration_samples, suggestion.calibration_samples or 0))
    if suggestion.preprocess is None:
        return samples
    return dataclasses.replace(samples, preprocess=preprocess_for(suggestion.preprocess), content=None)


def _with_artifact(state: State, name: str, tried: State, note: str) -> State:
    """The state with another's artifact in the place of its own."""
    artifact, folder = tried.made[name], state.work / name
    shutil.rmtree(folder)
    artifact.folder.rename(folder)
    return dataclasses.replace(
        state,
        artifacts={**state.artifacts, name: _moved(artifact, folder, note)},
        results={**state.results, name: tried.results[name]},
        repaired={**state.repaired, name: state.results[name].causes},
    )


def _moved(artifact: Artifact, folder: Path, note: str) -> Artifact:
    runnable = folder / artifact.runnable.relative_to(artifact.folder)
    return dataclasses.replace(artifact, folder=folder, runnable=runnable, notes=(*artifact.notes, note))


REPAIR = Stage(name="repair", run=_run)
