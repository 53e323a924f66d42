"""The stage that converts: a part per target."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tfcompress import console
from tfcompress.cache.trees import pack_tree, unpack_tree
from tfcompress.converters import TARGETS, Artifact
from tfcompress.errors import ConversionError
from tfcompress.job.stage import Stage, fingerprint_of
from tfcompress.job.state import State
from tfcompress.load import float_model_from_keras
from tfcompress.load.preprocessing import BeforeArtifact
from tfcompress.load.words import words_of
from tfcompress.model import FloatModel
from tfcompress.usage import Usage

__all__ = ["CONVERT"]


def _fingerprint(state: State, part: str) -> str | None:
    target = TARGETS[part]
    samples = "" if state.representative is None else state.representative.identity
    usage = _usage(state)
    given = (state.ids["load"], state.ids.get("training", ""), target.takes_quantizers_of(state.recipe), samples, usage)
    made_by = (target.tools(), target.code_of_others())
    return fingerprint_of(f"artifact for {part}", *given, target.depends_on(state.recipe), *made_by)


def _run(state: State, parts: Sequence[str]) -> State:
    """Convert for each target into ``work/TARGET``.

    Raises:
        ConversionError: every target failed; a failure beside an artifact is in the result instead.
    """
    artifacts = {**state.artifacts, **{name: _artifact(state, name) for name in parts}}
    ordered = {name: artifacts[name] for name in state.targets if name in artifacts}
    failures = [f"{name}: {error}" for name, error in ordered.items() if isinstance(error, ConversionError)]
    if len(failures) == len(state.targets):
        raise ConversionError("; ".join(failures))
    return replace(state, artifacts=ordered)


def _artifact(state: State, name: str) -> Artifact | ConversionError:
    """The target's artifact, or why there is none: one target's failure does not take the others with it."""
    console.note(f"converting for {name}")
    folder = state.work / name
    folder.mkdir()
    try:
        artifact = TARGETS[name].convert(_model_for(state, name), state.representative, state.recipe, folder)
    except ConversionError as error:
        shutil.rmtree(folder)
        return error
    return artifact if state.model.front is None else _with_front(state.model.front, artifact)


def _with_front(front: BeforeArtifact, artifact: Artifact) -> Artifact:
    """The artifact with the part of the model that runs before it written beside it."""
    folder = artifact.folder / "preprocessing"
    folder.mkdir()
    front.write(folder)
    built = ", ".join(info.name for info in front.inputs)
    note = f"takes {built}: preprocessing/USE.md shows how the application makes them"
    return replace(artifact, notes=(*artifact.notes, note))


def _usage(state: State) -> Usage:
    """How the artifacts are used: what the data show, what runs before them, and what the options say."""
    options, front = state.options, state.model.front
    usage = replace(state.data_sets.usage, author=options.author or "", score_threshold=options.score_threshold)
    if front is None:
        return usage
    words = words_of(front)
    if words is None:
        return replace(usage, files=front.files)
    rule, lines = words
    return replace(usage, files={**front.files, rule.file: lines}, words=rule)


def _model_for(state: State, name: str) -> FloatModel:
    usage = _usage(state)
    if state.trained is None:
        return replace(state.model.model.value, usage=usage)
    compressed = state.trained.compressed.value
    takes_quantizers = TARGETS[name].takes_quantizers_of(state.recipe)
    trained = compressed.trained if takes_quantizers else compressed.stripped
    model = float_model_from_keras(trained, name=state.model.facts.name)
    which = "trained" if trained is compressed.trained else "stripped"
    teacher = state.model.model.value if takes_quantizers and state.recipe.imitates else None
    return replace(model, usage=usage, teacher=teacher, fingerprint=fingerprint_of(which, state.ids["training"]))


def _keep(state: State, part: str) -> bytes | None:
    artifact = state.artifacts[part]
    if not isinstance(artifact, Artifact):
        return None
    runnable = artifact.runnable.relative_to(artifact.folder).as_posix()
    try:
        head = json.dumps({"runnable": runnable, "facts": dict(artifact.facts), "notes": artifact.notes})
    except TypeError:  # a fact with no JSON form
        return None
    return head.encode() + b"\n" + pack_tree(artifact.folder)


def _restore(state: State, part: str, content: bytes) -> State:
    head, _, files = content.partition(b"\n")
    facts = json.loads(head)
    folder = state.work / part
    folder.mkdir()
    try:
        unpack_tree(files, folder)
        artifact = Artifact(part, folder, _inside(folder, facts["runnable"]), facts["facts"], tuple(facts["notes"]))
    except (ValueError, KeyError, TypeError) as error:
        shutil.rmtree(folder)
        raise ValueError(f"no artifact: {error}") from None
    artifacts = {**state.artifacts, part: artifact}
    return replace(state, artifacts={name: artifacts[name] for name in state.targets if name in artifacts})


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.exists():
        raise ValueError(f"{name} is not among the files")
    return path


CONVERT = Stage(
    name="convert",
    run=_run,
    parts=lambda state: state.targets,
    fingerprint=_fingerprint,
    keep=_keep,
    restore=_restore,
    one_by_one=True,
)
