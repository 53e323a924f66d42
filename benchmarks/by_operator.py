"""A quantization-aware model and its .tflite, compared operator by operator, so that no error grows on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcompress.compression.simulation.quantize import FakeQuantize
from tfcompress.graphs.tflite.interpreter import executed, new_interpreter
from tfcompress.graphs.tflite.quantization import dequantize, to_stored
from tfcompress.model import FloatModel
from tfcompress.runtime import tf_keras

__all__ = ["compare_operators"]

Arrays = dict[str, np.ndarray]


def compare_operators(simulation: FloatModel, content: bytes, sample: Arrays) -> dict[str, Any]:
    """Each quantized tensor of the simulation, computed from the file's values of those before it, beside the file's.

    Args:
        simulation: a quantization-aware model.
        content: the .tflite made of it.
        sample: {input name: [1, ...]}.

    Returns:
        operators_compared: how many tensors could be told apart in the file.  operator_max_error_steps: the largest
            difference among them, in steps of their own grid; LiteRT's plain kernels, whose results between operators
            can be seen, round many values by one step otherwise than XNNPACK.  None where none could be compared.
    """
    layers = [layer for layer in simulation.keras_model.layers if isinstance(layer, FakeQuantize)]
    file_values = _file_values(content, sample, layers)
    worst: list[float] = []
    for layer, values in file_values.items():
        sources = _sources(layer)
        if not sources or any(source not in file_values for source in sources):
            continue
        step = tf_keras.Model([source.output for source in sources], layer.output)
        error = np.abs(np.asarray(step([file_values[source] for source in sources], training=False)) - values)
        error /= float(layer.quantizer.scale())
        worst.append(float(error.max()))
    return {
        "operators_compared": len(worst),
        "operator_max_error_steps": round(max(worst), 2) if worst else None,
    }


def _sources(layer: Any) -> list[Any]:
    """The quantizers whose outputs a quantizer's input is computed from; none where an input of the model is among."""
    layers, todo = [], list(layer.inbound_nodes[0].keras_inputs)
    while todo:
        maker = todo.pop()._keras_history.layer
        if isinstance(maker, FakeQuantize):
            layers.append(maker)
        elif isinstance(maker, tf_keras.layers.InputLayer) or len(maker.inbound_nodes) != 1:
            return []
        else:
            todo += maker.inbound_nodes[0].keras_inputs
    return list(dict.fromkeys(layers))


def _file_values(content: bytes, sample: Arrays, layers: list[Any]) -> dict[Any, np.ndarray]:
    """{quantizer: the values of its tensor in the file}, for those whose size and scale one int8 tensor alone has."""
    interpreter = new_interpreter(content, xnnpack=False, keep_all=True)
    for detail, values in zip(interpreter.get_input_details(), sample.values(), strict=True):
        interpreter.set_tensor(detail["index"], to_stored(values, detail))
    interpreter.invoke()
    computed = {int(index) for operator in executed(interpreter) for index in operator["outputs"]}
    tensors: dict[tuple[int, float], list[np.ndarray]] = {}
    for detail in interpreter.get_tensor_details():
        scale, zero = detail["quantization"]
        if detail["index"] in computed and detail["dtype"] is np.int8 and scale:
            values = dequantize(interpreter.get_tensor(detail["index"]), scale, zero)
            tensors.setdefault((values.size, float(f"{scale:.5g}")), []).append(values.reshape(-1))
    by_layer = {}
    for layer in layers:
        if None in layer.output.shape[1:]:
            continue
        scale = float(layer.quantizer.scale())
        same = tensors.get((int(np.prod(layer.output.shape[1:])), float(f"{scale:.5g}")), [])
        if same and all(np.array_equal(same[0], other) for other in same):
            by_layer[layer] = same[0].reshape(1, *layer.output.shape[1:])
    return by_layer
