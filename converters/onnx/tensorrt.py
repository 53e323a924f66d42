"""TensorRT's rules for a quantized ONNX file, checked on the file itself: ``python -m ...tensorrt MODEL.onnx``.

Sources: NVIDIA TensorRT documentation, "Explicit Quantization" (Q/DQ pairs, symmetric scheme, DQ between stored
weights and the operator that uses them); NVIDIA/TensorRT issue 2774 ("TRT only supports symmetric quantization -
zeroPt must be all zeros"); onnx/onnx-tensorrt issue 850 (no DQ on an int32 bias); onnx/onnx-tensorrt issue 560 (no
importer for QLinearConv and its like).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.converters.onnx.builder import load_onnx

__all__ = ["LEAST_OPSET", "broken_rules"]

LEAST_OPSET = 13  # QuantizeLinear with an axis
_WEIGHT_AXES = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1, "Gemm": 0}
_INTEGER_ONLY = ("QLinear", "ConvInteger", "MatMulInteger", "DynamicQuantize")


class _Graph:
    """The parts of a model that the rules look at."""

    def __init__(self, model: Any, to_array: Callable[[Any], np.ndarray]) -> None:
        self.opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
        self.nodes = list(model.graph.node)
        self.constants: Mapping[str, np.ndarray] = {item.name: to_array(item) for item in model.graph.initializer}
        self.producers = {name: node for node in self.nodes for name in node.output}

    def users(self, name: str) -> list[Any]:
        return [node for node in self.nodes if name in node.input]


def broken_rules(model: str | Path | bytes) -> list[str]:
    """What TensorRT would refuse, or would not compute in int8, one line each; empty for a file that keeps the rules.

    Args:
        model: path or content of an ONNX file.

    Raises:
        MissingExtraError: the onnx package is not installed.
    """
    onnx = load_onnx()
    loaded = onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(str(model))
    graph = _Graph(loaded, onnx.numpy_helper.to_array)
    return [line for rule in _RULES for line in rule(graph)]


def _opset(graph: _Graph) -> Iterator[str]:
    if graph.opset < LEAST_OPSET:
        yield f"opset {graph.opset}, expected {LEAST_OPSET} or newer: older ones have no scale for each channel"


def _only_pairs(graph: _Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.op_type.startswith(_INTEGER_ONLY):
            yield f"{node.name}: TensorRT has no importer for {node.op_type}; expected Q/DQ pairs"


def _pairs(graph: _Graph) -> Iterator[tuple[Any, np.ndarray | None, np.ndarray | None]]:
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero_point = graph.constants.get(node.input[2]) if len(node.input) > 2 else None
            yield node, graph.constants.get(node.input[1]), zero_point


def _symmetric(graph: _Graph) -> Iterator[str]:
    for node, scale, zero_point in _pairs(graph):
        if zero_point is None or zero_point.dtype != np.int8 or np.any(zero_point):
            yield f"{node.name}: its zero point is not a constant int8 0: TensorRT only supports symmetric quantization"
        if scale is None or not np.all(np.isfinite(scale) & (scale > 0)):
            yield f"{node.name}: its scale is not constant and above 0"


def _whole_pairs(graph: _Graph) -> Iterator[str]:
    """An activation's Q feeds only DQs of the same scale; a DQ reads a Q or stored weights."""
    for node in graph.nodes:
        if node.op_type == "QuantizeLinear":
            for user in graph.users(node.output[0]):
                same = user.op_type == "DequantizeLinear" and list(user.input[1:]) == list(node.input[1:])
                if not same:
                    yield f"{node.name}: {user.name} reads its integers, expected a DequantizeLinear of the same scale"
        if node.op_type == "DequantizeLinear":
            maker = graph.producers.get(node.input[0])
            stored = graph.constants.get(node.input[0])
            from_pair = maker is not None and maker.op_type == "QuantizeLinear"
            if not from_pair and (stored is None or stored.dtype != np.int8):
                yield f"{node.name}: it reads neither a QuantizeLinear nor int8 weights"


def _granularity(graph: _Graph) -> Iterator[str]:
    """One scale per tensor for activations, one for each output channel of weights."""
    for node, scale, _ in _pairs(graph):
        stored = graph.constants.get(node.input[0])
        if stored is None:
            if scale is not None and scale.size != 1:
                yield f"{node.name}: an activation with {scale.size} scales, expected one"
            continue
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        for user in graph.users(node.output[0]):
            wanted = _WEIGHT_AXES.get(user.op_type)
            if wanted != axis or scale is None or scale.size != stored.shape[axis]:
                yield f"{node.name}: weights of {user.op_type} scaled along axis {axis}, expected one scale per channel"


def _float_biases(graph: _Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm") and len(node.input) > 2:
            bias = graph.constants.get(node.input[2])
            if bias is None or bias.dtype != np.float32:
                yield f"{node.name}: its bias is not constant float32"


def _both_inputs(graph: _Graph) -> Iterator[str]:
    """An operator with int8 weights computes in int8 only where its activation is quantized as well."""
    for node in graph.nodes:
        if node.op_type in _WEIGHT_AXES and _is_dequantized(graph, node.input[1]) != _is_dequantized(
            graph, node.input[0]
        ):
            yield f"{node.name}: only one of its inputs is quantized, so that TensorRT computes it in float"


def _is_dequantized(graph: _Graph, name: str) -> bool:
    maker = graph.producers.get(name)
    while maker is not None and maker.op_type in ("Transpose", "Reshape"):
        maker = graph.producers.get(maker.input[0])
    return maker is not None and maker.op_type == "DequantizeLinear"


_RULES = (_opset, _only_pairs, _symmetric, _whole_pairs, _granularity, _float_biases, _both_inputs)


def main() -> None:
    """Print the broken rules of a file; exit code 1 where there are any."""
    broken = broken_rules(sys.argv[1])
    print("\n".join(broken) or "keeps TensorRT's rules")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
