"""Rewrites of a graph as rows of a table, each proven on the model at hand before it is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from tfcompress.graphs.tflite.editor import GraphEditor, ModelEditor, OperatorNode
from tfcompress.graphs.tflite.proof import FloatProof, Verdict, largest_step
from tfcompress.graphs.tflite.reader import read_tflite
from tfcompress.layer_names import as_named_in, layers_of

__all__ = ["AppliedRewrite", "DroppedRewrite", "Level", "Rewrite", "Rewritten", "rewrite_graph"]

Level = Literal["safe", "all"]
Stage = Literal["float", "integer"]


@dataclass(frozen=True)
class Rewrite:
    """One way to replace an operator: a row of the table.

    Attributes:
        name: short and stable.
        operators: the pattern: names of the operators that it may replace; empty means any.
        level: `safe` leaves the function as it was; `all` changes it, for models that will be fine-tuned.
        apply: takes the graph and an operator, and returns the operators that replace it, or None where it does not
            fit.  It leaves the old operators as they are.
        what: a sentence for the notes.
        source: of the identity, or of the reason for the rewrite.
        uses: which files it is for; see the table.
        stage: `float` for the float graph, `integer` for the quantized one.
        in_int8: the float graph is only proven; the operator is replaced in the quantized file, by an `integer` row of
            the same name.
        steps: of an `integer` row: by how many integer steps a result may be off.
        by_time: it leaves no less to slow kernels, so that only a measurement can tell whether it pays.
    """

    name: str
    operators: tuple[str, ...]
    level: Level
    apply: Callable[[GraphEditor, OperatorNode], list[OperatorNode] | None]
    what: str
    source: str
    uses: frozenset[str]
    stage: Stage = "float"
    in_int8: bool = False
    steps: int = 0
    by_time: bool = False


@dataclass(frozen=True)
class AppliedRewrite:
    """A kind of rewrite that was done to a model.

    Attributes:
        name: of the row.
        level: `safe` or `all`.
        what: a sentence.
        operators: how many operators were replaced.
        keras_layers: the layers that they belong to, as far as names tell.
        max_abs_error: largest difference of any float output before and after, relative to that output's largest
            value; for a quantized graph the largest difference in integer steps.
        in_int8: done to the quantized file; the float graph was changed only for the proof.
        arithmetic: in which the difference was measured.
    """

    name: str
    level: Level
    what: str
    operators: int
    keras_layers: tuple[str, ...]
    max_abs_error: float
    in_int8: bool = False
    arithmetic: str = "float32"

    def note(self) -> str:
        """One line for people."""
        if self.arithmetic == "integer":
            steps = f"{self.max_abs_error:.0f} step{'s' * (self.max_abs_error > 1)}"
            result = "bit for bit the same" if self.max_abs_error == 0 else f"at most {steps} off"
            return f"rewrote {self.operators}: {self.what} ({result})"
        warning = "; in int8 at most one step off" if self.in_int8 else ""
        warning += "" if self.level == "safe" else "; this changes the function: fine-tune the model"
        kind = "float" if self.arithmetic == "float32" else self.arithmetic
        return f"rewrote {self.operators}: {self.what} ({kind} difference {self.max_abs_error:.1g}{warning})"

    def to_json(self) -> dict[str, object]:
        """The rewrite as report.json has it."""
        return {**asdict(self), "keras_layers": list(self.keras_layers)}


@dataclass(frozen=True)
class DroppedRewrite:
    """A kind of rewrite that was left out, because it did not pass its proof on this model.

    Attributes:
        name: of the row.
        what: a sentence.
        operators: how many operators it would have replaced.
        reason: what the proof found.
    """

    name: str
    what: str
    operators: int
    reason: str

    def note(self) -> str:
        """One line for people."""
        return f"left out {self.operators}: {self.what}: {self.reason}"

    def to_json(self) -> dict[str, object]:
        """The row as report.json has it."""
        return asdict(self)


@dataclass(frozen=True)
class Rewritten:
    """A file after its rewrites.

    Attributes:
        content: the .tflite; the same bytes as before where nothing was done.
        applied: what was done.
        dropped: what would have fitted, but did not pass its proof.
    """

    content: bytes
    applied: tuple[AppliedRewrite, ...] = ()
    dropped: tuple[DroppedRewrite, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """One line each for people."""
        return (*(item.note() for item in self.applied), *(item.note() for item in self.dropped))


@dataclass(frozen=True)
class _Attempt:
    """A graph with one kind of rewrite done everywhere: its editor, its operators before, and names of results."""

    model: ModelEditor
    before: tuple[OperatorNode, ...]
    replaced: tuple[str, ...]


def rewrite_graph(
    content: bytes,
    rows: Iterable[Rewrite],
    *,
    layer_names: Collection[str] = (),
    samples: Sequence[Sequence[np.ndarray]] = (),
    except_for: Collection[str] = (),
) -> Rewritten:
    """Apply rewrites to the main graph of a .tflite, one row after the other.

    A safe rewrite that does not pass its proof on this model is left out and named.

    Args:
        content: the .tflite, at batch 1.
        rows: of the table, in the order in which they are tried.
        layer_names: of the Keras model, to name the layers that were changed.
        samples: real inputs for the proof, each in the file's order and dtypes.
        except_for: names of output tensors whose operators stay.
    """
    applied: list[AppliedRewrite] = []
    dropped: list[DroppedRewrite] = []
    names = as_named_in(layer_names, (tensor.name for tensor in read_tflite(content).main.tensors))
    proof = FloatProof(content, samples)
    for row in rows:
        attempt = _attempt(content, row, except_for)
        if attempt is None:
            continue
        changed = attempt.model.to_bytes()
        verdict = _judged(row, attempt, changed, proof)
        if row.level == "safe" and not verdict.same:
            dropped.append(DroppedRewrite(row.name, row.what, len(attempt.replaced), str(verdict.reason)))
            continue
        layers = dict.fromkeys(layer for name in attempt.replaced for layer in layers_of(name, names)[:1])
        applied.append(_applied(row, len(attempt.replaced), tuple(layers), verdict))
        if not row.in_int8:
            content = changed
            proof.accept(changed)
    return Rewritten(content, tuple(applied), tuple(dropped))


def _applied(row: Rewrite, operators: int, layers: tuple[str, ...], verdict: Verdict) -> AppliedRewrite:
    return AppliedRewrite(
        row.name,
        row.level,
        row.what,
        operators,
        layers,
        verdict.difference,
        in_int8=row.in_int8,
        arithmetic="integer" if row.stage == "integer" else verdict.arithmetic,
    )


def _judged(row: Rewrite, attempt: _Attempt, changed: bytes, proof: FloatProof) -> Verdict:
    if row.stage == "float":
        return proof.judge(changed, attempt.model.main, attempt.before)
    steps = largest_step(attempt.model.main, attempt.before)
    return Verdict(steps, "float32", None if steps <= row.steps else f"results are {steps:.0f} steps off")


def _attempt(content: bytes, row: Rewrite, except_for: Collection[str]) -> _Attempt | None:
    """One kind of rewrite done everywhere; None where it fits nowhere."""
    # Reading the names of a file costs far less than taking it apart.
    present = {operator.name for operator in read_tflite(content).main.operators}
    if row.operators and present.isdisjoint(row.operators):
        return None
    model = ModelEditor.read(content)
    graph = model.main
    before, replaced = tuple(graph.operators), []
    for operator in before:
        if (row.operators and operator.name not in row.operators) or operator not in graph.operators:
            continue
        if any(tensor.name in except_for for tensor in operator.outputs):
            continue
        name = operator.result.name if operator.outputs else ""
        replacement = row.apply(graph, operator)
        if replacement is not None:
            graph.replace([operator], replacement)
            replaced.append(name)
    if not replaced:
        return None
    graph.drop_unread()
    return _Attempt(model, before, tuple(replaced))
