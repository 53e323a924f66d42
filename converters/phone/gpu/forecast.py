"""Where each operator of a .tflite is expected to run on a phone with LiteRT's GPU delegate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

from tfcompress.converters.npu.mapping import CompiledMapping, Refusal, rows_of
from tfcompress.converters.phone.gpu.rules import MOST_DIMENSIONS, RULES, reason_against
from tfcompress.graphs.tflite import Operator, Subgraph, TfliteFile
from tfcompress.graphs.tflite.partition import partitions
from tfcompress.load import opened_tflite

__all__ = ["forecast", "gpu_facts", "gpu_note"]

_SOURCE = "LiteRT's GPU delegate, google-ai-edge/LiteRT at 34ec5ba"
_UNPROVEN = "a forecast by the public rules of LiteRT's GPU delegate; no GPU was asked"
_PARTS = "; {} parts, of which it takes the largest, of {} operators, alone unless told otherwise"
_FIXES = {
    "SQUEEZE": "use Reshape, which the GPU has",
    "EXPAND_DIMS": "use Reshape, which the GPU has",
    "GATHER": "take slices, whose positions are constant, and concatenate them",
    "EMBEDDING_LOOKUP": "look the embedding up before the model",
    "STRIDED_SLICE": "keep the dimension (x[:, 0:1] for x[:, 0]) and use Reshape",
    "SELECT_V2": "write the condition as a product with a mask of floats",
    "WHILE": "unroll the loop: RNN layers have unroll=True",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "unroll the layer: unroll=True",
    "TRANSPOSE_CONV": "let no activation follow it at once, as a fused one raises the version",
    "DEPTHWISE_CONV_2D": "use depth_multiplier=1, or Conv2D with groups",
    "ARG_MAX": "return the scores, and take the largest outside of the model",
    "CAST": "keep to float32 and int32",
    "REVERSE_V2": "reverse the data before the model",
}
_GENERAL = "compute it before or after the model, or by layers whose operators the GPU has"
_WIDE = "keep to four dimensions: reshape the others into them"
_TYPE = "keep to floats, or to 8-bit integers"


def forecast(model: str | Path | TfliteFile, *, layer_names: Collection[str] = ()) -> CompiledMapping:
    """What the delegate would take, operator by operator.

    Args:
        model: path of a .tflite, or one that is read already.
        layer_names: of the Keras model, to say which layer an operator belongs to.

    Returns:
        A mapping whose `compiled` is None.  `figures` has the number of `partitions`, parts that can run in one go,
        and `largest_partition`: the delegate takes that one alone unless told otherwise.

    Raises:
        ModelError: the file cannot be read or is damaged.
    """
    graph = opened_tflite(model).main
    reasons = {operator.index: reason_against(operator, graph) for operator in graph.operators}
    refusals = {
        index: Refusal(reason, _fix(graph.operators[index], graph, reason))
        for index, reason in reasons.items()
        if reason is not None
    }
    parts = [len(part) for part in partitions(graph, [index for index in reasons if index not in refusals])]
    return CompiledMapping(
        name="GPU",
        compiled=None,
        operators=rows_of(graph, refusals, layer_names=layer_names),
        reason=_UNPROVEN + (_PARTS.format(len(parts), max(parts)) if len(parts) > 1 else ""),
        figures={"partitions": len(parts), "largest_partition": max(parts, default=0), "rules": _SOURCE},
        runs_on="the GPU",
    )


def gpu_facts(file: TfliteFile, layer_names: Collection[str] = ()) -> dict[str, object]:
    """`gpu` of the phone's section of report.json: counts, and a row for each operator that stays on the CPU."""
    mapping = forecast(file, layer_names=layer_names)
    return {
        "proven": False,
        "reason": _UNPROVEN,
        "mapped_ops": mapping.mapped_ops,
        "cpu_ops": mapping.cpu_ops,
        **mapping.figures,
        "ops": [row.to_json() for row in mapping.operators if not row.mapped],
    }


def gpu_note(facts: dict[str, object]) -> str:
    """One line for people, from `gpu_facts`."""
    mapped, left = int(str(facts["mapped_ops"])), int(str(facts["cpu_ops"]))
    said = f"GPU, a forecast by LiteRT's rules that nothing here proves: {mapped} of {mapped + left} operators"
    rows = facts["ops"]
    if not isinstance(rows, list) or not rows:
        return said
    counted = ", ".join(f"{count} {name}" for name, count in Counter(row["op"] for row in rows).items())
    parts = f" in {facts['partitions']} parts" if facts["partitions"] != 1 else ""
    return f"{said}{parts}; on the CPU: {counted}; {rows[0]['op']}: {rows[0]['reason']} {rows[0]['fix']}"


def _fix(operator: Operator, graph: Subgraph, reason: str) -> str:
    ranks = [len(graph.tensors[index].shape) for index in (*operator.inputs, *operator.outputs) if index >= 0]
    if operator.name in RULES and max(ranks, default=0) > MOST_DIMENSIONS:
        return _WIDE
    if "type/shape" in reason:
        return _TYPE
    return _FIXES.get(operator.name, _GENERAL)
