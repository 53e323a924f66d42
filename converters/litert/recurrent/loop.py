"""A recurrent layer as a WHILE loop: one step is the body, whatever their number.

LSTM: Hochreiter & Schmidhuber 1997; GRU: Cho et al. 2014, with the reset gate before or behind the product.  WHILE
copies its values from step to step, so a file with one answers each call afresh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tfcompress.converters.litert.recurrent.cell import FLAT, Cell, Weights
from tfcompress.converters.litert.recurrent.numbers import (
    GATE_BOUND,
    Numbers,
    appended,
    constant,
    conversion,
    tensor,
)
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode, options

__all__ = ["NAME", "Ports", "loop"]

NAME = "tfcompress.recurrent "  # a body's name begins so, and the cell follows
# Inputs that calibration did not see may be larger: one bit of 16 is kept for them.
_MARGIN = 2.0
_UNIT = 32767 / 32768  # a bound whose scale is 2^-15, that of a sigmoid


@dataclass
class Ports:
    """What a loop reads and writes in the graph around it.

    Attributes:
        x: the sequence [1, steps, features]: float32, or int8 with a scale.
        y: the result: float32, or int8 with a scale.
        given: the states before the first step; empty where they are zero.
        returned: the states after the last step; empty where nobody wants them.
        mask: bool [1, steps]; None without.
        peaks: {name: a tensor [1, width] for the largest magnitudes}; empty where nobody wants them.
    """

    x: TensorNode
    y: TensorNode
    given: Sequence[TensorNode] = ()
    returned: Sequence[TensorNode] = ()
    mask: TensorNode | None = None
    peaks: dict[str, TensorNode] = field(default_factory=dict)


def loop(
    model: ModelEditor, cell: Cell, weights: Weights, ports: Ports, *, integer_weights: bool = False
) -> list[OperatorNode]:
    """The operators that take the layer's place in the main graph; the body and its condition join the file.

    Args:
        model: the file.
        cell: what is computed; for an integer loop it needs its peaks.
        weights: of the layer, float32.
        ports: where it is computed; the types of `x` and `y` say with which numbers.
        integer_weights: in float32, store the weights of products as int8.
    """
    return _Loop(model, cell, weights, ports, integer_weights).operators()


class _Loop:
    def __init__(self, model: ModelEditor, cell: Cell, weights: Weights, ports: Ports, integer_weights: bool) -> None:
        self.model, self.cell, self.weights, self.ports = model, cell, weights, ports
        self.integer = ports.x.dtype != "float32"
        # A float loop says what it computes, so that it can be held back from a quantizer.
        name = f"{cell.kind} step" if self.integer or integer_weights else NAME + cell.to_json()
        self.body = Numbers(model, name, integer=self.integer, integer_weights=integer_weights)
        self.peaks: dict[str, TensorNode] = {}

    def bound(self, name: str) -> float:
        """The largest magnitude of one of the cell's values, with a margin."""
        return _MARGIN * self.cell.peak(name) if self.integer else 1.0

    def state_bounds(self) -> list[float]:
        """Of the output, then of an LSTM's cell."""
        shown = self.cell.activation if self.cell.kind != "lstm" else self.cell.recurrent_activation
        bounded = self.cell.activation in FLAT and shown in FLAT
        output = _UNIT if bounded and not self.cell.given_state else self.bound("output")
        return [output, self.bound("cell")][: self.cell.states]

    def operators(self) -> list[OperatorNode]:
        cell, graph, name = self.cell, self.model.main, self.cell.name
        before = Numbers(self.model, "", integer=self.integer)
        step = constant(graph, f"{name}/first", np.array(0, np.int32))
        states = self._first_states(before)
        loose = [self.ports.x, *([self.ports.mask] if self.ports.mask else [])]
        sequence = [self._empty_sequence(before)] if cell.return_sequences else []
        peaks = [self._first_peak(before, key, node) for key, node in self.ports.peaks.items()]
        inputs = [step, *loose, *states, *sequence, *peaks]
        outputs = [self._twin(t) for t in (step, *loose, *states, *sequence)] + list(self.ports.peaks.values())
        self._write_body(inputs)
        settings = options(
            "WhileOptions", condSubgraphIndex=self._condition(inputs), bodySubgraphIndex=appended(self.model, self.body)
        )
        if sequence and not self.ports.peaks:
            outputs[-1] = self.ports.y
        whole = graph.operator("WHILE", inputs, outputs, settings)
        last = outputs[1 + len(loose) : 1 + len(loose) + cell.states]
        shown = outputs[1 + len(loose) + cell.states] if sequence else last[0]
        return [*before.graph.operators, whole, *self._results(shown, last)]

    def _twin(self, node: TensorNode) -> TensorNode:
        twin = node.copy(f"{self.cell.name}/last/{node.name}")
        twin.buffer = self.model.codes.empty_buffer
        return twin

    def _results(self, shown: TensorNode, states: Sequence[TensorNode]) -> list[OperatorNode]:
        """The layer's output, then its states; the first that is read brings the peaks with it."""
        pairs = [] if self.cell.unread or shown is self.ports.y else [(shown, self.ports.y)]
        pairs += list(zip(states, self.ports.returned, strict=False))
        operators: list[OperatorNode] = []
        for source, target in pairs:
            carries = self.ports.peaks and not operators
            operators += self._with_peaks(source, target) if carries else [_moved(self.model.main, source, target)]
        return operators

    def _with_peaks(self, source: TensorNode, target: TensorNode) -> list[OperatorNode]:
        """A result plus nought times the peaks: LiteRT computes nothing that nobody reads."""
        graph, name, peaks = self.model.main, self.cell.name, list(self.ports.peaks.values())
        joined = tensor(graph, f"{name}/peaks", (1, sum(peak.shape[1] for peak in peaks)), "float32")
        total, nothing = (tensor(graph, f"{name}/{part}", (1, 1), "float32") for part in ("sum", "nothing"))
        axis = constant(graph, f"{name}/axis", np.array([1], np.int32))
        nought = constant(graph, f"{name}/nought", np.array(0, np.float32))
        return [
            graph.operator("CONCATENATION", peaks, [joined], options("ConcatenationOptions", axis=1)),
            graph.operator("SUM", [joined, axis], [total], options("ReducerOptions", keepDims=True)),
            graph.multiply(total, nought, nothing),
            graph.plus(source, nothing, target),
        ]

    def _first_states(self, before: Numbers) -> list[TensorNode]:
        states = []
        for index, bound in enumerate(self.state_bounds()):
            near = before.value(f"{self.cell.name}/state_{index}", (1, self.cell.units), bound)
            if self.ports.given:
                states.append(before.rescaled(near.name, self.ports.given[index], near))
            else:
                near.set_array(np.zeros(near.shape, near.dtype))
                states.append(near)
        return states

    def _first_peak(self, before: Numbers, key: str, node: TensorNode) -> TensorNode:
        """That of a state which is given, else nothing."""
        place = {"output": 0, "cell": 1}.get(key)
        name = f"{self.cell.name}/first_{key}"
        if place is None or not self.ports.given:
            return constant(self.model.main, name, np.zeros(node.shape, np.float32))
        size = tensor(self.model.main, name, node.shape, "float32")
        return before.write("ABS", [self.ports.given[place]], size, options("AbsOptions"))

    def _empty_sequence(self, before: Numbers) -> TensorNode:
        """Room for all outputs, filled with zeros when the file runs."""
        y = self.ports.y
        room = y.copy(f"{self.cell.name}/room")
        value = np.array(y.zero_points[0] if y.scales else 0, y.dtype)
        zero = constant(self.model.main, f"{self.cell.name}/zero", value)
        zero.record.quantization = y.record.quantization
        sizes = constant(self.model.main, f"{self.cell.name}/sizes", np.array(y.shape, np.int32))
        return before.write("FILL", [sizes, zero], room, options("FillOptions"), version=3)

    def _condition(self, values: Sequence[TensorNode]) -> int:
        test = Numbers(self.model, f"condition of {NAME}{self.cell.name}", integer=self.integer)
        inputs = [_inner(test.graph, value) for value in values]
        steps = constant(test.graph, "steps", np.array(self.cell.steps, np.int32))
        answer = test.write("LESS", [inputs[0], steps], tensor(test.graph, "go_on", (), "bool"), options("LessOptions"))
        test.graph.inputs, test.graph.outputs = inputs, [answer]
        return appended(self.model, test)

    def _write_body(self, values: Sequence[TensorNode]) -> None:
        cell, body = self.cell, self.body
        inputs = [_inner(body.graph, value) for value in values]
        step, x, *rest = inputs
        mask = rest.pop(0) if cell.masked else None
        states, rest = rest[: cell.states], rest[cell.states :]
        place = step
        if cell.go_backwards:
            last = constant(body.graph, "last", np.array(cell.steps - 1, np.int32))
            place = body.write("SUB", [last, step], tensor(body.graph, "place", (), "int32"), options("SubOptions"))
        now = self._input_at(x, place)
        new = {"lstm": self._lstm, "gru": self._gru, "rnn": self._simple}[cell.kind](now, states)
        output = new[0]
        if mask is not None:
            counts = body.write("GATHER", [mask, place], tensor(body.graph, "counts", (1,), "bool"), _along_time())
            new = [body.where(f"kept_{i}", counts, a, b) for i, (a, b) in enumerate(zip(new, states, strict=True))]
            output = self._zero_where_masked(counts, output) if cell.zero_masked else new[0]
        unit = constant(body.graph, "one", np.array(1, np.int32))
        following = body.write("ADD", [step, unit], tensor(body.graph, "next", (), "int32"), options("AddOptions"))
        loose = [x] if mask is None else [x, mask]
        row = place if cell.in_order else step
        sequence = [self._with_output(rest.pop(0), row, output)] if cell.return_sequences else []
        peaks = [self._larger(key, old) for key, old in zip(self.ports.peaks, rest, strict=True)]
        body.graph.inputs, body.graph.outputs = inputs, [following, *loose, *new, *sequence, *peaks]

    def _input_at(self, x: TensorNode, place: TensorNode) -> TensorNode:
        body = self.body
        now = x.copy("now")
        now.shape = (1, self.cell.features)
        body.write("GATHER", [x, place], now, _along_time())
        if not self.integer:
            return now
        (scale,), (zero,) = x.scales, x.zero_points
        return body.rescaled("wide", now, body.value("", (), scale * max(127 - zero, 128 + zero)))

    def _zero_where_masked(self, counts: TensorNode, output: TensorNode) -> TensorNode:
        zero = output.copy("nothing")
        zero.set_array(np.zeros(zero.shape, zero.dtype))
        return self.body.where("shown_output", counts, output, zero)

    def _with_output(self, sequence: TensorNode, step: TensorNode, output: TensorNode) -> TensorNode:
        body, units = self.body, self.cell.units
        zero = constant(body.graph, "zero", np.array(0, np.int32))
        at = body.write(
            "PACK", [zero, step, zero], tensor(body.graph, "at", (3,), "int32"), options("PackOptions", valuesCount=3)
        )
        narrow = body.rescaled("narrow", output, sequence)
        row = narrow.copy("row")
        row.shape, row.buffer = (1, 1, units), body.graph.codes.empty_buffer
        body.graph.operators.append(body.graph.reshape(narrow, row))
        return body.write("DYNAMIC_UPDATE_SLICE", [sequence, row, at], sequence.copy("sequence_with_row"))

    def _larger(self, key: str, old: TensorNode) -> TensorNode:
        body, value = self.body, self.peaks[key]
        size = body.write("ABS", [value], value.copy(f"{key}/size"), options("AbsOptions"))
        return body.write("MAXIMUM", [old, size], old.copy(f"{key}/largest"), options("MaximumMinimumOptions"))

    def _products(self, x: TensorNode, h: TensorNode, part: Weights) -> tuple[TensorNode, TensorNode]:
        """What the kernels make of input and state."""
        inputs = self.body.dense("inputs", x, part.kernel, part.bias, self.bound("inputs"))
        before = self.body.dense("recurrent", h, part.recurrent, part.recurrent_bias, self.bound("recurrent"))
        self.peaks.update(inputs=inputs, recurrent=before)
        return inputs, before

    def _gate_bound(self, function: str) -> float:
        """A flat function hides what is beyond; others do not."""
        return GATE_BOUND if function in FLAT else self.bound("inputs") + self.bound("recurrent")

    def _lstm(self, x: TensorNode, states: Sequence[TensorNode]) -> list[TensorNode]:
        body, cell, units = self.body, self.cell, self.cell.units
        h, c = states
        inputs, before = self._products(x, h, self.weights.gates(0, 1, 3, 2))
        gate_bound = max(self._gate_bound(cell.activation), self._gate_bound(cell.recurrent_activation))
        gates = body.add("gates", inputs, before, gate_bound)
        opening = body.part("opening", gates, 0, 3 * units)
        opened = body.activation("opened", cell.recurrent_activation, opening, gate_bound)
        i, f, o = (body.part(name, opened, k * units, units) for k, name in enumerate("ifo"))
        raw = body.part("raw", gates, 3 * units, units)
        g = body.activation("g", cell.activation, raw, gate_bound)
        cell_bound = self.bound("cell")
        kept = body.multiply("kept", f, c, cell_bound)
        new = body.multiply("new", i, g, cell_bound)
        c = body.add("cell", kept, new, cell_bound)
        shown = body.activation("shown", cell.activation, c, cell_bound)
        h = body.multiply("output", o, shown, self.state_bounds()[0])
        self.peaks.update(cell=c, output=h)
        return [h, c]

    def _gru(self, x: TensorNode, states: Sequence[TensorNode]) -> list[TensorNode]:
        body, cell, units = self.body, self.cell, self.cell.units
        (h,) = states
        gate_bound = self._gate_bound(cell.recurrent_activation)
        w = self.weights
        inputs = body.dense("inputs", x, w.kernel, w.bias, self.bound("inputs"))
        part = w if cell.reset_after else w.gates(0, 1)
        before = body.dense("recurrent", h, part.recurrent, part.recurrent_bias, self.bound("recurrent"))
        of_input, of_state = (body.part(n, v, 0, 2 * units) for n, v in (("zr_input", inputs), ("zr_state", before)))
        summed = body.add("summed", of_input, of_state, gate_bound)
        opened = body.activation("opened", cell.recurrent_activation, summed, gate_bound)
        z, r = (body.part(name, opened, k * units, units) for k, name in enumerate("zr"))
        if cell.reset_after:
            reset = body.multiply("reset", body.part("h_state", before, 2 * units, units), r, self.bound("recurrent"))
        else:
            shown = body.multiply("shown", h, r, self.state_bounds()[0])
            last = w.gate(2)
            reset = body.dense(
                "candidate_recurrent", shown, last.recurrent, last.recurrent_bias, self.bound("recurrent")
            )
        raw = body.add("raw", body.part("h_input", inputs, 2 * units, units), reset, self._gate_bound(cell.activation))
        candidate = body.activation("candidate", cell.activation, raw, self._gate_bound(cell.activation))
        # z * h + (1 - z) * candidate, with one product
        widest = 2 * self.state_bounds()[0]
        change = body.multiply("change", body.subtract("difference", h, candidate, widest), z, widest)
        new = body.add("output", candidate, change, self.state_bounds()[0])
        larger = before if cell.reset_after else self._both(before, reset)
        self.peaks.update(inputs=inputs, recurrent=larger, output=new)
        return [new]

    def _both(self, a: TensorNode, b: TensorNode) -> TensorNode:
        """Side by side, for their peak."""
        if self.integer:
            return a
        joined = tensor(self.body.graph, "both", (1, a.shape[1] + b.shape[1]), "float32")
        return self.body.write("CONCATENATION", [a, b], joined, options("ConcatenationOptions", axis=1))

    def _simple(self, x: TensorNode, states: Sequence[TensorNode]) -> list[TensorNode]:
        body, function = self.body, self.cell.activation
        inputs, before = self._products(x, states[0], self.weights)
        bound = self.state_bounds()[0]
        summed = body.add("summed", inputs, before, bound if function == "linear" else self._gate_bound(function))
        new = body.activation("output", function, summed, bound)
        self.peaks.update(output=new)
        return [new]


def _along_time() -> object:
    return options("GatherOptions", axis=1)


def _inner(graph: GraphEditor, value: TensorNode) -> TensorNode:
    """The twin, inside of a subgraph, of a value that goes from step to step."""
    twin = value.copy(value.name.rsplit("/", 1)[-1])
    twin.buffer = graph.codes.empty_buffer
    return twin


def _moved(graph: GraphEditor, source: TensorNode, target: TensorNode) -> OperatorNode:
    """One tensor as another: in its type and on its scale."""
    plain = (source.dtype, source.scales, source.zero_points) == (target.dtype, target.scales, target.zero_points)
    return graph.reshape(source, target) if plain else conversion(graph, source, target)
