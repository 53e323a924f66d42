"""`wrap`, `finetune`: the recipe's training sections applied to a model, one after the other.

Pruning, then clustering, then quantization: each keeps what the ones before it made (Han et al. 2016 in that order).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.cache.fingerprints import fingerprint as fingerprint_of
from tfcompress.cache.fingerprints import surroundings
from tfcompress.compression import wrapping
from tfcompress.compression.lowering.passes import lower
from tfcompress.compression.sparsity.pruning import PruneWrapper
from tfcompress.compression.stripping import strip
from tfcompress.compression.structure.reductions import Reduction, reductions
from tfcompress.compression.training.batches import batches_of, count_of
from tfcompress.compression.training.training import Run, deterministic, start_strategy, train_stage
from tfcompress.compression.wrapping import Wrapped
from tfcompress.data import Samples
from tfcompress.data.content import content_of
from tfcompress.data.fixed_sizes import with_fixed_sizes
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.lineage import Lineage
from tfcompress.graphs.keras.protocols import KerasModel, Layer
from tfcompress.graphs.keras.replay import flatten
from tfcompress.load.files.limits import physical_memory
from tfcompress.recipe import Distillation, Recipe, Training
from tfcompress.runtime import tf_keras

__all__ = ["Compressed", "finetune", "wrap"]

# Steps that a pruning schedule spans when `wrap` cannot know how long the caller will train.
_ASSUMED_STEPS = 1000
_COPIES = 2  # of a tensor in training: its value and its gradient
_NAMES_IN_SETTINGS = ("name", "inbound_nodes", "input_layers", "output_layers")


@dataclass(frozen=True)
class Compressed:
    """What fine-tuning made.

    Attributes:
        trained: the tf_keras model as trained: quantization-aware, with wrappers, where the recipe quantizes; else the
            same as `stripped`.
        stripped: without wrappers, trained float weights, zeros and clusters intact.
        notes: for people: what was left out and why.
        lineage: of `stripped`'s layers, where the recipe changed the layers themselves; None where it did not.
    """

    trained: Any
    stripped: Any
    notes: tuple[str, ...]
    lineage: Lineage | None = None


def wrap(
    model: Any,
    recipe: Recipe,
    *,
    calibration: Samples | None = None,
    steps: int | None = None,
) -> Any:
    """A trainable model, compiled for the recipe: call `fit` on it, then `strip`.

    Where the recipe has several training sections the earlier ones are applied at once, without training, and kept by
    the last; `finetune` trains after each.  How often, on what batches, whether on flipped and shifted images, and
    whether the whole model is trained before, is for the caller of `fit` to choose.

    Args:
        model: sequential or functional, of Keras 3 or tf_keras; it is not changed.
        recipe: with at least one training section.
        calibration: samples that set the initial activation ranges of quantization; None lets the first
            steps find them.
        steps: how many training steps will be taken, for a pruning schedule without `end_step`; None assumes 1000.

    Raises:
        ModelError: the model has no graph of layers.
        RecipeError: nothing in the recipe trains, or a part of it fits no layer.
    """
    current = _tf_keras_model(model, calibration)
    teacher = lower(current) if recipe.distillation is not None else None
    stages = _stages(recipe)
    if recipe.reduces:
        if calibration is None:
            raise RecipeError("recipe: structure needs data to tell what matters; give wrap `calibration`")
        current = flatten(current)
        for reduction in reductions(recipe, calibration, current, seed=0):
            current = reduction.apply(current).model
        if not stages:
            return wrapping.wrap_for_distillation(
                current, teacher, recipe, steps=steps or _ASSUMED_STEPS, large_steps=True
            ).model
    for stage in stages[:-1]:
        current = strip(_at_once(_wrapped(stage, current, teacher, recipe, None, 1).model))
    own = replace(recipe, training=_training_of(stages[-1], recipe))
    return _wrapped(stages[-1], current, teacher, own, calibration, steps or _ASSUMED_STEPS).model


def finetune(
    model: Any,
    recipe: Recipe,
    train: Samples,
    *,
    seed: int = 0,
    checkpoint_dir: Path | None = None,
    teacher: Any = None,
    fingerprint: str | None = None,
) -> Compressed:
    """Compress a model by training: each training section of the recipe in turn, for its own or `training.epochs`.

    The same seed, model and samples give the same weights, bit for bit, on the same machine, also when the run was
    killed and started again with the same `checkpoint_dir`.

    Args:
        model: sequential or functional, of Keras 3 or tf_keras; it is not changed.
        recipe: with at least one training section.
        train: streamed; labels are needed unless the recipe distils with weight 1.
        seed: of shuffling, dropout and clustering.
        checkpoint_dir: training state is kept here after each epoch, and logs for TensorBoard; None keeps none.
        teacher: what distillation trains towards, in place of `model` as it is before training; None takes `model`.
            A recipe that pretrains the model distils towards what came out of that.
        fingerprint: of all that `model`, `teacher` and `train` were made from: with one, the store in use (see
            `tfcompress.cache`) keeps what each stage trained, and trains it again only where something else is asked
            for.  None keeps nothing.

    Raises:
        ModelError: the model has no graph of layers.
        RecipeError: nothing in the recipe trains, or a part of it fits no layer.
        DataError: no samples, bad samples, or labels are missing.
    """
    if recipe.student is not None and recipe.distillation is None:
        recipe = replace(recipe, distillation=Distillation())
    strategy = start_strategy(recipe.training.strategy)
    _require_memory(train, recipe.training.batch_size)
    current = _tf_keras_model(model, train)
    steps = batches_of(count_of(train), recipe.training.batch_size)
    own = "" if checkpoint_dir is None else _fingerprint(current, recipe, train, seed)
    run = Run(recipe.training, train, seed, strategy, steps, checkpoint_dir, own)
    with deterministic(seed):
        whole = _pretrained(current, recipe, replace(run, key=fingerprint))
        source = (
            whole.model if teacher is None or recipe.training.pretraining_epochs else _tf_keras_model(teacher, train)
        )
        lowered = lower(source) if recipe.distillation is not None else None
        reduced = _reduced(whole.model, lowered, recipe, replace(run, key=whole.key))
        start = reduced.model
        section = recipe.quantization
        only_quantized = _stages(recipe) == ["quantization"] and section and section.freeze_batch_norm
        if start is source and lowered is not None and only_quantized:
            start = lowered  # lowering once is enough
        done = _trained(start, lowered, recipe, replace(run, key=reduced.key))
    notes = (*whole.notes, *reduced.notes, *done.notes)
    for line in notes:
        console.note(line)
    return replace(done, notes=notes, lineage=reduced.lineage)


def _require_memory(train: Samples, batch_size: int) -> None:
    """Refuse steps that would take more than half of this machine's memory.

    Raises:
        RecipeError: names the largest batch that would not.
    """
    most = physical_memory() // 2 // (_COPIES * max(1, train.sample_bytes))
    if batch_size > most:
        raise RecipeError(
            f"--batch_size={batch_size}: the tensors of a sample take {train.sample_bytes >> 20} MiB, twice that in "
            f"training, and a step may take half of this machine's memory; take at most {max(1, most)}"
        )


@dataclass(frozen=True)
class _Pretrained:
    model: Any
    key: str | None
    notes: tuple[str, ...] = ()


def _pretrained(model: Any, recipe: Recipe, run: Run) -> _Pretrained:
    """The whole model, trained against labels before any section changes it; itself where the recipe asks for none."""
    epochs = recipe.training.pretraining_epochs
    if epochs == 0:
        return _Pretrained(model, run.key)
    # The same for all numbers of epochs afterwards, so that recipes that differ in these share it.
    training = replace(recipe.training, epochs=epochs, pretraining_epochs=0)
    own = Recipe(training=training)
    key = None if run.key is None else fingerprint_of(run.key, "pretraining", training, run.seed, surroundings())

    def make() -> KerasModel:
        return wrapping.wrap_for_distillation(
            flatten(model), None, own, steps=run.steps * epochs, large_steps=True
        ).model

    trained = strip(train_stage("pretraining", make, replace(run, training=training, key=key)))
    return _Pretrained(trained, key, (f"pretraining: the whole model, {epochs} epochs against labels",))


def _trained(model: Any, teacher: Any, recipe: Recipe, run: Run) -> Compressed:
    """The model after the sections that train its weights, one after the other."""
    current, trained, key, notes = model, model, run.key, list[str]()
    for stage in _stages(recipe):
        training = _training_of(stage, recipe)

        def make(stage: str = stage, current: Any = current, training: Training = training) -> Any:
            own = replace(recipe, training=training)
            wrapped = _wrapped(stage, current, teacher, own, run.samples, run.steps * training.epochs)
            notes.extend(wrapped.notes)
            return wrapped.model

        key = _key(key, stage, recipe, training, run.seed)
        trained = train_stage(stage, make, replace(run, training=training, key=key))
        current = strip(trained)
    return Compressed(trained if recipe.quantization is not None else current, current, tuple(notes))


@dataclass(frozen=True)
class _Reduced:
    model: Any
    key: str | None
    notes: tuple[str, ...]
    lineage: Lineage | None


def _reduced(model: Any, teacher: Any, recipe: Recipe, run: Run) -> _Reduced:
    """The model after the sections that change its layers, each followed by its own fine-tuning."""
    if not recipe.reduces:
        return _Reduced(model, run.key, (), None)
    current: Any = flatten(model)
    key, notes, lineage = run.key, list[str](), None
    for reduction in reductions(recipe, run.samples, current, seed=run.seed):
        reduced = reduction.apply(current)
        notes.extend(reduced.notes)
        lineage = reduced.lineage if lineage is None else lineage.then(reduced.lineage)
        current, training = reduced.model, reduction.training(recipe)
        key = _key_of_reduction(key, reduction, recipe, run.seed)
        if training is None:
            continue
        own = replace(recipe, training=training)

        def make(start: Any = current, own: Recipe = own) -> KerasModel:
            steps = run.steps * own.training.epochs
            return wrapping.wrap_for_distillation(start, teacher, own, steps=steps, large_steps=True).model

        current = strip(train_stage(reduction.name, make, replace(run, training=training, key=key)))  # pyright: ignore[reportGeneralTypeIssues]  # `make` holds what it changes
    return _Reduced(current, key, tuple(notes), lineage)


def _stages(recipe: Recipe) -> list[str]:
    sections = {"pruning": recipe.pruning, "clustering": recipe.clustering, "quantization": recipe.quantization}
    names = [name for name, section in sections.items() if section is not None]
    if recipe.reduces:
        return names
    if not names and recipe.distillation is not None:
        return ["distillation"]
    if not names:
        raise RecipeError(
            "recipe: nothing to train; give it a structure, pruning, clustering, quantization or distillation section"
        )
    return names


def _training_of(stage: str, recipe: Recipe) -> Training:
    """The recipe's training section with what the stage's own section says."""
    section = getattr(recipe, stage)
    if isinstance(section, Distillation):
        return recipe.training
    return replace(
        recipe.training,
        epochs=section.epochs or recipe.training.epochs,
        learning_rate=section.learning_rate or recipe.training.learning_rate,
    )


def _wrapped(stage: str, model: Any, teacher: Any, recipe: Recipe, samples: Samples | None, steps: int) -> Wrapped:
    if stage == "pruning":
        return wrapping.wrap_for_pruning(flatten(model), teacher, recipe, steps=steps)
    if stage == "distillation":
        return wrapping.wrap_for_distillation(flatten(model), teacher, recipe, steps=steps)
    section = recipe.quantization
    # Folded before clustering: a batch normalization folded after it would scale the clusters of each channel apart.
    current = flatten(model) if section is None else lower(model, freeze_batch_norm=section.freeze_batch_norm)
    if stage == "clustering":
        return wrapping.wrap_for_clustering(current, teacher, recipe, steps=steps)
    return wrapping.wrap_for_quantization(current, teacher, recipe, samples, steps=steps)


def _at_once(model: KerasModel) -> Any:
    """Bring a pruning schedule to its end without training."""
    for layer in model.layers:
        if isinstance(layer, PruneWrapper):
            layer.prune_now()
    return model


def _tf_keras_model(model: KerasModel, samples: Samples | None) -> Any:
    """The model in tf_keras; sizes that it leaves open are those of the samples."""
    from tfcompress.load import float_model_from_keras, to_tf_keras

    if isinstance(model, tf_keras.Model):
        return to_tf_keras(model)
    return to_tf_keras(model, sizes=with_fixed_sizes(float_model_from_keras(model), samples).inputs)


def _key(before: str | None, stage: str, recipe: Recipe, training: Training, seed: int) -> str | None:
    """The fingerprint of what a stage trains, from that of what it starts from."""
    if before is None:
        return None
    own = getattr(recipe, stage)
    # Layers are lowered before clustering as the quantization after it wants them.
    lowered = recipe.quantization if stage == "clustering" else None
    return fingerprint_of(before, stage, own, lowered, recipe.distillation, training, seed, surroundings())


def _key_of_reduction(before: str | None, reduction: Reduction, recipe: Recipe, seed: int) -> str | None:
    """The same for a step that changes the layers; channels are judged by the loss even where nothing is trained."""
    if before is None:
        return None
    training, loss = reduction.training(recipe), recipe.training.loss
    given = (reduction.section, recipe.distillation, training, loss, seed)
    return fingerprint_of(before, reduction.name, *given, surroundings())


def _fingerprint(model: KerasModel, recipe: Recipe, samples: Samples, seed: int) -> str:
    """Of a training run, for the files in a folder of the user's, which may be those of another run."""
    content = samples.content or content_of(samples, samples.source.sha256)
    given = (content, samples.limit, samples.indices, seed)
    return fingerprint_of([_settings(layer) for layer in model.layers], model.get_weights(), recipe, *given)


def _settings(layer: Layer) -> str:
    """A layer's type and settings but for names, which are counted up in a process."""
    try:
        settings: object = layer.get_config()
    except NotImplementedError:  # a layer of the user's own that cannot be saved
        settings = None
    return f"{type(layer).__name__} {json.dumps(_without_names(settings), sort_keys=True)}"


def _without_names(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _without_names(item) for key, item in value.items() if key not in _NAMES_IN_SETTINGS}
    if isinstance(value, list | tuple):
        return [_without_names(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else type(value).__name__
