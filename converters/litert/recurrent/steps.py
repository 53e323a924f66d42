"""A recurrent layer as a row of float operators, a few for each step: no loop, and no more operators than needed.

XNNPACK runs such a row faster than LiteRT runs integer loops, and a short one faster than any loop.  Gates lie side by
side in one product; their products with the input are computed for all steps at once, before the first one; and the
slope of a hard sigmoid is in the weights.  Weights may be int8: a state keeps its precision from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.converters.litert.recurrent.cell import HARD_SIGMOIDS, Cell, Weights
from tfcompress.converters.litert.recurrent.loop import Ports
from tfcompress.converters.litert.recurrent.numbers import Matrix, Numbers, constant, tensor
from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode, options

__all__ = ["can_be_steps", "steps"]

_LATER = "linear"  # gates that are taken apart before their activations, which are not the same


def can_be_steps(cell: Cell) -> bool:
    """Whether there is such a row for the cell: a mask wants a loop."""
    return not cell.masked


def steps(
    model: ModelEditor, cell: Cell, weights: Weights, ports: Ports, *, integer_weights: bool
) -> list[OperatorNode]:
    """The operators that take the layer's place in the main graph.

    Args:
        model: the file.
        cell: one that `can_be_steps`.
        weights: of the layer, float32.
        ports: where it is computed, all in float32.
        integer_weights: store the weights of products as int8.
    """
    return _Steps(model, cell, weights, ports, integer_weights).operators()


@dataclass(frozen=True)
class _Gates:
    """Gates that are computed together: their activation, and what the input gives them at each step, [1, width]."""

    function: str
    count: int
    of_input: Sequence[TensorNode]
    recurrent: Matrix


class _Steps:
    def __init__(self, model: ModelEditor, cell: Cell, weights: Weights, ports: Ports, integer_weights: bool) -> None:
        self.cell, self.weights, self.ports = cell, weights, ports
        self.row = Numbers(model, "", integer=False, integer_weights=integer_weights)
        self.graph: GraphEditor = self.row.graph
        self.place = ""
        self.unit = constant(model.main, f"{cell.name}/unit", np.ones((1, 1), np.float32))
        self.axis = constant(model.main, f"{cell.name}/axis", np.array(1, np.int32))

    def operators(self) -> list[OperatorNode]:
        cell = self.cell
        states: list[TensorNode | None] = list(self.ports.given) or [None] * cell.states
        groups = {"lstm": self._lstm_gates, "gru": self._gru_gates, "rnn": self._simple_gates}[cell.kind]()
        step = {"lstm": self._lstm, "gru": self._gru, "rnn": self._simple}[cell.kind]
        shown: list[TensorNode] = []
        for number in range(cell.steps):
            self.place = f"{cell.name}/{number}"
            place = cell.steps - 1 - number if cell.go_backwards else number
            states = list(step(groups, place, states))
            assert states[0] is not None
            shown.append(states[0])
        return self._with_results(shown, [state for state in states if state is not None])

    def _with_results(self, shown: list[TensorNode], states: Sequence[TensorNode]) -> list[OperatorNode]:
        """The operators so far, and those that give the layer's output and the states that it returns."""
        cell, y = self.cell, self.ports.y
        if cell.return_sequences and not cell.unread:
            in_order = shown[::-1] if cell.in_order and cell.go_backwards else shown
            settings = options("PackOptions", valuesCount=len(shown), axis=1)
            self.row.write("PACK", in_order, y, settings, version=1)
        elif not cell.unread:
            self._rename(shown[-1], y)
            states = [y, *states[1:]]
        for state, target in zip(states, self.ports.returned, strict=False):
            self.graph.operators.append(self.graph.reshape(state, target))
        return self.graph.operators

    def _rename(self, value: TensorNode, target: TensorNode) -> None:
        """Compute one tensor in the place of another."""
        producer = self.graph.producer(value)
        assert producer is not None
        producer.outputs = [target if node is value else node for node in producer.outputs]
        self.graph.redirect(value, target)

    def _name(self, what: str) -> str:
        return f"{self.place}/{what}"

    def _matrix(self, name: str, kernel: np.ndarray, bias: np.ndarray | None) -> Matrix:
        return self.row.matrix(f"{self.cell.name}/{name}", kernel, bias if bias is not None and bias.any() else None)

    def _dense(self, name: str, x: TensorNode, matrix: Matrix) -> TensorNode:
        return self.row.product(self._name(name), x, matrix)

    def _of_input(self, name: str, part: Weights) -> Sequence[TensorNode]:
        """What the input gives to gates, one row [1, width] a step: one product, taken apart."""
        product = self._matrix(f"{name}/input", part.kernel, part.bias)
        whole = self.row.product(f"{self.cell.name}/{name}/of_input", self.ports.x, product)
        width = whole.shape[-1]
        rows = [self.row.value(f"{whole.name}/{k}", (1, width), 0.0) for k in range(self.cell.steps)]
        settings = options("UnpackOptions", num=len(rows), axis=1)
        self.graph.operators.append(self.graph.operator("UNPACK", [whole], rows, settings))
        return rows

    def _gates(self, name: str, function: str, *order: int) -> _Gates:
        part = _with_slope(self.weights.gates(*order), HARD_SIGMOIDS.get(function))
        merged = Weights(part.kernel, part.recurrent, part.bias + part.recurrent_bias, 0 * part.recurrent_bias)
        recurrent = self._matrix(f"{name}/state", part.recurrent, None)
        return _Gates(function, len(order), self._of_input(name, merged), recurrent)

    def _opened(self, name: str, gates: _Gates, place: int, state: TensorNode | None) -> list[TensorNode]:
        """Gates [1, units] at one step; without a state, which is then zero, the input's part alone."""
        value = gates.of_input[place]
        if state is not None:
            value = self._sum(f"{name}/sum", value, self._dense(f"{name}/of_state", state, gates.recurrent))
        return self._split(name, self._bent(name, gates.function, value), gates.count)

    def _bent(self, name: str, function: str, value: TensorNode) -> TensorNode:
        """An activation of a value that has a hard sigmoid's slope in it already."""
        if function not in HARD_SIGMOIDS:
            return self._activated(name, function, value)
        low = self.row.value(self._name(f"{name}/low"), value.shape, 0.0)
        self.row.write("MINIMUM", [value, self.unit], low, options("MaximumMinimumOptions"))
        return self._activated(name, "relu", low)

    def _sum(self, name: str, a: TensorNode, b: TensorNode) -> TensorNode:
        return self.row.add(self._name(name), a, b, 0.0)

    def _times(self, name: str, a: TensorNode, b: TensorNode) -> TensorNode:
        return self.row.multiply(self._name(name), a, b, 0.0)

    def _activated(self, name: str, function: str, x: TensorNode) -> TensorNode:
        return self.row.activation(self._name(f"{name}/{function}"), function, x, 0.0)

    def _split(self, name: str, value: TensorNode, count: int) -> list[TensorNode]:
        if count == 1:
            return [value]
        shape = (1, value.shape[1] // count)
        parts = [tensor(self.graph, self._name(f"{name}/{k}"), shape, "float32") for k in range(count)]
        settings = options("SplitOptions", numSplits=count)
        self.graph.operators.append(self.graph.operator("SPLIT", [self.axis, value], parts, settings))
        return parts

    def _lstm_gates(self) -> list[_Gates]:
        """All together, taken apart before their activations; but slopes of hard sigmoids are not all gates'."""
        gate, shown = self.cell.recurrent_activation, self.cell.activation
        if gate == shown:
            return [self._gates("gates", gate, 0, 1, 3, 2)]
        if {gate, shown} & set(HARD_SIGMOIDS):
            return [self._gates("gates", gate, 0, 1, 3), self._gates("candidate", shown, 2)]
        return [self._gates("gates", _LATER, 0, 1, 3, 2)]

    def _lstm(self, groups: Sequence[_Gates], place: int, states: Sequence[TensorNode | None]) -> Sequence[TensorNode]:
        h, c = states
        names = ("gates", "candidate")
        i, f, o, g = (t for n, group in zip(names, groups, strict=False) for t in self._opened(n, group, place, h))
        if groups[0].function == _LATER:
            gate, shown = self.cell.recurrent_activation, self.cell.activation
            i, f, o = (self._activated(name, gate, value) for name, value in zip("ifo", (i, f, o), strict=True))
            g = self._activated("g", shown, g)
        new = self._times("new", i, g)
        c = new if c is None else self._sum("cell", new, self._times("kept", f, c))
        return [self._times("output", o, self._activated("shown", self.cell.activation, c)), c]

    def _gru_gates(self) -> list[_Gates]:
        cell, weights = self.cell, self.weights
        opening = self._gates("gates", cell.recurrent_activation, 0, 1)
        last = _with_slope(weights.gate(2), HARD_SIGMOIDS.get(cell.activation))
        # The reset gate multiplies what the state gives, bias included, or the state before the product.
        inner = last.recurrent_bias if cell.reset_after else None
        recurrent = self._matrix("candidate/state", last.recurrent, inner)
        outer = last.bias if cell.reset_after else last.bias + last.recurrent_bias
        rows = self._of_input("candidate", Weights(last.kernel, last.recurrent, outer, 0 * outer))
        return [opening, _Gates(cell.activation, 1, rows, recurrent)]

    def _gru(self, groups: Sequence[_Gates], place: int, states: Sequence[TensorNode | None]) -> Sequence[TensorNode]:
        (h,) = states
        opening, last = groups
        z, r = self._opened("gates", opening, place, h)
        raw, of_state = last.of_input[place], self._reset(last, r, h)
        raw = raw if of_state is None else self._sum("candidate/sum", raw, of_state)
        candidate = self._bent("candidate", last.function, raw)
        if h is None:
            return [self.row.subtract(self._name("output"), candidate, self._times("less", candidate, z), 0.0)]
        # z * h + (1 - z) * candidate, with one product
        difference = self.row.subtract(self._name("difference"), h, candidate, 0.0)
        return [self._sum("output", candidate, self._times("change", difference, z))]

    def _reset(self, last: _Gates, r: TensorNode, h: TensorNode | None) -> TensorNode | None:
        """What the state gives to the candidate; None where that is nothing."""
        if not self.cell.reset_after:
            shown = None if h is None else self._times("shown", h, r)
            return None if shown is None else self._dense("candidate/of_state", shown, last.recurrent)
        if h is None:
            return None if last.recurrent.bias is None else self._times("reset", r, last.recurrent.bias)
        return self._times("reset", self._dense("candidate/of_state", h, last.recurrent), r)

    def _simple_gates(self) -> list[_Gates]:
        return [self._gates("output", self.cell.activation, 0)]

    def _simple(
        self, groups: Sequence[_Gates], place: int, states: Sequence[TensorNode | None]
    ) -> Sequence[TensorNode]:
        return self._opened("output", groups[0], place, states[0])


def _with_slope(part: Weights, slope: float | None) -> Weights:
    """Weights that give a hard sigmoid's straight piece, ``slope * x + 0.5``; as they are without a slope."""
    if slope is None:
        return part
    return Weights(slope * part.kernel, slope * part.recurrent, slope * part.bias + 0.5, slope * part.recurrent_bias)
