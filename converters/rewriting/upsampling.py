"""Upsampling as the one operator that it is, where a converter wrote it with several.

Keras 3 repeats rows and columns with reshapes and tiles in five dimensions, or broadcasts in six, which neither the
Edge TPU nor most other accelerators take, and which copy the image four times on a CPU.
"""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.tflite.editor import GraphEditor, OperatorNode, TensorNode, options

__all__ = ["nearest_resize"]

_MOVING = ("RESHAPE", "TILE", "BROADCAST_TO", "EXPAND_DIMS", "SQUEEZE")
_REPEATING = ("TILE", "BROADCAST_TO")
_LONGEST = 32  # operators of a chain; Keras writes 5, and 9 for two layers in a row
_LARGEST = 2**26  # elements whose places are followed


def nearest_resize(graph: GraphEditor, operator: OperatorNode) -> list[OperatorNode] | None:
    """Rows and columns repeated a whole number of times: RESIZE_NEAREST_NEIGHBOR; `operator` is the last of them.

    The chain may be any of moves and repetitions: it fits if every element comes from where a resize takes it.
    """
    result = operator.result
    chain: list[OperatorNode] = []
    last: OperatorNode | None = operator
    while last is not None and last.name in _MOVING and len(chain) < _LONGEST:
        chain.insert(0, last)
        if any(link.name in _REPEATING for link in chain) and _is_resize(chain, result):
            return [_resize(graph, last.source, result)]
        last = graph.producer(last.source)
    return None


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
    moved: np.ndarray | None = places
    for operator in chain:
        moved = None if moved is None else _moved(operator, moved)
    return moved is not None and np.array_equal(moved, expected)


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
