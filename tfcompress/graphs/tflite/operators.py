"""What is known of TFLite's operators, one row each: their kernels, scales, limits and multiplications.

Sources: schema.fbs and TFLite's operator compatibility guide for inputs and layouts; LiteRT's 8-bit quantization
specification for channel axes and scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tfcompress.graphs.tflite.reader import Operator, Subgraph, Tensor, TfliteFile

__all__ = ["CONVERSIONS", "TRAITS", "Traits", "file_macs", "kernel_of", "macs", "named", "traits"]

Shape = tuple[int, ...]
# (shape of the first data input, of the kernel, of the result) -> multiplications of one run
Count = Callable[[Shape, Shape, Shape], int]


@dataclass(frozen=True)
class Traits:
    """One operator.

    Attributes:
        kernel: position of the input that holds the kernel; None for an operator without.
        bias: position of its bias; None where there is none.
        channel_axis: the kernel's axis of output channels, which may have a scale each.
        kind: `convolution` and `dense` multiply by a kernel, `lookup` picks rows of it; None for all others.
        scale: `input` where the result has the scale of the input, `fixed` where the function has one, else `own`.
        limits: (low, high) that the function itself cannot leave; None without.
        count: multiplications; None for an operator that is counted as none.
    """

    kernel: int | None = None
    bias: int | None = None
    channel_axis: int | None = None
    kind: Literal["convolution", "dense", "lookup"] | None = None
    scale: Literal["own", "input", "fixed"] = "own"
    limits: tuple[float, float] | None = None
    count: Count | None = None

    @property
    def multiplies(self) -> bool:
        """Whether the kernel is multiplied with the input."""
        return self.kind in ("convolution", "dense")


def _per_result(source: Shape, kernel: Shape, result: Shape) -> int:
    """Every result is a sum over a kernel of [out, ..., in]."""
    del source
    return math.prod(result) * math.prod(kernel[1:])


def _per_result_channels_last(source: Shape, kernel: Shape, result: Shape) -> int:
    """Every result is a sum over a kernel of [depth, height, width, in, out]."""
    del source
    return math.prod(result) * math.prod(kernel[:-1])


def _per_source(source: Shape, kernel: Shape, result: Shape) -> int:
    """Every input value is spread by a kernel of [out, height, width, in]."""
    del result
    return math.prod(source) * math.prod(kernel[:3])


def _depthwise(source: Shape, kernel: Shape, result: Shape) -> int:
    """Every result is a sum over a window of one channel; kernel [1, height, width, out]."""
    del source
    return math.prod(result) * math.prod(kernel[1:3])


def _matrix_product(source: Shape, kernel: Shape, result: Shape) -> int:
    """Every result is a sum over the last axis of the first factor."""
    del kernel
    return math.prod(result) * source[-1]


_POSITIVE = (0.0, math.inf)
_SAME = Traits(scale="input")

TRAITS: dict[str, Traits] = {
    "CONV_2D": Traits(1, 2, 0, "convolution", count=_per_result),
    "CONV_3D": Traits(1, 2, 4, "convolution", count=_per_result_channels_last),
    "DEPTHWISE_CONV_2D": Traits(1, 2, 3, "convolution", count=_depthwise),
    "TRANSPOSE_CONV": Traits(1, 3, 0, "convolution", count=_per_source),
    "FULLY_CONNECTED": Traits(1, 2, 0, "dense", count=_per_result),
    "BATCH_MATMUL": Traits(1, None, 0, "dense", count=_matrix_product),
    "EMBEDDING_LOOKUP": Traits(1, None, 0, "lookup"),
    "GATHER": Traits(0, None, 0, "lookup", scale="input"),
    "AVERAGE_POOL_2D": _SAME,
    "CONCATENATION": _SAME,
    "EXPAND_DIMS": _SAME,
    "MAX_POOL_2D": _SAME,
    "PACK": _SAME,
    "PAD": _SAME,
    "RESHAPE": _SAME,
    "RESIZE_BILINEAR": _SAME,
    "RESIZE_NEAREST_NEIGHBOR": _SAME,
    "SLICE": _SAME,
    "SPLIT": _SAME,
    "SQUEEZE": _SAME,
    "STRIDED_SLICE": _SAME,
    "TRANSPOSE": _SAME,
    "L2_NORMALIZATION": Traits(scale="fixed"),
    "LOG_SOFTMAX": Traits(scale="fixed"),
    "LOGISTIC": Traits(scale="fixed", limits=(0.0, 1.0)),
    "SOFTMAX": Traits(scale="fixed", limits=(0.0, 1.0)),
    "TANH": Traits(scale="fixed", limits=(-1.0, 1.0)),
    "RELU": Traits(limits=_POSITIVE),
    "RELU6": Traits(limits=(0.0, 6.0)),
    "RELU_N1_TO_1": Traits(limits=(-1.0, 1.0)),
}
_UNKNOWN = Traits()

CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})  # they change the form of a value, not what it is


def traits(name: str) -> Traits:
    """The row of an operator; of one that is not in the table, that it has no kernel and a scale of its own."""
    return TRAITS.get(name, _UNKNOWN)


def named(wanted: Callable[[Traits], bool]) -> frozenset[str]:
    """Names of the operators whose row is wanted."""
    return frozenset(name for name, row in TRAITS.items() if wanted(row))


def kernel_of(operator: Operator, graph: Subgraph) -> Tensor | None:
    """The constant kernel of an operator; None where it has none, or computes it."""
    place = traits(operator.name).kernel
    if place is None or place >= len(operator.inputs) or operator.inputs[place] < 0:
        return None
    tensor = graph.tensors[operator.inputs[place]]
    return None if tensor.data is None else tensor


def macs(operator: Operator, graph: Subgraph) -> int:
    """Multiplications with accumulation in one run of an operator, as the file is, biases not counted."""
    if operator.name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        # Four gates of every result, each a sum over an input and a state; kernels [units, features].
        units, features = graph.tensors[operator.inputs[1]].shape
        return 4 * graph.tensors[operator.outputs[0]].elements * (features + units)
    row = traits(operator.name)
    least = 3 if operator.name == "TRANSPOSE_CONV" else 2
    if row.count is None or row.kernel is None or len(operator.inputs) < least or not operator.outputs:
        return 0
    # TRANSPOSE_CONV has the size of its result first.
    source = operator.inputs[2] if operator.name == "TRANSPOSE_CONV" else operator.inputs[0]
    places = (source, operator.inputs[row.kernel], operator.outputs[0])
    shapes = [graph.tensors[index].shape for index in places]
    return row.count(*shapes) if all(shapes) else 0


def file_macs(file: TfliteFile) -> int:
    """Multiplications of one run of a file, those of a loop as often as it goes round where that is known."""
    rounds = dict.fromkeys(range(len(file.subgraphs)), 1)
    for graph in file.subgraphs:
        for operator in graph.operators:
            if operator.name == "WHILE":
                rounds[operator.options.BodySubgraphIndex()] = _rounds(
                    file.subgraphs[operator.options.CondSubgraphIndex()]
                )
    return sum(rounds[graph.index] * macs(operator, graph) for graph in file.subgraphs for operator in graph.operators)


def _rounds(condition: Subgraph) -> int:
    """How often a loop goes round that counts from 0 to a constant; 1 for others."""
    if len(condition.operators) != 1 or condition.operators[0].name != "LESS":
        return 1
    limit = condition.tensors[condition.operators[0].inputs[1]]
    value = limit.array()
    return 1 if value is None else int(value.reshape(-1)[0])
