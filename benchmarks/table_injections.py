"""Faults injected one at a time into eight networks: is the layer right, the cause, and does the printed remedy repair?

A row is a network with its faults; `sound_causes` counts the causes that are named on its sound file, which has none.
All files are made without the operators of more bits that the phone gives a destroyed output by itself, as with
``--wider_activations=never``: a fault has to be there to be named.  What is printed is tried in the same way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import injected_faults as faults
from benchmarks.injected_networks import NETWORKS, Subject, changed, depthwise
from tfcompress.accuracy_diff import CandidateResult, ladder, suggest, try_suggestions
from tfcompress.calibration import Range
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.limits import Abilities
from tfcompress.native_output import silenced
from tfcompress.recipe import PostTraining, Recipe

SECONDS = 600
PHONE = Abilities(float_inputs=True, float_outputs=True)
DEFAULT = Recipe()
PLAIN = Recipe(post_training=PostTraining(mixed_inputs="one_scale", mixed_outputs="one_scale"))


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault: what is expected to be named, and the file with it.

    Attributes:
        kind: the cause's.
        layer: the one it lies in, or others that would be as right; empty for the whole model.
        make: from the sound subject to (the subject that is compared with, the faulty file).
    """

    kind: str
    layer: tuple[str, ...]
    make: Callable[[Subject], tuple[Subject, bytes]]


def _converted(subject: Subject, recipe: Recipe = DEFAULT) -> bytes:
    return quantize_int8(subject.model, subject.calibration, recipe, abilities=PHONE).content


def _ranges(change: Callable[[str, Range], Range]) -> Callable[[Subject], tuple[Subject, bytes]]:
    def make(subject: Subject) -> tuple[Subject, bytes]:
        ranges = {name: change(name, item) for name, item in subject.ranges().items()}
        return subject, faults.quantized(subject.float_content, ranges)

    return make


def _from(change: Callable[[Any], None]) -> Callable[[Subject], tuple[Subject, bytes]]:
    """A file of a model with other weights."""

    def make(subject: Subject) -> tuple[Subject, bytes]:
        other = dataclasses.replace(subject, model=changed(subject.model, change))
        return subject, _converted(other)

    return make


def _edit(layer: str, edit: Callable[[Any], None]) -> Callable[[Subject], tuple[Subject, bytes]]:
    return lambda subject: (subject, faults.edited(_converted(subject), layer, edit))


def _shuffle(layer: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        kernel, *rest = model.get_layer(layer).get_weights()
        mixed = np.random.default_rng(0).permutation(kernel.ravel()).reshape(kernel.shape)
        model.get_layer(layer).set_weights([mixed, *rest])

    return change


def _turn(model: Any) -> None:
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([np.roll(kernel, 1, axis=-1), np.roll(bias, 1)])


def _disturb(model: Any) -> None:
    gamma, beta, mean, variance = model.get_layer("norm").get_weights()
    spread = np.linspace(0.15, 6.0, len(gamma))
    model.get_layer("norm").set_weights([gamma, beta, mean + 0.05, variance * spread])


def _other_inputs(subject: Subject) -> tuple[Subject, bytes]:
    raw = dataclasses.replace(subject.calibration, preprocess=lambda value: value * 127.5 + 127.5)
    return subject, faults.quantized(subject.float_content, subject.ranges(raw))


def _dim_inputs(subject: Subject) -> tuple[Subject, bytes]:
    dim = dataclasses.replace(subject.calibration.take(1), preprocess=lambda value: value * 0.25)
    whole, few = subject.ranges(), subject.ranges(dim)
    first = next(iter(whole))
    return subject, faults.quantized(subject.float_content, {**few, first: whole[first]})


def _faint(subject: Subject) -> tuple[Subject, bytes]:
    def fade(model: Any) -> None:
        head = model.get_layer("logits")
        head.set_weights([weights / 400 for weights in head.get_weights()])

    faint = Subject(changed(subject.model, fade))
    return faint, _converted(faint, PLAIN)


def _training_mode(subject: Subject) -> tuple[Subject, bytes]:
    """As a user's own script may export it: our converter would take inference mode."""
    content = faults.exported(depthwise, subject.model.keras_model.get_weights(), subject.calibration, training=True)
    return subject, content


def _lost(kind: str, layer: str) -> Callable[[Subject], tuple[Subject, bytes]]:
    """A compressed network, and a file of one that training has shaken since."""

    def compress(model: Any) -> None:
        kernel, *rest = model.get_layer(layer).get_weights()
        step = np.abs(kernel).max() / 4
        pruned = np.where(np.abs(kernel) < np.quantile(np.abs(kernel), 0.6), 0, kernel)
        values = pruned if kind == "sparsity_lost" else np.round(kernel / step) * step
        model.get_layer(layer).set_weights([values, *rest])

    def shake(model: Any) -> None:
        kernel, *rest = model.get_layer(layer).get_weights()
        noise = np.random.default_rng(0).normal(0, 1.5 * kernel.std(), kernel.shape)
        model.get_layer(layer).set_weights([kernel + noise, *rest])

    def make(subject: Subject) -> tuple[Subject, bytes]:
        compressed = Subject(changed(subject.model, compress))
        other = Subject(changed(compressed.model, shake))
        return compressed, quantize_int8(other.model, compressed.calibration, Recipe(), abilities=PHONE).content

    return make


def _one_scale(subject: Subject) -> tuple[Subject, bytes]:
    return subject, _converted(subject, PLAIN)


def narrow(layer: str) -> Fault:
    return Fault("range_too_narrow", (layer,), _ranges(faults.scaled(layer, 0.05)))


def wide(layer: str) -> Fault:
    return Fault("range_too_wide", (layer,), _ranges(faults.scaled(layer, 150.0)))


def weights(layer: str) -> Fault:
    return Fault("weights_differ", (layer,), _from(_shuffle(layer)))


def coarse(layer: str) -> Fault:
    return Fault("needs_more_bits", (layer,), _edit(layer, faults.coarse_weights))


def dead(layer: str) -> Fault:
    return Fault("dead_activation", (layer,), _edit(layer, faults.drowned_bias))


ORDER = Fault("class_order", (), _from(_turn))
PREPROCESSING = Fault("preprocessing", (), _other_inputs)
FEW = Fault("too_few_calibration_samples", (), _dim_inputs)
TIES = Fault("softmax_tail", ("answer",), _faint)
MASK = Fault("mask_in_range", ("attention",), _ranges(lambda _, item: item))
NORM = Fault("batch_norm", ("norm", "relu_a", "conv_a"), _from(_disturb))
TRAINING = Fault("training_mode", ("norm",), _training_mode)
UNSCALED, MIXED = Fault("unscaled_features", (), _one_scale), Fault("mixed_ranges", (), _one_scale)
SPARSITY = Fault("sparsity_lost", ("right",), _lost("sparsity_lost", "right"))
CLUSTERS = Fault("clusters_lost", ("conv_b",), _lost("clusters_lost", "conv_b"))
FAULTS: dict[str, tuple[Fault, ...]] = {
    "residual": (narrow("conv_b"), wide("conv_b"), PREPROCESSING, weights("conv_b"), NORM),
    "two_branch": (narrow("stem"), dead("right"), coarse("stem"), ORDER, SPARSITY),
    "depthwise": (wide("pointwise"), FEW, TRAINING, weights("depthwise"), TIES),
    "attention": (MASK, weights("wide"), ORDER, dead("wide"), TIES),
    "recurrent": (ORDER, weights("behind"), dead("behind"), coarse("behind"), narrow("behind")),
    "tabular": (UNSCALED, ORDER, weights("second"), weights("first"), dead("second")),
    "detection": (MIXED, narrow("conv_b"), weights("conv_b"), wide("conv_a"), PREPROCESSING),
    "segmentation": (narrow("conv_b"), coarse("conv_b"), dead("conv_a"), CLUSTERS, wide("conv_a")),
}


def names() -> list[str]:
    """The networks."""
    return list(NETWORKS)


def row(name: str) -> dict[str, Any]:
    """How many of a network's faults were named and repaired."""
    with silenced():
        subject = Subject.of(name)
        sound = subject.judged(_converted(subject))
        tried = [_tried(subject, fault) for fault in FAULTS[name]]
    figures = {key: sum(item[key] for item in tried) for key in ("layer_right", "cause_right", "repaired")}
    whole = all(count == len(tried) for count in figures.values()) and not sound.causes
    missed = [f"{item['fault']}: {item['named']}" for item in tried if not item["cause_right"]]
    return {
        "status": "ok" if whole else "partly",
        "reason": "; ".join(missed) or None,
        "faults": len(tried),
        "kinds": len({fault.kind for fault in FAULTS[name]}),
        **figures,
        "sound_causes": len(sound.causes),
        "sound_sqnr_db": sound.diff["sqnr_db"],
        "details": tried,
    }


def _tried(subject: Subject, fault: Fault) -> dict[str, Any]:
    against, content = fault.make(subject)
    result = against.judged(content)
    named = [(cause.kind, cause.layer) for cause in result.causes]
    right = [layer for kind, layer in named if kind == fault.kind]
    layers_right = bool(named) and (not fault.layer or any(layer in fault.layer for _, layer in named))
    repaired, remedy = _repaired(against, result)
    return {
        "fault": f"{fault.kind} {', '.join(fault.layer[:1])}".strip(),
        "named": ", ".join(f"{kind} ({layer})" if layer else kind for kind, layer in named) or "nothing",
        "gate_failed": result.gate.failed,
        "cause_right": bool(right),
        "layer_right": layers_right,
        "repaired": repaired,
        "remedy": remedy,
    }


def _repaired(subject: Subject, result: CandidateResult) -> tuple[bool, str | None]:
    """Whether what is printed, tried in its order, brings the artifact below the gate."""

    def retry(suggestion: Any) -> Any:
        recipe = suggestion.recipe
        integer_io = recipe.post_training.scheme != "int8_float_io"
        again = quantize_int8(subject.model, subject.calibration, recipe, integer_io=integer_io, abilities=PHONE)
        return subject.judged(again.content).gate

    trials = try_suggestions((*suggest(result.causes, Recipe()), *ladder(Recipe(), result.layers)), retry)
    passed = result.gate.failed and bool(trials) and not trials[-1].gate.failed
    return passed, trials[-1].suggestion.flag if passed else None
