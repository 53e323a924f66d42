"""ONE_HOT with integers: both of its values in the scale of its result, which its kernel copies them to.

litert-quantizer gives each value a scale of its own, so that what stands for 0 is read as half of 1.
Source: tensorflow/lite/kernels/one_hot.cc, `OneHotComputeImpl`, which copies and does not rescale.
"""

from __future__ import annotations

import numpy as np

from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode

__all__ = ["with_one_hot_values"]

_VALUES = {2: "on", 3: "off"}  # positions of the inputs


def with_one_hot_values(content: bytes) -> bytes:
    """A quantized .tflite whose ONE_HOT operators copy integers of their result's scale.

    Args:
        content: the quantized .tflite.

    Returns:
        The same bytes where the main graph has no such operator.
    """
    if all(operator.name != "ONE_HOT" for operator in read_tflite(content).main.operators):
        return content
    model = ModelEditor.read(content)
    for operator in model.main.operators:
        if operator.name == "ONE_HOT" and operator.result.scales:
            _rescale(model.main, operator)
    return model.to_bytes()


def _rescale(graph: GraphEditor, operator: OperatorNode) -> None:
    result = operator.result
    limits = np.iinfo(result.dtype)
    for position, name in _VALUES.items():
        value = operator.input(position)
        stored = None if value is None else value.array()
        if value is None or stored is None or value.dtype != result.dtype or not value.scales:
            continue
        real = value.scales[0] * (stored.astype(np.float64) - value.zero_points[0])
        integers = np.rint(real / result.scales[0]) + result.zero_points[0]
        constant = graph.new_tensor(value.shape, result, name)
        constant.set_array(np.clip(integers, limits.min, limits.max).astype(result.dtype))
        operator.inputs[position] = constant
