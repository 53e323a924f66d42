"""How much each channel matters: by its weights, its scale, its activations, or what the loss says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tfcompress.compression.structure.batch_sizes import batch_within
from tfcompress.compression.structure.statistics import ReadStatistics
from tfcompress.compression.training.objective import heads_of, label_loss
from tfcompress.compression.training.strided_convolutions import subsampled_convolutions
from tfcompress.data import Samples
from tfcompress.graphs.keras.channels.graph import ChannelGraph
from tfcompress.graphs.keras.folding import affine_of
from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.runtime import tf, tf_keras

__all__ = ["importance_of"]

_BATCH = 32
_SAMPLES = 1024


def importance_of(
    graph: ChannelGraph, how: str, samples: Samples, statistics: ReadStatistics, *, loss: str | None, seed: int
) -> np.ndarray:
    """A value for each number of the graph's space, float64, that holds at the roots of groups.

    Args:
        graph: of the model.
        how: `l1` and `l2` are the norms of all filters of a group (Li et al. 2017), times the scale of the batch
            normalization behind each; `batch_norm` the scale alone (Liu et al. 2017, "Network Slimming"); `taylor`
            the square of what the loss changes by to first order where nothing reads the group any more (Molchanov et
            al. 2019, equation 8); `activation` the share of the power of each reader's output that the group's
            deviations from its mean bring (He et al. 2017, section 3.1, without the regression).
        samples: for `taylor`.
        statistics: for `activation`.
        loss: name of a Keras loss against labels, for `taylor`; None takes one that fits.
        seed: of the labels that `taylor` draws where the samples have none.
    """
    if how == "taylor":
        return _taylor(graph, samples, loss, seed)
    if how == "activation":
        return _activation(graph, statistics)
    return _normalised(graph, _scales(graph) if how == "batch_norm" else _norms(graph, 1 if how == "l1" else 2))


def _sum_along(values: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(values.sum(tuple(other for other in range(values.ndim) if other != axis)))


def _add(graph: ChannelGraph, total: np.ndarray, ids: np.ndarray, values: np.ndarray) -> None:
    np.add.at(total, graph.roots[ids], values)


def _zeros(graph: ChannelGraph) -> np.ndarray:
    return np.zeros(len(graph.roots))


def _norms(graph: ChannelGraph, power: int) -> np.ndarray:
    factors = _batch_norm_factors(graph)
    total = _zeros(graph)
    for item, weights, _ in graph.weights.values():
        for value, weight in zip(item.call.layer.get_weights(), weights, strict=True):
            for axis, along in weight.axes.items():
                if along.role == "writes" and value.ndim > 1:
                    factor = factors.get(id(item.call.old_outputs[0]))
                    size = _sum_along(np.abs(value.astype(np.float64)) ** power, axis)
                    scale = 1.0 if factor is None or len(factor) != len(size) else factor**power
                    _add(graph, total, along.ids, size * scale)
    return total if power == 1 else np.sqrt(total)


def _batch_norm_factors(graph: ChannelGraph) -> dict[int, np.ndarray]:
    """{id of a tensor: by how much the batch normalization that reads it scales each channel}."""
    norms = [item for item in graph.calls if isinstance(item.call.layer, tf_keras.layers.BatchNormalization)]
    return {id(item.call.old_inputs[0]): np.abs(affine_of(item.call.layer)[0]) for item in norms}


def _scales(graph: ChannelGraph) -> np.ndarray:
    """|gamma|; a group without a batch normalization has the norm of its filters instead."""
    total = _zeros(graph)
    for item in graph.calls:
        layer = item.call.layer
        if isinstance(layer, tf_keras.layers.BatchNormalization) and layer.scale and item.traced.weights:
            ids = item.traced.weights[0].axes[0].ids
            _add(graph, total, ids, np.abs(np.asarray(layer.gamma, np.float64)))
    return np.where(total > 0, total, _norms(graph, 2))


def _normalised(graph: ChannelGraph, scores: np.ndarray) -> np.ndarray:
    """Divided by the sum of each family: norms of different layers are not of one scale (Fang et al. 2023, 3.4)."""
    result = scores.copy()
    for family in graph.families:
        total = scores[family.groups].sum()
        result[family.groups] = scores[family.groups] / total if total > 0 else 0
    return result


def _activation(graph: ChannelGraph, statistics: ReadStatistics) -> np.ndarray:
    total = _zeros(graph)
    for index, item in enumerate(graph.calls):
        values = item.call.layer.get_weights()
        for number, weight in enumerate(item.traced.weights):
            for axis, along in weight.axes.items():
                if along.role != "reads" or values[number].ndim < 2:
                    continue
                variances = statistics.variances.get((index, 0))
                variance = (
                    variances if variances is not None and len(variances) == len(along.ids) else np.ones(len(along.ids))
                )
                power = variance * _sum_along(np.square(values[number].astype(np.float64)), axis)
                _add(graph, total, along.ids, power / max(float(power.sum()), 1e-30))
    return total


def _taylor(graph: ChannelGraph, samples: Samples, loss_name: str | None, seed: int) -> np.ndarray:
    """Summed over batches: (sum over the weights that read a group of weight x gradient) squared."""
    model = graph.model
    heads = heads_of(model)
    before = tf_keras.Model(model.inputs, [head.tensor for head in heads])
    random = tf.random.Generator.from_seed(seed + 1)
    variables = [weight for layer in model.layers for weight in layer.weights if weight.dtype.is_floating]
    batches = samples.with_numbered_words().spread(_SAMPLES)
    labelled = bool(next(batches.batches(1)).labels)

    @tf.function(autograph=False)
    def gradients(inputs: object, labels: Sequence[Tensor]) -> object:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            values = tf.nest.flatten(before(inputs, training=False))
            loss = tf.constant(0.0)
            for number, (head, value) in enumerate(zip(heads, values, strict=True)):
                label = labels[number] if labelled else _drawn(head.kind, value, random)
                loss += label_loss(head.kind, value, label, loss_name if labelled else None)
        return tape.gradient(loss, variables)

    total = _zeros(graph)
    names = [info.name for info in batches.inputs]
    with subsampled_convolutions(model):
        for batch in batches.batches(batch_within(model, _BATCH)):
            products = gradients(
                [tf.constant(batch.inputs[name]) for name in names], [tf.constant(v) for v in batch.labels.values()]
            )
            by_variable = {variable.ref(): value for variable, value in zip(variables, products, strict=True)}
            total += np.square(_first_order(graph, by_variable))
    return total


class _Random(Protocol):
    """A `tf.random.Generator`."""

    def uniform(self, shape: object, minval: float = 0.0, maxval: float = 1.0, /) -> Tensor: ...
    def normal(self, shape: object, /) -> Tensor: ...


def _drawn(kind: str, value: Tensor, random: _Random) -> Tensor:
    """Labels drawn from what the model itself says: the loss against them tells how sure it is of each input."""
    if kind == "softmax":
        flat = tf.reshape(value, [-1, tf.shape(value)[-1]])
        noise = random.uniform(tf.shape(flat), 1e-6, 1.0)
        return tf.reshape(tf.argmax(flat - tf.math.log(-tf.math.log(noise)), -1), tf.shape(value)[:-1])
    if kind == "sigmoid":
        return tf.cast(tf.less(random.uniform(tf.shape(value)), tf.sigmoid(value)), tf.float32)
    return tf.stop_gradient(value) + random.normal(tf.shape(value))


def _first_order(graph: ChannelGraph, gradients: dict[object, object]) -> np.ndarray:
    """By how much the loss of a batch changes, to first order, where nothing reads a group any more."""
    total = _zeros(graph)
    for item, weights, _ in graph.weights.values():
        for variable, weight in zip(item.call.layer.weights, weights, strict=True):
            gradient = gradients.get(variable.ref())
            reads = {axis: along for axis, along in weight.axes.items() if along.role == "reads"}
            if gradient is None or not reads:
                continue
            product = np.asarray(variable, np.float64) * np.asarray(tf.convert_to_tensor(gradient), np.float64)
            for axis, along in reads.items():
                _add(graph, total, along.ids, _sum_along(product, axis))
    return total
