"""What a .tflite is: the facts that go into report.json."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from tfcompress.converters.phone.latency import measure_latency
from tfcompress.tflite import Operator, Subgraph, TfliteFile, read_tflite

__all__ = ["describe", "float_operators", "select_operators"]

_FLOAT = ("float32", "float16", "bfloat16", "float64")
_AT_THE_EDGE = ("QUANTIZE", "DEQUANTIZE")


def float_operators(file: TfliteFile, except_for: Collection[str] = ()) -> tuple[str, ...]:
    """Names of the operators that compute in float, each once, in order of execution.

    QUANTIZE and DEQUANTIZE are not named: they are there because of a float neighbour, or of float inputs or outputs.

    Args:
        file: the quantized file.
        except_for: names of output tensors whose operators are not looked at.
    """
    names = (
        operator.name
        for graph in file.subgraphs
        for operator in graph.operators
        if operator.name not in _AT_THE_EDGE
        and _touches_float(operator, graph)
        and not any(graph.tensors[index].name in except_for for index in operator.outputs)
    )
    return tuple(dict.fromkeys(names))


def _touches_float(operator: Operator, graph: Subgraph) -> bool:
    tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    return any(tensor.dtype in _FLOAT for tensor in tensors)


def select_operators(file: TfliteFile) -> tuple[str, ...]:
    """Names of the TensorFlow (Flex) operators, which a plain LiteRT runtime does not have."""
    names = (op.name for graph in file.subgraphs for op in graph.operators if op.custom and op.name.startswith("Flex"))
    return tuple(dict.fromkeys(names))


def describe(path: Path) -> dict[str, object]:
    """report.json facts of a .tflite: bytes, dtypes, what is float, and its latency here."""
    content = path.read_bytes()
    file = read_tflite(content)
    main = file.main
    inputs = [main.tensors[index].dtype for index in main.inputs]
    outputs = [main.tensors[index].dtype for index in main.outputs]
    tensors = {tensor.dtype for graph in file.subgraphs for tensor in graph.tensors}
    latency: Mapping[str, object] = measure_latency(content)
    return {
        "bytes": len(content),
        "fully_integer": not tensors.intersection(_FLOAT),
        "input_dtypes": inputs,
        "output_dtypes": outputs,
        "float_ops": list(float_operators(file)),
        "select_ops": list(select_operators(file)),
        **latency,
    }
