"""Faults that are made in a file itself: its ranges and its constants."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from tensorflow.lite.python.convert import mlir_quantize

from tfcompress.calibration import Range
from tfcompress.data import Samples
from tfcompress.graphs.tensorflow.private_names import convert_variables_to_constants_v2
from tfcompress.graphs.tflite.editor import ModelEditor, OperatorNode, TensorNode
from tfcompress.native_output import silenced
from tfcompress.runtime import keras, tf

__all__ = ["coarse_weights", "drowned_bias", "edited", "exported", "quantized", "scaled"]


def quantized(content: bytes, ranges: Mapping[str, Range]) -> bytes:
    """A float .tflite in int8 with these ranges, by TensorFlow's own quantizer."""
    model = ModelEditor.read(content)
    for tensor in model.main.tensors:
        if tensor.name in ranges:
            tensor.set_range(ranges[tensor.name].low, ranges[tensor.name].high)
    with silenced():
        result: Any = mlir_quantize(model.to_bytes(), input_data_type=tf.int8, output_data_type=tf.int8)
    return bytes(result)


def exported(build: Callable[[], Any], weights: list[np.ndarray], samples: Samples, *, training: bool) -> bytes:
    """A network in int8 by TFLiteConverter alone, called as the flag says.

    Args:
        build: gives the Keras model.
        weights: its own.
        samples: for the ranges.
        training: as in ``model(x, training=...)``.
    """
    twin = build()
    twin.set_weights(weights)
    name, shape = twin.inputs[0].name, twin.inputs[0].shape[1:]

    @tf.function
    def function(image: Any) -> Any:
        with keras.StatelessScope():  # moving averages that are not written back, which no calibrator can run
            return twin(image, training=training)

    concrete = function.get_concrete_function(tf.TensorSpec((1, *shape), tf.float32, name=name))
    frozen = convert_variables_to_constants_v2(concrete)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [value] for batch in samples.batches(1) for value in batch.inputs.values()
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with silenced():
        return bytes(converter.convert())


def _of_layer(layer: str, name: str) -> bool:
    """Whether a tensor's name begins with the layer's operators."""
    scopes = name.split(";")[0].split("/")
    return any(re.fullmatch(rf"{re.escape(layer)}(_\d+)?", scope) for scope in scopes)


def scaled(layer: str, factor: float) -> Callable[[str, Range], Range]:
    """The layer's range times `factor`."""
    return lambda name, item: Range(item.low * factor, item.high * factor) if _of_layer(layer, name) else item


def edited(content: bytes, layer: str, edit: Callable[[OperatorNode], None]) -> bytes:
    """A file after `edit(operator)` of the operator with weights whose output is the layer's."""
    model = ModelEditor.read(content)
    operators = (operator for operator in model.main.operators if _of_layer(layer, operator.result.name))
    edit(next(operator for operator in operators if operator.name in ("CONV_2D", "FULLY_CONNECTED")))
    return model.to_bytes()


def coarse_weights(operator: OperatorNode) -> None:
    """Weights of which only the largest are left, all of one size."""
    _set_constant(operator.operands[1], lambda weights: np.clip(np.round(weights / 240.0) * 240, -127, 127))


def drowned_bias(operator: OperatorNode) -> None:
    """Biases so low that nothing comes through the ReLU."""
    _set_constant(operator.operands[2], lambda biases: np.full_like(biases, -(2**28)))


def _set_constant(tensor: TensorNode, change: Callable[[np.ndarray], np.ndarray]) -> None:
    values = tensor.array()
    assert values is not None, "it is a constant"
    tensor.set_array(change(values).astype(values.dtype))
