"""How many bytes the parameters of one operator take, as the compiler lays them out.

The chip has 16 tiles; a tile computes up to 4 output channels at once, and parameters are stored for each tile.  What
follows was read from the parameter sections of public compiled models and from the load instructions beside them
(one an operator, or one for 64 outputs of a Dense layer).  It gives every byte of the 32 public pairs of
``../shared/edgetpu`` that were compiled alone and belong together:

* input channels are padded to a multiple of 4, output channels to 16, 32, 48 or a multiple of 64 (to 4 where a
  convolution has no more than 4 of them);
* an output has 4 bytes beside its weights where all of them share one scale, and 8 where each has its own, with 4
  more for a bias that is not zero;
* a depthwise kernel is a diagonal block of 4 x 4 for every 4 channels and position, so 4 bytes per weight;
* each of these is padded to 64 bytes, a word of 4 bytes for each tile;
* an LSTM is unrolled: each time step has parameters of its own, and the zeros that the outputs of all steps are put
  into are streamed;
* a constant operand of an addition, multiplication and the like is not cached but streamed; a vector is repeated for
  each tile, and a single number is part of the instructions;
* flattening is a multiplication, see `flattening`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tfcompress.converters.edgetpu.flattening import flattening_bytes
from tfcompress.converters.edgetpu.layout import AT_ONCE, TILES, WORD, kernel_bytes, padded, padded_outputs
from tfcompress.converters.edgetpu.view import OperatorView, is_constant
from tfcompress.graphs.tflite import Tensor

__all__ = ["OperatorBytes", "dense_groups", "operator_bytes", "reads_a_long_input"]

_LSTM_STEP_BYTES = 992  # one pair only (28 steps of 20 units)
_ELEMENTWISE = frozenset({"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"})
# A layer that reads a whole input of more elements at once is streamed whatever its bytes.  Dense layers of 4,096,
# 5,904 and 6,272 inputs are cached; of 9,504, 16,384, 57,600 and 94,400, a convolution of 7 x 7 x 576 and a depthwise
# one of 7 x 7 x 512 are streamed.  The power of two in between is a guess.
_LONG_INPUT = 8192
_READERS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class OperatorBytes:
    """Parameters of one operator.

    Attributes:
        cacheable: bytes that stay on the chip where there is room.
        streamed: bytes that are sent in every inference whatever the room.
        occupied: bytes of the chip's memory that the cacheable ones take: there outputs come in groups of 64.
    """

    cacheable: int = 0
    streamed: int = 0
    occupied: int = 0


def operator_bytes(view: OperatorView, *, compiler: int) -> OperatorBytes:
    """The parameters of a mapped operator.

    Args:
        view: the operator.
        compiler: major version of the compiler.
    """
    size = _operator_bytes(view, compiler)
    return replace(size, occupied=_occupied(view, size.cacheable))


def _occupied(view: OperatorView, cacheable: int) -> int:
    """In public logs 32 kernels of 3 x 3 x 32 take as many bytes as 64 of them."""
    kernel = view.input(1)
    if view.operator.name not in ("CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV") or kernel is None or not kernel.shape:
        return cacheable
    outputs = kernel.shape[0]
    return cacheable * padded(outputs, AT_ONCE) // (4 if outputs <= 4 else padded_outputs(outputs))


def _operator_bytes(view: OperatorView, compiler: int) -> OperatorBytes:
    name, kernel = view.operator.name, view.input(1)
    if name == "UNIDIRECTIONAL_SEQUENCE_LSTM":
        return OperatorBytes(_lstm_bytes(view), _sequence_bytes(view))
    if name == "RESHAPE":
        return OperatorBytes(_flattening(view, compiler))
    if name in ("CONCATENATION", "SPLIT"):
        return OperatorBytes(_shifting_bytes(view))
    if name in _ELEMENTWISE:
        return OperatorBytes(0, sum(_operand_bytes(tensor) for tensor in view.inputs if is_constant(tensor)))
    if kernel is None or not is_constant(kernel):
        return OperatorBytes()
    return _layer_bytes(view, name, kernel)


def _layer_bytes(view: OperatorView, name: str, kernel: Tensor) -> OperatorBytes:
    if name == "PRELU":
        return OperatorBytes(kernel.elements)
    if name == "FULLY_CONNECTED" and len(kernel.shape) == 2:
        return _dense_bytes(view, kernel)
    if name in ("CONV_2D", "TRANSPOSE_CONV") and len(kernel.shape) == 4:
        size = _convolution_bytes(view, kernel)
    elif name == "DEPTHWISE_CONV_2D" and len(kernel.shape) == 4:
        size = _depthwise_bytes(view, kernel)
    else:
        return OperatorBytes()
    return OperatorBytes(0, size) if reads_a_long_input(view) else OperatorBytes(size)


def dense_groups(view: OperatorView) -> int:
    """Load instructions for a Dense layer's parameters, one for 64 outputs; 0 for any other operator."""
    kernel = view.input(1)
    if view.operator.name != "FULLY_CONNECTED" or kernel is None or not is_constant(kernel):
        return 0
    return -(-kernel.shape[0] // AT_ONCE)


def _beside(view: OperatorView) -> int:
    """Bytes beside the weights of one output."""
    kernel, bias = view.input(1), view.input(2)
    if kernel is None or kernel.quantization is None or kernel.quantization.one_scale:
        return 4
    return 12 if bias is not None and bias.data is not None and not bias.is_zero else 8


def _dense_bytes(view: OperatorView, kernel: Tensor) -> OperatorBytes:
    """Without a bias and with one scale, what is beside the weights is loaded apart and always cached."""
    outputs, inputs = kernel.shape
    size = kernel_bytes(1, inputs, outputs, _beside(view))
    if not reads_a_long_input(view):
        return OperatorBytes(size)
    apart = 4 * padded_outputs(outputs) if view.input(2) is None and _beside(view) == 4 else 0
    return OperatorBytes(apart, size - apart)


def _convolution_bytes(view: OperatorView, kernel: Tensor) -> int:
    outputs, rows, columns, inputs = kernel.shape
    if outputs <= 4:
        return padded(4 * (rows * columns * padded(inputs, 4) + _beside(view)), TILES * WORD)
    return kernel_bytes(rows * columns, inputs, outputs, _beside(view))


def _depthwise_bytes(view: OperatorView, kernel: Tensor) -> int:
    _, rows, columns, channels = kernel.shape
    source = view.input(0)
    if source is not None and source.shape[-1] == 1:  # one input channel: an ordinary convolution
        return kernel_bytes(rows * columns, 1, channels, _beside(view))
    if reads_a_long_input(view):  # as it is streamed; one pair only
        columns = padded(columns, 4)
    return padded((4 * rows * columns + _beside(view)) * padded(channels, 4), TILES * WORD)


def reads_a_long_input(view: OperatorView) -> bool:
    """Whether one position of the result is computed from a whole long input.

    Args:
        view: a Dense layer or a convolution.
    """
    source, kernel = view.input(0), view.input(1)
    if source is None or kernel is None or view.operator.name not in _READERS:
        return False
    if view.operator.name == "FULLY_CONNECTED":
        return kernel.shape[-1] > _LONG_INPUT
    whole = kernel.shape[1:3] == source.shape[1:3] and all(math.prod(result.shape[:-1]) == 1 for result in view.outputs)
    return whole and math.prod(kernel.shape[1:3]) > 1 and source.elements > _LONG_INPUT


def _lstm_bytes(view: OperatorView) -> int:
    matrices = [view.input(position) for position in range(1, 9)]
    kernels = sum(kernel_bytes(1, m.shape[1], m.shape[0], 4) for m in matrices if m is not None and len(m.shape) == 2)
    source = view.input(0)
    steps = source.shape[-2] if source is not None and len(source.shape) >= 2 else 1
    return kernels + steps * _LSTM_STEP_BYTES


def _sequence_bytes(view: OperatorView) -> int:
    """Of the zeros that an LSTM's outputs are put into: in the one pair, 560 times the zero point, and padding."""
    return sum(padded(tensor.elements, TILES * WORD) for tensor in view.outputs)


def _flattening(view: OperatorView, compiler: int) -> int:
    source = view.input(0)
    if source is None or len(source.shape) < 3 or not view.outputs:
        return 0
    if view.outputs[0].shape[-1:] != (source.elements,):
        return 0
    if _is_as_the_host_sent_it(view):
        return 0
    rows, (columns, channels) = math.prod(source.shape[:-2]), source.shape[-2:]
    return flattening_bytes(rows, columns, channels, cropped=compiler >= 16)


def _is_as_the_host_sent_it(view: OperatorView) -> bool:
    """Whether the tensor is the model's input of one channel: the host sends its elements without padding."""
    source = view.input(0)
    if source is None or source.shape[-1] != 1:
        return False
    index, producer = source.index, view.graph.producer(source.index)
    if producer is not None:
        index = producer.inputs[0] if producer.name == "QUANTIZE" and producer.inputs else -1
    return view.graph.is_input(index)


def _shifting_bytes(view: OperatorView) -> int:
    """Of putting channels side by side, or taking them apart, where one part is no multiple of 4 channels.

    A small matrix shifts them.  In the middle of a network the layers that compute the parts place them (6 of 7
    concatenations of a public pose network); for a result of the model the whole is multiplied.
    """
    parts = view.outputs if view.operator.name == "SPLIT" else view.inputs
    depths = [tensor.shape[-1] for tensor in parts if tensor.shape]
    if len(depths) < 2 or all(depth % 4 == 0 for depth in depths):
        return 0
    if sum(depths) <= TILES:
        return TILES * WORD
    is_result = any(view.graph.is_output(index) for index in view.operator.outputs)
    return kernel_bytes(1, sum(padded(depth, 4) for depth in depths), sum(depths), 4) if is_result else 0


def _operand_bytes(tensor: Tensor) -> int:
    if tensor.elements <= 1:
        return 0
    flat = tensor.shape[-1] == tensor.elements
    return TILES * padded(tensor.elements, 4) if flat else tensor.elements
