"""What is in a .tflite, for people and as JSON."""

from __future__ import annotations

import hashlib
from collections import Counter

from tfcompress.graphs.tflite.operators import file_macs, macs
from tfcompress.graphs.tflite.reader import Operator, Subgraph, Tensor, TfliteFile, read_tflite

__all__ = ["describe_tflite"]


def describe_tflite(name: str, content: bytes) -> dict[str, object]:
    """``{"model": {...}, "inputs": [...], "outputs": [...], "operators": [...]}`` of a .tflite.

    Args:
        name: of the model.
        content: of the file.

    Returns:
        `model` holds name, format, sha256, bytes, multiplications of one run (`macs`), constant bytes and the number of
        operators of each kind; an input or output its name, shape (None where open), dtype, and scale and zero point
        where it is quantized per tensor; an operator its index, name, version, output tensor, dtype, shape, constant
        bytes and `macs`.

    Raises:
        ModelError: it is not a whole .tflite.
    """
    file = read_tflite(content)
    main = file.main
    return {
        "model": {
            "name": name,
            "format": "tflite",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": file.bytes,
            "macs": file_macs(file),
            "constant_bytes": sum(t.bytes for graph in file.subgraphs for t in graph.tensors if t.data is not None),
            "operators": dict(Counter(op.name for graph in file.subgraphs for op in graph.operators)),
        },
        "inputs": [_port(main.tensors[index], _signature_name(file, index, "inputs")) for index in main.inputs],
        "outputs": [_port(main.tensors[index], _signature_name(file, index, "outputs")) for index in main.outputs],
        "operators": [_operator(operator, main) for operator in main.operators],
    }


def _signature_name(file: TfliteFile, tensor: int, side: str) -> str | None:
    """The name that a signature gives to a tensor of the main graph."""
    for signature in file.signatures:
        if signature.subgraph == 0:
            names = signature.inputs if side == "inputs" else signature.outputs
            return next((name for name, index in names.items() if index == tensor), None)
    return None


def _port(tensor: Tensor, name: str | None) -> dict[str, object]:
    scale = zero_point = None
    if tensor.quantization is not None and len(tensor.quantization.scales) == 1:
        scale, zero_point = float(tensor.quantization.scales[0]), int(tensor.quantization.zero_points[0])
    shape = [None if size == -1 else size for size in tensor.shape_signature]
    return {
        "name": name or tensor.name,
        "shape": shape,
        "dtype": tensor.dtype,
        "scale": scale,
        "zero_point": zero_point,
    }


def _operator(operator: Operator, graph: Subgraph) -> dict[str, object]:
    output = graph.tensors[operator.outputs[0]] if operator.outputs else None
    constants = [graph.tensors[i] for i in operator.inputs if i >= 0 and graph.tensors[i].data is not None]
    return {
        "index": operator.index,
        "op": operator.name,
        "version": operator.version,
        "tensor": output.name if output else None,
        "dtype": output.dtype if output else None,
        "shape": list(output.shape) if output else None,
        "constant_bytes": sum(tensor.bytes for tensor in constants),
        "macs": macs(operator, graph),
    }
