"""Every rewrite of a .tflite, one row each, in the order in which they are tried.

To add one, write a function of the form in `activations`, and a row here.  Each row is proven on the model at hand
before it is kept (`tfcompress.graphs.tflite.proof`); `tests/converters/rewriting` wants an example of it.
"""

from __future__ import annotations

from typing import Literal

from tfcompress.converters.rewriting import (
    activations,
    arithmetic,
    bends,
    delegation,
    images,
    integers,
    matrices,
    movement,
    preparation,
    rank,
    slopes,
    smooth,
    upsampling,
    windows,
)
from tfcompress.graphs.tflite.rewriting import Rewrite

__all__ = [
    "EDGETPU",
    "EDGETPU_FILE",
    "ETHOS_U",
    "ETHOS_U_FILE",
    "FLOAT_FILE",
    "INT8_FILE",
    "PHONE_FILE",
    "REWRITES",
    "rows_for",
]

# What a row is for: every float .tflite; the float .tflite that the Edge TPU's int8 one is made of; every int8 file;
# the Edge TPU's int8 file; the int8 file that XNNPACK will run on a CPU; the float .tflite that Ethos-U's int8 one is
# made of, beside the Edge TPU's rows; Ethos-U's int8 file.
FLOAT_FILE, EDGETPU, INT8_FILE, EDGETPU_FILE = "float file", "edgetpu", "int8 file", "edgetpu int8 file"
PHONE_FILE = "phone int8 file"
ETHOS_U, ETHOS_U_FILE = "ethos_u", "ethos_u int8 file"
_SPECIFICATION = "LiteRT 8-bit quantization specification"
_IDENTITY = "identity of real functions"


def _row(
    use: str | tuple[str, ...],
    name: str,
    operators: tuple[str, ...],
    apply: object,
    what: str,
    source: str,
    *,
    level: Literal["safe", "all"] = "safe",
    **more: object,
) -> Rewrite:
    uses = frozenset({use} if isinstance(use, str) else use)
    return Rewrite(name, operators, level, apply, what, source, uses, **more)  # type: ignore[arg-type]


REWRITES: tuple[Rewrite, ...] = (
    _row(
        FLOAT_FILE,
        "constants",
        (),
        preparation.fold_constants,
        "operators of constants alone as constants",
        "neither quantizer has a range for what never changes",
    ),
    _row(
        FLOAT_FILE,
        "slices",
        ("SPLIT", "SPLIT_V"),
        preparation.slices_for_split,
        "split as one slice for each part that is used",
        "litert-quantizer leaves SPLIT in float; TFLiteConverter's quantizer where a part is unused",
    ),
    _row(
        FLOAT_FILE,
        "reverse",
        ("REVERSE_V2",),
        movement.slices_for_reverse,
        "reversal as slices of one position",
        "TFLiteConverter's quantizer lets REVERSE_V2 change the scale, its kernel does not",
    ),
    _row(
        FLOAT_FILE,
        "whole_map_mean",
        ("AVERAGE_POOL_2D",),
        preparation.mean_for_whole_map_pool,
        "pooling over the whole map as a mean",
        f"{_SPECIFICATION}: AVERAGE_POOL_2D must keep its input's scale, MEAN has its own",
    ),
    _row(
        FLOAT_FILE,
        "same_padding",
        ("CONV_2D", "DEPTHWISE_CONV_2D"),
        preparation.same_padding,
        "padding by the convolution itself",
        'tf.nn, "Notes on padding"; PAD copies its whole input',
    ),
    _row(
        FLOAT_FILE,
        "depthwise",
        ("CONV_2D",),
        preparation.depthwise,
        "convolutions with a group for each channel as depthwise ones",
        f"{_IDENTITY}; XNNPACK and accelerators have kernels of their own for them",
    ),
    _row(
        FLOAT_FILE,
        "nearest_resize",
        ("RESHAPE", "BROADCAST_TO", "TILE"),
        upsampling.nearest_resize,
        "repeated rows and columns as nearest-neighbour resizing",
        "keras.ops.repeat; every element is followed to where it comes from",
    ),
    _row(
        FLOAT_FILE,
        "two_slopes",
        slopes.SLOPED,
        slopes.two_slopes,
        "maxima, sums and choices that are LeakyReLU, PReLU or ReLU as that",
        "Maas et al. 2013; He et al. 2015; what keeps positive factors is told by its values at 1 and -1",
    ),
    _row(
        FLOAT_FILE,
        "own_range",
        ("MAXIMUM", "MINIMUM"),
        slopes.own_range,
        "operands that others read too with a range of their own",
        f"{_SPECIFICATION}: MAXIMUM and MINIMUM have one scale for operands and result",
    ),
    _row(
        FLOAT_FILE,
        "open_batch",
        ("RESHAPE",),
        preparation.open_batch_of_reshape,
        "reshape with an open batch",
        "tf.reshape: -1 is inferred",
    ),
    _row(
        EDGETPU,
        "leaky_relu",
        ("LEAKY_RELU",),
        activations.leaky_relu,
        "LeakyReLU as maximum(x, alpha * x)",
        "Maas et al. 2013; LEAKY_RELU is not in Coral's table",
        in_int8=True,
    ),
    _row(
        EDGETPU,
        "prelu",
        ("PRELU",),
        activations.prelu,
        "PReLU with slopes for each position as relu(x) - a * relu(-x)",
        "He et al. 2015, equation 1",
    ),
    _row(
        EDGETPU,
        "hard_swish",
        ("HARD_SWISH",),
        activations.hard_swish,
        "hard-swish as x * (relu6(x + 3) / 6)",
        "Howard et al. 2019, section 5.2",
    ),
    _row(
        EDGETPU, "clip", ("RELU_0_TO_1",), activations.clip_to_unit, "clip to [0, 1] as minimum(relu(x), 1)", _IDENTITY
    ),
    _row(
        EDGETPU,
        "softsign",
        ("DIV",),
        smooth.softsign,
        "softsign as 1 / (1 + relu(-x)) - 1 / (1 + relu(x))",
        "Glorot & Bengio 2010, section 3",
    ),
    _row(
        EDGETPU,
        "bends",
        ("SELECT", "SELECT_V2"),
        bends.sum_of_relus,
        "choices that are straight lines which meet, as soft shrinkage, as sums of ReLUs",
        "Donoho & Johnstone 1994; straight lines are told by their values between the bends",
    ),
    _row(EDGETPU, "absolute", ("ABS",), activations.absolute, "absolute values as relu(x) + relu(-x)", _IDENTITY),
    _row(
        EDGETPU,
        "silu_relu6",
        ("MUL",),
        smooth.silu_to_relu6,
        "ReLU6 for SiLU",
        "another function, to be fine-tuned",
        level="all",
    ),
    _row(
        EDGETPU,
        "scaled_elu",
        ("SELECT", "SELECT_V2"),
        smooth.scaled_elu,
        "SELU, and ELU with an alpha, as a * relu(x) + b * (1 / sigmoid(relu(-x)) - 2)",
        "Klambauer et al. 2017, equation 2",
    ),
    _row(
        EDGETPU,
        "elu",
        ("ELU",),
        smooth.elu,
        "ELU as relu(x) + 1 / sigmoid(relu(-x)) - 2",
        "Clevert et al. 2015, equation 15",
    ),
    _row(
        EDGETPU,
        "exponential",
        ("EXP",),
        smooth.exponential_of_negative,
        "exp(minimum(x, 0)) as 1 / sigmoid(relu(-x)) - 1",
        "Barron 2017",
    ),
    _row(
        EDGETPU,
        "repeated_channels",
        ("RESHAPE", "BROADCAST_TO", "TILE"),
        upsampling.repeated_channels,
        "repeated channels as a 1 x 1 convolution with one weight an output",
        "keras.ops.repeat; every element is followed to where it comes from",
    ),
    _row(EDGETPU, "mish", ("TANH",), smooth.mish, "Mish as x * (2 / (1 + sigmoid(-x)^2) - 1)", "Misra 2019"),
    _row(
        EDGETPU,
        "gelu_tanh",
        ("GELU",),
        smooth.gelu_tanh,
        "GELU (tanh form) as x * sigmoid of a polynomial",
        "Hendrycks & Gimpel 2016, section 2",
    ),
    _row(
        EDGETPU,
        "gelu_sigmoid",
        ("GELU",),
        smooth.gelu_to_sigmoid,
        "x * sigmoid(1.702 x) for GELU",
        "Hendrycks & Gimpel 2016, section 2",
        level="all",
    ),
    _row(
        EDGETPU,
        "gelu_erf",
        ("GELU",),
        smooth.gelu_erf,
        "GELU as x * sigmoid of a polynomial of degree 9",
        "fitted, see the function; off by 3.0e-6 at most",
    ),
    _row(
        EDGETPU,
        "reshape",
        ("SQUEEZE", "EXPAND_DIMS"),
        arithmetic.reshape_instead,
        "squeeze and expand_dims as reshape",
        _IDENTITY,
    ),
    _row(
        EDGETPU,
        "merged_dimensions",
        ("RESHAPE",),
        rank.merge_rows_and_columns,
        "five dimensions as four: rows and columns as one",
        "coral.ai/docs/edgetpu/models-intro: only the 3 innermost dimensions above 1",
    ),
    _row(
        EDGETPU,
        "reciprocal",
        ("DIV",),
        arithmetic.divide_by_constant,
        "division by a constant as multiplication",
        _IDENTITY,
    ),
    _row((FLOAT_FILE, EDGETPU), "negation", ("NEG",), arithmetic.negate, "negation as multiplication by -1", _IDENTITY),
    _row((FLOAT_FILE, EDGETPU), "square", ("SQUARE", "POW"), arithmetic.square, "square as x * x", _IDENTITY),
    _row(
        (FLOAT_FILE, ETHOS_U),
        "cumulative_sum",
        ("CUMSUM",),
        matrices.cumulative_sum,
        "a running sum as a product with a triangle of ones",
        f"{_IDENTITY}; LiteRT has no int8 CUMSUM",
    ),
    _row(EDGETPU, "zero_pad", ("PADV2",), arithmetic.pad_with_zeros, "padding with a given zero as PAD", _IDENTITY),
    _row(EDGETPU, "split_sizes", ("SPLIT_V",), arithmetic.split_sizes, "split into unequal parts as slices", _IDENTITY),
    _row(EDGETPU, "unstack", ("UNPACK",), arithmetic.unstack, "unstack as slices", _IDENTITY),
    _row(
        EDGETPU,
        "strided_slice",
        ("STRIDED_SLICE",),
        arithmetic.strided_slice_as_pooling,
        "every s-th row and column as 1x1 max pooling of stride s",
        _IDENTITY,
    ),
    _row(
        EDGETPU,
        "depth_to_space",
        ("DEPTH_TO_SPACE",),
        arithmetic.depth_to_space,
        "depth_to_space as a transposed convolution",
        "tf.nn.depth_to_space",
    ),
    _row(
        EDGETPU,
        "resize_pixel",
        ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
        images.resize_one_pixel,
        "resizing from 1x1 as tiling",
        _IDENTITY,
    ),
    _row(
        EDGETPU,
        "resize_identity",
        ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
        images.resize_identity,
        "resizing to the same size dropped",
        _IDENTITY,
    ),
    _row(
        EDGETPU,
        "large_mean",
        ("MEAN",),
        images.large_mean,
        "a mean over many positions in two steps",
        "google-coral/edgetpu issue 461",
    ),
    _row(
        EDGETPU,
        "dilation",
        ("BATCH_TO_SPACE_ND",),
        images.dilated_convolution,
        "dilated convolution without SpaceToBatch",
        "tf.nn.convolution, dilations",
    ),
    _row(
        EDGETPU,
        "softmax_tail",
        ("SOFTMAX",),
        images.drop_softmax,
        "a large last softmax left to the caller",
        "the outputs become logits",
        level="all",
    ),
    _row(
        INT8_FILE,
        "int8_table",
        ("ELU", "EXP", "ABS"),
        integers.unary_in_int8,
        "a function of one 8-bit value computed as one",
        "their int8 kernels are tables of 256 values: tensorflow/lite/kernels/activations.cc, elementwise.cc",
        stage="integer",
        steps=1,
    ),
    _row(
        INT8_FILE,
        "number_in_int8",
        ("CAST",),
        integers.number_in_int8,
        "whole numbers and truth values as 8 bits without float between",
        "neither quantizer takes CAST; an int8 of scale 1 is the number itself",
        stage="integer",
        steps=1,
    ),
    _row(
        INT8_FILE,
        "pixels_in_uint8",
        ("CAST",),
        integers.pixels_in_uint8,
        "pixels that come as uint8 quantized without float between",
        "neither quantizer takes CAST; a uint8 of scale 1 is the number itself",
        stage="integer",
        steps=1,
    ),
    _row(
        EDGETPU_FILE,
        "leaky_relu",
        ("LEAKY_RELU",),
        integers.leaky_relu,
        "LeakyReLU as maximum(x, alpha * x)",
        "Maas et al. 2013; LEAKY_RELU is not in Coral's table",
        stage="integer",
        steps=1,
    ),
    _row(
        EDGETPU_FILE,
        "flat_dense",
        ("FULLY_CONNECTED",),
        integers.dense_on_rank_two,
        "Dense on rank > 2 as reshape, Dense, reshape",
        "keep_num_dims is version 5, newest_version in edgetpu/operators.py is 4",
        stage="integer",
    ),
    _row(
        EDGETPU_FILE,
        "own_version",
        (),
        integers.own_version,
        "operators with a version of their own, not lifted by others of their type",
        "tensorflow/lite/tools/versioning",
        stage="integer",
    ),
    *(
        _row(PHONE_FILE, name, operators, apply, what, source, stage="integer", steps=steps)
        for name, operators, apply, what, source, steps in (
            (
                "hard_swish",
                ("HARD_SWISH",),
                delegation.hard_swish,
                "hard-swish as a sixth of x times relu6(x + 3)",
                "Howard et al. 2019, section 5.2; XNNPACK has int8 sums and products, and no int8 HARD_SWISH",
                5,  # a layer with other scales may round a value to its neighbour, and the slope is up to 1.5
            ),
            (
                "average_pool",
                ("AVERAGE_POOL_2D",),
                delegation.average_pool,
                "a mean over windows as a depthwise convolution of equal weights",
                f"{_IDENTITY}; XNNPACK has no int8 AVERAGE_POOL_2D",
                1,
            ),
            (
                "clamp",
                ("RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1"),
                delegation.clamp,
                "a clamp to what the result's integers can hold as a change of scale",
                "QUANTIZE saturates; XNNPACK has no int8 RELU",
                1,
            ),
            (
                "prelu",
                ("PRELU",),
                delegation.prelu,
                "PReLU as its positive half and the product of its slopes with the negative one",
                "He et al. 2015, equation 1; XNNPACK has no int8 PRELU",
                1,
            ),
            (
                "squared_difference",
                ("SQUARED_DIFFERENCE",),
                delegation.squared_difference,
                "a squared difference as difference and product",
                f"{_IDENTITY}; XNNPACK has no int8 SQUARED_DIFFERENCE",
                3,
            ),
            (
                "unseen_addend",
                ("ADD", "SUB"),
                delegation.unseen_addend,
                "a sum with an operand below a quarter of its step as a change of scale",
                "XNNPACK takes no sum whose operand's scale is below 2^-10 of the result's",
                1,
            ),
            (
                "wide_depthwise",
                ("DEPTHWISE_CONV_2D",),
                delegation.wide_depthwise,
                f"depthwise windows of more than {delegation.MOST_TAPS} elements left to LiteRT's own kernel",
                "XNNPACK computes them one channel at a time",
                1,  # the two round halves differently
            ),
        )
    ),
    _row(
        ETHOS_U,
        "bilinear_matrices",
        ("RESIZE_BILINEAR",),
        matrices.bilinear_resize,
        "bilinear resizing as one matrix for rows and one for columns",
        "tensorflow/lite/kernels/internal/reference/resize_bilinear.h",
    ),
    *(
        _row(ETHOS_U_FILE, name, operators, apply, what, source, stage="integer", steps=steps)
        for name, operators, apply, what, source, steps in (
            (
                "blocks_mean",
                ("MEAN",),
                windows.mean_of_blocks,
                "a mean over channels, or in five dimensions, over rows and columns or one row's channels",
                "Vela, supported operators: a mean over depth needs a height, width or depth of 1, and a batch of 1",
                1,
            ),
            (
                "wide_stride",
                ("CONV_2D", "DEPTHWISE_CONV_2D"),
                windows.wide_stride,
                "a stride above 3 as one of 1 over blocks stacked to channels; depthwise, computed everywhere",
                'Vela, supported operators: stride; tf.nn, "Notes on padding"',
                0,
            ),
            (
                "transposed_convolution",
                ("TRANSPOSE_CONV",),
                windows.transposed_convolution,
                "a transposed convolution of a stride above 2 as a convolution and a transposition",
                "Shi et al. 2016, section 2.2",
                1,
            ),
            ("gather", ("GATHER",), movement.slices_for_gather, "constant positions as slices", _IDENTITY, 0),
            (
                "nearest_copies",
                ("RESIZE_NEAREST_NEIGHBOR",),
                movement.nearest_resize,
                "nearest-neighbour resizing as copies of rows and columns",
                "tensorflow/lite/kernels/internal/reference/resize_nearest_neighbor.h",
                0,
            ),
            (
                "depth_to_space",
                ("DEPTH_TO_SPACE",),
                movement.depth_to_space,
                "depth_to_space as a transposition",
                "tf.nn.depth_to_space",
                0,
            ),
            (
                "space_to_depth",
                ("SPACE_TO_DEPTH",),
                movement.space_to_depth,
                "space_to_depth as a transposition",
                "tf.nn.space_to_depth",
                0,
            ),
        )
    ),
)


def rows_for(use: str, level: Literal["none", "safe", "all"] = "safe") -> tuple[Rewrite, ...]:
    """The rows for a use, in order.

    Args:
        use: one of the constants above.
        level: `none` gives no row, `safe` those that leave the function as it was, `all` the others too.
    """
    return tuple(row for row in REWRITES if use in row.uses and level != "none" and row.level in ("safe", level))
