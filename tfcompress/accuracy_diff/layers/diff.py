"""The diff of every layer: the error that it shows, the part of it that is its own, and how it uses its range."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics, added
from tfcompress.accuracy_diff.layers.equalized import SOUND_DB, channel_factors, outputs_db
from tfcompress.accuracy_diff.layers.graph_tensors import GraphTensors
from tfcompress.accuracy_diff.layers.range_use import range_figures, range_statistics
from tfcompress.accuracy_diff.layers.tapped import (
    LayerTensor,
    find_layer_tensors,
    output_tensor,
    tapped,
    teacher_forced,
)
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.matching import PROOF_SAMPLES, input_names, inputs_for, outputs_as
from tfcompress.accuracy_diff.runners import Arrays, FloatModelRunner, Runner, SavedModelRunner, in_fixed_batches
from tfcompress.accuracy_diff.signal_error import signal_metrics, signal_statistics
from tfcompress.data import Samples
from tfcompress.graphs.tflite import TfliteFile, read_tflite
from tfcompress.layer_names import all_layers
from tfcompress.remarks import remark

__all__ = ["LayerDiff", "compare_layers"]

MOST_BATCH = 8
MOST_VALUES = 1 << 25  # of all layers at once, three times: the float model's, and two of the artifact
Port = TypeVar("Port", bound=Hashable)


@dataclass(frozen=True)
class LayerDiff:
    """One Keras layer, float against artifact, on the same samples.

    Attributes:
        layer: its name; the last of those that the artifact fused.
        type: the Keras class.
        operator: of the .tflite that computes it; None for a SavedModel.
        fused: names of the other layers fused with it.
        tensor: index of the .tflite's tensor; None for a SavedModel.
        tensor_name: its name in the .tflite, by which other tools know it; None for a SavedModel.
        dtype: of the .tflite's tensor; None for a SavedModel.
        sqnr_db: signal to quantization noise ratio of its output, its channels in the artifact's units where
            equalization has scaled them; None for an output that is all zero.
        own_sqnr_db: the same when the artifact's layer gets the float model's values; None where it cannot be fed.
        cosine: mean over samples, between the two outputs.
        own_cosine: the same with float inputs.
        range: lowest and highest value that the artifact's tensor can hold; None for float.
        observed: lowest and highest value in the float model.
        range_used: share of `range` that the float values take up; None for float.
        bulk_used: share of `range` that the middle 99.8 % of them take up; None for float.
        saturation: share of the float values that lie outside `range`; None for float.
        dead: the artifact's output is constant and the float one is not; with float inputs where it can be fed them.
        affine_share: share of the own error that a scale and a shift of each channel explain; None without an own
            error.
        channel_sqnr_db: the own SQNR that nine in ten channels reach; None without an own error.
    """

    layer: str
    type: str
    operator: str | None
    fused: tuple[str, ...]
    tensor: int | None
    tensor_name: str | None
    dtype: str | None
    sqnr_db: float | None
    own_sqnr_db: float | None
    cosine: float | None
    own_cosine: float | None
    range: tuple[float, float] | None
    observed: tuple[float, float]
    range_used: float | None
    bulk_used: float | None
    saturation: float | None
    dead: bool
    affine_share: float | None
    channel_sqnr_db: float | None

    def to_json(self) -> dict[str, Any]:
        """The layer's row in report.json."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def compare_layers(reference: FloatModelRunner, candidate: Runner, data: Samples) -> tuple[LayerDiff, ...]:
    """Compare layer by layer.

    Args:
        reference: a Keras model in float.
        candidate: a `.tflite` or a SavedModel made from it.
        data: the samples to look at; a few dozen are enough.

    Returns:
        One row per layer that both have, in the order of computation, and one for an output that is not a layer's own
        tensor (a softmax behind a dense layer); empty where the models' layers cannot be told.
    """
    if reference.model.keras_model is None:
        return ()
    kinds = {layer.name: type(layer).__name__ for layer in all_layers(reference.model.keras_model)}
    if not isinstance(candidate, LiteRtRunner | SavedModelRunner):
        return ()
    graph = GraphTensors(reference.function, kinds, [info.name for info in reference.inputs])
    first = next(data.take(PROOF_SAMPLES).batches(PROOF_SAMPLES)).inputs
    names = input_names(candidate, first, reference=reference, where=data.name)
    if isinstance(candidate, LiteRtRunner):
        wanted, given = reference.run(first), candidate.run(inputs_for(candidate, first, names))
        outputs = outputs_as(wanted, given, who=candidate.name)
        is_sound = outputs_db(wanted, given, outputs) > SOUND_DB
        return _against_tflite(graph, candidate, data, kinds, names, outputs, is_sound=is_sound)
    function, batch = candidate.static(min(MOST_BATCH, data.most_at_once or MOST_BATCH))
    other = GraphTensors(function, kinds, [names[own] for own in sorted(names)])
    return _against_graph(graph, other, batch, data, kinds)


def _against_graph(
    graph: GraphTensors, other: GraphTensors, size: int | None, data: Samples, kinds: Mapping[str, str]
) -> tuple[LayerDiff, ...]:
    """Against another TensorFlow graph: its layers cannot be fed one by one, so there is no own error."""
    pairs = _pairs(graph, other, kinds)
    held = _that_fit({layer: graph.elements(mine) for layer, (mine, _) in pairs.items()})
    pairs = {layer: pair for layer, pair in pairs.items() if layer in held}
    if not pairs:
        return ()
    read, read_other = graph.reader([a for a, _ in pairs.values()]), other.reader([b for _, b in pairs.values()])
    counted: dict[str, Statistics] = {}
    for batch in data.batches(_batch_size([graph.elements(mine) for mine, _ in pairs.values()])):
        wanted = read(batch.inputs)
        got = read_other(batch.inputs) if size is None else in_fixed_batches(read_other, batch.inputs, size)
        for layer, (mine, theirs) in pairs.items():
            if wanted[mine].shape == got[theirs].shape:
                _count(counted, layer, _row_statistics(wanted[mine], got[theirs], None))
    return tuple(_row(layer, kinds[layer], None, total) for layer, total in counted.items())


def _batch_size(elements: Iterable[int]) -> int:
    """Samples at once, by the values that each of the layers gives for one; all layers are held at the same time."""
    return max(1, min(MOST_BATCH, MOST_VALUES // max(1, sum(elements))))


def _that_fit(elements: Mapping[Port, int]) -> set[Port]:
    """The layers that can be held at the same time, the smallest first, by the values that each gives for a sample."""
    held, total = set[Port](), 0
    for port, size in sorted(elements.items(), key=lambda item: item[1]):
        total += size
        if total > MOST_VALUES:
            break
        held.add(port)
    if len(held) < len(elements):
        remark(f"{len(elements) - len(held)} layers with the largest tensors are left out of the diff of the layers")
    return held


def _pairs(graph: GraphTensors, other: GraphTensors, kinds: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """{layer: (its operator, the one that gives the same value in the other graph)}."""
    pairs: dict[str, tuple[str, str]] = {}
    for layer in graph.operators:
        if layer in other.operators:
            last = other.operators[layer][-1]  # an activation may have become a layer of its own
            mine = graph.operator_named(layer, last.split("/"))
            assert mine is not None  # the layer has operators
            pairs[layer] = mine, last
        elif kinds[layer] == "BatchNormalization" and (before := graph.layer_before(layer)) in pairs:
            pairs[layer] = graph.operators[layer][-1], pairs.pop(str(before))[1]  # folded into the layer before it
    return pairs


def _against_tflite(
    graph: GraphTensors,
    candidate: LiteRtRunner,
    data: Samples,
    kinds: Mapping[str, str],
    names: Mapping[str, str],
    outputs: Mapping[str, str],
    *,
    is_sound: bool,
) -> tuple[LayerDiff, ...]:
    file = read_tflite(candidate.content)
    candidates = {
        item.port: (item, graph.operator_named(item.layer, item.leaves, item.tensor.name))
        for item in find_layer_tensors(file, kinds)
    }
    candidates |= {item.port: (item, operator) for item, operator in _outputs(graph, file, candidate, outputs)}
    held = _that_fit({port: item.tensor.elements for port, (item, _) in candidates.items()})
    pairs = {port: (item, operator) for port, (item, operator) in candidates.items() if operator and port in held}
    if not pairs:
        return ()
    read = graph.reader([operator for _, operator in pairs.values()])
    twice = _RunOnOwnAndReferenceInputs(candidate, [item for item, _ in pairs.values()], names)
    counted: dict[str, Statistics] = {}
    factors: dict[str, np.ndarray] | None = None if is_sound else {}
    for batch in data.batches(_batch_size([item.tensor.elements for item, _ in pairs.values()])):
        values = read(batch.inputs)
        wanted = {port: values[operator] for port, (_, operator) in pairs.items()}
        factors = twice.factors(batch.inputs, wanted) if factors is None else factors
        wanted |= {port: (wanted[port] * factor).astype(np.float32) for port, factor in factors.items()}
        for port, (whole, own) in twice.run(batch.inputs, wanted).items():
            _count(counted, port, _row_statistics(wanted[port], whole, own, pairs[port][0].real_range))
    rows = [(item, counted[port]) for port, (item, _) in pairs.items() if port in counted]
    rows.sort(key=lambda row: row[0].operator.index)
    return tuple(_row(item.layer, kinds.get(item.layer, ""), item, total) for item, total in rows)


def _outputs(
    graph: GraphTensors, file: TfliteFile, candidate: LiteRtRunner, outputs: Mapping[str, str]
) -> Iterator[tuple[LayerTensor, str]]:
    """The artifact's outputs with the float model's operators of the same; `outputs` as of `outputs_as`."""
    indices = {info.name: index for info, index in zip(candidate.outputs, candidate.output_indices, strict=True)}
    for name, own in outputs.items():
        item = output_tensor(file, indices[own], name)
        if item is not None:
            yield item, graph.outputs[name]


class _RunOnOwnAndReferenceInputs:
    """The artifact twice: as it is, and with float values before every layer."""

    def __init__(self, candidate: LiteRtRunner, items: Sequence[LayerTensor], names: Mapping[str, str]) -> None:
        self._ports = [item.port for item in items]
        whole, forced = tapped(candidate.content, items), teacher_forced(candidate.content, items)
        self._whole = LiteRtRunner(whole.content, name=candidate.name, workers=1)
        self._forced = LiteRtRunner(forced.content, name=candidate.name, workers=1)
        self._fed = forced.fed
        self._names = [names[info.name] for info in candidate.inputs]

    def run(self, inputs: Arrays, wanted: Arrays) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
        """{port: (output, output with float inputs)} where the sizes agree."""
        given = [inputs[name] for name in self._names]
        whole = self._whole.run(dict(zip([info.name for info in self._whole.inputs], given, strict=True)))
        own = self._run_forced(given, wanted)
        return {
            port: (_like(whole[port], wanted[port]), _like(own[port], wanted[port]) if port in own else None)
            for port in self._ports
            if whole[port].size == wanted[port].size
        }

    def factors(self, inputs: Arrays, wanted: Arrays) -> dict[str, np.ndarray]:
        """{port: by what its channels are multiplied in the artifact} where equalization has scaled them."""
        pairs = [(port, wanted[port], whole) for port, (whole, _) in self.run(inputs, wanted).items()]
        factors = {port: channel_factors(truth, whole) for port, truth, whole in pairs}
        return {port: factor for port, factor in factors.items() if factor is not None}

    def _run_forced(self, given: Sequence[np.ndarray], wanted: Arrays) -> dict[str, np.ndarray]:
        """Outputs with float values fed in; empty where one of them has not the size of the artifact's tensor."""
        plain = [info.name for info in self._forced.inputs if info.name not in self._fed]
        feed = dict(zip(plain, given, strict=True))
        for info in self._forced.inputs:
            if info.name in self._fed:
                value = _shaped(wanted[self._fed[info.name]], info.shape)
                if value is None:
                    return {}
                feed[info.name] = value
        return self._forced.run(feed)


def _shaped(value: np.ndarray, shape: tuple[int | None, ...]) -> np.ndarray | None:
    """`value` in the shape of a tensor of the artifact, which may have other dimensions of one."""
    sizes = [len(value), *(size if size is not None else -1 for size in shape[1:])]
    if sizes.count(-1) > 1:
        return value if value.ndim == len(sizes) else None
    elements = int(np.prod([size for size in sizes if size != -1]))
    return (
        value.reshape(sizes)
        if elements and value.size % elements == 0 and (-1 in sizes or value.size == elements)
        else None
    )


def _like(value: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return value.reshape(wanted.shape)


def _count(counted: dict[str, Statistics], layer: str, new: Statistics) -> None:
    so_far = counted.get(layer)
    counted[layer] = new if so_far is None else {part: added(so_far[part], new[part]) for part in new}


def _row_statistics(
    wanted: np.ndarray, got: np.ndarray, own: np.ndarray | None, limits: tuple[float, float] | None = None
) -> dict[str, Statistics]:
    statistics: dict[str, Statistics] = {
        "whole": signal_statistics(wanted, got, extremes=False),
        "range": range_statistics(wanted, got, own, limits),
    }
    return statistics if own is None else {**statistics, "own": signal_statistics(wanted, own, extremes=False)}


def _row(layer: str, kind: str, item: LayerTensor | None, total: Mapping[str, Statistics]) -> LayerDiff:
    whole = signal_metrics(total["whole"])
    own = signal_metrics(total["own"]) if "own" in total else {"sqnr_db": None, "cosine": None}
    limits = item.real_range if item else None
    return LayerDiff(
        layer=layer,
        type=kind,
        operator=item.operator.name if item else None,
        fused=item.fused if item else (),
        tensor=item.tensor.index if item else None,
        tensor_name=item.tensor.name if item else None,
        dtype=item.tensor.dtype if item else None,
        sqnr_db=whole["sqnr_db"],
        own_sqnr_db=own["sqnr_db"],
        cosine=whole["cosine"],
        own_cosine=own["cosine"],
        range=limits,
        **range_figures(total["range"], limits),
    )
