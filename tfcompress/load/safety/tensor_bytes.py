"""How many bytes the tensors of one sample take, by which later stages choose how many they compute at once."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfcompress.graphs.tensorflow.private_names import operation_callbacks
from tfcompress.load.safety.cage import COPIES, grown_since, peak_memory
from tfcompress.runtime import tf

__all__ = ["TensorBytes", "counted_tensors", "graph_bytes"]

# What these give shares the memory of what they take, or is a weight.
_SHARING = frozenset({
    "Const", "ExpandDims", "Identity", "IdentityN", "NoOp", "Placeholder", "ReadVariableOp", "Reshape",
    "ResourceGather", "Squeeze", "StopGradient", "VarHandleOp",
})  # fmt: skip
# What a convolution or a product of matrices does itself in the files that later stages run: it is one tensor there.
_PRODUCTS = frozenset({
    "BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "Conv3D", "DepthwiseConv2dNative", "MatMul",
})  # fmt: skip
_SCALED = frozenset({"AddV2", "BiasAdd", "FusedBatchNormV3", "Mul", "Sub"})
_CLIPPED = frozenset({"Relu", "Relu6"})
_MOST_FUSED = 4  # a bias, a scale, an offset and a clip
# What TensorFlow takes once, for threads and kernels, whatever runs first.
_START_UP = 256 << 20


@dataclass
class TensorBytes:
    """Counts the tensors of one run.

    Attributes:
        most: bytes beyond which the run is broken off.
        computed: bytes of all tensors that were computed, and of copies of the outputs.
        largest: bytes of the largest of them.
    """

    most: int
    computed: int = 0
    largest: int = 0
    _fused: dict[int, int] = field(default_factory=dict)  # how much a tensor, by identity, has fused into it

    @property
    def total(self) -> int:
        """Bytes of all, and of copies of the largest."""
        return self.computed + COPIES * self.largest

    def add(self, bytes_of_tensor: int) -> None:
        """Count a tensor.

        Raises:
            MemoryError: all together are larger than `most`.
        """
        self.computed += bytes_of_tensor
        if self.computed > self.most:
            raise MemoryError

    def add_outputs(self, outputs: Mapping[str, object]) -> None:
        """Count what is made of a model's outputs later."""
        for value in outputs.values():
            self.add(COPIES * _bytes_of(value))

    def scale(self, factor: float) -> None:
        """Count as for inputs that are `factor` times as large."""
        self.computed, self.largest = int(self.computed * factor), int(self.largest * factor)

    def add_graph(self, graph: Any) -> None:
        """Count the operators of a graph, the batch and what else is open in a shape being one."""
        for operation in graph.get_operations():
            self._add_operation(operation.type, operation.inputs, operation.outputs)

    def of_operation(
        self, op_type: str | bytes, inputs: Any, attrs: object, outputs: Any, *_: object, **__: object
    ) -> None:
        """What TensorFlow calls for every operator that it runs."""
        del attrs
        self._add_operation(op_type.decode() if isinstance(op_type, bytes) else op_type, inputs, outputs)

    def _add_operation(self, op_type: str, inputs: Sequence[Any] | None, outputs: Sequence[Any] | None) -> None:
        for value in outputs or ():
            self._fused.pop(id(value), None)  # of a tensor that is gone
        if op_type in _SHARING or not outputs:
            return
        if op_type in _PRODUCTS:
            self._fused[id(outputs[0])] = 0
        elif self._fuses(op_type, inputs or (), outputs[0]):
            return
        for value in outputs:
            self.add(_bytes_of(value))
            self.largest = max(self.largest, _bytes_of(value))

    def _fuses(self, op_type: str, inputs: Sequence[Any], output: Any) -> bool:
        """Whether the operator before computes this one too."""
        before = next((self._fused[id(value)] for value in inputs if id(value) in self._fused), _MOST_FUSED)
        if before >= _MOST_FUSED or op_type not in _SCALED | _CLIPPED:
            return False
        whole = sum(_bytes_of(value) >= _bytes_of(output) for value in inputs)
        if whole > 1:
            return False  # a sum of two tensors, such as a residual
        self._fused[id(output)] = _MOST_FUSED if op_type in _CLIPPED else before + 1
        return True


def _bytes_of(value: Any) -> int:
    if value.shape.rank is None or value.dtype.base_dtype in (tf.resource, tf.variant):
        return 0
    return math.prod(size or 1 for size in value.shape.as_list()) * max(1, value.dtype.base_dtype.size)


def graph_bytes(graph: Any) -> int:
    """Bytes of all tensors of a TensorFlow graph, the batch and what else is open in a shape being one."""
    count = TensorBytes(sys.maxsize)
    count.add_graph(graph)
    return count.total


@contextlib.contextmanager
def counted_tensors(most: int) -> Iterator[TensorBytes]:
    """Count every tensor that is computed within; a process that grows by more counts with the next power of two.

    Args:
        most: bytes beyond which a run is broken off by a MemoryError.
    """
    count, before = TensorBytes(most), peak_memory()
    callback: Callable[..., None] = count.of_operation
    operation_callbacks.add_op_callback(callback)
    try:
        yield count
    finally:
        operation_callbacks.remove_op_callback(callback)
    grown = grown_since(before, start_up=_START_UP)
    if grown > count.total:
        count.computed, count.largest = grown, 0
