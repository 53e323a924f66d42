"""The stage that makes a model smaller and fine-tunes it, as the recipe says.

Students, layers, channels and ranks come first, then sparsity, clusters, simulated quantization and distillation.
Each of them is a step of `compression.finetune`, which keeps what it trained by a fingerprint of its own: another
quantization section trains only the quantization again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from tfcompress import console
from tfcompress.cache import decode, encode
from tfcompress.compression import Compressed, finetune
from tfcompress.converters import TARGETS
from tfcompress.converters.target import ModelChange
from tfcompress.errors import InputError
from tfcompress.job.layer_weights import layer_weights
from tfcompress.job.stage import Stage, fingerprint_of
from tfcompress.job.state import Lazy, ModelSize, State, TrainedModel
from tfcompress.load import float_model_from_keras
from tfcompress.load.inspection import model_macs
from tfcompress.remarks import optional
from tfcompress.report.schema import LayerWeights, LayerWidth

__all__ = ["TRAINING"]


@dataclass(frozen=True)
class _Kept:
    """What is kept of the stage beside the models."""

    notes: tuple[str, ...]
    widths: tuple[LayerWidth, ...]
    size: ModelSize | None
    layers: tuple[LayerWeights, ...]


def _size(compressed: Compressed) -> ModelSize | None:
    if compressed.lineage is None:
        return None
    model = float_model_from_keras(compressed.stripped)
    return ModelSize(model_macs(model), model.parameters)


def _widths(compressed: Compressed) -> tuple[LayerWidth, ...]:
    """The layers with kernels that make fewer channels now, and those that are gone."""
    lineage = compressed.lineage
    if lineage is None:
        return ()
    kernels = {layer.name for layer in compressed.stripped.layers if any(len(w.shape) > 1 for w in layer.weights)}
    narrower = [
        LayerWidth(layer=origin.layer, before=origin.before, after=origin.after)
        for name, origin in lineage.origins.items()
        if name in kernels and origin.kept is not None and origin.after is not None
    ]
    return (*narrower, *(LayerWidth(layer=name, before=None, after=0) for name in lineage.removed))


def _parts(state: State) -> tuple[str, ...]:
    return ("",) if state.recipe.trains else ()


def _fingerprint(state: State, part: str) -> str | None:
    del part
    recipe = state.recipe
    sections = (
        recipe.student,
        recipe.layers,
        recipe.structure,
        recipe.low_rank,
        recipe.pruning,
        recipe.clustering,
        recipe.quantization,
        recipe.distillation,
        recipe.training,
    )
    train = state.data_sets.train
    given = (state.ids["load"], None if train is None else train.identity)
    return fingerprint_of("training", *given, sections, *_what_changes(state), state.options.seed)


def _run(state: State, parts: Sequence[str]) -> State:
    del parts
    compressed = _compressed(state)
    layers: tuple[LayerWeights, ...] = ()
    with optional("the widths and zeros of its layers"):
        layers = layer_weights(state.model.model.value.keras_model, compressed)
    trained = TrainedModel(compressed.notes, _widths(compressed), _size(compressed), layers, Lazy(lambda: compressed))
    return replace(state, trained=trained)


def _compressed(state: State) -> Compressed:
    facts = state.model.facts
    if not facts.has_layers:
        raise InputError(f"{facts.name}: a SavedModel without Keras layers cannot be wrapped; give the .keras or .h5")
    train = state.data_sets.train
    assert train is not None, "`require_data` has seen to it"
    console.note("compressing and fine-tuning")
    original = state.model.model.value.keras_model
    changed, notes = original, tuple[str, ...]()
    for change in _changes(state).values():
        changed, more = change(changed)
        notes = (*notes, *more)
    teacher = None if changed is original else original
    compressed = finetune(
        changed,
        state.recipe,
        train,
        seed=state.options.seed,
        teacher=teacher,
        fingerprint=_start(state, teacher is not None),
    )
    return replace(compressed, notes=(*notes, *compressed.notes))


def _start(state: State, changed: bool) -> str | None:
    """The fingerprint of what fine-tuning starts from."""
    changes = _what_changes(state) if changed else ()
    train = state.data_sets.train
    return fingerprint_of("model to train", state.ids["load"], None if train is None else train.identity, *changes)


def _changes(state: State) -> dict[str, ModelChange]:
    """What the targets change in the model before it is trained."""
    asked = {name: TARGETS[name].before_training(state.recipe) for name in state.targets}
    return {name: change for name, change in asked.items() if change is not None}


def _what_changes(state: State) -> tuple[object, ...]:
    """What the changes before training depend on: what in the recipe says how, and each target's own code."""
    targets = {name: TARGETS[name] for name in _changes(state)}
    options = {name: target.own_options(state.recipe) or "" for name, target in targets.items()}
    return options, *(target.code_of_others() for target in targets.values())


def _keep(state: State, part: str) -> bytes | None:
    del part
    trained = state.trained
    return None if trained is None else encode(_Kept(trained.notes, trained.widths, trained.size, trained.layers))


def _restore(state: State, part: str, content: bytes) -> State:
    """What there is to say; the model is made again where a later stage needs it, which trains nothing that is kept."""
    del part
    kept = decode(_Kept, content)
    again = Lazy(partial(_compressed, state))
    return replace(state, trained=TrainedModel(kept.notes, kept.widths, kept.size, kept.layers, again))


TRAINING = Stage(name="training", run=_run, parts=_parts, fingerprint=_fingerprint, keep=_keep, restore=_restore)
