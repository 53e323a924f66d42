"""Upsampling as the one operator that it is, where a converter wrote it with several.

Keras 3 repeats rows and columns with reshapes and tiles in five dimensions, or broadcasts in six, which neither the
Edge TPU nor most other accelerators take, and which copy the image four times on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = ["nearest_resize", "repeated_channels"]

_MOVING = ("RESHAPE", "TILE", "BROADCAST_TO", "EXPAND_DIMS", "SQUEEZE")
_REPEATING = ("TILE", "BROADCAST_TO")
_LONGEST = 32  # operators of a chain; Keras writes 5, and 9 for two layers in a row
_LARGEST = 2**26  # elements whose places are followed
_MOST_DIMENSIONS = 4  # that accelerators take


def nearest_resize(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """Rows and columns repeated a whole number of times: RESIZE_NEAREST_NEIGHBOR; `operator` is the last of them.

    The chain may be any of moves and repetitions: it fits if every element comes from where a resize takes it.
    """
    chain = next((chain for chain in _chains(graph, operator) if _is_resize(chain, operator.result)), None)
    return None if chain is None else [_resize(graph, chain[0].source, operator.result)]


def repeated_channels(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """Channels repeated in five dimensions: a 1 x 1 convolution with a kernel of zeros and ones.

    Each of its outputs has the one weight 1, which int8 holds exactly.
    """
    for chain in _chains(graph, operator):
        picked = _picked_channels(chain, operator.result)
        if picked is not None and any(len(link.result.shape) > _MOST_DIMENSIONS for link in chain):
            return [_picking(graph, chain[0].source, picked, operator.result)]
    return None


def _chains(graph: GraphEditor, operator: OperatorNode) -> Iterator[list[OperatorNode]]:
    """The chains of moves, with a repetition, that end at an operator; the shortest first."""
    chain: list[OperatorNode] = []
    last: OperatorNode | None = operator
    while last is not None and last.name in _MOVING and len(chain) < _LONGEST:
        chain.insert(0, last)
        if any(link.name in _REPEATING for link in chain):
            yield list(chain)
        last = graph.producer(last.source)


def _picked_channels(chain: list[OperatorNode], result: TensorNode) -> np.ndarray | None:
    """Which channel each one of an image's is; None where the chain does anything else."""
    before, after = chain[0].source.shape, result.shape
    if len(before) != 4 or len(after) != 4 or before[:3] != after[:3] or before[3] == after[3]:
        return None
    if result.elements > _LARGEST or 0 in before:
        return None
    places = np.arange(np.prod(before), dtype=np.int32).reshape(before)
    moved = _moved_by(chain, places)
    if moved is None:
        return None
    picked = moved.reshape(-1, after[3])[0]
    return picked if picked.max() < before[3] and np.array_equal(moved, places[..., picked]) else None


def _picking(graph: GraphEditor, source: TensorNode, picked: np.ndarray, result: TensorNode) -> OperatorNode:
    weights = np.zeros((len(picked), 1, 1, source.shape[3]), np.float32)
    weights[np.arange(len(picked)), 0, 0, picked] = 1
    kernel = graph.new_constant(weights, result, "kernel")
    bias = graph.new_constant(np.zeros(len(picked), np.float32), result, "bias")
    how = options(
        "Conv2DOptions", strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1, padding=schema.Padding.VALID
    )
    return graph.operator("CONV_2D", [source, kernel, bias], [result], how)


def _is_resize(chain: list[OperatorNode], result: TensorNode) -> bool:
    """Whether the chain repeats rows and columns of an image, and nothing else."""
    before, after = chain[0].source.shape, result.shape
    if len(before) != 4 or len(after) != 4 or (before[0], before[3]) != (after[0], after[3]) or before == after:
        return False
    whole = all(small > 0 and large % small == 0 for small, large in zip(before, after, strict=True))
    if not whole or result.elements > _LARGEST:
        return False
    places = np.arange(np.prod(before), dtype=np.int32).reshape(before)
    expected = places.repeat(after[1] // before[1], axis=1).repeat(after[2] // before[2], axis=2)
    moved = _moved_by(chain, places)
    return moved is not None and np.array_equal(moved, expected)


def _moved_by(chain: list[OperatorNode], places: np.ndarray) -> np.ndarray | None:
    moved: np.ndarray | None = places
    for operator in chain:
        moved = None if moved is None else _moved(operator, moved)
    return moved


def _moved(operator: OperatorNode, places: np.ndarray) -> np.ndarray | None:
    shape = operator.result.shape
    if operator.name == "TILE":
        times = operator.constant(1)
        tiled = None if times is None else np.tile(places, times.ravel().tolist())
        return tiled if tiled is not None and tiled.shape == shape else None
    if operator.name == "BROADCAST_TO":
        return np.broadcast_to(places, shape) if operator.constant(1) is not None else None
    return places.reshape(shape) if places.size == operator.result.elements else None


def _resize(graph: GraphEditor, source: TensorNode, result: TensorNode) -> OperatorNode:
    sizes = graph.new_constant(np.array(result.shape[1:3], np.int32), result, "size")
    resize_options = options("ResizeNearestNeighborOptions")
    return graph.operator("RESIZE_NEAREST_NEIGHBOR", [source, sizes], [result], resize_options)
