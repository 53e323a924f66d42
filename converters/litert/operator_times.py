"""What each operator of a float file takes here, and what computes the same in its int8 file, by turns.

Each is run as a file of its own: the values that it reads are in the cache, and the call of LiteRT counts in both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from tfcompress.converters.litert.latency import medians
from tfcompress.converters.litert.xnnpack import reason_against
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode
from tfcompress.graphs.tflite.extraction import extract
from tfcompress.layer_names import as_named_in, layers_of
from tfcompress.processor import has_int8_dot_products

__all__ = ["OperatorTime", "operator_times", "slow_among", "times_of_files"]

_SECONDS = 0.02  # of measuring one operator in one form
_MOST_SECONDS = 6.0  # of measuring all of a file, of which an unrolled recurrence has hundreds for each of its layers
_OTHER_GRAPHS = frozenset({"WHILE", "IF", "CALL", "CALL_ONCE"})  # run graphs that a file of one operator has not
_SHARE = 0.05  # of the float file's operators together: less than that of time lost is not worth a line


@dataclass(frozen=True)
class OperatorTime:
    """One operator of the float file.

    Attributes:
        tensor: name of what it computes.
        operator: its name.
        layer: the Keras layer that it belongs to; None where names do not tell.
        int8_ms: what the int8 file takes for the same; None where the two do not correspond.
        float_ms: what it takes.
        reason: why XNNPACK leaves the int8 form to slower kernels; None where it takes all of it.
    """

    tensor: str
    operator: str
    layer: str | None
    int8_ms: float | None
    float_ms: float | None
    reason: str | None

    @property
    def lost_ms(self) -> float:
        """How much longer int8 takes; negative where it takes less."""
        return 0.0 if self.int8_ms is None or self.float_ms is None else self.int8_ms - self.float_ms

    def note(self) -> str:
        """One line for people."""
        place = self.tensor if self.layer is None else self.layer
        why = "" if self.reason is None else f": {self.reason}"
        return (
            f"slow in int8: {place} ({self.operator}), {self.int8_ms:.3g} ms against {self.float_ms:.3g} in float{why}"
        )

    def to_json(self) -> dict[str, object]:
        """As report.json has it."""
        return asdict(self)


def operator_times(
    source: GraphEditor, quantized: GraphEditor, *, layer_names: Collection[str] = ()
) -> tuple[OperatorTime, ...]:
    """The operators of a float graph, in order.

    Args:
        source: the float graph.
        quantized: the graph that was made of it; what keeps a tensor's name has its value.
        layer_names: of the Keras model.
    """
    twins = {tensor.name: tensor for op in quantized.operators for tensor in (*op.operands, *op.outputs)}
    names = as_named_in(layer_names, (tensor.name for op in source.operators for tensor in op.outputs))
    seconds = min(_SECONDS, _MOST_SECONDS / (2 * max(1, len(source.operators))))
    return tuple(_timed(operator, quantized, twins, names, seconds) for operator in source.operators)


def times_of_files(float_content: bytes, content: bytes, layer_names: Collection[str]) -> tuple[OperatorTime, ...]:
    """The operators of a float file, in order.

    Args:
        float_content: the float .tflite.
        content: the int8 .tflite that was made of it.
        layer_names: of the Keras model.
    """
    graphs = (ModelEditor.read(each).main for each in (float_content, content))
    return operator_times(*graphs, layer_names=layer_names)


def slow_among(times: Sequence[OperatorTime]) -> tuple[OperatorTime, ...]:
    """Those whose int8 form takes so much longer than float that it counts, the worst first.

    Where this processor lacks the int8 dot products that a phone's has, only what XNNPACK does not take says something
    about phones.

    Args:
        times: of all operators of a float file.
    """
    enough = _SHARE * sum(time.float_ms or 0.0 for time in times)
    slow = [time for time in times if time.lost_ms > enough]
    if has_int8_dot_products() is False:
        slow = [time for time in slow if time.reason is not None]
    return tuple(sorted(slow, key=lambda time: -time.lost_ms))


def _timed(
    operator: OperatorNode,
    quantized: GraphEditor,
    twins: Mapping[str, TensorNode],
    layer_names: Collection[str],
    seconds: float,
) -> OperatorTime:
    name = operator.result.name
    layer = next(iter(layers_of(name, layer_names)), None) if layer_names else None
    counterpart = _counterpart(operator, quantized, twins)
    if counterpart is None:
        return OperatorTime(name, operator.name, layer, None, None, None)
    floating = extract([operator], inputs=list(dict.fromkeys(operator.computed_inputs)), outputs=operator.outputs)
    int8_ms, float_ms = medians([counterpart, floating], seconds=seconds)
    graph = read_tflite(counterpart).main
    reasons = (reason_against(each, graph) for each in graph.operators)
    return OperatorTime(name, operator.name, layer, int8_ms, float_ms, next(filter(None, reasons), None))


def _counterpart(operator: OperatorNode, quantized: GraphEditor, twins: Mapping[str, TensorNode]) -> bytes | None:
    """What the quantized graph computes an operator's results by, as a file; None where the two do not correspond."""
    names = [tensor.name for tensor in (*operator.computed_inputs, *operator.outputs)]
    if not operator.computed_inputs or any(name not in twins for name in names):
        return None
    inputs = list(dict.fromkeys(twins[tensor.name] for tensor in operator.computed_inputs))
    results = [twins[tensor.name] for tensor in operator.outputs]
    wanted, needed = set(results), []
    for candidate in reversed(quantized.operators):
        if wanted.intersection(candidate.outputs):
            needed.append(candidate)
            wanted.update(tensor for tensor in candidate.computed_inputs if tensor not in inputs)
    computed = {tensor for candidate in needed for tensor in candidate.outputs}
    apart = any(candidate.name in _OTHER_GRAPHS for candidate in (operator, *needed))
    if apart or not needed or any(tensor not in computed for tensor in wanted):
        return None
    return extract(needed[::-1], inputs=inputs, outputs=results)
