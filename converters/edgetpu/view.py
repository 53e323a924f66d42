"""One operator as the rules see it: its activations, its constants and its options."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfcompress.graphs.tflite import Operator, Subgraph, Tensor

__all__ = ["OperatorView", "is_constant"]

_MOST_SETTINGS = 64  # axes, strides and the like: a few for each dimension


def is_constant(tensor: Tensor) -> bool:
    """Whether the tensor's values are in the file."""
    return tensor.data is not None


@dataclass(frozen=True)
class OperatorView:
    """An operator together with its graph.

    Attributes:
        graph: the subgraph that holds it.
        operator: the operator.
    """

    graph: Subgraph
    operator: Operator

    @property
    def inputs(self) -> list[Tensor]:
        """Inputs that are present."""
        return [self.graph.tensors[index] for index in self.operator.inputs if index >= 0]

    @property
    def outputs(self) -> list[Tensor]:
        """All outputs."""
        return [self.graph.tensors[index] for index in self.operator.outputs]

    @property
    def activations(self) -> list[Tensor]:
        """Inputs that are computed, then the outputs."""
        return [tensor for tensor in self.inputs if not is_constant(tensor)] + self.outputs

    def input(self, position: int) -> Tensor | None:
        """The input at a position, or None when it is absent."""
        indices = self.operator.inputs
        if position >= len(indices) or indices[position] < 0:
            return None
        return self.graph.tensors[indices[position]]

    def integers(self, position: int) -> tuple[int, ...] | None:
        """The constant integers of the input at a position, flattened.

        Returns:
            None when they are computed or absent, or so many that they are no operator's setting.
        """
        tensor = self.input(position)
        values = None if tensor is None else tensor.array()
        if values is None or values.dtype.kind not in "iu" or values.size > _MOST_SETTINGS:
            return None
        return tuple(np.atleast_1d(values).ravel().tolist())

    def option(self, accessor: str, default: int) -> int:
        """A scalar builtin option by its generated accessor (``DilationWFactor``); `default` when there are none."""
        getter = getattr(self.operator.options, accessor, None)
        return default if getter is None else int(getter())
