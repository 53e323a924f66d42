"""Which operators TensorFlow Lite Micro has, how each is registered, and what to do about one that it lacks.

Source: `MicroMutableOpResolver` of tflite-micro, and the kernels in the package 0.dev20261023, which a test compares
with this table.
"""

from __future__ import annotations

from tfcompress.graphs.tflite import TfliteFile

__all__ = ["RESOLVER_METHODS", "fix_for", "lacking", "methods_of"]

# Names whose method is more than the operator's name with a capital letter for each word.
_ODD = {
    "ARG_MAX": "ArgMax",
    "AVERAGE_POOL_2D": "AveragePool2D",
    "BATCH_MATMUL": "BatchMatMul",
    "BATCH_TO_SPACE_ND": "BatchToSpaceNd",
    "CONV_2D": "Conv2D",
    "CUMSUM": "CumSum",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "L2_POOL_2D": "L2Pool2D",
    "MAX_POOL_2D": "MaxPool2D",
    "PADV2": "PadV2",
    "TFLite_Detection_PostProcess": "DetectionPostprocess",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
_PLAIN = """
    ABS ADD ADD_N ARG_MIN ASSIGN_VARIABLE BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION COS
    DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV
    FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION LEAKY_RELU LESS
    LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MEAN MINIMUM MIRROR_PAD MUL NEG
    NOT_EQUAL PACK PAD PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH
    SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV
    UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


RESOLVER_METHODS = {name: f"Add{_ODD.get(name) or _camel(name)}" for name in sorted([*_PLAIN.split(), *_ODD])}
"""{operator: method of `MicroMutableOpResolver` that registers it}."""

_GENERAL = "replace the layer by one of TFLM's operators, or compute it outside of the model"
_FIXES = {
    "GELU": "use ReLU, ReLU6 or hard swish as the activation",
    "SELECT": "use an activation without a choice, such as ReLU or ELU, instead of SELU",
    "POW": "multiply the value with itself, or use SQUARE",
    "RELU_N1_TO_1": "use ReLU6, or a clip outside of the model",
    "CONV_3D": "use 2-D convolutions over the slices",
    "CONV_3D_TRANSPOSE": "use 2-D convolutions over the slices",
    "ONE_HOT": "feed the model the one-hot values",
    "TOPK_V2": "let the firmware pick the largest scores",
    "RFFT2D": "compute the spectrum in the firmware, for example with TFLM's signal library",
}
_FLOAT = "quantize it: give calibration samples, and keep the layer out of --keep_float"


def fix_for(operator: str, reason: str) -> str:
    """One line for the user.

    Args:
        operator: builtin name, such as ``GELU``, or the custom operator's.
        reason: TFLM's own words, or ours.
    """
    if operator.startswith("Flex"):
        return "it is a TensorFlow operator: replace the layer, which TFLite has no operator for"
    if "INT8 != FLOAT32" in reason:
        return "TFLM computes it in float alone: name its layer in --keep_float"
    if "FLOAT32" in reason:
        return _FLOAT
    return _FIXES.get(operator, _GENERAL)


def lacking(file: TfliteFile) -> tuple[str, ...]:
    """Operators of a file, of any of its graphs, that TFLM does not have; each once, in order."""
    return tuple(name for name in _names(file) if name not in RESOLVER_METHODS)


def methods_of(file: TfliteFile) -> dict[str, str]:
    """{operator: the resolver's method}, in order of first use; without those that TFLM lacks."""
    return {name: RESOLVER_METHODS[name] for name in _names(file) if name in RESOLVER_METHODS}


def _names(file: TfliteFile) -> tuple[str, ...]:
    return tuple(dict.fromkeys(operator.name for graph in file.subgraphs for operator in graph.operators))
