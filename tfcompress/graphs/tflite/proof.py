"""Whether a rewritten graph computes what it did, tried on the model at hand.

A float graph is run whole, before and after, on real samples where there are any and on random inputs.  Where the
outputs differ by more than the tolerance, or LiteRT cannot run the file, the rewritten parts are computed in float64:
only a difference that is left there is one of the functions and not of rounding.  Operators of a quantized graph are
run by themselves, before and after, on all values of 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode, TensorNode
from tfcompress.graphs.tflite.extraction import extract
from tfcompress.graphs.tflite.float64 import LacksFloat64Error, evaluate
from tfcompress.graphs.tflite.interpreter import CANNOT_RUN, new_interpreter, random_input, random_inputs, run, run_all

__all__ = ["TOLERANCE", "FloatProof", "Verdict", "largest_difference", "largest_step"]

TOLERANCE = 1e-5  # of a tensor's values, relative to the largest of them
_RUNS = 2
_THREADS = 2
_LEAST_SCALE = 1e-30  # a tensor of zeros has no scale of its own
Inputs = Sequence[np.ndarray]


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to.

    Attributes:
        difference: the largest one, relative to the tensor's largest value; infinity where nothing could be compared.
        arithmetic: in which the two were compared.
        reason: why they are not the same; None where they are, within `TOLERANCE`.
    """

    difference: float
    arithmetic: Literal["float32", "float64"]
    reason: str | None

    @property
    def same(self) -> bool:
        """Whether the two compute the same."""
        return self.reason is None


def largest_difference(first: bytes, second: bytes, *, samples: Sequence[Inputs] = (), seed: int = 0) -> float:
    """Largest difference of any output of two .tflite files on the same inputs.

    Args:
        first: a .tflite.
        second: another with the same inputs and outputs.
        samples: inputs to try, each in the file's order and dtypes.
        seed: of the random inputs, which are tried too; see `interpreter.random_inputs`.

    Returns:
        max |a - b| / max |a| of the worst output; infinity when one has NaN where the other has not, when shapes
        differ, or when one of the files cannot be run.
    """
    runs = _Runs(first, samples, seed)
    return runs.difference(runs.answers_of(second))


class _Runs:
    """What one file answers to inputs."""

    def __init__(self, content: bytes, samples: Sequence[Inputs], seed: int) -> None:
        self.inputs: list[Inputs] = []
        self.outputs: list[list[np.ndarray]] | None = None
        try:
            interpreter = new_interpreter(content, threads=_THREADS)
            random = np.random.default_rng(seed)
            self.inputs = [*samples, *(random_inputs(interpreter, random) for _ in range(_RUNS))]
            self.outputs = [run(interpreter, each) for each in self.inputs]
        except CANNOT_RUN:
            return

    def answers_of(self, content: bytes) -> list[list[np.ndarray]] | None:
        try:
            interpreter = new_interpreter(content, threads=_THREADS)
            return [run(interpreter, each) for each in self.inputs]
        except CANNOT_RUN:
            return None

    def difference(self, answers: list[list[np.ndarray]] | None) -> float:
        return math.inf if self.outputs is None or answers is None else _largest(self.outputs, answers)


def _largest(first: Sequence[Sequence[np.ndarray]], second: Sequence[Sequence[np.ndarray]]) -> float:
    """Over all runs, for each output relative to its largest value in any run."""
    worst = 0.0
    for ours, theirs in zip(zip(*first, strict=True), zip(*second, strict=True), strict=True):
        if any(a.shape != b.shape for a, b in zip(ours, theirs, strict=True)):
            return math.inf
        gap = max(_gap(a, b) for a, b in zip(ours, theirs, strict=True))
        scale = max(float(np.nanmax(np.abs(a.astype(np.float64)), initial=_LEAST_SCALE)) for a in ours)
        worst = max(worst, gap / scale)
    return worst


def _gap(first: np.ndarray, second: np.ndarray) -> float:
    wide, other = first.astype(np.float64), second.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.abs(wide - other)
    gap[(np.isnan(wide) & np.isnan(other)) | (wide == other)] = 0
    return math.inf if np.isnan(gap).any() else float(gap.max(initial=0))


class FloatProof:
    """Compares a float file with rewritten ones, one after the other.

    Args:
        content: the float .tflite.
        samples: real inputs, each in the file's order and dtypes; may be none.
    """

    def __init__(self, content: bytes, samples: Sequence[Inputs] = ()) -> None:
        self._content, self._samples = content, samples
        self._runs: _Runs | None = None
        self._answers: list[list[np.ndarray]] | None = None

    def judge(self, changed: bytes, graph: GraphEditor, before: Sequence[OperatorNode]) -> Verdict:
        """Whether a rewritten file computes the same.

        Args:
            changed: the rewritten .tflite.
            graph: its main graph, in the objects that were read from the file before.
            before: that graph's operators before the rewrite.
        """
        if self._runs is None:
            self._runs = _Runs(self._content, self._samples, seed=0)
        self._answers = self._runs.answers_of(changed)
        if self._runs.outputs is not None and self._answers is None:
            return Verdict(math.inf, "float32", "LiteRT can run the file before it, and not after it")
        difference = self._runs.difference(self._answers)
        if difference <= TOLERANCE:
            return Verdict(difference, "float32", None)
        return self._in_float64(difference, graph, before)

    def accept(self, changed: bytes) -> None:
        """Go on from the rewritten file that was judged last."""
        self._content = changed
        if self._runs is not None and self._answers is not None:
            self._runs.outputs = self._answers
        else:
            self._runs = None

    def _in_float64(self, difference: float, graph: GraphEditor, before: Sequence[OperatorNode]) -> Verdict:
        problem = "LiteRT cannot run it" if math.isinf(difference) else f"outputs differ by {difference:.1g}"
        try:
            exact = self._difference_in_float64(graph, before)
        except (LacksFloat64Error, *CANNOT_RUN) as error:
            return Verdict(difference, "float32", f"{problem}, and {error}")
        if exact <= TOLERANCE:
            return Verdict(exact, "float64", None)
        return Verdict(exact, "float64", f"{problem}, the rewritten operators by {exact:.1g} in float64")

    def _difference_in_float64(self, graph: GraphEditor, before: Sequence[OperatorNode]) -> float:
        old = ModelEditor.read(self._content).main
        twins = dict(zip(graph.tensors, old.tensors, strict=True))
        kept = set(before)
        results = [t for op in graph.operators if op not in kept for t in op.outputs if t in twins]
        results += [tensor for tensor, twin in twins.items() if tensor.is_constant and not twin.is_constant]
        if not results:
            raise LacksFloat64Error("no operator is new")
        edge = _edge(graph, kept)
        values = self._values(old, [twins[tensor] for tensor in edge])
        new_known = {tensor: values[twins[tensor]] for tensor in edge}
        worst = 0.0
        for tensor in results:
            first, second = evaluate(old, twins[tensor], values), evaluate(graph, tensor, new_known)
            worst = max(worst, _largest([[first]], [[second]]))
        return worst

    def _values(self, graph: GraphEditor, tensors: Sequence[TensorNode]) -> dict[TensorNode, np.ndarray]:
        """Values of tensors: on a real sample if there is one, on random inputs, or random themselves."""
        random = np.random.default_rng(1)
        try:
            sample = self._samples[0] if self._samples else random_inputs(new_interpreter(self._content), random)
            positions = {graph.tensors.index(tensor): tensor for tensor in tensors}
            values = run_all(self._content, sample, tensors=list(positions))
            return {tensor: values[index] for index, tensor in positions.items()}
        except CANNOT_RUN:
            return {tensor: random.normal(size=tensor.shape) for tensor in tensors}


def _edge(graph: GraphEditor, kept: set[OperatorNode]) -> list[TensorNode]:
    """The tensors that new operators read of old ones or of the graph's inputs."""
    new = [operator for operator in graph.operators if operator not in kept]
    inside = {tensor for operator in new for tensor in operator.outputs}
    read = dict.fromkeys(tensor for operator in new for tensor in operator.computed_inputs)
    return [tensor for tensor in read if tensor not in inside]


def largest_step(graph: GraphEditor, before: Sequence[OperatorNode]) -> float:
    """Largest difference, in integers, of what rewritten operators of a quantized graph give.

    Args:
        graph: the rewritten graph, in the objects that were read from the file before.
        before: its operators before the rewrite.

    Returns:
        Infinity where the operators cannot be run by themselves.
    """
    kept, edge = set(before), _edge(graph, set(before))
    after = [operator for operator in graph.operators if operator not in kept]
    edge += _read_before_alone(graph, before, edge)
    old = GraphEditor(graph.record, graph.codes, graph.tensors, list(before), graph.inputs, graph.outputs)
    computed = {tensor for operator in before for tensor in operator.outputs}
    results = list(dict.fromkeys(t for operator in after for t in operator.outputs if t in computed))
    if not results:
        return math.inf
    try:
        files = [
            extract(operators, inputs=edge, outputs=results)
            for operators in (_needed(old, results, edge), _needed(graph, results, edge))
        ]
        return _steps(*files)
    except (KeyError, *CANNOT_RUN):
        return math.inf


def _read_before_alone(
    graph: GraphEditor, before: Sequence[OperatorNode], edge: Sequence[TensorNode]
) -> list[TensorNode]:
    """What the operators that are gone read of others, and the new ones neither read nor, by one operator, give them.

    A DEQUANTIZE that others read too stays where it is: its result follows from what the new operators read.
    """
    gone = [operator for operator in before if operator not in set(graph.operators)]
    computed = {tensor for operator in gone for tensor in operator.outputs}
    read = dict.fromkeys(tensor for operator in gone for tensor in operator.computed_inputs)
    following = {
        tensor
        for operator in before
        if operator.computed_inputs and all(source in edge for source in operator.computed_inputs)
        for tensor in operator.outputs
    }
    return [tensor for tensor in read if tensor not in computed | following and tensor not in edge]


def _needed(graph: GraphEditor, results: Sequence[TensorNode], edge: Sequence[TensorNode]) -> list[OperatorNode]:
    """The operators that compute `results` from the tensors of `edge`."""
    wanted, given, needed = set(results), set(edge), []
    for operator in reversed(graph.operators):
        if wanted.intersection(operator.outputs):
            needed.append(operator)
            wanted.update(tensor for tensor in operator.computed_inputs if tensor not in given)
    return needed[::-1]


def _steps(first: bytes, second: bytes) -> float:
    before, after = new_interpreter(first), new_interpreter(second)
    inputs = [_all_values(detail) for detail in before.get_input_details()]
    pairs = zip(run(before, inputs), run(after, inputs), strict=True)
    return max(float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0)) for a, b in pairs)


def _all_values(detail: Mapping[str, Any]) -> np.ndarray:
    """Every value of an 8-bit integer, over and over, in an order of chance; other dtypes as for a random input."""
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    random = np.random.default_rng(0)
    if dtype not in (np.int8, np.uint8):
        return random_input(random, detail)
    values = np.resize(random.permutation(256), math.prod(shape)) + np.iinfo(dtype).min
    return values.astype(dtype).reshape(shape)
