"""What a layer of one's own brings beside its parts: weights of its own, and tensors repeated for each sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfcompress.graphs.keras.protocols import Config, Tensor
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["RepeatedForBatch", "TensorForBatch", "Weight"]

_PACKAGE = "tfcompress"


@tf_keras.saving.register_keras_serializable(_PACKAGE)
class Weight(tf_keras.layers.Layer):
    """A weight as a layer: whatever it is called on, it returns the weight, without a batch dimension."""

    def __init__(self, shape: Sequence[int], weight_dtype: str = "float32", **kwargs: object) -> None:
        """`shape` and `weight_dtype` are those of the weight."""
        super().__init__(autocast=False, **kwargs)
        self.weight_shape, self.weight_dtype = tuple(int(size) for size in shape), weight_dtype

    def build(self, input_shape: object) -> None:
        """Make the weight."""
        trainable = tf.as_dtype(self.weight_dtype).is_floating
        zeros = "zeros" if self.weight_dtype != "bool" else lambda shape, dtype: tf.zeros(shape, dtype)
        self.weight = self.add_weight(
            name="weight", shape=self.weight_shape, dtype=self.weight_dtype, initializer=zeros, trainable=trainable
        )
        super().build(input_shape)

    def call(self, inputs: Tensor) -> Any:
        """The weight; `inputs` only say where in the graph it stands."""
        return tf.identity(self.weight)

    def get_config(self) -> Config:
        """Constructor arguments."""
        return {**super().get_config(), "shape": list(self.weight_shape), "weight_dtype": self.weight_dtype}


@tf_keras.saving.register_keras_serializable(_PACKAGE)
class RepeatedForBatch(tf_keras.layers.Layer):
    """``[tensor, anchor]`` -> the tensor, repeated along its first axis for each sample of the anchor."""

    def __init__(self, shape: Sequence[int], **kwargs: object) -> None:
        """`shape` is that of the result behind its batch dimension."""
        super().__init__(autocast=False, **kwargs)
        self.shape_behind = tuple(int(size) for size in shape)

    def call(self, inputs: Any) -> Any:
        """Of shape [batch of the anchor, *shape]."""
        tensor, anchor = inputs
        batch = anchor.shape[0] if anchor.shape[0] is not None else tf.shape(anchor)[0]
        return tf.broadcast_to(tensor, [batch, *self.shape_behind])

    def compute_mask(self, inputs: object, mask: object = None) -> None:
        """It has none."""

    def get_config(self) -> Config:
        """Constructor arguments."""
        return {**super().get_config(), "shape": list(self.shape_behind)}


class TensorForBatch(keras.Operation):
    """Keras 3's form of `RepeatedForBatch`."""

    def __init__(self, shape: Sequence[int], *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.shape_behind = tuple(int(size) for size in shape)

    def call(self, tensor: Any, anchor: Any) -> Any:
        """Of shape [batch of the anchor, *shape]."""
        return keras.ops.broadcast_to(tensor, (keras.ops.shape(anchor)[0], *self.shape_behind))

    def compute_output_spec(self, tensor: Any, anchor: Any) -> Any:
        """Shape and dtype."""
        return keras.KerasTensor((anchor.shape[0], *self.shape_behind), tensor.dtype)


def as_value(leaf: Any) -> np.ndarray:
    """The value of a weight or constant of either library."""
    return np.asarray(keras.ops.convert_to_numpy(leaf))
