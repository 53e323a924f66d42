"""`wrap`: a trained model made ready for compression-aware training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcompress.compression.clustering.clustering import cluster_ids, cluster_kernels
from tfcompress.compression.simulation.bias_correction import correct_biases
from tfcompress.compression.simulation.placement import place, ranges_as_xnnpack_rounds
from tfcompress.compression.simulation.quantize import (
    MakeKernelQuantizer,
    check_strict,
    insert_quantizers,
    wrap_kernels,
)
from tfcompress.compression.simulation.quantizers import Axis, KernelQuantizer
from tfcompress.compression.simulation.ranges import CALIBRATION_SAMPLES, Ranges, measure_peaks, measure_ranges
from tfcompress.compression.sparsity.pruning import layers_to_compress, meant_by, wrap_pruning
from tfcompress.compression.training.objective import Objective
from tfcompress.compression.training.optimizers import make_optimizer
from tfcompress.compression.wrapped_model import WrappedModel
from tfcompress.data import Samples
from tfcompress.graphs.keras.protocols import KerasModel, Layer
from tfcompress.recipe import Recipe

__all__ = [
    "Wrapped",
    "wrap_for_clustering",
    "wrap_for_distillation",
    "wrap_for_pruning",
    "wrap_for_quantization",
]

# Learning rates, relative to the weights: to recover from what was removed, and to follow what is rounded.
_REMOVING = 5e-3
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Wrapped:
    """A wrapped model and what there is to say about it.

    Attributes:
        model: compiled, ready to `fit`.
        notes: for people: what was left out and why.
    """

    model: Any
    notes: tuple[str, ...]


def _aimed(model: Any, teacher: Any, recipe: Recipe, steps: int, rate: float) -> Any:
    objective = Objective.of(model, teacher, recipe.distillation, recipe.training.loss)
    model.set_objective(
        objective, make_optimizer(recipe.training, model.trainable_variables, steps=steps, default_rate=rate)
    )
    return model


def wrap_for_pruning(model: KerasModel, teacher: KerasModel, recipe: Recipe, *, steps: int) -> Wrapped:
    """A flat model that is pruned while it trains.

    Args:
        model: flat tf_keras model.
        teacher: the lowered float model, or None without distillation.
        recipe: with a pruning section.
        steps: of the whole training.
    """
    assert recipe.pruning is not None
    wrapped = wrap_pruning(model, recipe.pruning, steps=steps, make_model=WrappedModel)
    _, left = layers_to_compress(model, recipe.pruning.skip)
    notes = (f"not pruned: {', '.join(left)}",) if left else ()
    return Wrapped(_aimed(wrapped, teacher, recipe, steps, _REMOVING), notes)


def wrap_for_clustering(model: KerasModel, teacher: KerasModel, recipe: Recipe, *, steps: int) -> Wrapped:
    """A flat model whose kernels are clustered now and whose clusters train as one weight each.

    Args:
        model: flat tf_keras model; its kernels are clustered in place, other than to two or three values: these
            follow from weights that go on training.
        teacher: the lowered float model, or None without distillation.
        recipe: with a clustering section.
        steps: of the whole training.
    """
    assert recipe.clustering is not None
    _, left = layers_to_compress(model, recipe.clustering.skip)
    if recipe.clustering.table == "free":
        cluster_kernels(model, recipe.clustering)
    wrapped = wrap_kernels(model, _keeping(model, recipe, int8=False), make_model=WrappedModel)
    notes = (f"not clustered: {', '.join(left)}",) if left else ()
    return Wrapped(_aimed(wrapped, teacher, recipe, steps, _REMOVING), notes)


def wrap_for_quantization(
    model: KerasModel, teacher: KerasModel, recipe: Recipe, calibration: Samples | None, *, steps: int
) -> Wrapped:
    """A quantization-aware model; zeros are kept where the recipe prunes, equal weights where it clusters.

    Args:
        model: lowered tf_keras model.
        teacher: the lowered float model, or None without distillation.
        recipe: with a quantization section.
        calibration: sets the initial activation ranges; None lets the first steps find them.
        steps: of the whole training.

    Raises:
        RecipeError: `strict`, and a layer would stay in float.
    """
    section = recipe.quantization
    assert section is not None
    plan = place(model, skip=lambda name: meant_by(model, name, section.skip))
    if section.strict:
        check_strict(plan)
    ranges: Ranges = {}
    if calibration is not None and section.calibrate:
        few = calibration.take(CALIBRATION_SAMPLES)
        measured = measure_ranges(model, plan.to_measure(), few, estimator=section.estimator)
        ranges = ranges_as_xnnpack_rounds(plan, plan.joined(measured))
        measure_peaks(model, few)
    keeping = _keeping(model, recipe, int8=True)
    wrapped = insert_quantizers(
        model, plan, ranges, keeping, train_ranges=section.train_ranges, make_model=WrappedModel
    )
    if ranges and calibration is not None:
        correct_biases(model, wrapped, calibration.take(CALIBRATION_SAMPLES))
    notes = tuple(f"left in float: {name}: {reason}" for name, reason in plan.left_float.items())
    return Wrapped(_aimed(wrapped, teacher, recipe, steps, _ROUNDING), notes)


def wrap_for_distillation(
    model: KerasModel, teacher: KerasModel | None, recipe: Recipe, *, steps: int, large_steps: bool = False
) -> Wrapped:
    """A model without wrappers that trains towards the recipe's objective.

    Args:
        model: flat tf_keras model.
        teacher: the lowered float model, or None without distillation.
        recipe: how it is trained.
        steps: of the whole training.
        large_steps: the weights have far to go, as where something was taken out of the model.
    """

    def identity(layer: Layer, values: np.ndarray, axis: Axis) -> KernelQuantizer:
        return KernelQuantizer(axis, int8=False)

    rate = _REMOVING if large_steps else _ROUNDING
    return Wrapped(_aimed(wrap_kernels(model, identity, make_model=WrappedModel), teacher, recipe, steps, rate), ())


def _keeping(model: KerasModel, recipe: Recipe, *, int8: bool) -> MakeKernelQuantizer:
    """Quantizers that keep what the recipe's earlier sections made of the kernels of `model`."""
    clustered: set[str] = set()
    if recipe.clustering is not None:
        clustered = {layer.name for layer in layers_to_compress(model, recipe.clustering.skip)[0]}

    def make(layer: Layer, values: np.ndarray, axis: Axis) -> KernelQuantizer:
        keep_zeros = recipe.pruning is not None or (
            recipe.clustering is not None and recipe.clustering.preserve_sparsity
        )
        mask = (values != 0).astype(np.float32) if keep_zeros and (values == 0).any() else None
        if layer.name not in clustered or recipe.clustering is None:
            return KernelQuantizer(axis, int8=int8, mask=mask)
        if recipe.clustering.table != "free":
            return KernelQuantizer(axis, int8=int8, mask=mask, signs=recipe.clustering.table)
        ids = cluster_ids(values, per_channel=recipe.clustering.per_channel)
        # One scale for the whole kernel: with one for each channel, 16 values would become 16 others in each.
        return KernelQuantizer(
            axis if recipe.clustering.per_channel else "tensor", int8=int8, mask=mask, cluster_ids=ids
        )

    return make
