"""Causes that lie in what the file was made of or fed with: another model's weights, its training mode, its scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tfcompress.accuracy_diff.causes.cause import Cause
from tfcompress.accuracy_diff.causes.evidence import Evidence
from tfcompress.accuracy_diff.channel_error import channel_rows, channel_statistics
from tfcompress.accuracy_diff.layers.tapped import tensor_range
from tfcompress.accuracy_diff.matching import inputs_for, outputs_as
from tfcompress.accuracy_diff.runners import Runner
from tfcompress.data import Samples
from tfcompress.layer_names import as_named_in, layers_of

__all__ = ["class_order_cause", "export_causes", "mask_causes", "mixed_range_causes", "scale_causes", "weight_causes"]

LARGE_STEPS = 24  # of 127: a weight so large has a sign that no rounding turns
FEW_WEIGHTS = 32
OTHER_SIGN = 0.04  # share of the large weights of a layer; a file of the same model has none
ENOUGH_DB = 20.0  # of the outputs' variation: what rounding the inputs alone leaves of a sound model
CHANNEL_DB = 15.0  # of a column that one scale for all leaves too little of
UNLIKE = 16.0  # times
FEATURES = 16  # rectified columns at each place of a map: as many are no things of their own
MASK, COARSE = -64.0, 1.0  # no trained network's own score, and a step that leaves a softmax nothing to tell apart
SAME = 0.9  # correlation of a class's values with those of the class that it was exchanged for
OTHER = 0.5  # and at most with its own
RANDOM = ("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL", "STABLEHLO_RNG_BIT_GENERATOR")
MOMENTS = ("MEAN", "SQUARED_DIFFERENCE", "RSQRT")


def weight_causes(evidence: Evidence) -> Iterator[Cause]:
    """Layers whose large weights have other signs than the float model's: the file was made of another model."""
    for row in evidence.rows:
        stored = evidence.weights(row)
        owned = None if stored is None else evidence.kernel(row, stored[0].size)
        if stored is None or owned is None:
            continue
        share = _other_signs(stored[0], stored[2], owned[1], row.operator.name)
        if share is not None and share > OTHER_SIGN:
            text = f"{100 * share:.0f} % of its large weights have another sign than the float model's"
            yield Cause("weights_differ", owned[0], text)


def _other_signs(values: np.ndarray, axis: int, kernel: np.ndarray, name: str) -> float | None:
    """Share of the large integers whose sign is not the float weight's; a channel may be negated whole by a norm."""
    twin = _as_stored(kernel, values.shape, name)
    if twin is None:
        return None
    stored = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.int64)
    floats = np.moveaxis(twin, axis, 0).reshape(stored.shape)
    large = (np.abs(stored) >= LARGE_STEPS) & (floats != 0)
    if large.sum() < FEW_WEIGHTS:
        return None
    wrong = ((np.sign(stored) != np.sign(floats)) & large).sum(axis=1)
    return float(np.minimum(wrong, large.sum(axis=1) - wrong).sum() / large.sum())


def _as_stored(kernel: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray | None:
    """A Keras kernel in the layout of a .tflite; None where the layouts do not fit."""
    if name == "FULLY_CONNECTED":
        twin = kernel.reshape(shape[1], shape[0]).T if kernel.ndim == 2 else None
    elif name == "CONV_2D" and kernel.ndim in (3, 4):
        twin = np.moveaxis(kernel, -1, 0)
    elif name == "DEPTHWISE_CONV_2D" and kernel.ndim == 4:
        twin = kernel
    else:
        twin = None
    return None if twin is None or twin.size != np.prod(shape) else twin.reshape(shape)


def export_causes(evidence: Evidence) -> Iterator[Cause]:
    """Layers that compute in the file as they do in training: dropout that draws, a norm with the batch's moments."""
    graph = evidence.graph
    tensors = [graph.tensors[index].name for operator in graph.operators for index in operator.outputs]
    named_layers = as_named_in(tuple(evidence.keras_layers), tensors)
    for name in ("Dropout", "BatchNormalization", "GaussianNoise", "GaussianDropout", "SpatialDropout2D"):
        for layer in (key for key, item in evidence.keras_layers.items() if type(item).__name__ == name):
            names = {
                operator.name
                for operator in graph.operators
                for index in operator.outputs
                if layer in layers_of(graph.tensors[index].name, named_layers)
            }
            trained = names.intersection(RANDOM) if name != "BatchNormalization" else names.issuperset(MOMENTS[:2])
            if trained:
                text = (
                    "draws at random in the file" if names.intersection(RANDOM) else "normalizes by the batch's moments"
                )
                yield Cause("training_mode", layer, f"{text}: it was exported in training mode")
    loose = [operator.name for operator in graph.operators if operator.name in RANDOM]
    if loose:
        yield Cause("training_mode", None, f"the file draws at random ({loose[0]}): it was exported in training mode")


def mask_causes(evidence: Evidence) -> Iterator[Cause]:
    """Softmax operators whose input has a range with a mask in it, and steps too coarse for the scores beside it."""
    graph = evidence.graph
    tensors = [graph.tensors[index].name for operator in graph.operators for index in operator.outputs]
    named_layers = as_named_in(tuple(evidence.keras_layers), tensors)
    for operator in graph.operators:
        limits = tensor_range(graph.tensors[operator.inputs[0]]) if operator.name == "SOFTMAX" else None
        if limits is None or limits[0] > MASK or (limits[1] - limits[0]) / 255 < COARSE:
            continue
        layer = next(iter(layers_of(graph.tensors[operator.outputs[0]].name, named_layers)), None)
        text = f"the range of its scores, {limits[0]:.3g} to {limits[1]:.3g}, holds a mask"
        yield Cause("mask_in_range", layer, text)


def scale_causes(evidence: Evidence, reference: Runner, data: Samples, fed: Mapping[int, str]) -> Iterator[Cause]:
    """Inputs whose rounding to the artifact's 8 bits, and nothing else, costs the float model its outputs."""
    limits = {name: _step(evidence, index) for index, name in fed.items()}
    coarse = {name: item for name, item in limits.items() if item is not None}
    if not coarse:
        return
    power, noise = 0.0, 0.0
    worst: dict[str, float] = {}
    first = next(data.batches(64)).inputs
    wanted = reference.run(first)
    rounded = {name: _rounded(value, coarse[name]) if name in coarse else value for name, value in first.items()}
    got = reference.run(rounded)
    for name, truth in wanted.items():
        power += float(np.var(truth, axis=0).sum())
        noise += float(np.square(truth - got[name]).mean(axis=0).sum())
    for name, (_, step, _) in coarse.items():
        spread = first[name].reshape(-1, first[name].shape[-1]).var(axis=0)
        live = spread[spread > 0]
        worst[name] = float(10 * np.log10(live.min() / (step**2 / 12))) if live.size else float("inf")
    kept = 10 * np.log10(power / max(noise, 1e-12 * power)) if power > 0 else np.inf
    name = min(worst, key=lambda key: worst[key])
    if kept < ENOUGH_DB and worst[name] < ENOUGH_DB:
        text = (
            f"input {name!r} has features of different scale: one 8-bit scale keeps {max(worst[name], 0.0):.1f} dB of "
            f"the least, and rounding the inputs alone leaves the float model {max(kept, 0.0):.1f} dB"
        )
        yield Cause("unscaled_features", None, text)


def _step(evidence: Evidence, index: int) -> tuple[float, float, float] | None:
    """(low, step, high) of an 8-bit input, or of what its QUANTIZE makes of it."""
    tensor = evidence.graph.tensors[index]
    readers = evidence.graph.consumers(index)
    if tensor.dtype == "float32" and len(readers) == 1 and readers[0].name == "QUANTIZE":
        tensor = evidence.graph.tensors[readers[0].outputs[0]]
    limits = tensor_range(tensor)
    if limits is None or tensor.dtype == "int16" or len(tensor.shape) < 2:
        return None
    return limits[0], (limits[1] - limits[0]) / 255, limits[1]


def _rounded(value: np.ndarray, how: tuple[float, float, float]) -> np.ndarray:
    low, step, high = how
    if value.dtype.kind != "f":
        return value
    return np.asarray(np.clip(low + np.round((value - low) / step) * step, low, high), value.dtype)


def mixed_range_causes(
    evidence: Evidence, reference: Runner, candidate: Runner, data: Samples, names: Mapping[str, str]
) -> Iterator[Cause]:
    """Columns of an output for which the one scale of all of them is too coarse, where floats would mend that."""
    for name, wanted, got in _paired(reference, candidate, data, names):
        rows = channel_rows(channel_statistics(wanted, got))
        if not rows or (wanted.min() >= 0 and wanted.max() <= 1 + 1e-3) or _is_feature_map(wanted):
            continue
        reach = max(max(-row["low"], row["high"]) for row in rows)
        poor = [row for row in rows if row["sqnr_db"] is not None and row["sqnr_db"] < CHANNEL_DB]
        poor = [row for row in poor if UNLIKE * max(-row["low"], row["high"]) < reach and row["low"] < row["high"]]
        if poor and _integer_output(evidence):
            worst = poor[0]
            text = (
                f"column {worst['channel']} of output {name!r} ({worst['low']:.3g} to {worst['high']:.3g}) keeps "
                f"{worst['sqnr_db']:.1f} dB in one 8-bit scale with values up to {reach:.3g}"
            )
            yield Cause("mixed_ranges", None, text)


def _is_feature_map(values: np.ndarray) -> bool:
    """Rectified features at each place, [samples, ..., features], which a converter leaves in integers."""
    return bool(values.ndim > 2 and values.shape[-1] >= FEATURES and values.min() == 0)


def _integer_output(evidence: Evidence) -> bool:
    graph = evidence.graph
    producers = [graph.producer(index) for index in graph.outputs]
    behind = [op.name == "DEQUANTIZE" for op in producers if op is not None]
    return any(graph.tensors[index].dtype in ("int8", "uint8") for index in graph.outputs) or any(behind)


def class_order_cause(reference: Runner, candidate: Runner, data: Samples, names: Mapping[str, str]) -> Iterator[Cause]:
    """Outputs that are the float model's, in another order."""
    for name, wanted, got in _paired(reference, candidate, data, names):
        if wanted.ndim != 2 or not 2 <= wanted.shape[1] <= 4096 or len(wanted) < 8:
            continue
        centred = [values - values.mean(axis=0) for values in (wanted.astype(np.float64), got.astype(np.float64))]
        norms = [np.maximum(np.linalg.norm(values, axis=0), 1e-12) for values in centred]
        alike = (centred[0] / norms[0]).T @ (centred[1] / norms[1])
        live = norms[0] > 1e-9
        order = alike.argmax(axis=1)
        moved = live & (order != np.arange(len(order))) & (alike.max(axis=1) > SAME) & (np.diag(alike) < OTHER)
        if moved.sum() >= 2 and sorted(order[live]) == sorted(set(order[live])):
            first = int(np.flatnonzero(moved)[0])
            text = (
                f"{int(moved.sum())} of {len(order)} columns of output {name!r} are in another order: column {first} "
                f"of the float model is column {int(order[first])} of the file"
            )
            yield Cause("class_order", None, text)


def _paired(
    reference: Runner, candidate: Runner, data: Samples, names: Mapping[str, str]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(output, float values, the artifact's) over all samples, of outputs of equal shape."""
    wanted: dict[str, list[np.ndarray]] = {}
    got: dict[str, list[np.ndarray]] = {}
    for batch in data.batches(32):
        floats, own = reference.run(batch.inputs), candidate.run(inputs_for(candidate, batch.inputs, names))
        order = outputs_as(floats, own, who=candidate.name)
        for name, values in floats.items():
            wanted.setdefault(name, []).append(values)
            got.setdefault(name, []).append(own[order[name]])
    for name in wanted:
        floats_of, own_of = np.concatenate(wanted[name]), np.concatenate(got[name])
        if floats_of.shape == own_of.shape:
            yield name, floats_of, own_of
