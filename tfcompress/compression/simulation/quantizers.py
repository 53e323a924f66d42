"""How one tensor is fake-quantized while training: tfmot `Quantizer`s that compute what an int8 file computes.

Activations: asymmetric int8, one scale per tensor.  Weights: symmetric int8 in [-127, 127].  Both after the "LiteRT
8-bit quantization specification" (ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfcompress.compression.in_float import is_in_float
from tfcompress.compression.simulation.signs import Axis, Signs, signed
from tfcompress.graphs.keras.protocols import Config, Layer, Tensor, Variable
from tfcompress.runtime import tf, tf_keras, tfmot

__all__ = ["ActivationRange", "Axis", "BiasQuantizer", "FixedRange", "JoinedRange", "KernelQuantizer", "SameRange"]

# A tensor that is all zeros would give a scale of zero.
_SMALLEST_RANGE = 1e-6
# Of the largest channel's weights.  With a scale as small as its own, a dead channel's bias would overflow int32.
_DEAD = 1e-5

_quantizers: Any = tfmot.quantization.keras.quantizers


def _scalar(value: float, *, trainable: bool, constraint: object) -> dict[str, object]:
    """Arguments of `add_weight` for a range's end; replicas that move it agree on the mean."""
    return {
        "shape": (),
        "initializer": tf_keras.initializers.Constant(value),
        "trainable": trainable,
        "constraint": constraint,
        "aggregation": tf.VariableAggregation.MEAN,
    }


class ActivationRange(_quantizers.Quantizer):
    """A range in two variables that calibration sets, and that training moves or leaves.

    Args:
        low: smallest value at first.
        high: largest value at first.
        decay: share of the old range that a training step keeps; 1 lets no step move the range to what it saw.
        trains: gradient descent moves the ends, other than one at zero, as it moves weights; see `_on_grid`.
    """

    def __init__(self, low: float, high: float, *, decay: float = 1.0, trains: bool = False) -> None:
        self.low = min(low, 0.0)  # zero must be exact: padding writes it
        self.high = max(high, 0.0, self.low + _SMALLEST_RANGE)
        self.decay = decay
        self.trains = trains
        self.variables: dict[str, Variable] = {}

    def build(self, tensor_shape: object, name: str, layer: Any) -> dict[str, Variable]:
        """The variables `low` and `high` of the layer that quantizes."""
        ends = (("low", self.low, _not_above_zero), ("high", self.high, _above_zero))
        self.variables = {
            end: layer.add_weight(
                f"{name}_{end}", **_scalar(value, trainable=self.trains and value != 0, constraint=constraint)
            )
            for end, value, constraint in ends
        }
        return self.variables

    def __call__(self, inputs: Tensor, training: bool, weights: Mapping[str, Any], **kwargs: object) -> Tensor:
        """`inputs` on the int8 grid of the range, clipped to it."""
        if is_in_float():
            return inputs
        low, high = weights["low"], weights["high"]
        if training and self.decay < 1:
            low = low.assign(self._moved(low, tf.minimum(tf.reduce_min(inputs), 0.0)))
            high = high.assign(self._moved(high, tf.maximum(tf.reduce_max(inputs), _SMALLEST_RANGE)))
        if self.trains:
            return _on_grid(inputs, tf.convert_to_tensor(low), tf.convert_to_tensor(high))
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high)

    def lowest(self) -> Tensor:
        """Low end of the range, a scalar."""
        return self.variables["low"]

    def scale(self) -> Tensor | float:
        """Step of the grid, a scalar."""
        return (self.variables["high"] - self.variables["low"]) / 255

    def _moved(self, old: Tensor, seen: Tensor) -> Tensor:
        return self.decay * old + (1 - self.decay) * seen

    def get_config(self) -> Config:
        """Constructor arguments."""
        return {"low": self.low, "high": self.high, "decay": self.decay, "trains": self.trains}


class SameRange(_quantizers.Quantizer):
    """The range of another tensor: kernels such as AVERAGE_POOL_2D keep the scale of their input."""

    def __init__(self, source: ActivationRange | FixedRange | SameRange) -> None:
        self.source: ActivationRange | FixedRange = source.source if isinstance(source, SameRange) else source

    def scale(self) -> Tensor | float:
        """Scale of the other tensor, a scalar."""
        return self.source.scale()

    def build(self, tensor_shape: object, name: str, layer: Layer) -> dict[str, Variable]:
        """The variables of the other quantizer; nothing new."""
        return self.source.variables if isinstance(self.source, ActivationRange) else {}

    def __call__(self, inputs: Tensor, training: bool, weights: Mapping[str, object], **kwargs: object) -> Tensor:
        """`inputs` on the grid of the other tensor."""
        return self.source(inputs, False, weights)

    def get_config(self) -> Config:
        """Constructor arguments."""
        return {"source": self.source}


class JoinedRange(SameRange):
    """The range of another tensor, which both move as they move a range of their own."""

    def __call__(self, inputs: Tensor, training: bool, weights: Mapping[str, object], **kwargs: object) -> Tensor:
        """`inputs` on the grid that all share."""
        return self.source(inputs, training, weights)


class FixedRange(_quantizers.Quantizer):
    """A range that the int8 kernel fixes: scale 1/256 for softmax and sigmoid, 1/128 for tanh (the specification)."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def build(self, tensor_shape: object, name: str, layer: Layer) -> dict[str, Variable]:
        """No variables."""
        return {}

    def __call__(self, inputs: Tensor, training: bool, weights: Mapping[str, object], **kwargs: object) -> Tensor:
        """`inputs` on the fixed grid."""
        if is_in_float():
            return inputs
        return tf.quantization.fake_quant_with_min_max_args(inputs, self.low, self.high)

    def lowest(self) -> float:
        """Low end of the range."""
        return self.low

    def scale(self) -> Tensor | float:
        """Step of the grid."""
        return (self.high - self.low) / 255

    def get_config(self) -> Config:
        """Constructor arguments."""
        return {"low": self.low, "high": self.high}


class KernelQuantizer(_quantizers.Quantizer):
    """A weight tensor: zeros and clusters kept where asked, then symmetric int8 in [-127, 127].

    The range is computed from the weights as they are, in training and in inference: a stored range would lag one step
    behind the weights.

    Args:
        axis: what has a scale of its own: the whole `tensor`, each index of the `last` axis, of the `last_two` together
            (a depthwise kernel) or of the axis `before_last` (a transposed convolution).
        int8: False leaves the values in float, for training sparsity or clusters alone.
        mask: 0 where a weight stays zero and 1 elsewhere, of the weight's shape; None keeps no zeros.
        cluster_ids: int32 of the weight's shape, weights of the same id stay equal; None keeps no clusters.
        signs: weights become two or three values, see `signed`; None leaves them any.
    """

    def __init__(
        self,
        axis: Axis,
        *,
        int8: bool = True,
        mask: np.ndarray | None = None,
        cluster_ids: np.ndarray | None = None,
        signs: Signs | None = None,
    ) -> None:
        self.axis: Axis = axis
        self.signs: Signs | None = signs
        self.int8 = int8
        self.mask = mask
        self.cluster_ids = cluster_ids
        self.variables: dict[str, Variable] = {}

    def build(self, tensor_shape: object, name: str, layer: Any) -> dict[str, Variable]:
        """The variables `mask` and `cluster_ids`, those that are kept."""
        kept = {"mask": self.mask, "cluster_ids": self.cluster_ids}
        self.variables = {
            key: layer.add_weight(
                f"{name}_{key}",
                shape=values.shape,
                dtype=values.dtype,
                initializer=_initially(values),
                trainable=False,
            )
            for key, values in kept.items()
            if values is not None
        }
        return self.variables

    def __call__(self, inputs: Tensor, training: bool, weights: Mapping[str, Tensor], **kwargs: object) -> Tensor:
        """The weights that the layer computes with."""
        values = self.constrained(inputs, weights)
        return _symmetric_int8(values, self.axis) if self.int8 and not is_in_float() else values

    def scale(self, values: Tensor) -> Tensor:
        """Step of the grid for these weights: a scalar, or one for each output channel."""
        return _bound(self.constrained(values, self.variables), self.axis) / 127

    def constrained(self, values: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Float weights with zeros and clusters kept: what the model without wrappers holds.

        A cluster's value is the mean of its weights.  So its gradient is the mean of theirs, and all of them, having
        begun equal, take the same step (Han et al. 2016, section 3.3, with a mean for the sum).
        """
        if self.signs is not None:
            return signed(values, weights.get("mask"), self.axis, self.signs)
        if self.cluster_ids is not None:
            ids = tf.reshape(weights["cluster_ids"], [-1])
            count = int(self.cluster_ids.max()) + 1
            means = tf.math.unsorted_segment_mean(tf.reshape(values, [-1]), ids, count)
            values = tf.reshape(tf.gather(means, ids), values.shape)
        return values * weights["mask"] if self.mask is not None else values

    def get_config(self) -> Config:
        """Constructor arguments."""
        kept = {"mask": self.mask, "cluster_ids": self.cluster_ids, "signs": self.signs}
        return {"axis": self.axis, "int8": self.int8, **kept}


class BiasQuantizer(_quantizers.Quantizer):
    """A bias on the grid of the int32 accumulator: input scale times weight scale (quantization specification).

    tfmot leaves biases in float.  A first layer whose input is an image in 0..255 has a coarse accumulator, and then
    the difference is enough to make simulation and file part.

    Args:
        kernel: the variable of the same layer's kernel.
        kernel_quantizer: of that kernel.
        source: the quantizer of the layer's input.
    """

    def __init__(
        self,
        kernel: Tensor,
        kernel_quantizer: KernelQuantizer,
        source: ActivationRange | FixedRange | SameRange,
    ) -> None:
        self.kernel = kernel
        self.kernel_quantizer = kernel_quantizer
        self.source = source

    def build(self, tensor_shape: object, name: str, layer: Layer) -> dict[str, Variable]:
        """No variables."""
        return {}

    def __call__(self, inputs: Tensor, training: bool, weights: Mapping[str, object], **kwargs: object) -> Tensor:
        """The bias, rounded; the gradient passes as if it were not."""
        if is_in_float():
            return inputs
        scale = self.source.scale() * self.kernel_quantizer.scale(self.kernel)
        return inputs + tf.stop_gradient(tf.round(inputs / scale) * scale - inputs)

    def constrained(self, values: Tensor, weights: Mapping[str, object]) -> Tensor:
        """The float bias."""
        return values

    def get_config(self) -> Config:
        """Constructor arguments."""
        return {"kernel": self.kernel, "kernel_quantizer": self.kernel_quantizer, "source": self.source}


def _not_above_zero(value: Tensor) -> Tensor:
    return tf.minimum(value, 0.0)


def _above_zero(value: Tensor) -> Tensor:
    return tf.maximum(value, _SMALLEST_RANGE)


@tf.custom_gradient
def _on_grid(values: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, object]:
    """`values` on the int8 grid from `low` to `high`, with a gradient for both ends that knows the rounding.

    TensorFlow's own gradient moves an end by what is clipped there alone, so that ranges only grow.  A step of the grid
    also scales the rounding error of what is inside (Bhalgat et al. 2020, "LSQ+", equation 3, written for the ends).
    """
    rounded = tf.quantization.fake_quant_with_min_max_vars(values, low, high)

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inside, at_low, at_high = tf.quantization.fake_quant_with_min_max_vars_gradient(upstream, values, low, high)
        # Nothing where nothing passes, also of an infinite value.
        by_width = tf.reduce_sum(tf.math.multiply_no_nan(rounded - values, inside)) / (high - low)
        return inside, at_low - by_width, at_high + by_width

    return rounded, gradient


def _bound(values: Tensor, axis: Axis) -> Tensor:
    """Largest magnitude: a scalar for `tensor`, else one for each output channel, those of dead channels raised."""
    if axis == "before_last":
        order = [*range(len(values.shape) - 2), len(values.shape) - 1, len(values.shape) - 2]
        values = tf.transpose(values, order)
    if axis == "last_two":
        values = tf.reshape(values, [*values.shape[:-2], values.shape[-2] * values.shape[-1]])
    axes = None if axis == "tensor" else list(range(len(values.shape) - 1))
    bound = tf.reduce_max(tf.abs(values), axis=axes)
    return tf.maximum(bound, tf.maximum(_DEAD * tf.reduce_max(bound), _SMALLEST_RANGE))


def _initially(values: np.ndarray) -> object:
    return lambda shape, dtype=None, **kwargs: tf.constant(values, dtype)


def _symmetric_int8(values: Tensor, axis: Axis) -> Tensor:
    if axis == "tensor":
        bound = _bound(values, axis)
        return tf.quantization.fake_quant_with_min_max_vars(values, -bound, bound, narrow_range=True)
    if axis == "last_two":
        folded = tf.reshape(values, [*values.shape[:-2], values.shape[-2] * values.shape[-1]])
        return tf.reshape(_symmetric_int8(folded, "last"), values.shape)
    if axis == "before_last":
        order = [*range(len(values.shape) - 2), len(values.shape) - 1, len(values.shape) - 2]
        return tf.transpose(_symmetric_int8(tf.transpose(values, order), "last"), order)
    bound = _bound(values, axis)
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(values, -bound, bound, narrow_range=True)
