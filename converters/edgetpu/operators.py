"""What the Edge TPU compiler 16 accepts, one row an operator; a frozen copy of the public tables and of what was seen.

Sources, in the order of trust: Coral's release notes ("CHANGES.md" of google-coral/edgetpu and libcoral), Coral's
table of supported operations (coral.ai/docs/edgetpu/models-intro) and Axis's restatement of it (developer.axis.com,
ARTPEC-7), and public pairs of a model and its compiled form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LARGEST_SOFTMAX", "SUPPORTED", "UNSUPPORTED_FIXES", "Certainty", "SupportedOperator"]

# documented: a Coral document or Coral staff say so; observed: seen in compiled models or compiler logs;
# inferred: follows from one of these, or is remembered of a page that can no longer be read in full.
Certainty = Literal["documented", "observed", "inferred"]

# Elements of the largest softmax that was seen mapped, in a public pair; Coral's table allows 16,000.
LARGEST_SOFTMAX = 65_856


@dataclass(frozen=True)
class SupportedOperator:
    """One operator type that can map.

    Attributes:
        name: TFLite builtin operator.
        newest_version: highest operator version that is accepted; newer ones are refused whatever they compute.
        min_runtime: oldest Edge TPU runtime that can run it: as documented, or older where a public package shows so.
        certainty: how sure it is that the operator maps at all.
        source: where that is from.
    """

    name: str
    newest_version: int
    min_runtime: int
    certainty: Certainty
    source: str


_TABLE = "Coral table of supported operations; mapped in public pairs"
_TABLE_ONLY = "Coral table of supported operations; in no public pair"
_LOGS = "Coral table of supported operations; mapped in compiler logs"
_MEMORY = "Coral table of supported operations as remembered; runtime number not verified"

# Runtime 10 is the oldest that any public package names; the table says "all" there.
SUPPORTED: dict[str, SupportedOperator] = {
    row.name: row
    for row in (
        SupportedOperator("ADD", 2, 10, "observed", _TABLE),
        SupportedOperator("AVERAGE_POOL_2D", 2, 10, "observed", _TABLE),
        SupportedOperator("CONCATENATION", 2, 10, "observed", _TABLE),
        SupportedOperator("CONV_2D", 3, 10, "observed", _TABLE),
        SupportedOperator("DEPTHWISE_CONV_2D", 3, 10, "observed", _TABLE),
        SupportedOperator("EXPAND_DIMS", 1, 13, "documented", "Coral release notes, January 2020; in no public pair"),
        SupportedOperator("FULLY_CONNECTED", 4, 10, "observed", _TABLE),
        SupportedOperator("L2_NORMALIZATION", 2, 10, "observed", _LOGS),
        SupportedOperator("LOGISTIC", 2, 10, "observed", _TABLE),
        SupportedOperator("MAXIMUM", 2, 10, "observed", _TABLE),
        SupportedOperator("MAX_POOL_2D", 2, 10, "observed", _TABLE),
        SupportedOperator("MEAN", 2, 10, "observed", _TABLE),
        SupportedOperator("MINIMUM", 2, 10, "observed", _LOGS),
        SupportedOperator("MUL", 2, 10, "observed", _TABLE),
        SupportedOperator("PACK", 2, 13, "observed", "Coral release notes, January 2020; mapped in public pairs"),
        SupportedOperator("PAD", 2, 10, "observed", _TABLE),
        SupportedOperator("PRELU", 1, 13, "observed", "google-coral/edgetpu issue 147; mapped in public pairs"),
        SupportedOperator("QUANTIZE", 2, 12, "observed", "mapped in public pairs whose packages name runtime 12"),
        SupportedOperator("REDUCE_MAX", 2, 14, "inferred", _MEMORY),
        SupportedOperator("REDUCE_MIN", 2, 14, "inferred", _MEMORY),
        SupportedOperator("RELU", 2, 10, "observed", _TABLE),
        SupportedOperator("RELU6", 2, 10, "documented", _TABLE_ONLY),
        SupportedOperator("RELU_N1_TO_1", 1, 10, "documented", _TABLE_ONLY),
        SupportedOperator("RESHAPE", 1, 10, "observed", _TABLE),
        SupportedOperator("RESIZE_BILINEAR", 3, 10, "observed", _TABLE),
        SupportedOperator("RESIZE_NEAREST_NEIGHBOR", 3, 10, "observed", _TABLE),
        SupportedOperator("RSQRT", 2, 14, "observed", "mapped in a public pair; runtime number not verified"),
        SupportedOperator("SLICE", 2, 10, "documented", _TABLE_ONLY),
        SupportedOperator("SOFTMAX", 2, 10, "observed", _TABLE),
        SupportedOperator("SPACE_TO_DEPTH", 2, 10, "documented", _TABLE_ONLY),
        SupportedOperator("SPLIT", 2, 10, "observed", _TABLE),
        SupportedOperator("SQUARED_DIFFERENCE", 2, 14, "observed", "mapped in a public pair; runtime not verified"),
        SupportedOperator("SQUEEZE", 1, 10, "documented", _TABLE_ONLY),
        SupportedOperator("STRIDED_SLICE", 2, 10, "observed", _TABLE),
        SupportedOperator("SUB", 2, 10, "observed", _TABLE),
        SupportedOperator("SUM", 2, 13, "observed", "Coral release notes, January 2020; mapped in compiler logs"),
        SupportedOperator("TANH", 2, 10, "observed", _TABLE),
        SupportedOperator("TILE", 1, 12, "observed", "not in Coral's table; mapped in a public pair (DeepLab slim)"),
        SupportedOperator(
            "TRANSPOSE", 2, 14, "observed", "google-coral/edgetpu issues 317, 342; mapped in public pairs"
        ),
        SupportedOperator(
            "TRANSPOSE_CONV", 3, 13, "observed", "Coral release notes, January 2020; mapped in compiler logs"
        ),
        SupportedOperator(
            "UNIDIRECTIONAL_SEQUENCE_LSTM", 1, 12, "observed", "mapped in a public pair whose package names runtime 12"
        ),
    )
}

# What to do about operators that no compiler knows; "--rewrite" names what our own converter does by itself.
UNSUPPORTED_FIXES: dict[str, str] = {
    "ABS": "--rewrite=safe writes it as relu(x) + relu(-x)",
    "ARG_MAX": "end the model before ArgMax and take it on the CPU, after the model",
    "BATCH_MATMUL": "two computed operands do not map: use Dense or Conv2D with constant weights, or place attention at"
    " the end of the model, where it is the only part on the CPU",
    "BATCH_TO_SPACE_ND": "use dilation_rate in Conv2D itself, on an input of fixed height and width",
    "CAST": "feed the model 8-bit values and keep casts out of it",
    "DEPTH_TO_SPACE": "upsample with Conv2DTranspose or UpSampling2D instead",
    "DEQUANTIZE": "harmless at the end of the model; use integer outputs to drop it",
    "DIV": "multiply by the constant reciprocal",
    "ELU": "--rewrite=safe writes it with sigmoid and rsqrt; ReLU takes fewer operators, after fine-tuning",
    "EXP": "move it behind the model, or express it with LOGISTIC",
    "GATHER": "use slices with constant positions",
    "GELU": "--rewrite=safe writes it as x * sigmoid of a polynomial; approximate=True takes fewer operators",
    "HARD_SWISH": "--rewrite=safe writes x * relu6(x + 3) / 6 with mapped operators",
    "LEAKY_RELU": "--rewrite=safe writes it as maximum(x, alpha * x)",
    "MIRROR_PAD": "pad with zeros, or outside the model",
    "PADV2": "pad with zeros: a PAD maps",
    "POW": "multiply the tensor by itself",
    "SHAPE": "export with fixed input sizes, batch included",
    "SPACE_TO_BATCH_ND": "use dilation_rate in Conv2D itself, on an input of fixed height and width",
    "SPLIT_V": "split into equal parts, or use slices",
    "SQRT": "use RSQRT and a multiplication",
    "TOPK_V2": "end the model before it and do it on the CPU",
    "UNPACK": "use slices with constant positions",
}
