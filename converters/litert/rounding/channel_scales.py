"""Channels of activations brought to like ranges, so that one 8-bit scale serves each of them.

Dividing channel i of a tensor by g_i > 0, and multiplying the weights that read it by g_i, changes nothing where only
what commutes with it lies between: sums, ReLU (relu(x / g) = relu(x) / g), pools, padding with zeros.  Nagel et al.
2019 ("Data-Free Quantization", section 4.1) choose g for the weights of pairs of layers; here it is chosen for the
ranges of the activations, and for all tensors at once that a residual sum ties together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.calibration import ChannelRanges, observe
from tfcompress.converters.litert.rounding.layers import weighted_layers
from tfcompress.data import Samples
from tfcompress.graphs.tflite import Operator, Subgraph, read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor

__all__ = ["with_even_channels"]

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_PASSING = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "PAD", "RELU", "RESHAPE", "SQUEEZE")
_COMMUTING = (schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU)
LEAST = 1e-3  # of a tensor's largest channel: smaller ones are not blown up further
OBSERVED_SAMPLES = 256


def with_even_channels(content: bytes, samples: Samples, strength: float) -> tuple[bytes, int]:
    """A float .tflite that computes the same with channels of like ranges, and how many groups of tensors changed.

    Args:
        content: the float .tflite.
        samples: representative inputs.
        strength: g_i is the channel's share of the largest range to this power; 1 makes all ranges equal, 0 none.

    Raises:
        ConversionError: LiteRT cannot run the model.
    """
    graph = read_tflite(content).main
    groups = _groups(graph)
    if not groups.members:
        return content, 0
    seen, _ = observe(content, samples.spread(OBSERVED_SAMPLES), ChannelRanges)
    scales = {root: _scale(graph, tensors, seen, strength) for root, tensors in groups.members.items()}
    scales = {root: scale for root, scale in scales.items() if scale is not None}
    model = ModelEditor.read(content)
    for operator in graph.operators:
        if operator.name in WEIGHTED:
            read = scales.get(groups.root(operator.inputs[0]))
            written = scales.get(groups.root(operator.outputs[0]))
            _rescale(model, graph, operator, read, written)
    return model.to_bytes(), len(scales)


@dataclass
class _Groups:
    """Tensors whose channels must be scaled alike.

    Attributes:
        parents: {tensor: another of its group}, as a union-find.
        fixed: roots of groups that something reads or gives whose channels cannot be scaled.
        members: {root: its tensors} of the groups that can.
    """

    parents: dict[int, int]
    fixed: set[int]
    members: dict[int, list[int]]

    def root(self, index: int) -> int:
        """The tensor that stands for a group."""
        while self.parents.get(index, index) != index:
            index = self.parents[index]
        return index

    def join(self, first: int, second: int) -> None:
        """Make two groups one."""
        low, high = sorted((self.root(first), self.root(second)))
        self.parents[high] = low
        if high in self.fixed:
            self.fixed.add(low)

    def fix(self, index: int) -> None:
        """Scale no tensor of a group."""
        self.fixed.add(self.root(index))


def _groups(graph: Subgraph) -> _Groups:
    groups = _Groups({}, set(), {})
    counts = _readers(graph)
    clustered = {layer.weight_tensor for layer in weighted_layers(graph) if layer.clustered}
    for operator in graph.operators:
        ends = [index for index in (*operator.inputs, *operator.outputs) if index >= 0]
        computed = [index for index in ends if graph.tensors[index].data is None]
        free = not clustered.intersection(operator.inputs)  # scaling would split the clusters
        if operator.name in WEIGHTED and free and _can_scale(graph, operator, counts):
            if not _commutes(operator):
                groups.fix(operator.outputs[0])
        elif _ties(graph, operator):
            for index in computed[1:]:
                groups.join(computed[0], index)
        else:
            for index in computed:
                groups.fix(index)
    for index in (*graph.inputs, *graph.outputs):
        groups.fix(index)
    tensors = {index for operator in graph.operators for index in operator.outputs}
    for index in sorted(tensors):
        if groups.root(index) not in groups.fixed:
            groups.members.setdefault(groups.root(index), []).append(index)
    return groups


def _readers(graph: Subgraph) -> Mapping[int, int]:
    counts: dict[int, int] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            counts[index] = counts.get(index, 0) + 1
    return counts


def _can_scale(graph: Subgraph, operator: Operator, counts: Mapping[int, int]) -> bool:
    """Whether a layer's weights are its own float constants, and a depthwise one keeps its channels."""
    constants = [index for index in operator.inputs[1:3] if index >= 0]
    own = all(graph.tensors[index].array() is not None and counts[index] == 1 for index in constants)
    floats = all(graph.tensors[index].dtype == "float32" for index in constants)
    if not own or not floats:
        return False
    source, kernel = graph.tensors[operator.inputs[0]].shape, graph.tensors[operator.inputs[1]].shape
    return len(source) > 1 and kernel[-1] % source[-1] == 0 and (operator.name != "CONV_2D" or kernel[-1] == source[-1])


def _commutes(operator: Operator) -> bool:
    fused = getattr(operator.options, "FusedActivationFunction", lambda: schema.ActivationFunctionType.NONE)()
    return fused in _COMMUTING


def _ties(graph: Subgraph, operator: Operator) -> bool:
    """Whether the channels of all that an operator reads and gives stay the same ones, and scale alike."""
    result = graph.tensors[operator.outputs[0]]
    computed = [graph.tensors[index] for index in operator.inputs if index >= 0 and graph.tensors[index].data is None]
    if operator.name == "ADD":
        return len(computed) == 2 and _commutes(operator) and all(item.shape == result.shape for item in computed)
    if operator.name not in _PASSING or len(computed) != 1 or not _commutes(operator):
        return False
    return len(result.shape) > 1 and len(computed[0].shape) > 1 and computed[0].shape[-1] == result.shape[-1]


def _scale(
    graph: Subgraph, tensors: list[int], seen: Mapping[str, ChannelRanges], strength: float
) -> np.ndarray | None:
    """float64 [channels], at most 1, for a group; None where nothing would change."""
    shares = []
    for index in tensors:
        name = graph.tensors[index].name
        sizes = seen[name].magnitudes.astype(np.float64) if name in seen else np.zeros(0)
        if sizes.size and sizes.max() > 0:
            shares.append(sizes / sizes.max())
    channels = {share.size for share in shares}
    if len(channels) != 1:
        return None
    share = np.maximum(np.max(shares, axis=0), LEAST)
    scale = share**strength
    return None if np.allclose(scale, 1.0) else scale


def _rescale(
    model: ModelEditor, graph: Subgraph, operator: Operator, read: np.ndarray | None, written: np.ndarray | None
) -> None:
    """Weights that read channels times `read` (their new values are smaller), and give ones divided by `written`."""
    _, kernel, *others = operator.inputs
    weights = graph.tensors[kernel].array()
    assert weights is not None, "it is a constant"
    values = weights.astype(np.float64)
    if read is not None:
        repeats = values.shape[-1] // read.size  # of a depthwise multiplier, or of places that were laid in a row
        depthwise = operator.name == "DEPTHWISE_CONV_2D"
        values = values * (np.repeat(read, repeats) if depthwise else np.tile(read, repeats))
    bias = graph.tensors[others[0]].array() if others and others[0] >= 0 else None
    if written is not None:
        axis = -1 if operator.name == "DEPTHWISE_CONV_2D" else 0
        values = np.moveaxis(np.moveaxis(values, axis, -1) / written, -1, axis)
        bias = None if bias is None else bias / written
    if read is not None or written is not None:
        model.main.tensors[kernel].set_array(values.astype(np.float32))
    if written is not None and bias is not None:
        model.main.tensors[others[0]].set_array(bias.astype(np.float32))
