"""What was learnt, written back into the file: its operators and types stay, only numbers change."""

from __future__ import annotations

import numpy as np

from tfcompress.converters.litert.learnt.simulation import LARGEST_WEIGHT, Simulation
from tfcompress.graphs.tflite.editor import ModelEditor, OperatorNode

__all__ = ["written"]


def written(simulation: Simulation) -> bytes:
    """The simulated .tflite with the present values of its variables."""
    model = ModelEditor.read(simulation.content)
    graph = model.main
    scales: dict[int, float] = {}
    for index, scale, zero in simulation.tensors():
        scales[index] = float(np.float32(scale))
        parameters = graph.tensors[index].record.quantization
        parameters.scale, parameters.zeroPoint = [scales[index]], [zero]
        parameters.min = parameters.max = None  # of the float values that an engine saw
    for place, layer in simulation.layers.items():
        operator, source = graph.operators[place], simulation.graph.operators[place]
        integers = np.clip(np.rint(layer.integers.numpy()), -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int8)
        operator.operands[1].set_array(integers)
        if layer.bias is not None:
            real = np.asarray(simulation.bias(source), np.float64)
            _write_bias(operator, real, scales[source.inputs[0]] * layer.scales.ravel().astype(np.float64))
    return model.to_bytes()


def _write_bias(operator: OperatorNode, real: np.ndarray, scales: np.ndarray) -> None:
    """Biases in the product of the input's and the weights' scales (LiteRT quantization specification)."""
    tensor = operator.operands[2]
    before = tensor.array()
    assert before is not None, "a layer's bias is a constant"
    limits = np.iinfo(before.dtype)
    integers = np.clip(np.rint(real / scales), limits.min, limits.max)
    tensor.set_array(integers.astype(before.dtype))
    tensor.record.quantization.scale = scales.astype(np.float32)
