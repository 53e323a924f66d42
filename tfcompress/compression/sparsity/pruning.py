"""Pruning while training: tfmot's wrapper and schedules, with masks that reach the asked sparsity exactly.

Zhu & Gupta 2017, "To prune, or not to prune", for the polynomial schedule.  tfmot prunes by magnitude alone, chooses by
threshold (equal weights make it miss the target) and stops at the last multiple of the frequency; see `sparsity` and
`Schedule` for what is done instead.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from tfcompress.compression.sparsity.masks import importance, mask_for
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.protocols import Config, KerasModel, Layer, Tensor, Variable
from tfcompress.graphs.keras.replay import Call, Copies, rebuild
from tfcompress.graphs.tensorflow.private_names import ATTENTION_KERNELS, PruneLowMagnitude
from tfcompress.graphs.tensorflow.private_names import Pruning as MaskUpdater
from tfcompress.layer_names import patterns_match
from tfcompress.recipe import Pruning
from tfcompress.runtime import tf, tf_keras, tfmot

__all__ = [
    "PruneWrapper",
    "Schedule",
    "kernel_layers",
    "layers_to_compress",
    "meant_by",
    "prunable_weights",
    "sparsity_targets",
    "wrap_pruning",
]

_L = tf_keras.layers

_KERNEL = ("kernel",)
_RECURRENT = ("cell.kernel", "cell.recurrent_kernel")

# Layer class: where its prunable weights are.
_WEIGHTS: dict[object, tuple[str, ...]] = {
    _L.Dense: _KERNEL,
    _L.EinsumDense: _KERNEL,
    _L.Conv1D: _KERNEL,
    _L.Conv2D: _KERNEL,
    _L.Conv3D: _KERNEL,
    _L.Conv1DTranspose: _KERNEL,
    _L.Conv2DTranspose: _KERNEL,
    _L.Conv3DTranspose: _KERNEL,
    _L.SeparableConv1D: ("pointwise_kernel",),
    _L.SeparableConv2D: ("pointwise_kernel",),
    _L.DepthwiseConv1D: ("depthwise_kernel",),
    _L.DepthwiseConv2D: ("depthwise_kernel",),
    _L.LSTM: _RECURRENT,
    _L.GRU: _RECURRENT,
    _L.SimpleRNN: _RECURRENT,
    _L.MultiHeadAttention: ATTENTION_KERNELS,
}

# Share of a running mean of |gradient x weight| that a step keeps.
_GRADIENT_DECAY = 0.9
_PRUNINGS_AT_LEAST = 10


def prunable_weights(layer: Layer) -> list[Any]:
    """The variables of a built layer that may be pruned or clustered; empty for a layer without kernels."""
    weights = []
    for path in _WEIGHTS.get(type(layer), ()):
        value = layer
        for part in path.split("."):
            value = getattr(value, part)
        weights.append(value)
    return weights


def kernel_layers(model: KerasModel) -> list[Layer]:
    """Layers with kernels, in the order of the model; a flat model."""
    return [layer for layer in model.layers if type(layer) in _WEIGHTS]


def meant_by(model: KerasModel, name: str, patterns: Collection[str]) -> bool:
    """Whether layer patterns of a recipe mean a layer of a flat model, also after lowering took its activation out.

    What was the layer `digit` with a softmax is then the kernel layer `digit_linear` and the activation `digit`.
    """
    if patterns_match(name, patterns):
        return True
    before = name.removesuffix("_linear")
    taken_out = any(layer.name == before and type(layer) not in _WEIGHTS for layer in model.layers)
    return before != name and taken_out and patterns_match(before, patterns)


def layers_to_compress(model: KerasModel, skip: tuple[str, ...] | None) -> tuple[list[Layer], list[str]]:
    """The layers whose kernels are pruned or clustered, and the names of those that are not.

    Args:
        model: a flat tf_keras model.
        skip: layer patterns; None leaves out the first layer, the last and depthwise ones, where a weight counts most.
    """
    layers = kernel_layers(model)
    if skip is None:
        ends = layers[:1] + layers[-1:] if len(layers) > 2 else []
        left = {
            layer.name for layer in layers if layer in ends or type(layer) in (_L.DepthwiseConv1D, _L.DepthwiseConv2D)
        }
    else:
        left = {layer.name for layer in layers if meant_by(model, layer.name, skip)}
    return [layer for layer in layers if layer.name not in left], sorted(left)


def sparsity_targets(model: KerasModel, pruning: Pruning) -> dict[str, float]:
    """{layer name: share of zeros asked for}, for the layers of a flat model that are pruned.

    Raises:
        RecipeError: there is nothing to prune, or a layer pattern fits no layer.
    """
    layers, _ = layers_to_compress(model, pruning.skip)
    names = {layer.name for layer in layers}
    for pattern, _ in pruning.layers:
        if not any(patterns_match(name, [pattern]) for name in names):
            raise RecipeError(
                f"recipe: pruning.layers: {pattern!r} fits no layer that is pruned; they are {', '.join(sorted(names))}"
            )
    if not names:
        raise RecipeError(f"recipe: pruning: model {model.name!r} has no layer to prune; pruning.skip leaves none")
    named = {name: _first_match(name, pruning) for name in sorted(names)}
    return {name: share for name, share in named.items() if share > 0}


def _first_match(name: str, pruning: Pruning) -> float:
    if pruning.pattern == "n_m":
        return 1 - pruning.n / pruning.m
    return next((share for pattern, share in pruning.layers if patterns_match(name, [pattern])), pruning.sparsity)


class Schedule(tfmot.sparsity.keras.PruningSchedule):
    """Share of zeros at each step, and whether a step prunes.

    Steps count from 1, as tfmot's wrapper counts them.  The last pruning is at `end_step` whatever the frequency.

    Args:
        pruning: shape and sizes of the schedule.
        sparsity: share of zeros at the end.
        steps: of the whole training.
    """

    def __init__(self, pruning: Pruning, sparsity: float, steps: int) -> None:
        self.pruning, self.sparsity, self.steps = pruning, sparsity, steps
        constant = pruning.schedule == "constant"
        end = pruning.end_step or (pruning.begin_step + 1 if constant else max(1, steps // 2))
        self.end = max(1, min(end, steps))
        self.begin = min(pruning.begin_step, self.end - 1)
        self.frequency = pruning.frequency or max(1, (self.end - self.begin) // _PRUNINGS_AT_LEAST)

    def __call__(self, step: Any) -> tuple[Tensor, Tensor]:
        """(whether to prune, share of zeros) at training step `step`, a scalar tensor."""
        due = (step > self.begin) & (step <= self.end) & (tf.math.floormod(step - self.begin - 1, self.frequency) == 0)
        if self.pruning.schedule == "constant":
            return due | (step == self.end), tf.constant(self.sparsity, tf.float32)
        passed = tf.cast(step - self.begin - 1, tf.float32) / max(1, self.end - self.begin - 1)
        # With one step from beginning to end, that step is the end.
        left = tf.where(step >= self.end, 0.0, 1 - tf.clip_by_value(passed, 0.0, 1.0))
        rise = self.sparsity - self.pruning.initial_sparsity
        return due | (step == self.end), self.sparsity - rise * left**self.pruning.power

    def get_config(self) -> Config:
        """Constructor arguments."""
        return {"pruning": self.pruning, "sparsity": self.sparsity, "steps": self.steps}


class _Masks(MaskUpdater):
    """tfmot's bookkeeping of masks, with our choice of what goes."""

    def __init__(self, pruning: Pruning, products: Mapping[object, object], **kwargs: object) -> None:
        super().__init__(block_size=(1, 1), block_pooling_type="AVG", **kwargs)
        self._pruning = pruning
        self._products = products

    def _maybe_update_block_mask(self, weights: Any) -> tuple[Tensor, Tensor]:
        """The mask at this step; no threshold describes it, so the sparsity stands in its place."""
        sparsity = self._pruning_schedule(self._step_fn())[1]
        scores = importance(weights, self._pruning, self._products.get(weights.ref()))
        return sparsity, mask_for(scores, sparsity, self._pruning)


class PruneWrapper(PruneLowMagnitude):
    """tfmot's pruning wrapper for any layer with kernels, with the patterns and criteria of `Pruning`."""

    def __init__(self, layer: Any, pruning: Pruning, schedule: Schedule, **kwargs: object) -> None:
        layer.get_prunable_weights = lambda: prunable_weights(layer)
        super().__init__(layer, pruning_schedule=schedule, **kwargs)
        self.pruning = pruning
        self.gradient_products: dict[Any, Variable] = {}

    def build(self, input_shape: object) -> None:
        """Make the masks."""
        super().build(input_shape)
        products = {}
        if self.pruning.criterion == "gradient":
            products = {
                weight.ref(): self.add_weight(
                    "gradient_product", shape=weight.shape, initializer="zeros", trainable=False
                )
                for weight in self.prunable_weights
            }
        self.pruning_obj = _Masks(
            self.pruning,
            products,
            training_step_fn=lambda: self.pruning_step,
            pruning_vars=self.pruning_vars,
            pruning_schedule=self.pruning_schedule,
        )
        self.gradient_products = products

    def prune_now(self) -> None:
        """Set the masks of the end of the schedule, from the weights as they are."""
        for weight, mask, _ in self.pruning_vars:
            scores = importance(weight, self.pruning, tf.abs(weight))
            mask.assign(mask_for(scores, self.pruning_schedule.sparsity, self.pruning))

    def observe(self, gradients: Mapping[object, object]) -> None:
        """Take in a step's gradients, {reference of a variable: gradient}, for the `gradient` criterion."""
        for reference, product in self.gradient_products.items():
            seen = tf.abs(gradients[reference] * reference.deref())
            product.assign(_GRADIENT_DECAY * product + (1 - _GRADIENT_DECAY) * seen)

    def masked_weights(self) -> list[np.ndarray]:
        """The layer's weights in its own order, pruned ones zero."""
        masks = {weight.ref(): mask for weight, mask, _ in self.pruning_vars}
        return [
            np.asarray(variable * masks[variable.ref()] if variable.ref() in masks else variable)
            for variable in self.layer.weights
        ]


def wrap_pruning(model: KerasModel, pruning: Pruning, *, steps: int, make_model: Callable[..., object]) -> Any:
    """A flat model with its kernels behind pruning wrappers, weights included.

    Args:
        model: a flat tf_keras model.
        pruning: what is pruned, how much and when.
        steps: of the whole training.
        make_model: see `graph.rebuild`.

    Raises:
        RecipeError: see `sparsity_targets`.
    """
    targets = sparsity_targets(model, pruning)
    copies = Copies()
    weights: list[tuple[Any, list[np.ndarray]]] = []

    def wrapper(call: Call) -> Layer:
        layer = call.layer
        inner = type(layer).from_config(layer.get_config())
        if type(layer) is _L.MultiHeadAttention:
            inner(*call.args, **call.kwargs)  # only a call gives its inner layers their weights
        weights.append((inner, layer.get_weights()))
        return PruneWrapper(inner, pruning, Schedule(pruning, targets[layer.name], steps))

    def emit(call: Call) -> Any:
        layer = call.layer
        if layer.name not in targets:
            return copies.repeat(call)
        return copies.get((layer, "wrapped"), lambda: wrapper(call))(*call.args, **call.kwargs)

    wrapped = rebuild(model, emit, make_model=make_model)
    copies.copy_weights()
    for layer, values in weights:
        layer.set_weights(values)
    return wrapped
