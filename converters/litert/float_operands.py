"""Float operators that read floats: TFLiteConverter now and then forgets a conversion from integers before one.

Where an activation function in int8 stands between two layers in float, it drops the `DEQUANTIZE` before a product
whose weights are float constants, and the product reads int8 itself: LiteRT refuses to run such a file.
"""

from __future__ import annotations

from tfcompress.graphs.tflite import Subgraph, read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor, options

__all__ = ["with_float_operands"]

_PRODUCTS = frozenset({"BATCH_MATMUL", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})


def with_float_operands(content: bytes) -> bytes:
    """A .tflite with a `DEQUANTIZE` before every product in float that reads what another operator gives as int8.

    Args:
        content: the quantized .tflite.

    Returns:
        The same bytes where no product lacks one.
    """
    lacking = _lacking(read_tflite(content).main)
    if not lacking:
        return content
    model = ModelEditor.read(content)
    graph, operators = model.main, list(model.main.operators)
    for number, position in lacking:
        product = operators[number]
        integers = product.input(position)
        assert integers is not None, "its type was read"
        real = graph.like(integers, "real")
        real.dtype, real.record.quantization = "float32", None
        product.inputs[position] = real
        conversion = graph.operator("DEQUANTIZE", [integers], [real], options("DequantizeOptions"), version=2)
        graph.replace([product], [conversion, product])
    return model.to_bytes()


def _lacking(graph: Subgraph) -> list[tuple[int, int]]:
    """(number of a float product, position of its input) of every input that another operator gives as int8."""
    return [
        (number, position)
        for number, operator in enumerate(graph.operators)
        if operator.name in _PRODUCTS and graph.tensors[operator.outputs[0]].dtype == "float32"
        for position, index in enumerate(operator.inputs)
        if index >= 0 and graph.tensors[index].dtype == "int8" and graph.producer(index) is not None
    ]
