"""The stage that compares every artifact with the float model, all in one pass over the data: a part per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tfcompress import console
from tfcompress.accuracy_diff import CandidateResult, compare, runner_for
from tfcompress.accuracy_diff.comparison import ReferenceResult
from tfcompress.cache import decode, encode, fingerprint
from tfcompress.cache.trees import pack_tree
from tfcompress.converters import TARGETS
from tfcompress.data import Samples
from tfcompress.job.stage import Stage, fingerprint_of
from tfcompress.job.state import State
from tfcompress.load import float_model_from_keras
from tfcompress.task_names import DECODINGS

__all__ = ["DIFF"]


@dataclass(frozen=True)
class _Compared:
    reference: ReferenceResult
    result: CandidateResult


def _parts(state: State) -> tuple[str, ...]:
    return () if state.data_sets.evaluation is None else tuple(state.made)


def _fingerprint(state: State, part: str) -> str | None:
    options, artifact, evaluation = state.options, state.made[part], state.data_sets.evaluation
    assert evaluation is not None, "there are no parts without"
    given = (state.ids["load"], state.ids.get("training", ""), evaluation.identity, evaluation.name)  # remarks name it
    if options.decode is not None and options.decode not in DECODINGS:
        return None  # code of the user's cannot be told from the code that it was
    settings = {name: getattr(options, name) for name in ("task", "decode", "max_accuracy_drop", "seed")}
    target = TARGETS[part]
    runs_in = (fingerprint(target.tools(), target.most_samples(artifact.facts)), target.code_of_others())
    files = (fingerprint(pack_tree(artifact.folder)), artifact.runnable.relative_to(artifact.folder).as_posix())
    return fingerprint_of(f"diff of {part}", *given, files, *runs_in, settings)


def _run(state: State, parts: Sequence[str]) -> State:
    console.note("comparing with the float model")
    evaluation, options = state.data_sets.evaluation, state.options
    assert evaluation is not None, "there are no parts without"
    original = state.model.model.value
    made_from = None
    if state.trained is not None:
        made_from = runner_for(float_model_from_keras(state.trained.compressed.value.stripped, name=original.name))
    reference, results = None, dict(state.results)
    for names, samples in _groups(state, parts, evaluation):
        compared = compare(
            runner_for(original),
            {name: runner_for(TARGETS[name].runnable(state.made[name]), ours=True) for name in names},
            samples,
            task=options.task,
            decode=options.decode,
            max_accuracy_drop=options.max_accuracy_drop,
            layers=True,
            made_from=made_from,
            seed=options.seed,
        )
        results |= compared.candidates
        reference = reference or compared.reference
    return replace(state, reference=reference, results=_ordered(state, results))


def _groups(state: State, parts: Sequence[str], evaluation: Samples) -> list[tuple[list[str], Samples]]:
    """The artifacts that take all samples, in one pass, and then each that takes long and so takes fewer."""
    most = {name: TARGETS[name].most_samples(state.made[name].facts) for name in parts}
    whole = [name for name in parts if most[name] is None]
    few = [([name], evaluation.spread(number)) for name, number in most.items() if number is not None]
    return [(whole, evaluation), *few] if whole else few


def _ordered(state: State, results: Mapping[str, CandidateResult]) -> Mapping[str, CandidateResult]:
    return {name: results[name] for name in state.targets if name in results}


def _keep(state: State, part: str) -> bytes | None:
    assert state.reference is not None, "`run` has set it"
    try:
        return encode(_Compared(state.reference, state.results[part]))
    except TypeError:  # a sample of a kind that has no JSON form
        return None


def _restore(state: State, part: str, content: bytes) -> State:
    compared = decode(_Compared, content)
    results = _ordered(state, {**state.results, part: compared.result})
    return replace(state, reference=compared.reference, results=results)


DIFF = Stage(name="diff", run=_run, parts=_parts, fingerprint=_fingerprint, keep=_keep, restore=_restore)
