"""Sums of one sample, which Keras 3 takes for sums with a bias.

``keras.ops.add`` writes a sum as ``tf.nn.bias_add`` where all axes of the second tensor but one have a single place.
With one sample in the batch, as files for a phone have it, a sample's own values may look like that: those of
[1, 4, 1] would be added along the last axis of [1, 4, 4], although they are added along the one before it wherever
the batch has another size.  The forms that are right are no better: TFLiteConverter refuses a bias along the second
of three axes ("x should be of the same rank with y").
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TypeGuard

from tfcompress.graphs.tensorflow.private_names import array_operations
from tfcompress.graphs.tensorflow.protocols import Output
from tfcompress.runtime import tf

__all__ = ["sums_of_samples"]


@contextlib.contextmanager
def sums_of_samples(inputs: Iterable[object]) -> Iterator[None]:
    """Within, what is traced adds what comes from `inputs` as it stands, and weights as Keras 3 adds them.

    Args:
        inputs: tensors of the graph that is traced; eager ones change nothing.
    """
    names = {tensor.name for tensor in inputs if _is_traced(tensor)}
    original = array_operations.add

    def add(x1: object, x2: object) -> object:
        if _is_traced(x1) and _is_traced(x2) and x1.dtype == x2.dtype and _is_one_sample(x2, names):
            return tf.add(x1, x2)
        return original(x1, x2)

    array_operations.add = add
    try:
        yield
    finally:
        array_operations.add = original


def _is_traced(value: object) -> TypeGuard[Output]:
    return tf.is_symbolic_tensor(value)


def _is_one_sample(tensor: Output, inputs: set[str]) -> bool:
    """Whether a tensor with a batch of one, and one longer axis, is computed from inputs."""
    sizes = list(tensor.shape) if tensor.shape.rank is not None else []
    if len(sizes) < 2 or sizes[0] != 1 or sum(size != 1 for size in sizes) != 1:
        return False
    waiting, seen = [tensor], set[str]()
    while waiting:
        each = waiting.pop()
        if each.name in inputs:
            return True
        if each.name not in seen:
            seen.add(each.name)
            waiting.extend(each.op.inputs)
    return False
