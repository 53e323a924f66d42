"""The rewrites as data, one row a rewrite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tfcompress.converters.edgetpu.rewriting import activations, arithmetic, images, rank, smooth
from tfcompress.converters.edgetpu.rewriting.graph import GraphEditor

__all__ = ["REWRITES", "Level", "Rewrite"]

Level = Literal["safe", "all"]


@dataclass(frozen=True)
class Rewrite:
    """One way to replace an operator.

    Attributes:
        name: short and stable.
        operators: TFLite operators that it may replace.
        level: `safe` leaves the float function as it was (<= 1e-5); `all` changes it, for models that will be
            fine-tuned.
        apply: returns the operators that replace the given one, or None when it does not fit.
        what: a sentence for the notes.
        in_int8: the float graph is only proven; the operator is replaced in the quantized file (see `repairs`).
    """

    name: str
    operators: tuple[str, ...]
    level: Level
    apply: Callable[[GraphEditor, Any], list[Any] | None]
    what: str
    in_int8: bool = False


REWRITES: tuple[Rewrite, ...] = (
    Rewrite(
        "leaky_relu",
        ("LEAKY_RELU",),
        "safe",
        activations.leaky_relu,
        "LeakyReLU as maximum(x, alpha * x)",
        in_int8=True,
    ),
    Rewrite(
        "prelu", ("PRELU",), "safe", activations.prelu, "PReLU with slopes for each position as relu(x) - a * relu(-x)"
    ),
    Rewrite("hard_swish", ("HARD_SWISH",), "safe", activations.hard_swish, "hard-swish as x * (relu6(x + 3) / 6)"),
    Rewrite("clip", ("RELU_0_TO_1",), "safe", activations.clip_to_unit, "clip to [0, 1] as minimum(relu(x), 1)"),
    Rewrite("absolute", ("ABS",), "safe", activations.absolute, "absolute values as relu(x) + relu(-x)"),
    Rewrite("silu_relu6", ("MUL",), "all", smooth.silu_to_relu6, "ReLU6 for SiLU"),
    Rewrite(
        "scaled_elu",
        ("SELECT", "SELECT_V2"),
        "safe",
        smooth.scaled_elu,
        "SELU, and ELU with an alpha, as a * relu(x) + b * (1 / sigmoid(relu(-x)) - 2)",
    ),
    Rewrite("elu", ("ELU",), "safe", smooth.elu, "ELU as relu(x) + 1 / sigmoid(relu(-x)) - 2"),
    Rewrite(
        "exponential",
        ("EXP",),
        "safe",
        smooth.exponential_of_negative,
        "exp(minimum(x, 0)) as 1 / sigmoid(relu(-x)) - 1",
    ),
    Rewrite("mish", ("TANH",), "safe", smooth.mish, "Mish as x * (2 / (1 + sigmoid(-x)^2) - 1)"),
    Rewrite("gelu_tanh", ("GELU",), "safe", smooth.gelu_tanh, "GELU (tanh form) as x * sigmoid of a polynomial"),
    Rewrite("gelu_sigmoid", ("GELU",), "all", smooth.gelu_to_sigmoid, "x * sigmoid(1.702 x) for GELU"),
    Rewrite("gelu_erf", ("GELU",), "safe", smooth.gelu_erf, "GELU as x * sigmoid of a polynomial of degree 9"),
    Rewrite(
        "reshape", ("SQUEEZE", "EXPAND_DIMS"), "safe", arithmetic.reshape_instead, "squeeze and expand_dims as reshape"
    ),
    Rewrite(
        "merged_dimensions",
        ("RESHAPE",),
        "safe",
        rank.merge_rows_and_columns,
        "five dimensions as four: rows and columns as one",
    ),
    Rewrite("reciprocal", ("DIV",), "safe", arithmetic.divide_by_constant, "division by a constant as multiplication"),
    Rewrite("negation", ("NEG",), "safe", arithmetic.negate, "negation as multiplication by -1"),
    Rewrite("square", ("SQUARE", "POW"), "safe", arithmetic.square, "square as x * x"),
    Rewrite("zero_pad", ("PADV2",), "safe", arithmetic.pad_with_zeros, "padding with a given zero as PAD"),
    Rewrite("split_sizes", ("SPLIT_V",), "safe", arithmetic.split_sizes, "split into unequal parts as slices"),
    Rewrite("unstack", ("UNPACK",), "safe", arithmetic.unstack, "unstack as slices"),
    Rewrite(
        "strided_slice",
        ("STRIDED_SLICE",),
        "safe",
        arithmetic.strided_slice_as_pooling,
        "every s-th row and column as 1x1 max pooling of stride s",
    ),
    Rewrite(
        "depth_to_space",
        ("DEPTH_TO_SPACE",),
        "safe",
        arithmetic.depth_to_space,
        "depth_to_space as a transposed convolution",
    ),
    Rewrite(
        "resize_pixel",
        ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
        "safe",
        images.resize_one_pixel,
        "resizing from 1x1 as tiling",
    ),
    Rewrite(
        "resize_identity",
        ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
        "safe",
        images.resize_identity,
        "resizing to the same size dropped",
    ),
    Rewrite("large_mean", ("MEAN",), "safe", images.large_mean, "a mean over many positions in two steps"),
    Rewrite(
        "dilation",
        ("BATCH_TO_SPACE_ND",),
        "safe",
        images.dilated_convolution,
        "dilated convolution without SpaceToBatch",
    ),
    Rewrite("softmax_tail", ("SOFTMAX",), "all", images.drop_softmax, "a large last softmax left to the caller"),
)
