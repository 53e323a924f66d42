"""TFLite's operators on real values in TensorFlow, as far as gradients have to pass through them.

Each gets the real values of its inputs and gives the real value of its output, before that is rounded to the output's
integers.  The integer kernels of the same names compute this up to the rounding of their 32-bit multipliers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tflite import Operator, Subgraph
from tfcompress.runtime import tf

__all__ = ["FORMS", "WEIGHTED", "Form", "clipped"]

# (operator, its graph, real values of the inputs, None for an absent one) -> real value of the output
Values = Sequence[Any]  # tensors, and None
Form = Callable[[Operator, Subgraph, Values], Tensor]
_PADDING = {0: "SAME", 1: "VALID"}
_ACTIVATION = schema.ActivationFunctionType
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def clipped(operator: Operator, value: Tensor) -> Tensor:
    """The fused activation of an operator.

    Raises:
        KeyError: it is none of NONE, RELU, RELU6 and RELU_N1_TO_1.
    """
    fused = getattr(operator.options, "FusedActivationFunction", lambda: _ACTIVATION.NONE)()
    return {
        _ACTIVATION.NONE: lambda x: x,
        _ACTIVATION.RELU: tf.nn.relu,
        _ACTIVATION.RELU6: lambda x: tf.clip_by_value(x, 0.0, 6.0),
        _ACTIVATION.RELU_N1_TO_1: lambda x: tf.clip_by_value(x, -1.0, 1.0),
    }[fused](value)


def _sizes(operator: Operator, graph: Subgraph) -> list[int]:
    """The output's sizes, with the batch left open."""
    return [-1, *graph.tensors[operator.outputs[0]].shape[1:]]


def _whole(graph: Subgraph, index: int) -> list[int]:
    values = graph.tensors[index].array()
    assert values is not None, "it is a constant"
    return [int(value) for value in values.ravel()]


def _convolution(operator: Operator, graph: Subgraph, values: Values) -> Tensor:
    options = operator.options
    strides = [options.StrideH(), options.StrideW()]
    dilations = [options.DilationHFactor(), options.DilationWFactor()]
    kernel = tf.transpose(values[1], [1, 2, 3, 0])
    result = tf.nn.conv2d(values[0], kernel, strides, _PADDING[options.Padding()], dilations=dilations)
    return result if values[2] is None else result + values[2]


def _depthwise(operator: Operator, graph: Subgraph, values: Values) -> Tensor:
    options, kernel = operator.options, values[1][0]
    channels = graph.tensors[operator.inputs[0]].shape[-1]
    kernel = tf.reshape(kernel, [*kernel.shape[:2], channels, kernel.shape[2] // channels])
    strides = [1, options.StrideH(), options.StrideW(), 1]
    dilations = [options.DilationHFactor(), options.DilationWFactor()]
    result = tf.nn.depthwise_conv2d(values[0], kernel, strides, _PADDING[options.Padding()], dilations=dilations)
    return result if values[2] is None else result + values[2]


def _dense(operator: Operator, graph: Subgraph, values: Values) -> Tensor:
    result = tf.matmul(tf.reshape(values[0], [-1, values[1].shape[1]]), values[1], transpose_b=True)
    result = result if values[2] is None else result + values[2]
    return tf.reshape(result, _sizes(operator, graph))


def _pool(function: Callable[..., Tensor]) -> Form:
    def form(operator: Operator, graph: Subgraph, values: Values) -> Tensor:
        options = operator.options
        window, strides = (
            [options.FilterHeight(), options.FilterWidth()],
            [options.StrideH(), options.StrideW()],
        )
        return function(values[0], window, strides, _PADDING[options.Padding()])

    return form


def _mean(operator: Operator, graph: Subgraph, values: Values) -> Tensor:
    axes = _whole(graph, operator.inputs[1])
    return tf.reduce_mean(values[0], axes, keepdims=bool(operator.options.KeepDims()))


def _reshaped(operator: Operator, graph: Subgraph, values: Values) -> Tensor:
    return tf.reshape(values[0], _sizes(operator, graph))


def _padded(operator: Operator, graph: Subgraph, values: Values) -> Tensor:
    pairs = _whole(graph, operator.inputs[1])
    return tf.pad(values[0], np.array(pairs).reshape(-1, 2))


def _joined(operator: Operator, graph: Subgraph, values: Values) -> Tensor:
    return tf.concat(list(values), operator.options.Axis())


def _transposed(operator: Operator, graph: Subgraph, values: Values) -> Tensor:
    return tf.transpose(values[0], _whole(graph, operator.inputs[1]))


def _plain(function: Callable[..., Tensor]) -> Form:
    """A function of the values alone."""
    return lambda operator, graph, values: function(*values)


FORMS: dict[str, Form] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "ADD": _plain(lambda a, b: a + b),
    "SUB": _plain(lambda a, b: a - b),
    "MUL": _plain(lambda a, b: a * b),
    "AVERAGE_POOL_2D": _pool(tf.nn.avg_pool2d),
    "MAX_POOL_2D": _pool(tf.nn.max_pool2d),
    "MEAN": _mean,
    "RESHAPE": _reshaped,
    "SQUEEZE": _reshaped,
    "EXPAND_DIMS": _reshaped,
    "PAD": _padded,
    "CONCATENATION": _joined,
    "TRANSPOSE": _transposed,
    "QUANTIZE": _plain(lambda x: x),
    "DEQUANTIZE": _plain(lambda x: x),
    "SOFTMAX": lambda operator, graph, values: tf.nn.softmax(operator.options.Beta() * values[0]),
    "LOGISTIC": _plain(tf.sigmoid),
    "TANH": _plain(tf.tanh),
    "RELU": _plain(tf.nn.relu),
    "RELU6": _plain(lambda x: tf.clip_by_value(x, 0.0, 6.0)),
    "LEAKY_RELU": lambda operator, graph, values: tf.nn.leaky_relu(values[0], operator.options.Alpha()),
    "HARD_SWISH": _plain(lambda x: x * tf.clip_by_value(x + 3.0, 0.0, 6.0) / 6.0),
}
