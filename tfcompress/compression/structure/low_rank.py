"""`lower_ranks`: kernels as products of smaller ones, by the recipe's section `low_rank`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.compression.structure.costs import Costs
from tfcompress.compression.structure.factors import Factors, Scheme, factorized, ranks_for
from tfcompress.compression.structure.moments import Moments, measure_moments
from tfcompress.compression.structure.shrink import Shrunk
from tfcompress.data import Samples
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.channels.graph import trace_channels
from tfcompress.graphs.keras.lineage import Lineage, Origin
from tfcompress.graphs.keras.protocols import KerasModel, Layer, Tensor
from tfcompress.graphs.keras.replay import Call, Copies, rebuild
from tfcompress.layer_names import patterns_match
from tfcompress.recipe import LowRank
from tfcompress.runtime import tf_keras

__all__ = ["lower_ranks"]

_L = tf_keras.layers
_STEPS = 24  # of the search for the energy that gives the multiply-accumulates asked for


@dataclass(frozen=True)
class _Candidate:
    """A layer whose kernel may be split.

    Attributes:
        call: the one call of the layer.
        moments: of its values.
        kernel: as the layer has it.
        sites: at how many places its whole kernel is multiplied for one sample.
    """

    call: Call
    moments: Moments
    kernel: np.ndarray
    sites: int

    @property
    def macs(self) -> int:
        return self.sites * self.kernel.size

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        window = self.kernel.shape[:-2]
        return ("pca", "spatial", "tucker_2") if len(window) == 2 and min(window) > 1 else ("pca",)

    def cost(self, scheme: Scheme, ranks: tuple[int, ...]) -> float:
        """Multiply-accumulates of the product."""
        *window, inputs, outputs = self.kernel.shape
        places = int(np.prod(window, initial=1))
        # What comes before a stride is computed at all the places that the stride passes over.
        strides = self.call.layer.get_config().get("strides", (1,))
        skipped = int(np.prod(np.broadcast_to(strides, (max(1, len(window)),))))
        if scheme == "pca":
            return self.sites * ranks[0] * (places * inputs + outputs)
        if scheme == "spatial":
            height, width = window
            across = int(np.ravel(strides)[-1])
            return self.sites * ranks[0] * (height * inputs * across + width * outputs)
        return self.sites * (inputs * ranks[0] * skipped + places * ranks[0] * ranks[1] + ranks[1] * outputs)


@dataclass(frozen=True)
class _Plan:
    scheme: Scheme
    ranks: tuple[int, ...]
    macs: float


def lower_ranks(model: KerasModel, section: LowRank, samples: Samples) -> Shrunk:
    """Split kernels where that saves multiply-accumulates.

    Args:
        model: flat tf_keras model; it is not changed.
        section: how much of the energy is kept, or of the multiply-accumulates is left.
        samples: a few hundred are looked at; no labels are needed.

    Raises:
        RecipeError: no layer can be split, a pattern fits none, or too few multiply-accumulates are asked for.
    """
    candidates, before = _candidates(model, section, samples)
    energy = section.energy if section.energy is not None else _energy_for(candidates, section, before)
    plans = {id(c.call.layer): (c, plan) for c in candidates if (plan := _plan(c, energy, section)) is not None}
    saved = sum(candidate.macs - plan.macs for candidate, plan in plans.values())
    new, lineage = _rebuilt(model, {key: _factors(*item) for key, item in plans.items()})
    after = before - saved
    note = f"low_rank: {round(before):,} macs -> {round(after):,} ({after / before:.3f} of them)"
    rows = [
        f"{candidate.call.layer.name}: {plan.scheme.replace('_', '-')} of rank {' and '.join(map(str, plan.ranks))}"
        for candidate, plan in plans.values()
    ]
    return Shrunk(new, lineage, (note, *([f"split: {'; '.join(rows)}"] if rows else [])))


def _candidates(model: KerasModel, section: LowRank, samples: Samples) -> tuple[list[_Candidate], float]:
    """The layers that may be split, and what the model costs now."""
    for pattern in section.skip:
        if not any(patterns_match(layer.name, [pattern]) for layer in model.layers):
            raise RecipeError(f"recipe: low_rank.skip: {pattern!r} fits no layer of the model")
    graph = trace_channels(model)
    sizes = np.array([len(family.groups) for family in graph.families], np.float64)
    before = Costs.of(graph).total(sizes, "macs")
    once = [item for item, _, count in graph.weights.values() if count == 1]
    fit = [
        item for item in once if _may_split(item.call.layer) and not patterns_match(item.call.layer.name, section.skip)
    ]
    if not fit:
        raise RecipeError("recipe: low_rank: the model has no layer that can be split (Dense, Conv1D, Conv2D)")
    moments = measure_moments(model, [item.call for item in fit], samples)
    candidates = [
        _Candidate(
            item.call, item_moments, np.asarray(item.call.layer.get_weights()[0]), item.traced.weights[0].repeats
        )
        for item, item_moments in zip(fit, moments, strict=True)
    ]
    return candidates, before


def _may_split(layer: Layer) -> bool:
    if type(layer) is _L.Dense:
        return True
    if type(layer) not in (_L.Conv1D, _L.Conv2D):
        return False
    settings = layer.get_config()
    plain = settings["groups"] == 1 and max(settings["dilation_rate"]) == 1
    return bool(plain and settings["data_format"] == "channels_last" and settings["padding"] in ("same", "valid"))


def _plan(candidate: _Candidate, energy: float, section: LowRank) -> _Plan | None:
    """The cheapest way to keep the energy; None where the layer as it is costs no more."""
    plans = []
    for scheme in candidate.schemes:
        ranks = ranks_for(scheme, candidate.kernel, candidate.moments, energy)
        rounded = tuple(-(-rank // section.round_to) * section.round_to for rank in ranks)
        plans.append(_Plan(scheme, rounded, candidate.cost(scheme, rounded)))
    best = min(plans, key=lambda plan: plan.macs)
    fits = all(rank <= size for rank, size in zip(best.ranks, _most_ranks(candidate, best.scheme), strict=True))
    return best if best.macs < candidate.macs and fits else None


def _most_ranks(candidate: _Candidate, scheme: Scheme) -> tuple[int, ...]:
    *window, inputs, outputs = candidate.kernel.shape
    if scheme == "pca":
        return (min(outputs, inputs * int(np.prod(window, initial=1))),)
    return (min(window[0] * inputs, window[1] * outputs),) if scheme == "spatial" else (inputs, outputs)


def _energy_for(candidates: Sequence[_Candidate], section: LowRank, before: float) -> float:
    """The largest energy with which the model costs at most the share asked for."""
    assert section.macs is not None

    def left(energy: float) -> float:
        plans = [(c, _plan(c, energy, section)) for c in candidates]
        return (before - sum(c.macs - plan.macs for c, plan in plans if plan is not None)) / before

    low, high = 0.0, 1.0
    if left(low) > section.macs:
        raise RecipeError(
            f"recipe: low_rank.macs is {section.macs:g}, but with the least ranks {left(low):.3f} of the model's macs "
            "are left; ask for at least that, or set a smaller round_to"
        )
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle) <= section.macs else (low, middle)
    return low


def _factors(candidate: _Candidate, plan: _Plan) -> Factors:
    return factorized(plan.scheme, candidate.kernel, candidate.moments, plan.ranks)


def _rebuilt(model: KerasModel, factors: dict[int, Factors]) -> tuple[KerasModel, Lineage]:
    copies = Copies()
    weights: list[tuple[Layer, list[np.ndarray]]] = []
    origins: dict[str, Origin] = {}

    def emit(call: Call) -> object:
        if id(call.layer) not in factors:
            origins[call.layer.name] = Origin(call.layer.name)
            return copies.repeat(call)
        x: Tensor = call.inputs[0]
        for layer, values in _pieces(call.layer, factors[id(call.layer)], copies):
            origins[layer.name] = Origin(call.layer.name)
            weights.append((layer, values))
            x = layer(x)
        return x

    new: KerasModel = rebuild(model, emit)
    copies.copy_weights()
    for layer, values in weights:
        layer.set_weights([value.astype(np.float32) for value in values])
    return new, Lineage(origins)


def _pieces(layer: Layer, factors: Factors, copies: Copies) -> list[tuple[Layer, list[np.ndarray]]]:
    """The layers whose product the kernel is; the last keeps the name, the activation and the bias."""
    settings, values = layer.get_config(), layer.get_weights()
    bias = factors.shift + (values[1] if settings["use_bias"] else 0)
    pieces = []
    for number, kernel in enumerate(factors.kernels):
        last = number == len(factors.kernels) - 1
        name = layer.name if last else f"{layer.name}_rank_{number + 1}"
        changed = {
            **settings,
            "name": copies.unique_name(name),
            "use_bias": last,
            **_geometry(settings, factors, number),
        }
        if not last:
            changed |= {"activation": "linear", "kernel_regularizer": None, "activity_regularizer": None}
        piece: Layer = type(layer).from_config(changed)
        pieces.append((piece, [kernel, bias] if last else [kernel]))
    return pieces


def _geometry(settings: dict[str, object], factors: Factors, number: int) -> dict[str, object]:
    """Window, strides and channels of one piece."""
    kernel = factors.kernels[number]
    if kernel.ndim == 2:
        return {"units": kernel.shape[-1]}
    strides = settings["strides"]
    assert isinstance(strides, tuple | list)
    ones = (1,) * len(strides)
    with_window = {"pca": 0, "tucker_2": 1}.get(factors.scheme)
    own: tuple[int, ...] = tuple(strides) if number == with_window else ones
    if factors.scheme == "spatial":
        own = (strides[0], 1) if number == 0 else (1, strides[1])
    return {"filters": kernel.shape[-1], "kernel_size": kernel.shape[:-2], "strides": own}
