"""Causes that show in one layer's own error: ranges, channels, bits, batch norm."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfcompress.accuracy_diff.causes.cause import Cause
from tfcompress.accuracy_diff.causes.evidence import FIXED_SCALE, SAME_SCALE, WEIGHTED, Evidence, Row
from tfcompress.graphs.tflite import Operator

__all__ = ["layer_causes"]

# A sound int8 layer has an own SQNR of 25 to 45 dB (measured on the models of the tests and tables).
POOR_DB = 22.0
VERY_POOR_DB = 13.0
LOST_CHANNEL_DB = 12.0
MASK = -64.0  # no trained network's own score
SATURATED = 0.002  # share of values outside the range
BULK_TOO_SMALL = 0.2  # share of the range that the middle 99.8 % of the values take up
UNEQUAL = 16.0  # ratio of two ranges
AFFINE = 0.95  # share of an error that a scale and a shift of each channel explain
POOLING = frozenset({"AVERAGE_POOL_2D", "MAX_POOL_2D"})
SQUASHING = frozenset({"LOGISTIC", "SOFTMAX"})
MASKING = frozenset(
    {"ADD", "DEQUANTIZE", "MINIMUM", "MUL", "QUANTIZE", "RESHAPE", "SELECT", "SELECT_V2", "SUB", "TRANSPOSE"}
)
JOINING = frozenset({"ADD", "CONCATENATION", "SUB"})


def layer_causes(evidence: Evidence) -> Iterator[Cause]:
    """At most one cause a layer, in the order of execution.

    A layer that reads a tensor already found guilty is left alone: what it is fed in float has passed through that
    tensor's range.
    """
    guilty: set[int] = set()
    for row in evidence.rows:
        tensor = row.diff.tensor
        assert tensor is not None  # the evidence holds no others
        if any(source.diff.tensor in guilty for source in evidence.rows_into(row.operator)):
            if row.operator.name not in WEIGHTED:  # what it passes on is still marked by the range before it
                guilty.add(tensor)
            continue
        cause = _cause(evidence, row)
        if cause is not None:
            guilty.add(tensor)
            yield cause


def _cause(evidence: Evidence, row: Row) -> Cause | None:
    if _made_good(evidence, row):
        return None
    for check in (_unequal, _dead, _rescaled_pool, _batch_norm, _too_narrow, _too_wide, _per_tensor, _more_bits):
        cause = check(evidence, row)
        if cause is not None:
            return cause
    return None


def _made_good(evidence: Evidence, row: Row) -> bool:
    """Whether only a softmax or sigmoid reads it, and gives what it should: logits far below the largest may clip."""
    squashed = _squashed(evidence, row.diff.tensor or 0)
    results = [evidence.by_tensor.get(index) for index in squashed]
    return bool(results) and all(result is not None and (result.diff.sqnr_db or 0.0) > POOR_DB for result in results)


def _squashed(evidence: Evidence, tensor: int) -> list[int]:
    """What softmax and sigmoid make of a tensor, also behind a mask; empty where anything else reads it."""
    results: list[int] = []
    for reader in evidence.graph.consumers(tensor):
        if reader.name in SQUASHING:
            results.append(reader.outputs[0])
        elif reader.name in MASKING and (behind := _squashed(evidence, reader.outputs[0])):
            results += behind
        else:
            return []
    return results


def _dead(evidence: Evidence, row: Row) -> Cause | None:
    if not row.diff.dead or row.operator.name in FIXED_SCALE:
        return None
    low, high = row.diff.observed
    return Cause("dead_activation", row.layer, f"gives one value only, the float layer {low:.3g} to {high:.3g}")


def _rescaled_pool(evidence: Evidence, row: Row) -> Cause | None:
    """LiteRT's pooling kernels compute in the input's integers: another output scale is simply wrong.

    LiteRT, "8-bit quantization specification": AVERAGE_POOL_2D, "restriction: input and outputs must all have same
    scale and zero point".
    """
    if row.operator.name not in POOLING or not row.integer or not row.own_below(POOR_DB):
        return None
    source, result = (evidence.graph.tensors[i].quantization for i in (row.operator.inputs[0], row.operator.outputs[0]))
    if source is None or result is None or np.isclose(source.scales[0], result.scales[0], rtol=1e-5, atol=0.0):
        return None
    text = f"its input has the scale {source.scales[0]:.4g}, its output {result.scales[0]:.4g}: they must be equal"
    return Cause("pooling_rescaled", row.layer, text)


def _batch_norm(evidence: Evidence, row: Row) -> Cause | None:
    kinds = [type(evidence.keras_layers.get(name)).__name__ for name in (row.layer, *row.diff.fused)]
    share = row.diff.affine_share
    if "BatchNormalization" not in kinds or share is None or share < AFFINE or not row.own_below(POOR_DB):
        return None
    text = f"{100 * share:.0f} % of its error is a scale and a shift of each channel: other batch-norm statistics"
    return Cause("batch_norm", row.layer, text)


def _unequal(evidence: Evidence, row: Row) -> Cause | None:
    """Joined tensors of very different range; a concatenation gives them one scale."""
    joins = [op for op in evidence.graph.consumers(row.diff.tensor or 0) if op.name == "CONCATENATION"]
    joins += [row.operator] if row.operator.name in JOINING else []
    for join in joins:
        sources = evidence.rows_into(join)
        widths = [max(abs(bound) for bound in source.diff.observed) for source in sources]
        if len(widths) < 2 or max(widths) < UNEQUAL * max(min(widths), 1e-12):
            continue
        narrow = sources[int(np.argmin(widths))]
        judged = narrow if join.name == "CONCATENATION" else row
        if judged is row and row.integer and row.own_below(POOR_DB):
            name = evidence.by_tensor[join.outputs[0]].layer if join.outputs[0] in evidence.by_tensor else row.layer
            text = f"joins values up to {min(widths):.3g} ({narrow.layer}) with values up to {max(widths):.3g}"
            return Cause("unequal_ranges", name, text, layers=_down_to_weights(evidence, join))
    return None


def _down_to_weights(evidence: Evidence, operator: Operator) -> tuple[str, ...]:
    """The layers from an operator down to the first ones with weights: only there do the joined values part again."""
    layers: dict[str, None] = {}
    waiting = [operator]
    while waiting:
        now = waiting.pop(0)
        row = evidence.by_tensor.get(now.outputs[0])
        if row is not None:
            layers.setdefault(row.layer)
        if now is operator or now.name not in WEIGHTED:
            waiting += evidence.graph.consumers(now.outputs[0])
    return tuple(layers)


def _too_narrow(evidence: Evidence, row: Row) -> Cause | None:
    outside = row.diff.saturation
    free = row.operator.name not in SAME_SCALE | FIXED_SCALE
    if row.diff.range is None or outside is None or outside < SATURATED or not free or not row.own_below(POOR_DB):
        return None
    low, high = row.diff.range
    seen = row.diff.observed
    text = (
        f"{100 * outside:.3g} % of its values ({seen[0]:.3g} to {seen[1]:.3g}) lie outside its range "
        f"{low:.3g} to {high:.3g}"
    )
    return Cause("range_too_narrow", row.layer, text)


def _too_wide(evidence: Evidence, row: Row) -> Cause | None:
    used = row.diff.bulk_used
    free = row.operator.name not in SAME_SCALE | FIXED_SCALE
    if row.diff.range is None or used is None or used > BULK_TOO_SMALL or not free or not row.own_below(POOR_DB):
        return None
    low, high = row.diff.range
    if low < MASK and _squashed(evidence, row.diff.tensor or 0):
        text = f"its range {low:.3g} to {high:.3g} holds a mask, and the scores take up {100 * used:.3g} % of it"
        return Cause("mask_in_range", row.layer, text)
    text = f"99.8 % of its values take up {100 * used:.3g} % of its range {low:.3g} to {high:.3g}"
    return Cause("range_too_wide", row.layer, text)


def _per_tensor(evidence: Evidence, row: Row) -> Cause | None:
    weights = evidence.weights(row)
    lost = row.diff.channel_sqnr_db
    if weights is None or lost is None or lost > LOST_CHANNEL_DB:
        return None
    values, tensor, axis = weights
    if tensor.quantization is None or len(tensor.quantization.scales) > 1 or values.shape[axis] < 2:
        return None
    largest = np.abs(np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).astype(np.int64)).max(axis=1)
    small = float((largest < 127 / 8).mean())
    if small < 0.1:
        return None
    text = f"one weight scale for all channels leaves {100 * small:.0f} % of them fewer than 5 of 8 bits"
    return Cause("per_tensor_weights", row.layer, text)


def _more_bits(evidence: Evidence, row: Row) -> Cause | None:
    free = row.operator.name not in SAME_SCALE  # what only moves values has its steps from what made them
    if not free or not row.integer or row.diff.dtype == "int16" or not row.own_below(VERY_POOR_DB):
        return None
    return Cause("needs_more_bits", row.layer, f"its own SQNR is {row.diff.own_sqnr_db:.1f} dB in 8 bits")
