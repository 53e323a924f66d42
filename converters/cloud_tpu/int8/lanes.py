"""Samples side by side in the channels, so that narrow layers fill the lanes of the TPU.

The TPU holds channels along 128 lanes, and pads: of a tensor with 64 channels half of the memory and of the vector unit
hold nothing.  So [n, height, width, c] becomes [n / p, height, width, p * c], samples n / p apart side by side, and a
kernel becomes block-diagonal: each sample has its own sums, of the same integers, with the same result.
"""

from __future__ import annotations

import math
from typing import Any

from tfcompress.graphs.tflite import Operator, Subgraph
from tfcompress.runtime import tf

__all__ = ["LANES", "apart", "block_diagonal", "largest_factor", "operators_side_by_side", "side_by_side"]

LANES = 128
MOST_SAMPLES = 8  # kernels grow with the square of them
# A layer is narrow from so many times as many lanes as channels on.
_NARROW = 1.5

_PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_BY_ELEMENT = frozenset(
    {"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1",
     "LEAKY_RELU", "ELU", "GELU", "LOGISTIC", "TANH", "HARD_SWISH", "EXP", "NEG", "ABS", "SQRT", "RSQRT", "SQUARE"}
)  # fmt: skip
_BY_CHANNEL = frozenset({"MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "MEAN", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"})


def side_by_side(value: Any, factor: int) -> Any:
    """[n, ..., c] as [n / factor, ..., factor * c]."""
    count, *middle, channels = value.shape.as_list()
    rank = len(middle)
    split = tf.reshape(value, [factor, count // factor, *middle, channels])
    moved = tf.transpose(split, [*range(1, 2 + rank), 0, 2 + rank])
    return tf.reshape(moved, [count // factor, *middle, factor * channels])


def apart(value: Any, factor: int) -> Any:
    """What `side_by_side` was given."""
    return tf.concat(tf.split(value, factor, axis=-1), axis=0)


def block_diagonal(kernel: Any, factor: int) -> Any:
    """[..., in, out] as [..., factor * in, factor * out], with zeros between different samples."""
    if factor == 1:
        return kernel
    others = [(0, 0)] * (kernel.shape.rank - 1)
    width = kernel.shape[-1]
    rows = [tf.pad(kernel, [*others, (place * width, (factor - 1 - place) * width)]) for place in range(factor)]
    return tf.concat(rows, axis=-2)


def largest_factor(graph: Subgraph) -> int:
    """How many samples side by side fill the lanes with the narrowest layer; 1 where no layer is narrow."""
    widths = [_channels(operator, graph)[1] for operator in graph.operators if _is_narrow(operator, graph)]
    if not widths:
        return 1
    return min(MOST_SAMPLES, max(2, 2 ** math.floor(math.log2(LANES / min(min(widths), LANES)))))


def operators_side_by_side(graph: Subgraph) -> frozenset[int]:
    """Operators, by index, that are made of samples side by side: up to the last narrow layer, and what adds to it.

    Wide ones between narrow ones are among them, as taking samples apart and together again costs more.
    """
    last = max((operator.index for operator in graph.operators if _is_narrow(operator, graph)), default=-1)
    chosen: set[int] = set()
    for operator in graph.operators:
        behind = operator.name not in _PRODUCTS and any(
            producer is not None and producer.index in chosen
            for producer in (graph.producer(index) for index in operator.inputs if index >= 0)
        )
        if (operator.index <= last or behind) and _can(operator, graph):
            chosen.add(operator.index)
    return frozenset(chosen)


def _channels(operator: Operator, graph: Subgraph) -> tuple[int, int]:
    return graph.tensors[operator.inputs[0]].shape[-1], graph.tensors[operator.outputs[0]].shape[-1]


def _is_narrow(operator: Operator, graph: Subgraph) -> bool:
    """Whether a product of images has many more lanes than channels; what comes out of 1x1 images is cheap anyway."""
    if operator.name not in _PRODUCTS or not _can(operator, graph):
        return False
    if math.prod(graph.tensors[operator.outputs[0]].shape[1:3]) == 1:
        return False
    return any(math.ceil(width / LANES) * LANES >= _NARROW * width for width in _channels(operator, graph))


def _can(operator: Operator, graph: Subgraph) -> bool:
    """Whether an operator does the same to every sample and channel, or is a product of int8."""
    result = graph.tensors[operator.outputs[0]]
    operands = [graph.tensors[index] for index in operator.inputs if index >= 0]
    images = [operand for operand in operands if operand.array() is None]
    if not images or any(len(image.shape) != 4 or image.shape[0] != 1 for image in images):
        return False
    if operator.name in _PRODUCTS:
        return len(images) == 1 and all(tensor.dtype == "int8" for tensor in (*operands[:2], result))
    if operator.name == "QUANTIZE" and operator.inputs[0] in graph.inputs:
        return False  # fewer bytes are moved once it has narrowed them
    if operator.name in _BY_ELEMENT:
        return all(operand in images or operand.elements == 1 for operand in operands) and all(
            image.shape[3] == result.shape[3] for image in images
        )
    return operator.name in _BY_CHANNEL and _keeps_samples_and_channels(operator, graph)


def _keeps_samples_and_channels(operator: Operator, graph: Subgraph) -> bool:
    if operator.name not in ("PAD", "MEAN"):
        return True
    given = graph.tensors[operator.inputs[1]].array()
    if given is None:
        return False
    return not given[[0, 3]].any() if operator.name == "PAD" else {int(axis) % 4 for axis in given.ravel()} <= {1, 2}
