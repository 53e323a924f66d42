"""Rules for pieces of Keras 3 that run inside of a tf_keras model."""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.keras.channels.elementwise import merged
from tfcompress.graphs.keras.channels.functions import applied
from tfcompress.graphs.keras.channels.node import Axis, Node, Rule, Traced, Weight
from tfcompress.graphs.tensorflow.private_names import CustomScaleLayer, Keras3LayerScale
from tfcompress.runtime import keras

__all__ = ["adapter_rule"]


def adapter_rule(layer: object) -> Rule | None:
    """The rule of a layer that holds a Keras 3 layer as its attribute `layer`; None where there is none."""
    return _INNER.get(type(getattr(layer, "layer", None)))


def _sum_of_two(node: Node) -> Traced:
    return merged(node, lambda a, b: np.where((a == 0) & (b == 0), 0.0, np.nan))


def _scale_of_channels(node: Node) -> Traced:
    ids, _ = node.space.along(node.x, -1)
    node.space.keep(ids, f"{node.title} holds a scale for each channel")
    return Traced((node.x.with_shape(node.output_shapes[0]),), (Weight({0: Axis(ids, "scales")}),))


def _activation(node: Node) -> Traced:
    inner = getattr(node.layer, "layer", None)
    fill = applied(lambda value: inner(value), node.x.fill) if inner is not None else node.x.fill
    return Traced((type(node.x)(node.x.ids, fill, node.output_shapes[0]),))


_INNER: dict[object, Rule] = {
    CustomScaleLayer: _sum_of_two,
    Keras3LayerScale: _scale_of_channels,
    keras.layers.ReLU: _activation,
    keras.layers.LeakyReLU: _activation,
}
