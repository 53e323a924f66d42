"""One pass over the data: what is known of every output of every model while the batches stream by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.accuracy_diff.causes import Cause
from tfcompress.accuracy_diff.comparison import CandidateResult, Comparison, ReferenceResult
from tfcompress.accuracy_diff.detection import Decoder, DetectionJudge, name_beside
from tfcompress.accuracy_diff.detection.boxes import true_boxes
from tfcompress.accuracy_diff.gate import worst
from tfcompress.accuracy_diff.judge import OutputJudge
from tfcompress.accuracy_diff.keras_metrics import KerasMetrics
from tfcompress.accuracy_diff.labels import is_text
from tfcompress.accuracy_diff.layers import LayerDiff
from tfcompress.accuracy_diff.matching import labels_for, outputs_as
from tfcompress.accuracy_diff.progress import Tree
from tfcompress.accuracy_diff.stream import Answered
from tfcompress.accuracy_diff.tasks import Metrics, choose_task
from tfcompress.accuracy_diff.tasks.classification import Classification
from tfcompress.data import Samples
from tfcompress.errors import DataError, InputError, cause_of
from tfcompress.layer_histogram import LayerHistogram
from tfcompress.remarks import remark

__all__ = ["REFERENCE", "Found", "LayersFound", "Pass"]

LEAST_FOR_CHANCE = 30  # samples
REFERENCE = ""  # the reference's name among the models of a pass


@dataclass(frozen=True)
class LayersFound:
    """What is known of a candidate's layers.

    Attributes:
        rows: one a layer, in the order of computation.
        causes: of its error.
        histograms: of the layers that are to blame.
    """

    rows: tuple[LayerDiff, ...] = ()
    causes: tuple[Cause, ...] = ()
    histograms: tuple[LayerHistogram, ...] = ()


Found = Mapping[str, LayersFound]


class Pass:
    """What is counted while the data stream by.

    Args:
        candidates: their names.
        data: what streams by.
        task: of every output; None finds it out for each.
        class_names: what the classes are called; None for labels that are no strings, or in sorted order.
        metrics: names of Keras metrics.
        decode: makes detections of the outputs, which are then judged; None judges each output alone.
        state: of an earlier pass over the same data, which this one continues; None starts anew.
    """

    def __init__(
        self,
        candidates: list[str],
        data: Samples,
        *,
        task: str | None,
        class_names: Sequence[str] | None,
        metrics: Sequence[str],
        decode: Decoder | None,
        state: Tree | None,
    ) -> None:
        self._candidates = candidates
        self._data = data
        self._task = task
        self._class_names = class_names
        self._metrics_asked = metrics
        self._decode = decode
        self._state = state
        self._detections = ""  # what they are called beside the outputs; empty where nothing is decoded
        self._judges: dict[str, OutputJudge] = {}
        self._names: dict[str, dict[str, str]] = {}  # {model: {reference output: its own output}}
        self.batches = 0 if state is None else int(state["batches"])

    @property
    def samples(self) -> int:
        """Number of samples counted."""
        return next((judge.samples for judge in self._judges.values()), 0)

    def count(self, answered: Answered) -> None:
        """Add a batch.  The first one always comes; a pass that is continued takes only its form from it."""
        batch = answered.batch
        labels = self._labels(answered)
        first_input = next(iter(batch.inputs.values()))
        if not self._judges:
            self._begin(answered, labels, first_input)
            if self._state is not None:
                self._restore(self._state)
                return
        for name, judge in self._judges.items():
            if judge.labelled != (name in labels):
                raise DataError(f"{self._data.name}: sample {batch.start}: some samples have labels and some have none")
            outputs = self._outputs(name, answered)
            judge.count(self.batches, batch.start, outputs, labels.get(name), first_input, self._data.name)
        self.batches += 1

    def _labels(self, answered: Answered) -> dict[str, np.ndarray]:
        given = answered.batch.labels
        if self._decode is not None:
            self._detections = name_beside(answered.outputs[REFERENCE])
            return {self._detections: true_boxes(given, self._data.name)} if given else {}
        return labels_for(list(answered.outputs[REFERENCE]), given, self._data.outputs, where=self._data.name)

    def _outputs(self, name: str, answered: Answered) -> dict[str, np.ndarray]:
        """What each model says under the reference's name of an output, or the detections that it makes."""
        if self._decode is None or name != self._detections:
            return {model: own[self._names[model][name]] for model, own in answered.outputs.items()}
        renamed = {
            model: {mine: own[theirs] for mine, theirs in self._names[model].items()}
            for model, own in answered.outputs.items()
        }
        return {model: self._decode(own) for model, own in renamed.items()}

    def state(self) -> Tree:
        """For a pass that continues this one."""
        outputs = {str(position): judge.state() for position, judge in enumerate(self._judges.values())}
        return {"batches": self.batches, "outputs": outputs}

    def _restore(self, state: Tree) -> None:
        try:
            for position, judge in enumerate(self._judges.values()):
                judge.restore(state["outputs"][str(position)])
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InputError(f"--resume: the file holds no state of this diff; remove it: {cause_of(error)}") from error

    def _begin(self, answered: Answered, labels: Mapping[str, np.ndarray], first_input: np.ndarray) -> None:
        reference = answered.outputs[REFERENCE]
        for model, own in answered.outputs.items():
            self._names[model] = outputs_as(reference, own, who=model or "the reference")
        if self._decode is not None:
            self._judges[self._detections] = DetectionJudge(self._detections, self._candidates, labelled=bool(labels))
        for name, values in reference.items():
            given = labels.get(name)
            text, names = given is not None and is_text(given), self._class_names
            if names is None and text:
                names = self._sorted_names(values.shape[-1])
            if names is not None and not text and len(names) != values.shape[-1]:
                names = None  # of this output, whose labels are numbers, they are no names
            asked = "regression" if self._decode is not None else self._task
            task = choose_task(asked, values, given, first_input, class_names=names)
            classes = values.shape[-1] if values.ndim > 1 else 1
            models = (REFERENCE, *self._candidates)
            further = {model: KerasMetrics(self._metrics_asked, task, classes) for model in models}
            self._judges[name] = OutputJudge(
                name,
                task,
                self._candidates,
                labelled=given is not None,
                keras_metrics=further,
                is_part=self._decode is not None,
            )

    def _sorted_names(self, classes: int) -> list[str]:
        """The different string labels in sorted order, as class folders are numbered; a pass of its own."""
        labels: set[str] = set()
        for batch in self._data.batches(256):
            for values in batch.labels.values():
                if is_text(values):
                    labels |= {v.decode() if isinstance(v, bytes) else str(v) for v in values.ravel()}
        if len(labels) != classes:
            raise DataError(
                f"{self._data.name}: {len(labels)} different string labels, the model has {classes} classes; "
                "say what the classes are called, in the model's order"
            )
        return sorted(labels)

    def result(self, limit: float, layers: Found) -> Comparison:
        """The figures of the whole pass."""
        judges = list(self._judges.values())
        primary = next((judge for judge in judges if judge.labelled), judges[0])
        names = getattr(primary.task, "class_names", None)
        reference = ReferenceResult(
            self._metrics(primary, REFERENCE),
            primary.samples,
            primary.task.name,
            None if names is None else tuple(names),
            primary.confusion(),
        )
        self._remark_on_chance(primary, reference)
        results = {
            name: self._candidate(primary, name, limit, layers.get(name, LayersFound())) for name in self._candidates
        }
        return Comparison(reference, results)

    def _remark_on_chance(self, primary: OutputJudge, reference: ReferenceResult) -> None:
        """Say where the float model does no better than guessing: labels are in another order more often than not."""
        accuracy = reference.metrics.get("accuracy")
        if not isinstance(primary.task, Classification) or not primary.labelled or accuracy is None:
            return
        chance = 1 / primary.task.classes
        spread = math.sqrt(chance * (1 - chance) / reference.samples)
        enough = reference.samples >= LEAST_FOR_CHANCE or accuracy < chance - 2 * spread  # far below shows sooner
        if enough and accuracy <= chance + 2 * spread:
            remark(
                f"{self._data.name}: the float model is right in {100 * accuracy:.1f} % of the samples, no more than "
                f"by chance ({100 * chance:.1f} %): labels may be numbered in another order than the model's classes "
                "(give --labels=FILE with the names in the model's order), or --preprocess may be missing"
            )

    def _metrics(self, primary: OutputJudge, model: str) -> Metrics:
        metrics = dict(primary.metrics(model))
        for name, judge in self._judges.items():
            if judge is not primary:
                metrics |= {f"{name}/{key}": value for key, value in judge.metrics(model).items()}
        return metrics

    def _candidate(self, primary: OutputJudge, model: str, limit: float, layers: LayersFound) -> CandidateResult:
        diff = primary.diff(model)
        if len(self._judges) > 1:
            diff["outputs"] = {name: judge.diff(model) for name, judge in self._judges.items()}
        gate = worst([judge.gate(model, limit) for judge in [primary, *self._judges.values()]])
        flipped, flips = primary.flips(model)
        metrics, confusion = self._metrics(primary, model), primary.confusion(model)
        return CandidateResult(
            metrics, diff, gate, flipped, flips, layers.rows, layers.causes, confusion, layers.histograms
        )
