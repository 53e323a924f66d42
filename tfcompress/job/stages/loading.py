"""The first stages: the float model, and the data for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tfcompress import console
from tfcompress.cache import decode, encode
from tfcompress.compression import start_strategy
from tfcompress.errors import ModelError
from tfcompress.file_hashes import sha256_of
from tfcompress.job.data_sets import DataSets
from tfcompress.job.results import model_section
from tfcompress.job.stage import Stage, fingerprint_of
from tfcompress.job.state import Lazy, ModelFacts, OriginalModel, State
from tfcompress.load import load_model
from tfcompress.load.files.source import CHANGED, file_kind
from tfcompress.load.noise import with_noise_inputs
from tfcompress.load.preprocessing import split_preprocessing, together
from tfcompress.load.safety.vocabulary import supplied_names
from tfcompress.model import FloatModel

__all__ = ["DATA", "LOAD"]


def _load_fingerprint(state: State, part: str) -> str | None:
    """Of a file that names no code of the user's: other code cannot be told from the code that it was."""
    del part
    options, given = state.options, state.options.model
    users_code = options.custom_objects is not None or supplied_names({})  # also what is registered with Keras
    if users_code or not isinstance(given, str | Path) or not Path(given).exists():
        return None
    file_kind(Path(given))  # which refuses what is no model, before a folder of any size is read
    return _name_of_file(state, sha256_of(Path(given)))


def _name_of_file(state: State, sha256: str) -> str | None:
    path = Path(str(state.options.model))
    options = state.options
    return fingerprint_of("load", path.name, sha256, options.allow_unsafe_deserialization, options.sampling)


def _load(state: State, parts: Sequence[str]) -> State:
    del parts
    loaded = _loaded(state)
    front, model = split_preprocessing(loaded) or (None, loaded)
    noise, model = (state.options.sampling == "input" and with_noise_inputs(model)) or (None, model)
    facts = ModelFacts(
        name=model.name,
        format=model.format,
        sha256=model.sha256,
        flavor=model.flavor,
        inputs=model.inputs,
        outputs=model.outputs,
        has_layers=model.keras_model is not None,
        section=model_section(model),
        sample_bytes=model.sample_bytes,
    )
    return replace(state, original=OriginalModel(facts, Lazy(lambda: model), together(front, noise)))


def _loaded(state: State) -> FloatModel:
    if state.recipe.trains:
        start_strategy(state.recipe.training.strategy)
    console.note("loading the model")
    model = load_model(
        state.options.model,
        custom_objects=state.options.custom_objects,
        allow_unsafe_deserialization=state.options.allow_unsafe_deserialization,
        max_load_seconds=state.options.max_load_seconds,
        max_load_memory=state.options.max_load_memory,
    )
    fingerprint = state.ids["load"]
    if fingerprint is not None and fingerprint != _name_of_file(state, model.sha256 or ""):
        raise ModelError(f"{state.options.model}: {CHANGED}")  # it would be kept as what it was before
    return replace(model, fingerprint=fingerprint)


def _keep(state: State, part: str) -> bytes | None:
    """The facts, from which the model is loaded again when it is needed; not of one that is cut in two."""
    del part
    return encode(state.model.facts) if state.model.front is None else None


def _restore(state: State, part: str, content: bytes) -> State:
    del part
    return replace(state, original=OriginalModel(decode(ModelFacts, content), Lazy(partial(_loaded, state))))


def _open_data(state: State, parts: Sequence[str]) -> State:
    del parts
    facts = state.model.facts
    state.options.require_data()
    data = DataSets.open(
        (facts.inputs, facts.outputs), state.options, state.model.front, sample_bytes=facts.sample_bytes
    )
    return replace(state, data=data)


LOAD = Stage(name="load", run=_load, fingerprint=_load_fingerprint, keep=_keep, restore=_restore)
DATA = Stage(name="data", run=_open_data)
