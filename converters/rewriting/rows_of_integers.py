"""Rewrites for int8 files, and for what the compilers of NPUs want of both kinds, in the order they are tried in."""

from __future__ import annotations

from tfcompress.converters.rewriting import delegation, integers, matrices, movement, quicker, windows
from tfcompress.converters.rewriting.row import (
    EDGETPU_FILE,
    ETHOS_U,
    ETHOS_U_FILE,
    IDENTITY,
    INT8_FILE,
    PHONE_FILE,
    SNAPDRAGON_FILE,
    row_of,
)
from tfcompress.graphs.tflite.rewriting import Rewrite

__all__ = ["INTEGER_ROWS"]

INTEGER_ROWS: tuple[Rewrite, ...] = (
    row_of(
        INT8_FILE,
        "int8_table",
        ("ELU", "EXP", "ABS"),
        integers.unary_in_int8,
        "a function of one 8-bit value computed as one",
        "their int8 kernels are tables of 256 values: tensorflow/lite/kernels/activations.cc, elementwise.cc",
        stage="integer",
        steps=1,
    ),
    row_of(
        INT8_FILE,
        "number_in_int8",
        ("CAST",),
        integers.number_in_int8,
        "whole numbers and truth values as 8 bits without float between",
        "neither quantizer takes CAST; an int8 of scale 1 is the number itself",
        stage="integer",
        steps=1,
    ),
    row_of(
        INT8_FILE,
        "pixels_in_uint8",
        ("CAST",),
        integers.pixels_in_uint8,
        "pixels that come as uint8 quantized without float between",
        "neither quantizer takes CAST; a uint8 of scale 1 is the number itself",
        stage="integer",
        steps=1,
    ),
    row_of(
        EDGETPU_FILE,
        "leaky_relu",
        ("LEAKY_RELU",),
        integers.leaky_relu,
        "LeakyReLU as maximum(x, alpha * x)",
        "Maas et al. 2013; LEAKY_RELU is not in Coral's table",
        stage="integer",
        steps=1,
    ),
    row_of(
        EDGETPU_FILE,
        "flat_dense",
        ("FULLY_CONNECTED",),
        integers.dense_on_rank_two,
        "Dense on rank > 2 as reshape, Dense, reshape",
        "keep_num_dims is version 5, newest_version in edgetpu/operators.py is 4",
        stage="integer",
    ),
    row_of(
        EDGETPU_FILE,
        "own_version",
        (),
        integers.own_version,
        "operators with a version of their own, not lifted by others of their type",
        "tensorflow/lite/tools/versioning",
        stage="integer",
    ),
    *(
        row_of(PHONE_FILE, name, operators, apply, what, source, stage="integer", steps=steps)
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
                f"{IDENTITY}; XNNPACK has no int8 AVERAGE_POOL_2D",
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
                "open_slice",
                ("SLICE",),
                delegation.open_slice,
                "a slice with a size left open as one with an open end",
                "tf.slice, tf.strided_slice; XNNPACK takes no size of -1",
                0,
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
                f"{IDENTITY}; XNNPACK has no int8 SQUARED_DIFFERENCE",
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
    row_of(
        PHONE_FILE,
        "few_channels",
        ("CONV_2D",),
        quicker.few_channels,
        "a convolution of few channels over blocks of columns stacked to channels",
        "XNNPACK's int8 kernels read 4 or 8 channels at once: src/configs/gemm-config.c",
        stage="integer",
        by_time=True,
    ),
    row_of(
        PHONE_FILE,
        "turned_operand",
        ("BATCH_MATMUL",),
        quicker.turned_operand,
        "a matrix product that reads its second operand's rows as columns",
        f"{IDENTITY}; XNNPACK packs the second operand so",
        stage="integer",
        by_time=True,
    ),
    row_of(
        SNAPDRAGON_FILE,
        "padding_as_cut",
        ("TRANSPOSE_CONV",),
        windows.padding_as_cut,
        "a padded transposed convolution as one without padding, whose margins are cut off",
        "snapdragon/structure.py: the compiler takes SAME only where the stride divides the sides",
        stage="integer",
    ),
    row_of(
        ETHOS_U,
        "bilinear_matrices",
        ("RESIZE_BILINEAR",),
        matrices.bilinear_resize,
        "bilinear resizing as one matrix for rows and one for columns",
        "tensorflow/lite/kernels/internal/reference/resize_bilinear.h",
    ),
    *(
        row_of(ETHOS_U_FILE, name, operators, apply, what, source, stage="integer", steps=steps)
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
            ("gather", ("GATHER",), movement.slices_for_gather, "constant positions as slices", IDENTITY, 0),
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
