"""What is used of Keras and TensorFlow objects, which carry no types of their own.

Both Kerases and TensorFlow's tensors satisfy these protocols.  A function that needs more of an object than a protocol
names takes `Any`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["Config", "KerasModel", "Layer", "Tensor", "Variable"]

Config = dict[str, Any]  # what `get_config` returns: a constructor's arguments, for Keras to write as JSON


class Tensor(Protocol):
    """An eager, traced or symbolic tensor of either Keras."""

    @property
    def shape(self) -> Any:
        """Sizes of the dimensions; None for an open one."""
        ...

    @property
    def dtype(self) -> Any:
        """`tf.DType` or name of the type."""
        ...

    def __add__(self, other: object, /) -> Tensor: ...
    def __radd__(self, other: object, /) -> Tensor: ...
    def __sub__(self, other: object, /) -> Tensor: ...
    def __rsub__(self, other: object, /) -> Tensor: ...
    def __mul__(self, other: object, /) -> Tensor: ...
    def __rmul__(self, other: object, /) -> Tensor: ...
    def __truediv__(self, other: object, /) -> Tensor: ...
    def __rtruediv__(self, other: object, /) -> Tensor: ...
    def __neg__(self) -> Tensor: ...
    def __float__(self) -> float: ...
    def __getitem__(self, index: Any, /) -> Tensor: ...


class Variable(Tensor, Protocol):
    """A weight of a layer."""

    @property
    def name(self) -> str:
        """Name in the model."""
        ...

    def assign(self, value: object, /) -> object:
        """Set the value, an array of the variable's shape."""
        ...

    def numpy(self) -> np.ndarray:
        """The value."""
        ...

    def ref(self) -> object:
        """What stands for the variable in a dictionary."""
        ...


class Layer(Protocol):
    """A layer of either Keras."""

    @property
    def name(self) -> str:
        """Name in the model."""
        ...

    @property
    def weights(self) -> Sequence[Variable]:
        """All weights, trainable or not."""
        ...

    @property
    def trainable_weights(self) -> Sequence[Variable]:
        """The weights that training changes."""
        ...

    def __call__(self, *args: Any, **kwargs: object) -> Any:
        """Call the layer on tensors."""
        ...

    def get_config(self) -> Config:
        """The constructor's arguments."""
        ...

    @classmethod
    def from_config(cls, config: dict[str, Any], /) -> Any:
        """A new layer of these arguments."""
        ...

    def get_weights(self) -> list[np.ndarray]:
        """Values of all weights."""
        ...

    def set_weights(self, weights: Sequence[np.ndarray], /) -> None:
        """Set the values of all weights."""
        ...


class KerasModel(Layer, Protocol):
    """A model of either Keras."""

    @property
    def layers(self) -> Sequence[Layer]:
        """The outermost layers."""
        ...

    @property
    def inputs(self) -> Sequence[Tensor]:
        """Symbolic inputs."""
        ...

    @property
    def outputs(self) -> Sequence[Tensor]:
        """Symbolic outputs."""
        ...

    def get_layer(self, name: str) -> Layer:
        """The outermost layer of that name."""
        ...

    def predict(self, x: Any, **kwargs: object) -> Any:
        """Outputs for a batch, or for many batches."""
        ...

    def compile(self, **kwargs: object) -> None:
        """Prepare the model for training."""
        ...

    def count_params(self) -> int:
        """Number of weights."""
        ...
