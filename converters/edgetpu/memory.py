"""How many parameter bytes the compiler caches on the chip and how many it streams.

The compiler is closed; these formulas were fitted to the parameter sections of public compiled models (see
`compiled.read_package`).  They are exact for single layers and for MobileNet v1 and v2, within 3 % for other networks:

* a convolution or Dense kernel: input channels padded to 4, output channels to 16, 32 or a multiple of 64;
* for every padded output channel a bias of 4 bytes, and for int8 a scale of 4 more above 16 channels;
* a convolution with up to 4 output channels: those padded to 4, the whole to 64 bytes;
* a depthwise kernel: a diagonal block of 4 x 4 for every 4 channels and position, so 4 bytes a weight;
* flattening an image of which the channels are no multiple of 4 is a multiplication by a whole matrix;
* an LSTM is unrolled: each time step has parameters of its own;
* a constant operand of an addition, multiplication and the like is not cached but streamed; a vector is repeated for
  each of the 16 tiles, and a single number is part of the instructions.

What does not fit is streamed, and a layer that is larger than the room, whole: 8192 x 8192 weights leave the cache
empty (ricardodeazambuja/LibrEdgeTPU, docs/HARDWARE_ANALYSIS.md, section 17).  The room is not documented; public logs
of vision models have 6.1 to 7.2 MiB of "used" and "remaining" together, whatever the size of their pictures.

Nothing was fitted to Keras's ResNet50 at 224 x 224: cached and streamed together are forecast as 24.6 MiB, and 24.7 MiB
in a public log of compiler 2.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tfcompress.converters.edgetpu.view import OperatorView, is_constant
from tfcompress.graphs.tflite import Tensor

__all__ = ["CHIP_BYTES", "ParameterBytes", "largest_activation", "parameter_bytes"]

CHIP_BYTES = 8 * 2**20  # SRAM of the Edge TPU, for executable, activations and cached parameters together
_TILES = 16
# Median of "used + remaining" in ten public logs: ResNet50 6.25, YOLOv5s 6.08, 6.74, 6.89 and 7.02 (at 224 to 512), SSD
# MobileNet v2 FPNLite at 640 6.99, EfficientDet-Lite3 7.04, FaceNet 7.04, a detector at 224 7.14, YOLOX-tiny 7.24 MiB.
_ROOM = round(7.0 * 2**20)
# A layer that sums over very many inputs is streamed whole although it would fit, and twice its size is lost to the
# cache: 49 x 576 inputs and 128 outputs leave 8 MiB - 2 x 3.45 MiB (google-coral/edgetpu issue 572); 57,600 inputs and
# 64 outputs are streamed too.  16,384 inputs and 1 output are not.
_LONG_SUM, _LONG_BYTES = 2**14, 2 * 2**20
_FLATTEN_BYTES = 512  # of an image whose channels are a multiple of 4
_LSTM_STEP_BYTES = 992  # one pair only (28 steps of 20 units)
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


def _padded_outputs(outputs: int) -> int:
    return 16 if outputs <= 16 else 32 if outputs <= 32 else _up(outputs, 64)


def _kernel_bytes(window: int, inputs: int, outputs: int, scale_bytes: int) -> int:
    padded = _padded_outputs(outputs)
    return window * _up(inputs, 4) * padded + (4 if padded == 16 else scale_bytes) * padded


def _scale_bytes(view: OperatorView) -> int:
    """Bytes of bias and scale for an output channel."""
    return 4 if view.outputs[0].dtype == "uint8" else 8


def _convolution_bytes(view: OperatorView, kernel: Tensor) -> int:
    outputs, rows, columns, inputs = kernel.shape
    if outputs <= 4:
        return _up(rows * columns * _up(inputs, 4) * 4, 64)
    return _kernel_bytes(rows * columns, inputs, outputs, _scale_bytes(view))


def _depthwise_bytes(view: OperatorView, kernel: Tensor) -> int:
    _, rows, columns, channels = kernel.shape
    source = view.input(0)
    if source is not None and source.shape[-1] == 1:  # one input channel: an ordinary convolution
        return _kernel_bytes(rows * columns, 1, channels, _scale_bytes(view))
    return (4 * rows * columns + _scale_bytes(view)) * _up(channels, 4)


def _lstm_bytes(view: OperatorView) -> int:
    matrices = [view.input(position) for position in range(1, 9)]
    kernels = sum(_kernel_bytes(1, m.shape[1], m.shape[0], 4) for m in matrices if m is not None and len(m.shape) == 2)
    source = view.input(0)
    steps = source.shape[-2] if source is not None and len(source.shape) >= 2 else 1
    return kernels + steps * _LSTM_STEP_BYTES


def _flatten_bytes(view: OperatorView) -> int:
    """Of [1, 180, 27] to [1, 4860]: 23.4 MiB in a public log; of [1, 30, 27] to [1, 810]: 0.7 MiB."""
    source, result = view.input(0), view.outputs[0]
    if source is None or len(source.shape) < 3 or result.shape[-1:] != (source.elements,):
        return 0
    rows, (columns, channels) = math.prod(source.shape[:-2]), source.shape[-2:]
    if rows * columns == 1:
        return 0
    if channels % 4 and (channels > 1 or columns % 4):
        return _kernel_bytes(rows * columns, channels, source.elements, 4)
    return _FLATTEN_BYTES if rows > 1 and channels > 1 else 0


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
        return _convolution_bytes(view, kernel)
    if name == "DEPTHWISE_CONV_2D" and len(kernel.shape) == 4:
        return _depthwise_bytes(view, kernel)
    if name == "FULLY_CONNECTED" and len(kernel.shape) == 2:
        return _kernel_bytes(1, kernel.shape[1], kernel.shape[0], _scale_bytes(view))
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


def _is_long(view: OperatorView, size: int) -> bool:
    """Whether a layer sums over so many inputs that it is streamed whatever the room."""
    kernel = view.input(1)
    return kernel is not None and size >= _LONG_BYTES and math.prod(kernel.shape[1:]) >= _LONG_SUM


def _room(long_layers: list[int]) -> int:
    """Bytes for cached parameters."""
    buffers = [2 * size for size in long_layers if 2 * size < CHIP_BYTES]
    return min([_ROOM, *(CHIP_BYTES - size for size in buffers)])


def parameter_bytes(views: Iterable[OperatorView]) -> ParameterBytes:
    """Cached and streamed bytes of the mapped operators.

    Args:
        views: the mapped operators.
    """
    views = list(views)
    sizes = [_cached(view) for view in views]
    long_layers = [size for view, size in zip(views, sizes, strict=True) if _is_long(view, size)]
    room = _room(long_layers)
    wanted = sum(size for view, size in zip(views, sizes, strict=True) if size <= room and not _is_long(view, size))
    streamed = sum(sizes) - wanted + sum(_streamed(view) for view in views)
    return ParameterBytes(min(wanted, room), streamed + max(0, wanted - room))
