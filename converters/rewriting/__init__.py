"""Rewrites of a .tflite: of the float one before quantization, and of the quantized one.

They work on the .tflite that the Keras graph becomes, not on the Keras layers.  TFLiteConverter would fuse the forms
that the Edge TPU maps back into the operators that do not map: maximum(x, a * x) into LEAKY_RELU,
x * relu6(x + 3) / 6 into HARD_SWISH, reshape and Dense into FULLY_CONNECTED with keep_num_dims.  So, too, SavedModels
and layers of any class are covered, and what TFLite has no Keras layer for (SPLIT_V, UNPACK, BATCH_TO_SPACE_ND).  The
layers are named all the same: from the tensors' names.  `table.REWRITES` has them all.
"""

from tfcompress.converters.rewriting.row import (
    EDGETPU,
    EDGETPU_FILE,
    ETHOS_U,
    ETHOS_U_FILE,
    FLOAT_FILE,
    INT8_FILE,
    PHONE,
    PHONE_FILE,
    SNAPDRAGON_FILE,
)
from tfcompress.converters.rewriting.table import REWRITES, rows_for
from tfcompress.graphs.tflite.rewriting import AppliedRewrite, DroppedRewrite, Rewrite, Rewritten, rewrite_graph

__all__ = [
    "EDGETPU",
    "EDGETPU_FILE",
    "ETHOS_U",
    "ETHOS_U_FILE",
    "FLOAT_FILE",
    "INT8_FILE",
    "PHONE",
    "PHONE_FILE",
    "REWRITES",
    "SNAPDRAGON_FILE",
    "AppliedRewrite",
    "DroppedRewrite",
    "Rewrite",
    "Rewritten",
    "rewrite_graph",
    "rows_for",
]
