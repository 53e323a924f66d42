"""Judges one output of every model, batch by batch, and draws the figures from what was counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.additive import Statistics, added, as_tree, from_tree, total
from tfcompress.accuracy_diff.channel_error import channel_rows, destroyed_channel, quiet_sqnr_db
from tfcompress.accuracy_diff.flips import Flip, FlipKeeper
from tfcompress.accuracy_diff.gate import Gate, judge_drop, judge_unlabelled
from tfcompress.accuracy_diff.keras_metrics import KerasMetrics
from tfcompress.accuracy_diff.progress import Tree
from tfcompress.accuracy_diff.retrieval import Gallery
from tfcompress.accuracy_diff.signal_error import is_constant, signal_metrics, signal_statistics
from tfcompress.accuracy_diff.statistics import (
    PairedTable,
    drop_interval,
    jackknife_interval,
    mcnemar_exact,
    samples_needed,
)
from tfcompress.accuracy_diff.tasks import Metrics, Task
from tfcompress.accuracy_diff.tasks.classification import argmax_answers

__all__ = ["Confusion", "OutputJudge"]

Confusion = tuple[tuple[int, ...], ...]
ANSWERING = ("binary", "classification", "multi_label", "segmentation", "sequence")
GROUPS = 20  # parts of the data that the jackknife leaves out one at a time


class OutputJudge:
    """What is counted for one output.

    Args:
        name: the reference's name of the output.
        task: how it is judged.
        candidates: their names.
        labelled: whether the data have labels for this output.
        keras_metrics: {model: further metrics}, the reference under the empty name.
        is_part: the answer is made of this output and others; alone it only has to be no ruin.
    """

    def __init__(
        self,
        name: str,
        task: Task,
        candidates: list[str],
        *,
        labelled: bool,
        keras_metrics: Mapping[str, KerasMetrics],
        is_part: bool = False,
    ) -> None:
        self.name = name
        self.task = task
        self.labelled = labelled
        self._is_part = is_part
        self._groups: dict[str, dict[int, Statistics]] = {model: {} for model in ("", *candidates)}
        self._signals: dict[str, Statistics] = {}
        self._pairs: dict[str, Statistics] = {}
        self._flips = {candidate: FlipKeeper() for candidate in candidates}
        self._galleries = {candidate: Gallery() for candidate in candidates if task.name == "embedding"}
        self._keras = keras_metrics

    def count(
        self,
        number: int,
        start: int,
        outputs: Mapping[str, np.ndarray],
        labels: np.ndarray | None,
        inputs: np.ndarray,
        where: str,
    ) -> None:
        """Add a batch.

        Args:
            number: of the batch, from 0.
            start: index of its first sample.
            outputs: {model: array}, the reference under the empty name.
            labels: as the data give them, or None.
            inputs: the first input.
            where: the data's name, for messages.
        """
        truth = None if labels is None else self.task.truth(labels, where)
        for model, values in outputs.items():
            group = self._groups[model]
            new = self.task.statistics(values, truth, inputs)
            so_far = group.get(number % GROUPS)
            group[number % GROUPS] = new if so_far is None else added(so_far, new)
            self._keras[model].update(values, truth, inputs)
        for model, values in outputs.items():
            if model:
                self._count_pair(model, start, outputs[""], values, truth, inputs)

    def _count_pair(
        self,
        model: str,
        start: int,
        reference: np.ndarray,
        candidate: np.ndarray,
        truth: np.ndarray | None,
        inputs: np.ndarray,
    ) -> None:
        self._signals[model] = _plus(self._signals.get(model), signal_statistics(reference, candidate))
        if model in self._galleries:
            self._galleries[model].add(start, reference, candidate)
        answers = self._answers(reference), self._answers(candidate)
        if answers[0] is None or answers[1] is None:
            return
        self._add_pair(model, _pair_statistics(answers[0], answers[1], truth))
        sure = self.task.confidence(reference), self.task.confidence(candidate)
        if sure[0] is not None and sure[1] is not None:
            self._flips[model].add(start, (answers[0], answers[1]), (sure[0], sure[1]), truth, inputs)

    def _add_pair(self, model: str, pair: Statistics) -> None:
        self._pairs[model] = _plus(self._pairs.get(model), pair)

    def _answers(self, outputs: np.ndarray) -> np.ndarray | None:
        answers = self.task.answers(outputs)
        may_be_logits = self.task.name != "autoencoder" and outputs.ndim == 2 and outputs.shape[1] > 1
        if answers is None and not self.labelled and may_be_logits:
            return argmax_answers(outputs)  # without labels nothing says that they are not
        return answers

    @property
    def samples(self) -> int:
        """Number of samples counted."""
        return int(total(self._groups[""].values())["samples"])

    def metrics(self, model: str = "") -> Metrics:
        """The task's figures of a candidate, or of the reference under the empty name."""
        return {**self.task.metrics(total(self._groups[model].values())), **self._keras[model].results()}

    def confusion(self, model: str = "") -> Confusion | None:
        """How often each class (row) got each answer (column); None where that was not counted."""
        counts = total(self._groups[model].values()).get("confusion")
        return None if counts is None else tuple(tuple(row) for row in counts.tolist())

    def diff(self, model: str) -> dict[str, Any]:
        """The `diff` section of report.json for this output."""
        signal = self._signals[model]
        table = self._table(model)
        drop = self._drop(model)
        interval = self._interval(model)
        return {
            "metric": self.task.score,
            "accuracy_drop": drop,
            "accuracy_drop_ci95": list(interval) if interval else None,
            "top1_agreement": self._agreement(model),
            "p_value": mcnemar_exact(table.lost, table.gained) if table else None,
            "lost": table.lost if table else None,
            "gained": table.gained if table else None,
            **signal_metrics(signal),
            "quiet_sqnr_db": quiet_sqnr_db(signal),
            "channels": channel_rows(signal),
            "not_finite": int(signal["not_finite"]),
            "constant_output": is_constant(signal),
            **(self._galleries[model].figures() if model in self._galleries else {}),
        }

    def gate(self, model: str, limit: float) -> Gate:
        """The verdict on this output."""
        signal = self._signals[model]
        samples = self.samples
        if broken := int(signal["not_finite"]):
            return Gate("failed", f"output {self.name!r} is NaN or infinite on {broken} of {samples} samples", limit)
        if is_constant(signal) and not _reference_constant(signal):
            return Gate("failed", f"output {self.name!r} is the same for all {samples} samples", limit)
        lost = None if self._has_answers else destroyed_channel(signal)
        if lost is not None:
            return Gate("failed", f"output {self.name!r}: {lost}", limit)
        if self._is_part:
            return Gate("passed", f"output {self.name!r} is judged by what is made of it", limit)
        drop = self._drop(model)
        if drop is None and not self.labelled:
            return judge_unlabelled(
                self._agreement(model),
                self._disagreement_interval(model),
                limit,
                samples=samples,
                sqnr_db=self._sqnr_of_signal(signal),
            )
        needed = self._samples_needed(model, drop, limit)
        return judge_drop(drop, self._interval(model), limit, metric=self.task.score, samples=samples, needed=needed)

    @staticmethod
    def _sqnr_of_signal(signal: Statistics) -> float | None:
        """In dB; None where the reference's values are the same for all samples, as zeros are."""
        return None if _reference_constant(signal) else signal_metrics(signal)["sqnr_db"]

    @property
    def _has_answers(self) -> bool:
        """Whether the labels judge the answers, so that a column that decides none of them may be lost."""
        return self.labelled and self.task.name in ANSWERING

    def flips(self, model: str) -> tuple[int, tuple[Flip, ...]]:
        """Number of samples with different answers, and the most telling of them."""
        return self._flips[model].total, self._flips[model].flips()

    @property
    def _kept(self) -> Mapping[str, Mapping[str, Any]]:
        """What keeps a state of its own, by model."""
        return {"flips": self._flips, "galleries": self._galleries, "keras": self._keras}

    def state(self) -> Tree:
        """Everything counted so far, for `restore`."""
        groups = {
            model: {str(number): as_tree(part) for number, part in parts.items()}
            for model, parts in self._groups.items()
        }
        return {
            "groups": groups,
            "signals": {model: as_tree(part) for model, part in self._signals.items()},
            "pairs": {model: as_tree(part) for model, part in self._pairs.items()},
            **{key: {model: item.state() for model, item in items.items()} for key, items in self._kept.items()},
        }

    def restore(self, state: Tree) -> None:
        """Be as the judge of the same output was whose `state` this is."""
        self._groups = {
            model: {int(number): from_tree(part) for number, part in parts.items()}
            for model, parts in state["groups"].items()
        }
        self._signals = {model: from_tree(part) for model, part in state["signals"].items()}
        self._pairs = {model: from_tree(part) for model, part in state.get("pairs", {}).items()}
        for key, items in self._kept.items():
            for model, item in items.items():
                item.restore(state.get(key, {}).get(model, {}))

    def _score(self, model: str, without: int | None = None) -> float | None:
        parts = [part for group, part in self._groups[model].items() if group != without]
        return self.task.metrics(total(parts)).get(self.task.score)

    def _drop(self, model: str, without: int | None = None) -> float | None:
        if self.task.name == "embedding":
            cosine = signal_metrics(self._signals[model])["cosine"]
            return None if cosine is None else 1 - cosine
        reference, candidate = self._score("", without), self._score(model, without)
        return None if reference is None or candidate is None else reference - candidate

    def _table(self, model: str) -> PairedTable | None:
        """The paired table, where the score is a share of right samples."""
        pair = self._pairs.get(model)
        if pair is None or "lost" not in pair or self.task.name not in ("classification", "binary"):
            return None
        return PairedTable(*(int(pair[key]) for key in ("both", "lost", "gained", "neither")))

    def _interval(self, model: str) -> tuple[float, float] | None:
        table, drop = self._table(model), self._drop(model)
        if table is not None:
            return drop_interval(table)
        if drop is None or self.task.name == "embedding":
            return None
        groups = self._groups[""] if len(self._groups[""]) > 1 else {}
        left_out = [self._drop(model, without=group) for group in groups]
        values = [value for value in left_out if value is not None]
        return jackknife_interval(drop, values) if len(values) == len(left_out) else None

    def _agreement(self, model: str) -> float | None:
        pair = self._pairs.get(model)
        return None if pair is None or not pair["answers"] else float(pair["agree"] / pair["answers"])

    def _disagreement_interval(self, model: str) -> tuple[float, float] | None:
        pair = self._pairs.get(model)
        if pair is None:
            return None
        differ = int(pair["answers"] - pair["agree"])
        return drop_interval(PairedTable(int(pair["agree"]), differ, 0, 0))

    def _samples_needed(self, model: str, drop: float | None, limit: float) -> int | None:
        table = self._table(model)
        if table is None or drop is None:
            return None
        return samples_needed((table.lost + table.gained) / table.samples, limit - drop)


def _plus(so_far: Statistics | None, new: Statistics) -> Statistics:
    return new if so_far is None else added(so_far, new)


def _pair_statistics(reference: np.ndarray, candidate: np.ndarray, truth: np.ndarray | None) -> dict[str, Any]:
    agree = {
        "answers": np.int64(reference.size),
        "agree": np.int64(((reference == candidate) & (candidate >= 0)).sum()),
    }
    if truth is None or truth.shape != reference.shape:
        return agree
    right, kept = reference == truth, candidate == truth
    cells = {"both": right & kept, "lost": right & ~kept, "gained": ~right & kept, "neither": ~right & ~kept}
    return {**agree, **{name: np.int64(cell.sum()) for name, cell in cells.items()}}


def _reference_constant(signal: Statistics) -> bool:
    """Whether the reference is constant too: then so may the candidate be."""
    return bool(np.array_equal(signal["reference_lowest"], signal["reference_highest"]))
