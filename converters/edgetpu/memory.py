"""How many parameter bytes the compiler caches on the chip and how many it streams.

The compiler is closed; these formulas were fitted to the parameter sections of public compiled models (see
`compiled.read_compiled`), where they are exact for single layers and within 15 % for networks:

* a convolution or Dense kernel: input channels padded to 4, output channels to 16, or to a multiple of 32 above 16;
* for every output channel 8 bytes of bias and scale, or 64 bytes in all up to 16 channels;
* a convolution with up to 4 output channels: those padded to 4, the whole to 64 bytes;
* a depthwise kernel: a diagonal block of 4 x 4 for every 4 channels and position, so 4 bytes a weight;
* flattening rows and columns into a vector moves data by a small matrix;
* an LSTM is unrolled: each time step has parameters of its own;
* a constant operand of an addition, multiplication and the like is not cached but streamed; a vector is repeated for
  each of the 16 tiles, and a single number is part of the instructions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tfcompress.converters.edgetpu.view import OperatorView, is_constant
from tfcompress.tflite import Tensor

__all__ = ["CHIP_BYTES", "ParameterBytes", "largest_activation", "parameter_bytes"]

CHIP_BYTES = 8 * 2**20  # SRAM of the Edge TPU, for executable, activations and cached parameters together
_TILES = 16
_LEAST_CACHE = 2**20  # the smallest "used + remaining" in public logs is 1.09 MiB (google-coral/edgetpu issue 572)
_ACTIVATION_SHARE = 0.75  # of the largest input plus output; fitted to "used + remaining" of 6.9 MiB for MobileNet v2
_FLATTEN_BYTES = 640  # 64 for each of 3 x 3 positions and one more; 512 for 6 x 6
_LSTM_STEP_BYTES = 976  # one pair only (28 steps of 20 units)
_ELEMENTWISE = frozenset({"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"})


@dataclass(frozen=True)
class ParameterBytes:
    """Parameter memory of the mapped operators.

    Attributes:
        on_chip: bytes cached in the chip's memory across inferences.
        off_chip: bytes streamed from the host in every inference.
    """

    on_chip: int
    off_chip: int


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _convolution_bytes(window: int, inputs: int, outputs: int) -> int:
    if outputs <= 4:
        return _up(window * _up(inputs, 4) * 4, 64)
    return _kernel_bytes(window, inputs, outputs)


def _kernel_bytes(window: int, inputs: int, outputs: int) -> int:
    padded = 16 if outputs <= 16 else _up(outputs, 32)
    scales = 64 if padded == 16 else 8 * padded
    return window * _up(inputs, 4) * padded + scales


def _depthwise_bytes(view: OperatorView, kernel: Tensor) -> int:
    _, rows, columns, channels = kernel.shape
    source = view.input(0)
    if source is not None and source.shape[-1] == 1:
        return _kernel_bytes(rows * columns, 1, channels)  # one input channel: an ordinary convolution
    return (4 * rows * columns + 8) * _up(channels, 4)


def _lstm_bytes(view: OperatorView) -> int:
    matrices = [view.input(position) for position in range(1, 9)]
    kernels = sum(_kernel_bytes(1, m.shape[1], m.shape[0]) for m in matrices if m is not None and len(m.shape) == 2)
    source = view.input(0)
    steps = source.shape[-2] if source is not None and len(source.shape) >= 2 else 1
    return kernels + steps * _LSTM_STEP_BYTES


def _flatten_bytes(view: OperatorView) -> int:
    source, result = view.input(0), view.outputs[0]
    if source is None or len(source.shape) < 3 or math.prod(source.shape[-3:-1]) == 1:
        return 0
    return _FLATTEN_BYTES if result.shape and result.shape[-1] == source.elements else 0


def _cached(view: OperatorView) -> int:
    name, kernel = view.operator.name, view.input(1)
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        return _lstm_bytes(view)
    if name in ("CONCATENATION", "SPLIT"):
        return 64
    if name == "RESHAPE":
        return _flatten_bytes(view)
    if kernel is None or not is_constant(kernel):
        return 0
    if name == "PRELU":
        return kernel.elements
    if name in ("CONV_2D", "TRANSPOSE_CONV") and len(kernel.shape) == 4:
        outputs, rows, columns, inputs = kernel.shape
        return _convolution_bytes(rows * columns, inputs, outputs)
    if name == "DEPTHWISE_CONV_2D" and len(kernel.shape) == 4:
        return _depthwise_bytes(view, kernel)
    if name == "FULLY_CONNECTED" and len(kernel.shape) == 2:
        return _kernel_bytes(1, kernel.shape[1], kernel.shape[0])
    return 0


def _streamed(view: OperatorView) -> int:
    if view.operator.name == "UNIDIRECTIONAL_SEQUENCE_LSTM":  # its initial state and output, one pair only
        return sum(_TILES * _up(t.shape[-1], 4) for t in view.inputs if t.is_variable and t.shape)
    if view.operator.name not in _ELEMENTWISE:
        return 0
    return sum(_operand_bytes(tensor) for tensor in view.inputs if is_constant(tensor))


def _operand_bytes(tensor: Tensor) -> int:
    if tensor.elements <= 1:
        return 0
    flat = tensor.shape[-1] == tensor.elements
    return _TILES * _up(tensor.elements, 4) if flat else tensor.elements


def largest_activation(views: Iterable[OperatorView]) -> int:
    """The largest sum of one operator's inputs and outputs, in bytes."""
    return max((sum(t.bytes for t in view.activations) for view in views), default=0)


def parameter_bytes(views: Iterable[OperatorView]) -> ParameterBytes:
    """Cached and streamed bytes of the mapped operators.

    What does not fit beside the activations is streamed.  How much fits is not documented; it is estimated as the
    chip's 8 MiB less a share of the largest activations.

    Args:
        views: the mapped operators.
    """
    views = list(views)
    wanted = sum(_cached(view) for view in views)
    streamed = sum(_streamed(view) for view in views)
    room = max(_LEAST_CACHE, CHIP_BYTES - math.ceil(_ACTIVATION_SHARE * largest_activation(views)))
    return ParameterBytes(min(wanted, room), streamed + max(0, wanted - room))
