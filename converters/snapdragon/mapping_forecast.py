"""What Qualcomm's compiler will map, without the compiler: a table of what it said, operator by operator.

The compiler decides by an operator and the types of its tensors, and in a few cases by more (`structural_refusal`).
``operators.csv`` has its answer for each such combination that was put to it (LiteRT 2.3.0, QAIRT 2.50.40,
``apply_plugin_main --cmd=partition``): models of one operator of every kind in float32, int8, int16, float16 weights
and dynamic range, and published .tflite files (`benchmarks.snapdragon_operators` makes it).  Columns: the operator; the
types of its first three inputs, ``c`` before that of a constant and ``-`` for one that is absent; the type of its first
result; the answer for Hexagon v68, v73 and v79; the compiler's reason.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tfcompress.converters.npu.mapping import CompiledMapping, Refusal, rows_of
from tfcompress.converters.snapdragon.chips import SOCS, check_socs
from tfcompress.converters.snapdragon.fixes import fix_for
from tfcompress.converters.snapdragon.structure import structural_refusal
from tfcompress.graphs.tflite import Operator, Subgraph, TfliteFile
from tfcompress.load import opened_tflite

__all__ = ["Answer", "forecast", "signature_of", "table"]

GENERATIONS = (68, 73, 79)  # of the Hexagon versions that were asked: SM8350, SM8550, SM8750
SHOWN_INPUTS = 3
_UNKNOWN = "not known to the forecast: the compiler was never asked about this operator with these types"


@dataclass(frozen=True)
class Answer:
    """What the compiler said to one operator with one set of types.

    Attributes:
        mapped: {Hexagon version: the operator maps}.
        reason: why it does not where it does not; empty where it maps everywhere.
    """

    mapped: dict[int, bool]
    reason: str


def signature_of(graph: Subgraph, operator: Operator) -> tuple[str, str, str]:
    """(operator, types of the first inputs, type of the first result), as ``operators.csv`` has them."""
    return operator.name, _types(graph, operator.inputs[:SHOWN_INPUTS]), _types(graph, operator.outputs[:1])


def _types(graph: Subgraph, indices: Collection[int]) -> str:
    names = ("-" if i < 0 else ("c" * (graph.tensors[i].data is not None)) + graph.tensors[i].dtype for i in indices)
    return " ".join(names)


@functools.cache
def table() -> dict[tuple[str, str, str], Answer]:
    """{(operator, inputs, result): what the compiler said}, the whole of ``operators.csv``."""
    with (Path(__file__).parent / "operators.csv").open(newline="", encoding="utf-8") as stream:
        return {
            (row["operator"], row["inputs"], row["result"]): Answer(
                {version: row[f"v{version}"] == "yes" for version in GENERATIONS}, row["reason"]
            )
            for row in csv.DictReader(stream)
        }


@functools.cache
def _by_result() -> dict[tuple[str, str], list[Answer]]:
    """{(operator, type of its result): all answers}, for types of inputs that were never asked."""
    answers: dict[tuple[str, str], list[Answer]] = {}
    for (operator, _, result), answer in table().items():
        answers.setdefault((operator, result), []).append(answer)
    return answers


def forecast(model: str | Path | TfliteFile, soc: str, *, layer_names: Collection[str] = ()) -> CompiledMapping:
    """Where each operator of a .tflite is expected to run.

    Args:
        model: path of a .tflite, or one that is read already.
        soc: a name of `SOCS`.  A chip between two Hexagon versions that were asked is taken for the older one.
        layer_names: of the Keras model, to say which layer an operator belongs to.

    Returns:
        A mapping whose `compiled` is None.  An operator with types that the compiler was never asked about counts as
        mapped where all answers for it with the same type of result do; else its reason says that it is not known.

    Raises:
        RecipeError: the chip is not known.
        ModelError: the file cannot be read or is damaged.
    """
    check_socs([soc])
    graph = opened_tflite(model).main
    version = max(generation for generation in GENERATIONS if generation <= SOCS[soc].hexagon)
    refusals = {
        operator.index: Refusal(reason, fix_for(operator.name))
        for operator in graph.operators
        if (reason := _refusal(graph, operator, version)) is not None
    }
    return CompiledMapping(
        name=soc,
        compiled=None,
        operators=rows_of(graph, refusals, layer_names=layer_names),
        reason="a forecast: onnxruntime-qnn, which carries Qualcomm's compiler, was not asked",
    )


def _refusal(graph: Subgraph, operator: Operator, version: int) -> str | None:
    structural = structural_refusal(graph, operator)
    if structural is not None:
        return structural
    signature = signature_of(graph, operator)
    answer = table().get(signature)
    if answer is not None:
        return None if answer.mapped[version] else answer.reason
    alike = _by_result().get((signature[0], signature[2]), [])
    return None if alike and all(each.mapped[version] for each in alike) else _UNKNOWN
