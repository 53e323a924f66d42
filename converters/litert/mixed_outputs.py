"""Outputs that are not one thing: boxes in pixels and scores below one, joined in one tensor with one 8-bit scale.

Each part keeps what it has where the last operators, which only join and move, compute in float from integers that
have a scale each.  They cost next to nothing, and the output keeps its name and its shape.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.calibration.activations import ActivationRunner
from tfcompress.converters.litert.float_tail import FloatTail
from tfcompress.data import Samples
from tfcompress.graphs.tflite import Operator, Subgraph

__all__ = ["float_tails"]

ENOUGH_DB = 25.0  # of each column: about what 8 bits keep of a tensor of its own
UNLIKE = 16.0  # times: beside a part so much larger, a part is left with 16 of the 256 levels
MOST_COLUMNS = 64  # of a tensor whose columns are things of their own; beyond, they are positions of a signal
FEATURES = 16  # rectified columns of a map: as many are what a network found at each place, for another to go on with
OBSERVED_SAMPLES = 100
LONGEST = 96  # operators of a tail
JOINING = frozenset(
    {"CONCATENATION", "PACK", "RESHAPE", "TRANSPOSE", "EXPAND_DIMS", "SQUEEZE", "SLICE", "STRIDED_SLICE", "SPLIT",
     "SPLIT_V", "UNPACK", "GATHER", "GATHER_ND", "REVERSE_V2", "PAD", "PADV2", "MIRROR_PAD", "TILE", "BROADCAST_TO",
     "SELECT", "SELECT_V2", "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH",
     "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND"}
)  # fmt: skip
AVERAGING = frozenset({"AVERAGE_POOL_2D", "MEAN", "SUM", "CUMSUM", "RESIZE_BILINEAR"})
ELEMENTWISE = frozenset(
    {"ADD", "SUB", "MUL", "DIV", "EXP", "LOGISTIC", "SOFTMAX", "TANH", "RELU", "RELU6", "MINIMUM", "MAXIMUM",
     "LEAKY_RELU", "ELU", "HARD_SWISH", "ABS", "NEG", "SQUARE", "SQRT", "POW"}
)  # fmt: skip
DECIDING = frozenset(
    {"GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", "REDUCE_MAX",
     "REDUCE_MIN", "TOPK_V2", "ARG_MAX", "CAST"}
)  # fmt: skip
LIGHT = JOINING | AVERAGING | ELEMENTWISE | DECIDING
WEIGHTED = frozenset({"FULLY_CONNECTED", "CONV_2D"})
SHARES = frozenset({"LOGISTIC", "SOFTMAX"})
RECTIFIERS = frozenset({"RELU", "RELU6"})
RECTIFYING = frozenset({schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6})


class Columns:
    """An observer of a tensor's columns: sums of squares, and how far each reaches.

    Args:
        axis: along which the columns lie; counted from the end, so below zero.
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis
        self.count = 0
        self.squares = self.sums = self.low = self.high = np.zeros(0)

    def update(self, values: np.ndarray) -> None:
        """Take in one batch."""
        values = np.moveaxis(values, self.axis, -1) if values.ndim else values
        rows = values.reshape(-1, values.shape[-1] if values.ndim else 1).astype(np.float64)
        if not len(rows):
            return  # its size comes from the data
        low, high = rows.min(axis=0), rows.max(axis=0)
        first = self.count == 0
        self.low, self.high = (low, high) if first else (np.minimum(self.low, low), np.maximum(self.high, high))
        squares, sums = np.square(rows).sum(axis=0), rows.sum(axis=0)
        self.squares, self.sums = (squares, sums) if first else (self.squares + squares, self.sums + sums)
        self.count += len(rows)

    @property
    def largest(self) -> np.ndarray:
        """Largest magnitude of each column."""
        return np.maximum(-self.low, self.high)

    @property
    def live(self) -> np.ndarray:
        """Whether each column changes at all."""
        return self.high > self.low

    def kept_db(self, step: float) -> np.ndarray:
        """Decibels that a step of rounding leaves each column (Bennett 1948: noise of step^2 / 12)."""
        power = self.squares / max(1, self.count)
        return 10 * np.log10(np.maximum(power, 1e-30) / (step**2 / 12))


def float_tails(content: bytes, samples: Samples, names: Mapping[int, str]) -> tuple[FloatTail, ...]:
    """Tails for the outputs whose parts would not survive one 8-bit scale; empty where all would.

    Args:
        content: the float .tflite.
        samples: representative inputs; `OBSERVED_SAMPLES` of them are used.
        names: {output tensor: its name for people}.
    """
    runner = ActivationRunner(content)
    graph = runner.graph
    reached = {output: _reached(graph, output) for output in graph.outputs if _may_be_mixed(graph, output)}
    axes = {index: axis for tensors in reached.values() for index, axis in tensors.items()}
    if not axes:
        return ()
    seen = {index: Columns(axis) for index, axis in sorted(axes.items())}
    for _ in runner.over(samples.spread(OBSERVED_SAMPLES)):
        for index, columns in seen.items():
            columns.update(runner.value(index))
    computed = [output for output, tensors in reached.items() if all(seen[index].count for index in tensors)]
    reasons = {output: reason for output in computed if (reason := _mixed(graph, output, seen)) is not None}
    ending = {output: _tail(graph, output, seen) for output in reasons}
    tensors = {index for tail in ending.values() for index in tail}
    alone = _read_in_tails(graph, _with_readers(graph, tensors), set(ending))
    return tuple(
        FloatTail(
            graph.tensors[output].name,
            tuple(graph.tensors[index].name for index in sorted(alone)),
            f"output {names.get(output, graph.tensors[output].name)!r} is float32: {reason}",
        )
        for output, reason in reasons.items()
        if output in alone
    )


def _may_be_mixed(graph: Subgraph, output: int) -> bool:
    tensor, producer = graph.tensors[output], graph.producer(output)
    columns = tensor.shape[-1] if len(tensor.shape) > 1 else 1
    return tensor.dtype == "float32" and columns > 1 and producer is not None and producer.name not in SHARES


def _reached(graph: Subgraph, output: int) -> dict[int, int]:
    """{tensor: axis of its columns, from the end} of the float tensors that a tail may end at.

    They are the output, whose columns lie along the last axis, and what it is joined and computed of.
    """
    axes, waiting = {output: -1}, [output]
    while waiting and len(axes) < LONGEST:
        index = waiting.pop(0)
        producer = graph.producer(index)
        if producer is not None and (producer.name in LIGHT or _mixes_rows(graph, producer, axes[index])):
            inputs = [tensor for tensor in dict.fromkeys(_computed(graph, producer)) if tensor not in axes]
            axes.update({tensor: _axis_before(graph, producer, tensor, axes[index]) for tensor in inputs})
            waiting += inputs
    return {index: axis for index, axis in axes.items() if _is_float(graph, index)}


def _mixes_rows(graph: Subgraph, operator: Operator, axis: int) -> bool:
    """Whether a product only adds rows up and leaves columns apart, as the one that a cumulative sum becomes.

    A layer of weights over the rows does not count: such layers are what a network is made of.
    """
    if operator.name != "FULLY_CONNECTED" or axis == -1:
        return False
    before, after = (graph.tensors[index].shape for index in (operator.inputs[0], operator.outputs[0]))
    weights = graph.tensors[operator.inputs[1]].array()
    return before[:-1] == after[:-1] and weights is not None and bool(np.isin(weights, (0, 1)).all())


def _axis_before(graph: Subgraph, operator: Operator, tensor: int, axis: int) -> int:
    """The axis, from the end, along which the columns of an operator's output lie in its input; -1 where unclear."""
    before, after = (graph.tensors[index].shape for index in (tensor, operator.outputs[0]))
    if operator.name == "TRANSPOSE":
        order = graph.tensors[operator.inputs[1]].array()
        return -1 if order is None else int(order[axis]) - len(before)
    if operator.name in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
        size, behind = after[axis], math.prod(after[len(after) + axis + 1 :])
        places = [place for place in range(-len(before), 0) if before[place] == size]
        return next((place for place in places if math.prod(before[len(before) + place + 1 :]) == behind), -1)
    return axis if len(before) >= -axis else -1


def _computed(graph: Subgraph, operator: Operator) -> list[int]:
    return [index for index in operator.inputs if index >= 0 and graph.tensors[index].data is None]


def _is_float(graph: Subgraph, tensor: int) -> bool:
    return graph.tensors[tensor].dtype == "float32"


def _moved_from(graph: Subgraph, tensor: int, within: Collection[int] | None = None) -> dict[int, list[int] | None]:
    """{tensor: what it is joined or cut of} for a tensor and all before it, each once; None for one that is computed.

    Args:
        graph: the float graph.
        tensor: where to begin.
        within: tensors behind which to look further; None means all.
    """
    sources: dict[int, list[int] | None] = {}
    waiting = [tensor]
    while waiting:
        index = waiting.pop()
        if index not in sources:
            producer = graph.producer(index) if within is None or index in within else None
            if producer is None or producer.name not in JOINING:
                sources[index] = None
                continue
            sources[index] = moved = [part for part in _computed(graph, producer) if _is_float(graph, part)]
            waiting += moved
    return sources


def _parts(graph: Subgraph, tensor: int, seen: Mapping[int, Columns]) -> list[int]:
    """What a tensor was joined of."""
    return [index for index, sources in _moved_from(graph, tensor, seen).items() if sources is None]


def _mixed(graph: Subgraph, output: int, seen: Mapping[int, Columns]) -> str | None:
    """Why one scale would not serve what an output is joined or cut of; None where it would."""
    largest, size, decibels = max(
        (lost for tensor in _scaled_as_one(graph, output) if (lost := _lost(graph, tensor, seen)) is not None),
        key=lambda lost: -lost[2],
        default=(0.0, 0.0, ENOUGH_DB),
    )
    if decibels >= ENOUGH_DB:
        return None
    return (
        f"it joins values up to {largest:.3g} with values up to {size:.3g}, of which one 8-bit scale would keep "
        f"{max(decibels, 0.0):.1f} dB; each part has a scale of its own, and what joins them computes in float"
    )


def _scaled_as_one(graph: Subgraph, output: int) -> list[int]:
    """What an output is moved and cut from, itself among it: tensors that would get a scale of their own each."""
    moved = _moved_from(graph, output).items()
    return [index for index, sources in moved if sources is None or len(sources) > 1]


def _lost(graph: Subgraph, tensor: int, seen: Mapping[int, Columns]) -> tuple[float, float, float] | None:
    """(largest magnitude of all, of what a tensor's one scale keeps least of, decibels of that), if any is lost."""
    if tensor not in seen:
        return None
    groups = [group for part in _parts(graph, tensor, seen) if part in seen for group in _groups(graph, part, seen)]
    step = _step(graph, tensor, seen[tensor])
    largest = max((float(size) for size, _ in groups), default=0.0)
    kept = [(size, 10 * math.log10(max(power, 1e-30) / (step**2 / 12))) for size, power in groups]
    lost = [(size, decibels) for size, decibels in kept if decibels < ENOUGH_DB and size * UNLIKE < largest]
    return (largest, *min(lost, key=lambda pair: pair[1])) if lost else None


def _groups(graph: Subgraph, part: int, seen: Mapping[int, Columns]) -> list[tuple[float, float]]:
    """(largest magnitude, mean square) of each thing in a part of an output."""
    columns, producer = seen[part], graph.producer(part)
    power = columns.squares / max(1, columns.count)
    shares = producer is not None and producer.name in SHARES
    if shares or len(power) > MOST_COLUMNS or _is_features(graph, part):
        return [(float(columns.largest.max()), float(power.mean()))]
    pairs = zip(columns.largest, power, columns.live, strict=True)
    return [(float(size), float(square)) for size, square, live in pairs if live]


def _is_features(graph: Subgraph, tensor: int) -> bool:
    """Whether a tensor is a map of rectified features, as a backbone ends with.

    Quiet channels of such a map are as quiet as those of any map inside of the network, all of which have one scale.
    Its last layers in float take time, and keep no channel that has not come through the integers before them.
    """
    shape, producer = graph.tensors[tensor].shape, graph.producer(tensor)
    if producer is None or len(shape) < 3 or shape[-1] < FEATURES or math.prod(shape[1:-1]) == 1:
        return False
    fused = getattr(producer.options, "FusedActivationFunction", None)
    return producer.name in RECTIFIERS or (fused is not None and fused() in RECTIFYING)


def _step(graph: Subgraph, tensor: int, columns: Columns) -> float:
    """Of 8 bits: a softmax and a sigmoid have a fixed one, anything else one of the values that were seen."""
    producer = graph.producer(tensor)
    if producer is not None and producer.name in SHARES:
        return 1 / 256
    return max((max(float(columns.high.max()), 0.0) - min(float(columns.low.min()), 0.0)) / 255, 1e-30)


def _with_readers(graph: Subgraph, tensors: set[int]) -> set[int]:
    """With what is computed of them, as far as it costs little: a part that is cut from a tail goes on in float."""
    wide = set(tensors)
    for operator in graph.operators:
        if operator.name in LIGHT and not wide.isdisjoint(operator.inputs):
            wide.update(operator.outputs)
    return wide


def _read_in_tails(graph: Subgraph, tensors: set[int], ends: set[int]) -> set[int]:
    """Without those that an operator outside of the tails reads, or that are outputs themselves.

    A shortcut past a layer that stays integer is one: there the tail begins behind it.  What decides about floats, such
    as a comparison, has to lie in the tail with its reader: integers are handed to it for numbers alone.

    Args:
        graph: the float graph.
        tensors: outputs of the operators of all tails.
        ends: the outputs that the tails end at.
    """
    kept = tensors - (set(graph.outputs) - ends)
    while True:
        inside = [operator for operator in graph.operators if not kept.isdisjoint(operator.outputs)]
        outside = (operator for operator in graph.operators if kept.isdisjoint(operator.outputs))
        gone = kept.intersection(index for operator in outside for index in operator.inputs)
        for operator in inside:
            handed = (index for index in _computed(graph, operator) if index not in kept)
            whole = kept.issuperset(operator.outputs)
            if not whole or not all(_is_float(graph, index) for index in handed):
                gone.update(kept.intersection(operator.outputs))
        if not gone:
            return kept
        kept -= gone


def _tail(graph: Subgraph, output: int, seen: Mapping[int, Columns]) -> tuple[int, ...]:
    """Output tensors of the operators from an output back to tensors whose own scale keeps each column."""
    tensors, waiting, asked = dict[int, None](), [output], {output}
    while waiting and len(tensors) < LONGEST:
        producer = graph.producer(waiting.pop(0))
        if producer is None or producer.name not in LIGHT | WEIGHTED:
            continue
        tensors.update(dict.fromkeys(producer.outputs))
        axis = seen[producer.outputs[0]].axis if producer.outputs[0] in seen else -1
        if producer.name not in WEIGHTED or _mixes_rows(graph, producer, axis):
            sources = [index for index in dict.fromkeys(_computed(graph, producer)) if index not in asked]
            asked.update(sources)
            waiting += [index for index in sources if not _is_float(graph, index) or not _kept(graph, index, seen)]
    return tuple(tensors)


def _kept(graph: Subgraph, tensor: int, seen: Mapping[int, Columns]) -> bool:
    """Whether a tensor's own scale keeps each column, and those of what it is moved and cut from."""
    return all(_kept_alone(graph, source, seen) for source in (tensor, *_scaled_as_one(graph, tensor)))


def _kept_alone(graph: Subgraph, tensor: int, seen: Mapping[int, Columns]) -> bool:
    if tensor not in seen:
        return True
    columns = seen[tensor]
    kept = columns.kept_db(_step(graph, tensor, columns))[columns.live]
    return bool(kept.size == 0 or kept.min() >= ENOUGH_DB)
