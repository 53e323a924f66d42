"""TensorFlow operations that do more than compute."""

from __future__ import annotations

from typing import Any

from tfcompress.errors import UnsafeModelError

__all__ = ["CODE_OPERATIONS", "FILE_OPERATIONS", "refuse_unsafe_graph"]

CODE_OPERATIONS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
"""Call back into Python."""

FILE_OPERATIONS = frozenset(
    {"WriteFile", "ReadFile", "WholeFileReader", "WholeFileReaderV2", "MatchingFiles", "TextLineReader",
     "TFRecordReader", "TextLineReaderV2", "TFRecordReaderV2", "FixedLengthRecordReader",
     "FixedLengthRecordReaderV2", "TextLineDataset", "TFRecordDataset", "FixedLengthRecordDataset",
     "FixedLengthRecordDatasetV2", "DebugIdentity", "DebugIdentityV2", "DebugNumericSummary",
     "DebugNumericSummaryV2", "WriteSummary", "WriteGraphSummary", "CreateSummaryFileWriter"}
)  # fmt: skip
"""Reach files other than the model's own checkpoint."""


def refuse_unsafe_graph(graph_def: Any, where: str) -> None:
    """Refuse a GraphDef that does more than compute.

    Raises:
        UnsafeModelError: names the operation.
    """
    nodes = [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
    for node in nodes:
        if node.op in CODE_OPERATIONS or node.op in FILE_OPERATIONS:
            raise UnsafeModelError(f"{where} holds the operation {node.op}, which runs Python code or reaches files")
