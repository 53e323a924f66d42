"""From markers to loops, from loops to operators that a quantizer leaves alone, and from those to integer forms."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from flatbuffers import flexbuffers

from tfcompress.calibration import Range
from tfcompress.converters.litert.recurrent.cell import Cell, Weights
from tfcompress.converters.litert.recurrent.fused import fits, fused
from tfcompress.converters.litert.recurrent.loop import NAME, Ports, loop
from tfcompress.converters.litert.recurrent.marker import OPERATOR
from tfcompress.converters.litert.recurrent.numbers import conversion, tensor
from tfcompress.converters.litert.recurrent.steps import can_be_steps, steps
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode

__all__ = ["Form", "Held", "fused_layers", "held_back", "loop_tensors", "restored", "with_loops"]

Form = Literal["fused", "loop", "float_cells", "steps", "float_steps"]
_PEAK = "/peak_"
_STEPS: tuple[Form, ...] = ("steps", "float_steps")


@dataclass(frozen=True)
class Held:
    """A recurrent layer that was taken out of a float file.

    Attributes:
        cell: what it computes; its peaks only where training has them.
        weights: float32.
        in_float: it stays in float.
    """

    cell: Cell
    weights: Weights
    in_float: bool = False

    def calibrated(self, ranges: Mapping[str, Range]) -> Cell:
        """The cell with the peaks that calibration saw, if it has none of its own."""
        names = {key: f"{self.cell.name}{_PEAK}{key}" for key in self.cell.peak_names}
        seen = {key: ranges[name].high for key, name in names.items() if name in ranges}
        return self.cell if any(self.cell.peaks.values()) else self.cell.with_peaks(seen)


def with_loops(content: bytes) -> bytes:
    """The float .tflite with a loop in the place of each marker; as it is where there is none."""
    if not _marks(content):
        return content
    model = ModelEditor.read(content)
    for operator in [operator for operator in model.main.operators if operator.name == OPERATOR]:
        held = _described(model.main, operator)
        cell = _in_order(model.main, operator, held.cell)
        y, *returned = operator.outputs
        if returned and not model.main.consumers(y) and y not in model.main.outputs:
            cell = replace(cell, unread=True)
        for name, node in zip([cell.name, *_state_names(cell)], operator.outputs, strict=False):
            node.name = node.name if node in model.main.outputs else name
        widths = {
            key: held.weights.kernel.shape[1] if key in ("inputs", "recurrent") else cell.units
            for key in cell.peak_names
        }
        peaks = {
            key: tensor(model.main, f"{cell.name}{_PEAK}{key}", (1, width), "float32") for key, width in widths.items()
        }
        ports = _ports(cell, operator.inputs, y, returned)
        ports.peaks = peaks
        model.main.replace([operator], loop(model, cell, held.weights, ports))
    model.drop_unused()
    return model.to_bytes()


def _in_order(graph: GraphEditor, marker: OperatorNode, cell: Cell) -> Cell:
    """A cell that goes backwards and whose outputs are then reversed, as `Bidirectional` does: that is one loop."""
    readers = graph.consumers(marker.result)
    if not (cell.go_backwards and cell.return_sequences and len(readers) == 1 and readers[0].name == "REVERSE_V2"):
        return cell
    axes = readers[0].constant(1)
    if axes is None or axes.ravel().tolist() != [1] or marker.result in graph.outputs:
        return cell
    marker.outputs[0] = readers[0].result
    graph.remove(readers)
    return replace(cell, in_order=True)


def _marks(content: bytes) -> bool:
    return any(operator.name == OPERATOR for operator in read_tflite(content).main.operators)


def _state_names(cell: Cell) -> list[str]:
    return [f"{cell.name}/returned_{index}" for index in range(cell.states)]


def _ports(cell: Cell, inputs: Sequence[Any], y: TensorNode, returned: Sequence[TensorNode]) -> Ports:
    given = inputs[1 : 1 + cell.states] if cell.given_state else []
    mask = inputs[1 + len(given)] if cell.masked else None
    return Ports(inputs[0], y, list(given), list(returned), mask)


def _described(graph: GraphEditor, marker: OperatorNode) -> Held:
    """What the converter was told of a recurrent layer, and its weights."""
    options: Any = flexbuffers.Loads(bytes(marker.record.customOptions))
    cell = Cell.from_json(options["cell"])
    first = 1 + (cell.states if cell.given_state else 0) + cell.masked
    arrays = [_real(graph, node) for node in marker.inputs[first:] if node is not None]
    kernel, recurrent, *bias = arrays
    # Training gives peaks, if only zeros, to the layers that it quantizes.
    return Held(cell, Weights.of(kernel, recurrent, bias[0] if bias else None), in_float=not cell.peaks)


def _real(graph: GraphEditor, node: TensorNode) -> np.ndarray:
    """The real values of a constant, which a quantizer may have made int8 with a DEQUANTIZE behind."""
    value = node.array()
    if value is None:
        producer = graph.producer(node)
        assert producer is not None, "the weights of a recurrent layer are constants"
        assert producer.name in ("DEQUANTIZE", "QUANTIZE"), f"weights of a recurrent layer come out of {producer.name}"
        return _real(graph, producer.source)
    if not node.scales:
        return value.astype(np.float32)
    shape = [1] * value.ndim
    shape[node.record.quantization.quantizedDimension if len(node.scales) > 1 else 0] = len(node.scales)
    scales, zeros = (np.array(part).reshape(shape) for part in (node.scales, node.zero_points))
    return ((value.astype(np.float64) - zeros) * scales).astype(np.float32)


def held_back(content: bytes, keep_float: Collection[str] = ()) -> tuple[bytes, tuple[Held, ...]]:
    """A float file with an unknown operator in the place of each loop of ours, for a quantizer to leave alone.

    Args:
        content: of `with_loops`.
        keep_float: names of output tensors whose operators stay in float.

    Returns:
        The file, and what `restored` puts in.
    """
    if not any(graph.name.startswith(NAME) for graph in read_tflite(content).subgraphs):
        return content, ()
    model = ModelEditor.read(content)
    held = [
        _taken_out(model, operator, keep_float) for operator in list(model.main.operators) if _body(model, operator)
    ]
    graphs = [graph for graph in model.graphs if not _is_part_of_loop(graph)]
    model.graphs[:], model.record.subgraphs = graphs, [graph.record for graph in graphs]
    _mark(model, held)
    model.main.drop_unread()
    model.drop_unused()
    return model.to_bytes(), tuple(item for item, _ in held)


def _graph_name(graph: GraphEditor) -> str:
    name = graph.record.name
    return name.decode() if isinstance(name, bytes) else str(name or "")


def _is_part_of_loop(graph: GraphEditor) -> bool:
    return _graph_name(graph).startswith((NAME, f"condition of {NAME}"))


def _body(model: ModelEditor, operator: OperatorNode) -> GraphEditor | None:
    """The body of a loop of ours; None for other operators."""
    if operator.name != "WHILE":
        return None
    body = model.graphs[operator.options.bodySubgraphIndex]
    return body if _graph_name(body).startswith(NAME) else None


def _taken_out(model: ModelEditor, operator: OperatorNode, keep_float: Collection[str]) -> tuple[Held, OperatorNode]:
    body = _body(model, operator)
    assert body is not None
    cell, graph = Cell.from_json(_graph_name(body).removeprefix(NAME)), model.main
    constants = {node.name: node.array() for item in body.operators for node in item.operands if node.is_constant}
    weights = _weights(cell, constants)
    y, returned = _outputs(graph, operator, cell)
    x, rest = operator.inputs[1], operator.inputs[2:]
    mask = [rest.pop(0)] if cell.masked else []
    given = rest[: cell.states] if cell.given_state else []
    kept = y.name in keep_float
    unknown = graph.operator("CUSTOM", [x, *given, *mask], [y, *returned])
    graph.replace([operator, *(p for p in map(graph.producer, (y, *returned)) if p)], [unknown])
    return Held(cell, weights, kept), unknown


def _outputs(graph: GraphEditor, whole: OperatorNode, cell: Cell) -> tuple[TensorNode, list[TensorNode]]:
    """The layer's result, and its states where it returns them: behind the loop."""
    first = 2 + cell.masked
    states = whole.outputs[first : first + cell.states]
    shown = whole.outputs[first + cell.states] if cell.return_sequences else states[0]
    if cell.unread:
        y = tensor(graph, f"{cell.name}/unread", shown.shape, "float32")
        return y, [_behind(graph, state, ("ADD", "RESHAPE")) for state in states]
    return _behind(graph, shown, ("ADD",)), [
        _behind(graph, state, ("RESHAPE",)) for state in states[: len(states) * cell.return_state]
    ]


def _behind(graph: GraphEditor, value: TensorNode, names: Sequence[str]) -> TensorNode:
    """The result of the operator of these names that reads a value; a tensor that nobody reads where there is none."""
    operator = next((op.result for op in graph.consumers(value) if op.name in names), None)
    return operator or tensor(graph, f"{value.name}/unread", value.shape, "float32")


def _weights(cell: Cell, constants: Mapping[str, Any]) -> Weights:
    recurrent, recurrent_bias = constants["recurrent/weights"], constants["recurrent/bias"]
    if "candidate_recurrent/weights" in constants:
        recurrent = np.concatenate([recurrent, constants["candidate_recurrent/weights"]])
        recurrent_bias = np.concatenate([recurrent_bias, constants["candidate_recurrent/bias"]])
    weights = Weights(constants["inputs/weights"].T, recurrent.T, constants["inputs/bias"], recurrent_bias)
    return weights.gates(0, 1, 3, 2) if cell.kind == "lstm" else weights


def _mark(model: ModelEditor, held: Sequence[tuple[Held, OperatorNode]]) -> None:
    """Name the operators, and number them."""
    code = model.codes.custom(OPERATOR)
    for index, (_, operator) in enumerate(held):
        operator.code = code
        operator.record.customOptions = list(json.dumps(index).encode())


def restored(content: bytes, held: Sequence[Held], ranges: Mapping[str, Range], form: Form = "fused") -> bytes:
    """A quantized file with integer recurrent layers.

    Args:
        content: with the operators of `held_back`, or with markers that were traced.
        held: of `held_back`; empty for a file with markers.
        ranges: of the float file's tensors, peaks among them; empty where training has them.
        form: `fused` for LiteRT's LSTM where it fits, `loop` for loops alone, `steps` for rows of float operators whose
            products have int8 weights, `float_steps` for such rows in float alone; what has no such form is a loop.
    """
    if not _marks(content):
        return content
    model = ModelEditor.read(content)
    graph = model.main
    for operator in [operator for operator in graph.operators if operator.name == OPERATOR]:
        item = held[json.loads(bytes(operator.record.customOptions))] if held else _described(graph, operator)
        item = replace(item, cell=item.calibrated(ranges) if held else _in_order(graph, operator, item.cell))
        ports = _ports(item.cell, operator.inputs, operator.outputs[0], operator.outputs[1:])
        if form in _STEPS and can_be_steps(item.cell):
            integer_weights = form == "steps" and not item.in_float
            replacement = steps(model, item.cell, item.weights, ports, integer_weights=integer_weights)
        elif item.in_float or form == "float_cells":
            replacement = loop(model, item.cell, item.weights, ports, integer_weights=not item.in_float)
        else:
            replacement = _in_integers(model, operator, item, ranges, form)
        graph.replace([operator], replacement)
    graph.drop_unread()
    model.drop_unused()
    return model.to_bytes()


def _in_integers(
    model: ModelEditor, operator: OperatorNode, item: Held, ranges: Mapping[str, Range], form: Form
) -> list[OperatorNode]:
    graph, cell = model.main, item.cell
    before: list[OperatorNode] = []
    after: list[OperatorNode] = []
    mask = operator.inputs[1 + (cell.states if cell.given_state else 0)] if cell.masked else None
    values = [node for node in operator.inputs[: 1 + (cell.states if cell.given_state else 0)] if node is not None]
    x, *given = (_as_int8(graph, node, ranges, before) for node in values)
    y, *returned = (_from_int8(graph, node, cell, ranges, after) for node in operator.outputs)
    ports = Ports(x, y, given, returned, mask)
    write = fused if form == "fused" and fits(cell) else loop
    return [*before, *write(model, cell, item.weights, ports), *after]


def _as_int8(
    graph: GraphEditor, node: TensorNode, ranges: Mapping[str, Range], before: list[OperatorNode]
) -> TensorNode:
    """The int8 tensor behind a float one; a new one where there is none."""
    producer = graph.producer(node)
    if producer is not None and producer.name == "DEQUANTIZE":
        node = producer.source
        if node.dtype == "int8":
            return node
    low, high = _ends(ranges.get(producer.result.name if producer else node.name), (-1.0, 1.0))
    narrow = _int8_like(node, low, high)
    before.append(conversion(graph, node, narrow))
    return narrow


def _from_int8(
    graph: GraphEditor, node: TensorNode, cell: Cell, ranges: Mapping[str, Range], after: list[OperatorNode]
) -> TensorNode:
    """The int8 tensor that a float result is made into; those who read the float one get it from there."""
    readers = graph.consumers(node)
    narrowing = [op for op in readers if op.name == "QUANTIZE" and op.result.dtype == "int8"]
    if narrowing:
        narrow = narrowing[0].result
        same = [
            op for op in narrowing if (op.result.scales, op.result.zero_points) == (narrow.scales, narrow.zero_points)
        ]
        for operator in same[1:]:
            if operator.result in graph.outputs:
                same.remove(operator)
                continue
            graph.redirect(operator.result, narrow)
        graph.remove(same)
    else:
        peak = cell.peak("output")
        narrow = _int8_like(node, *_ends(ranges.get(node.name), (-peak, peak)))
    if graph.consumers(node) or node in graph.outputs:
        after.append(conversion(graph, narrow, node))
    return narrow


def _ends(seen: Range | None, otherwise: tuple[float, float]) -> tuple[float, float]:
    low, high = otherwise if seen is None else (seen.low, seen.high)
    return min(low, 0.0), max(high, 0.0, low + 1e-6)


def _int8_like(node: TensorNode, low: float, high: float) -> TensorNode:
    narrow = node.copy(f"{node.name}/int8")
    narrow.dtype = "int8"
    scale = (high - low) / 255
    narrow.quantize(scale, int(np.clip(round(-128 - low / scale), -128, 127)))
    return narrow


def loop_tensors(content: bytes) -> frozenset[str]:
    """Names of the tensors around the loops of a float file that are there for the loops' sake."""
    file = read_tflite(content)
    cells = [Cell.from_json(g.name.removeprefix(NAME)).name for g in file.subgraphs if g.name.startswith(NAME)]
    return frozenset(
        t.name for t in file.main.tensors for name in cells if t.name == name or t.name.startswith(f"{name}/")
    )


def fused_layers(content: bytes) -> int:
    """How many fused LSTMs a file has."""
    return sum(operator.name == "UNIDIRECTIONAL_SEQUENCE_LSTM" for operator in read_tflite(content).main.operators)
