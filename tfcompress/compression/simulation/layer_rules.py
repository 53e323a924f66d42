"""For each Keras layer: which weights are quantized, and what its int8 kernel does to the range of its output.

One table, looked up by class (tensor operators of a functional graph: by symbol).  A layer that is not in it, or whose
rule gives a reason, stays in float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np

from tfcompress.compression.lowering.activations import activation_name
from tfcompress.compression.lowering.reciprocal_root import ReciprocalRoot
from tfcompress.compression.lowering.recurrence import Recurrence
from tfcompress.compression.lowering.symbols import symbol_of
from tfcompress.compression.simulation.quantizers import Axis
from tfcompress.graphs.keras.protocols import Layer
from tfcompress.graphs.keras.taken_apart.leaf_layers import RepeatedForBatch, Weight
from tfcompress.runtime import tf_keras

__all__ = ["SIGMOID_RANGE", "TANH_RANGE", "Placement", "Rule", "fuses", "joins", "repeats_for_relu", "rule_for"]

# Scales 1/256 and 1/128, zero points -128 and 0 (LiteRT quantization specification: LOGISTIC, SOFTMAX and TANH).
SIGMOID_RANGE = (0.0, 255 / 256)
TANH_RANGE = (-1.0, 127 / 128)


class Placement(Enum):
    """How the range of a layer's output comes about in an int8 file."""

    OWN = auto()  # a scale of its own
    FIXED = auto()  # a scale that the kernel fixes
    SAME = auto()  # computed, then rounded to the scale of the input
    AVERAGE = auto()  # the same, with ties away from integer zero
    JOINED = auto()  # the scale of what it is concatenated with
    MOVED = auto()  # values of the input, unchanged: nothing to quantize
    FLOAT = auto()  # no integer kernel


@dataclass(frozen=True)
class Rule:
    """What the int8 file does with a layer.

    Attributes:
        placement: of the output's range.
        weights: {attribute of the layer: what has a scale of its own}.
        fixed: lowest and highest value, for `FIXED`.
        fuses_relu: a ReLU that follows becomes part of the operator, so that nothing is quantized between them.
        adds_bias: the operator adds the layer's bias to its int32 accumulator.
        multiplies_by_256ths: XNNPACK's kernel knows the ratio of input and output scale as a fraction of 256 alone.
        reads_indices: the input counts rows of a table, and rounding would choose others.
        reason: why the layer stays in float, for `FLOAT`.
    """

    placement: Placement
    weights: Mapping[str, Axis]
    fixed: tuple[float, float] | None = None
    fuses_relu: bool = False
    adds_bias: bool = False
    multiplies_by_256ths: bool = False
    reads_indices: bool = False
    reason: str = ""


_L = tf_keras.layers

_OWN = Rule(Placement.OWN, {})
_ARITHMETIC = Rule(Placement.OWN, {}, fuses_relu=True)
_LEAKY = Rule(Placement.OWN, {}, multiplies_by_256ths=True)
_SAME = Rule(Placement.SAME, {})
_AVERAGE = Rule(Placement.AVERAGE, {})
_MOVED = Rule(Placement.MOVED, {})
_SIGMOID = Rule(Placement.FIXED, {}, fixed=SIGMOID_RANGE)
_TANH = Rule(Placement.FIXED, {}, fixed=TANH_RANGE)


def _kernel(attribute: str, axis: Axis) -> Rule:
    return Rule(Placement.OWN, {attribute: axis}, fuses_relu=True, adds_bias=True)


def _float(reason: str) -> Rule:
    return Rule(Placement.FLOAT, {}, reason=reason)


# Activations that are one operator; `activations` writes the others out.
_ACTIVATIONS: dict[str, Rule] = {
    "linear": _MOVED,
    "relu": _OWN,
    "relu6": _OWN,
    "softmax": _SIGMOID,
    "sigmoid": _SIGMOID,
    "tanh": _TANH,
    "gelu": _OWN,
    "keras3_hard_silu": _OWN,
    "exponential": _OWN,
}


def _activation(layer: Any) -> Rule:
    name = activation_name(layer.activation)
    return _ACTIVATIONS.get(name, _float(f"activation {name} has no int8 kernel in LiteRT"))


def _dense(layer: Any) -> Rule:
    # A kernel that several operators read, as each step of a recurrent layer does, comes out with a scale for each
    # output, whatever the simulation says.
    return _kernel("kernel", "last" if len(layer.inbound_nodes) > 1 else "tensor")


def _relu(layer: Any) -> Rule:
    if layer.threshold or layer.negative_slope:  # a slope alone was made a LeakyReLU
        return _float("a ReLU with a threshold, or with both a slope and a maximum, has no int8 kernel in LiteRT")
    return _OWN


def _unit_norm(layer: Any) -> Rule:
    if list(np.atleast_1d(layer.axis)) not in ([-1], [len(layer.input_shape) - 1]):
        return _float("L2_NORMALIZATION works along the last axis")
    return _TANH  # the kernel's output has the same scale


# Tensor operators of a functional graph, by the symbol that tf_keras gives them.
_BY_SYMBOL: dict[str, Rule] = {
    **dict.fromkeys(("__operators__.add", "math.add", "math.subtract", "math.multiply"), _ARITHMETIC),
    **dict.fromkeys(
        ("clip_by_value", "math.maximum", "math.minimum", "math.reduce_mean", "math.reduce_sum",
         "math.abs", "math.exp", "math.log",
         "einsum", "linalg.matmul", "nn.relu", "nn.relu6", "nn.gelu"), _OWN
    ),
    **dict.fromkeys(("concat", "stack", "where", "where_v2"), _OWN),
    **dict.fromkeys(("math.sigmoid", "nn.softmax"), _SIGMOID),
    "math.tanh": _TANH,
    "image.resize": _SAME,
    "nn.avg_pool": _AVERAGE,
    **dict.fromkeys(
        ("reshape", "transpose", "squeeze", "expand_dims", "split", "unstack", "pad", "tile", "gather", "identity",
         "repeat", "reverse", "slice", "strided_slice", "math.reduce_max", "math.reduce_min", "stop_gradient",
         "cast", "space_to_depth", "nn.space_to_depth", "nn.depth_to_space", "broadcast_to", "roll"), _MOVED
    ),
}  # fmt: skip


_JOINING = ("concat", "stack", "math.maximum", "math.minimum", "where", "where_v2")

_RECURRENT_REASON = "recurrent layers are quantized with sigmoid, tanh or relu, a fixed number of steps and no state"


_BY_CLASS: dict[object, Rule | Callable[[Any], Rule]] = {
    _L.Dense: _dense,
    _L.Conv2D: _kernel("kernel", "last"),
    _L.DepthwiseConv2D: _kernel("depthwise_kernel", "last_two"),
    _L.Conv2DTranspose: _kernel("kernel", "tensor"),
    _L.Conv3D: _float("a convolution of volumes in groups, or of open size, has no int8 kernel in LiteRT"),
    _L.Conv3DTranspose: _float("CONV_3D_TRANSPOSE has no int8 kernel in LiteRT"),
    _L.EinsumDense: Rule(Placement.OWN, {"kernel": "tensor"}),
    _L.Rescaling: _ARITHMETIC,
    _L.Embedding: Rule(Placement.MOVED, {"embeddings": "tensor"}, reads_indices=True),
    _L.PReLU: _float("slopes of places whose number is not known have no int8 kernel in LiteRT"),
    _L.MaxPooling3D: _float("LiteRT pools no volumes of open size"),
    _L.AveragePooling3D: _float("LiteRT pools no volumes of open size"),
    _L.Lambda: _float("a Lambda can compute anything"),
    _L.LSTM: _float(_RECURRENT_REASON),
    _L.GRU: _float(_RECURRENT_REASON),
    _L.SimpleRNN: _float(_RECURRENT_REASON),
    _L.MultiHeadAttention: _float(
        "attention that returns its scores, of open size or over several axes is not written out as integer operators"
    ),
    _L.BatchNormalization: _ARITHMETIC,
    _L.UnitNormalization: _unit_norm,
    ReciprocalRoot: _OWN,
    Recurrence: Rule(Placement.OWN, {"kernel": "last", "recurrent_kernel": "last"}),
    _L.Add: _ARITHMETIC,
    _L.Subtract: _ARITHMETIC,
    _L.Multiply: _ARITHMETIC,
    _L.Average: _OWN,
    _L.Maximum: _OWN,
    _L.Minimum: _OWN,
    _L.Concatenate: _OWN,
    _L.Dot: _OWN,
    _L.Activation: _activation,
    _L.ReLU: _relu,
    _L.LeakyReLU: _LEAKY,
    _L.Softmax: _SIGMOID,
    _L.AveragePooling1D: _AVERAGE,
    _L.AveragePooling2D: _AVERAGE,
    _L.GlobalAveragePooling1D: _OWN,
    _L.GlobalAveragePooling2D: _OWN,
    _L.GlobalAveragePooling3D: _OWN,
    _L.MaxPooling1D: _MOVED,
    _L.MaxPooling2D: _SAME,
    _L.GlobalMaxPooling1D: _MOVED,
    _L.GlobalMaxPooling2D: _MOVED,
    _L.GlobalMaxPooling3D: _MOVED,
    _L.UpSampling1D: _MOVED,
    _L.UpSampling3D: _MOVED,
    _L.UpSampling2D: lambda layer: _MOVED if layer.interpolation == "nearest" else _SAME,
    _L.ZeroPadding1D: _MOVED,
    _L.ZeroPadding2D: _MOVED,
    _L.ZeroPadding3D: _MOVED,
    _L.Cropping1D: _MOVED,
    _L.Cropping2D: _MOVED,
    _L.Cropping3D: _MOVED,
    _L.Reshape: _MOVED,
    _L.Permute: _MOVED,
    _L.Flatten: _MOVED,
    _L.RepeatVector: _MOVED,
    _L.Identity: _MOVED,
    _L.Dropout: _MOVED,
    _L.AlphaDropout: _MOVED,
    _L.SpatialDropout1D: _MOVED,
    _L.SpatialDropout2D: _MOVED,
    _L.SpatialDropout3D: _MOVED,
    _L.GaussianNoise: _MOVED,
    _L.GaussianDropout: _MOVED,
    _L.ActivityRegularization: _MOVED,
    Weight: _OWN,
    RepeatedForBatch: _MOVED,
}


def joins(layer: Layer) -> bool:
    """Whether a layer chooses among its inputs' values: they are rescaled to its own range as they are made."""
    return type(layer) in (_L.Concatenate, _L.Maximum, _L.Minimum) or symbol_of(layer) in _JOINING


def rule_for(layer: Layer) -> Rule:
    """The rule of a layer; of placement `FLOAT`, with a reason, where the table has none."""
    symbol = symbol_of(layer)
    if symbol is not None:
        return _BY_SYMBOL.get(symbol, _float(f"tensor operator tf.{symbol} is not known to have an int8 kernel"))
    if type(layer).__name__ == "SlicingOpLambda":
        return _MOVED
    rule = _BY_CLASS.get(type(layer))
    if rule is None:
        return _float(f"{type(layer).__name__} is not known to have int8 kernels")
    return rule if isinstance(rule, Rule) else rule(layer)


def fuses(layer: Any) -> bool:
    """Whether LiteRT merges this activation layer into the operator before it (relu and relu6)."""
    if type(layer) is _L.ReLU:
        return bool(layer.max_value in (None, 6.0) and not layer.negative_slope and not layer.threshold)
    if type(layer) is _L.Activation:
        return activation_name(layer.activation) in ("relu", "relu6")
    return symbol_of(layer) in ("nn.relu", "nn.relu6")


def repeats_for_relu(layer: Any) -> bool:
    """Whether TFLiteConverter merges a ReLU into this layer's operator even where others read its output too.

    They get an operator of their own with the same weights, so the ReLU's result never lies on the grid of theirs.  So
    it is with FULLY_CONNECTED, of an ELU or PReLU behind a dense layer for instance, but not with convolutions.
    """
    return type(layer) is _L.Dense and len(layer.input_shape) == 2
