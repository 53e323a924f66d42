"""The accuracy diff itself: one pass, every model, every output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfcompress import console
from tfcompress.accuracy_diff.causes import Cause, find_causes
from tfcompress.accuracy_diff.comparison import CandidateResult, Comparison, ReferenceResult
from tfcompress.accuracy_diff.gate import worst
from tfcompress.accuracy_diff.judge import OutputJudge
from tfcompress.accuracy_diff.labels import is_text
from tfcompress.accuracy_diff.layers import LayerDiff, compare_layers
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.matching import labels_for, outputs_as
from tfcompress.accuracy_diff.runners import (
    FloatModelRunner,
    Runner,
)
from tfcompress.accuracy_diff.stream import Answered, answered_batches, batch_size_for
from tfcompress.accuracy_diff.tasks import Metrics, choose_task
from tfcompress.chatter import silenced
from tfcompress.data import Samples
from tfcompress.errors import DataError, RecipeError

__all__ = ["compare"]

_Found = dict[str, tuple[tuple[LayerDiff, ...], tuple[Cause, ...]]]

LAYER_SAMPLES = 64  # enough for a layer's mean error: it has thousands of values a sample
REFERENCE = ""  # the reference's name among the models of a pass


def compare(
    reference: Runner,
    candidates: Mapping[str, Runner],
    data: Samples,
    *,
    task: str | None = None,
    max_accuracy_drop: float = 0.01,
    seed: int = 0,
    layers: bool = False,
    class_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
) -> Comparison:
    """Compare models on the same samples, in one streamed pass whose memory does not grow with the data.

    Args:
        reference: what the candidates are measured against.
        candidates: {name for the report: runner}.
        data: samples bound to the reference's inputs and outputs; labels may be missing.
        task: one of `TASKS` for every output; None finds it out for each.
        max_accuracy_drop: the gate: largest allowed drop of the task's score, absolute.
        seed: of the choice of samples that the layers are compared on.
        layers: compare layer by layer too, where the reference is a Keras model and the candidate a `.tflite`.
        class_names: what the classes are called, in the model's order; needed for string labels only when their sorted
            order is not the model's.
        batch_size: samples a batch; None chooses by the input's size.
        workers: threads; None means one a core and one more.

    Raises:
        DataError: labels that do not fit the model, or no samples.
        ModelError: a candidate whose inputs or outputs do not fit the reference's.
        RecipeError: `task` or `max_accuracy_drop` is not allowed.
    """
    if not 0 <= max_accuracy_drop < 1:
        raise RecipeError(f"--max_accuracy_drop is {max_accuracy_drop}, expected a share in [0, 1)")
    run = _Pass(list(candidates), data, task, class_names)
    runners = {REFERENCE: reference, **candidates}
    size = batch_size or batch_size_for(data)
    with silenced(), console.progress("accuracy diff", data.count) as advance:
        for answered in answered_batches(runners, data, batch_size=size, workers=workers):
            run.count(answered)
            advance(len(answered.batch))
        found = _layers_and_causes(reference, candidates, data, seed) if layers else {}
    return run.result(max_accuracy_drop, found)


def _layers_and_causes(reference: Runner, candidates: Mapping[str, Runner], data: Samples, seed: int) -> _Found:
    """{candidate: (its layers, causes of its error)}, on a random few of the samples."""
    if not isinstance(reference, FloatModelRunner):
        return {}
    few = data.take(LAYER_SAMPLES)
    if data.count is not None and data.indices is None and data.count > LAYER_SAMPLES:
        chosen = np.random.default_rng(seed).choice(data.count, LAYER_SAMPLES, replace=False)
        few = data.select([int(index) for index in chosen])
    found = {}
    for name, candidate in candidates.items():
        rows = compare_layers(reference, candidate, few)
        causes = find_causes(reference, candidate, rows, few) if rows and isinstance(candidate, LiteRtRunner) else ()
        found[name] = rows, causes
    return found


class _Pass:
    """What is known while the data stream by."""

    def __init__(
        self, candidates: list[str], data: Samples, task: str | None, class_names: Sequence[str] | None
    ) -> None:
        self._candidates = candidates
        self._data = data
        self._task = task
        self._class_names = class_names
        self._judges: dict[str, OutputJudge] = {}
        self._names: dict[str, dict[str, str]] = {}  # {model: {reference output: its own output}}
        self._number = 0

    def count(self, answered: Answered) -> None:
        """Add a batch."""
        batch = answered.batch
        reference = answered.outputs[REFERENCE]
        labels = labels_for(list(reference), batch.labels, self._data.outputs, where=self._data.name)
        first_input = next(iter(batch.inputs.values()))
        if not self._judges:
            self._begin(answered, labels, first_input)
        for name, judge in self._judges.items():
            if judge.labelled != (name in labels):
                raise DataError(f"{self._data.name}: sample {batch.start}: some samples have labels and some have none")
            outputs = {model: own[self._names[model][name]] for model, own in answered.outputs.items()}
            judge.count(self._number, batch.start, outputs, labels.get(name), first_input, self._data.name)
        self._number += 1

    def _begin(self, answered: Answered, labels: Mapping[str, np.ndarray], first_input: np.ndarray) -> None:
        reference = answered.outputs[REFERENCE]
        shapes = [value.shape[1:] for value in reference.values()]
        for model, own in answered.outputs.items():
            self._names[model] = outputs_as(list(reference), shapes, own, who=model or "the reference")
        for name, values in reference.items():
            given = labels.get(name)
            names = self._class_names
            if names is None and given is not None and is_text(given):
                names = self._sorted_names(values.shape[-1])
            task = choose_task(self._task, values, given, first_input, class_names=names)
            self._judges[name] = OutputJudge(name, task, self._candidates, labelled=given is not None)

    def _sorted_names(self, classes: int) -> list[str]:
        """The different string labels in sorted order, as class folders are numbered; a pass of its own."""
        found: set[str] = set()
        for batch in self._data.batches(256):
            for values in batch.labels.values():
                if is_text(values):
                    found |= {v.decode() if isinstance(v, bytes) else str(v) for v in values.ravel()}
        if len(found) != classes:
            raise DataError(
                f"{self._data.name}: {len(found)} different string labels, the model has {classes} classes; "
                "say what the classes are called, in the model's order"
            )
        return sorted(found)

    def result(self, limit: float, found: _Found) -> Comparison:
        """The figures of the whole pass."""
        judges = list(self._judges.values())
        primary = next((judge for judge in judges if judge.labelled), judges[0])
        reference = ReferenceResult(self._metrics(primary, REFERENCE), primary.samples, primary.task.name)
        nothing: tuple[tuple[LayerDiff, ...], tuple[Cause, ...]] = ((), ())
        results = {name: self._candidate(primary, name, limit, *found.get(name, nothing)) for name in self._candidates}
        return Comparison(reference, results)

    def _metrics(self, primary: OutputJudge, model: str) -> Metrics:
        found = dict(primary.metrics(model))
        for name, judge in self._judges.items():
            if judge is not primary:
                found |= {f"{name}/{key}": value for key, value in judge.metrics(model).items()}
        return found

    def _candidate(
        self, primary: OutputJudge, model: str, limit: float, layers: tuple[LayerDiff, ...], causes: tuple[Cause, ...]
    ) -> CandidateResult:
        diff = primary.diff(model)
        if len(self._judges) > 1:
            diff["outputs"] = {name: judge.diff(model) for name, judge in self._judges.items()}
        gate = worst([judge.gate(model, limit) for judge in [primary, *self._judges.values()]])
        flipped, flips = primary.flips(model)
        return CandidateResult(self._metrics(primary, model), diff, gate, flipped, flips, layers, causes)
