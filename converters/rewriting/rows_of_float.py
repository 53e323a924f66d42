"""Rewrites for every float .tflite, in the order in which they are tried."""

from __future__ import annotations

from tfcompress.converters.rewriting import movement, preparation, shares, slopes, upsampling
from tfcompress.converters.rewriting.row import FLOAT_FILE, IDENTITY, SPECIFICATION, row_of
from tfcompress.graphs.tflite.rewriting import Rewrite

__all__ = ["FLOAT_ROWS"]

FLOAT_ROWS: tuple[Rewrite, ...] = (
    row_of(
        FLOAT_FILE,
        "constants",
        (),
        preparation.fold_constants,
        "operators of constants alone as constants",
        "neither quantizer has a range for what never changes",
    ),
    row_of(
        FLOAT_FILE,
        "slices",
        ("SPLIT", "SPLIT_V"),
        preparation.slices_for_split,
        "split as one slice for each part that is used",
        "litert-quantizer leaves SPLIT in float; TFLiteConverter's quantizer where a part is unused",
    ),
    row_of(
        FLOAT_FILE,
        "reverse",
        ("REVERSE_V2",),
        movement.slices_for_reverse,
        "reversal as slices of one position",
        "TFLiteConverter's quantizer lets REVERSE_V2 change the scale, its kernel does not",
    ),
    row_of(
        FLOAT_FILE,
        "whole_map_mean",
        ("AVERAGE_POOL_2D",),
        preparation.mean_for_whole_map_pool,
        "pooling over the whole map as a mean",
        f"{SPECIFICATION}: AVERAGE_POOL_2D must keep its input's scale, MEAN has its own",
    ),
    row_of(
        FLOAT_FILE,
        "same_padding",
        ("CONV_2D", "DEPTHWISE_CONV_2D"),
        preparation.same_padding,
        "padding by the convolution itself",
        'tf.nn, "Notes on padding"; PAD copies its whole input',
    ),
    row_of(
        FLOAT_FILE,
        "depthwise",
        ("CONV_2D",),
        preparation.depthwise,
        "convolutions with a group for each channel as depthwise ones",
        f"{IDENTITY}; XNNPACK and accelerators have kernels of their own for them",
    ),
    row_of(
        FLOAT_FILE,
        "nearest_resize",
        ("RESHAPE", "BROADCAST_TO", "TILE"),
        upsampling.nearest_resize,
        "repeated rows and columns as nearest-neighbour resizing",
        "keras.ops.repeat; every element is followed to where it comes from",
    ),
    row_of(
        FLOAT_FILE,
        "two_slopes",
        slopes.SLOPED,
        slopes.two_slopes,
        "maxima, sums and choices that are LeakyReLU, PReLU or ReLU as that",
        "Maas et al. 2013; He et al. 2015; what keeps positive factors is told by its values at 1 and -1",
    ),
    row_of(
        FLOAT_FILE,
        "own_range",
        ("MAXIMUM", "MINIMUM"),
        slopes.own_range,
        "operands that others read too with a range of their own",
        f"{SPECIFICATION}: MAXIMUM and MINIMUM have one scale for operands and result",
    ),
    row_of(
        FLOAT_FILE,
        "softmax_of_logarithms",
        ("EXP",),
        shares.softmax_of_logarithms,
        "shares taken through their logarithms as a softmax",
        f"{IDENTITY}; {SPECIFICATION}: LOG_SOFTMAX has 16 steps a unit, of which EXP makes large ones",
    ),
    row_of(
        FLOAT_FILE,
        "open_batch",
        ("RESHAPE",),
        preparation.open_batch_of_reshape,
        "reshape with an open batch",
        "tf.reshape: -1 is inferred",
    ),
)
