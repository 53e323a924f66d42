"""Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization", section 4.1).

Where a layer's output feeds only one next layer through nothing but a ReLU, channel i of the first may be divided by
any s_i > 0 and the weights that read it multiplied by s_i: relu(x / s) = relu(x) / s.  s_i = sqrt(r1_i / r2_i) gives
both layers the same range r in every channel, so that no channel wastes the range of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.converters.litert.rounding.layers import WeightedLayer
from tfcompress.graphs.tflite import Subgraph
from tfcompress.graphs.tflite.editor import GraphEditor

__all__ = ["equalize"]

ROUNDS = 10
DEAD = 1e-6  # of the largest channel: equalizing a dead one only makes scales that no kernel takes
_SCALABLE = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)


def equalize(editor: GraphEditor, graph: Subgraph, layers: Sequence[WeightedLayer]) -> int:
    """Even out the channel ranges of all pairs of layers that allow it.

    Args:
        editor: the graph to change.
        graph: the same one as `read_tflite` gives it.
        layers: of `weighted_layers`.

    Returns:
        The number of pairs; 0 leaves the graph as it was.
    """
    pairs = _pairs(graph, layers)
    current = {layer.weight_tensor: layer for layer in layers}
    for _ in range(ROUNDS):
        for first, second in pairs:
            current[first], current[second] = _even_out(current[first], current[second])
    for key in {key for pair in pairs for key in pair}:
        layer = current[key]
        for index, value in [(layer.weight_tensor, layer.weights), (layer.bias_tensor, layer.bias)]:
            editor.tensors[index].set_array(value.astype(np.float32))
    return len(pairs)


def _pairs(graph: Subgraph, layers: Sequence[WeightedLayer]) -> list[tuple[int, int]]:
    """(weight tensor of the first, of the second)."""
    by_input = {layer.input_tensor: layer for layer in layers}
    pairs = []
    for first in layers:
        second = by_input.get(first.output_tensor)
        fits = second is not None and len(first.bias) == _inputs_of(second)
        scalable = first.operator.options.FusedActivationFunction() in _SCALABLE
        private = len(graph.consumers(first.output_tensor)) == 1 and first.output_tensor not in graph.outputs
        free = second is not None and not (first.clustered or second.clustered)  # scaling would split the clusters
        if second is not None and free and fits and scalable and private:
            pairs.append((first.weight_tensor, second.weight_tensor))
    return pairs


def _inputs_of(layer: WeightedLayer) -> int:
    return int(layer.weights.shape[-1])  # [..., in]; depthwise has as many inputs as outputs unless it multiplies them


def _even_out(first: WeightedLayer, second: WeightedLayer) -> tuple[WeightedLayer, WeightedLayer]:
    channels = len(first.bias)
    ranges_out = np.abs(first.as_rows()).max(axis=1)
    ranges_in = np.abs(second.weights).reshape(-1, channels).max(axis=0)
    usable = (ranges_out > DEAD * ranges_out.max()) & (ranges_in > DEAD * ranges_in.max())
    scales = np.ones(channels)
    scales[usable] = np.sqrt(ranges_out[usable] / ranges_in[usable])
    divided = replace(first, weights=first.from_rows(first.as_rows() / scales[:, None]), bias=first.bias / scales)
    return divided, replace(second, weights=(second.weights * scales).astype(np.float32))
