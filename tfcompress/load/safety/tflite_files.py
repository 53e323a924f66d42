"""Whether a .tflite only computes."""

from __future__ import annotations

from pathlib import Path

from tfcompress.errors import ModelError, UnsafeModelError
from tfcompress.graphs.tflite import Subgraph, read_tflite
from tfcompress.load.safety.lists.tflite_operators import BUILTIN_OPERATORS, CUSTOM_OPERATORS

__all__ = ["refuse_unsafe_tflite"]


def refuse_unsafe_tflite(path: Path, content: bytes, *, run: bool, trusted: bool) -> None:
    """Parse the file in full and, where it is going to be run, refuse operators that are not on the list.

    Nor may anything be written into a constant: LiteRT leaves that where the file's bytes are, whatever size the
    tensor gets when the batch is changed, and would write beyond it.

    Args:
        path: for messages.
        content: of the file.
        run: it is going to be run, and not only described.
        trusted: the user allows operators that are not on the list.

    Raises:
        ModelError: it is not a whole .tflite, or writes into a constant.
        UnsafeModelError: names the operator.
    """
    try:
        file = read_tflite(content)
    except Exception as error:
        if hasattr(error, "exit_code"):
            raise type(error)(str(error).replace("model:", f"{path}:", 1)) from None
        raise
    if not run:
        return
    for graph in file.subgraphs:
        _refuse_written_constants(path, graph)
    if trusted:
        return
    for graph in file.subgraphs:
        for operator in graph.operators:
            listed = CUSTOM_OPERATORS if operator.custom else BUILTIN_OPERATORS
            if operator.name not in listed:
                raise UnsafeModelError(
                    f"{path}: the operator {operator.index} is a {operator.name[:100]!r}, which is not on the list of "
                    "operators that only compute. Nothing was run. --allow_unsafe_deserialization allows it"
                )


def _refuse_written_constants(path: Path, graph: Subgraph) -> None:
    written = [*graph.inputs, *(index for operator in graph.operators for index in operator.outputs)]
    for index in written:
        if index >= 0 and graph.tensors[index].data is not None:
            raise ModelError(
                f"{path}: refused: the tensor {index} of the graph {graph.index} is a constant, and an input or an "
                "operator's output as well; convert the model again"
            )
