"""What a .tflite is: the facts that go into report.json."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from tfcompress.converters.litert.latency import measure_latency, xnnpack_share
from tfcompress.graphs.tflite import Operator, Subgraph, TfliteFile, read_tflite
from tfcompress.graphs.tflite.interpreter import CANNOT_RUN, new_interpreter
from tfcompress.graphs.tflite.operators import CONVERSIONS
from tfcompress.native_output import silenced
from tfcompress.remarks import optional

__all__ = ["batch_is_resizable", "describe", "float_operators", "select_operators", "used_dtypes"]

_FLOAT = ("float32", "float16", "bfloat16", "float64")


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
        if operator.name not in CONVERSIONS
        and _touches_float(operator, graph)
        and not any(graph.tensors[index].name in except_for for index in operator.outputs)
    )
    return tuple(dict.fromkeys(names))


def _touches_float(operator: Operator, graph: Subgraph) -> bool:
    tensors = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    return any(tensor.dtype in _FLOAT for tensor in tensors)


def used_dtypes(graph: Subgraph) -> set[str]:
    """dtypes of all that operators read or write; a rewrite may leave tensors behind that nothing uses."""
    indices = {index for operator in graph.operators for index in (*operator.inputs, *operator.outputs) if index >= 0}
    return {graph.tensors[index].dtype for index in (*indices, *graph.inputs, *graph.outputs)}


def select_operators(file: TfliteFile) -> tuple[str, ...]:
    """Names of the TensorFlow (Flex) operators, which a plain LiteRT runtime does not have."""
    names = (op.name for graph in file.subgraphs for op in graph.operators if op.custom and op.name.startswith("Flex"))
    return tuple(dict.fromkeys(names))


def batch_is_resizable(content: bytes) -> bool | None:
    """Whether the file runs with a batch of 2; None where it does not even run with its own (Flex operators)."""
    answer: bool | None = None
    try:
        with silenced():
            interpreter = new_interpreter(content)
            answer = False
            for detail in interpreter.get_input_details():
                interpreter.resize_tensor_input(detail["index"], [2, *detail["shape"][1:]])
            interpreter.allocate_tensors()
            interpreter.invoke()
            return all(list(item["shape"][:1]) == [2] for item in interpreter.get_output_details())
    except CANNOT_RUN:  # LiteRT's word for an operator that cannot be resized, or that it lacks
        return answer


def describe(path: Path, float_content: bytes | None = None) -> dict[str, object]:
    """report.json facts of a .tflite: bytes, dtypes, what is float, and its latency here beside the float file's.

    Args:
        path: the .tflite.
        float_content: the float .tflite it was made from; None where there is none.
    """
    content = path.read_bytes()
    file = read_tflite(content)
    main = file.main
    inputs = [main.tensors[index].dtype for index in main.inputs]
    outputs = [main.tensors[index].dtype for index in main.outputs]
    tensors = {dtype for graph in file.subgraphs for dtype in used_dtypes(graph)}
    latency: Mapping[str, object] = {}
    with optional(f"{path.parent.name}: its latency"):
        latency = measure_latency(content, float_content)
    share = None
    with optional(f"{path.parent.name}: the operators that XNNPACK runs"):
        share = xnnpack_share(content)
    return {
        "bytes": len(content),
        "fully_integer": not tensors.intersection(_FLOAT),
        "input_dtypes": inputs,
        "output_dtypes": outputs,
        "float_ops": list(float_operators(file)),
        "select_ops": list(select_operators(file)),
        "resizable_batch": batch_is_resizable(content),
        "xnnpack": share,
        **latency,
    }
