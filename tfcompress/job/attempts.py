"""Converting one model for several targets, comparing what came of it, and repairing what lost too much."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tfcompress import console
from tfcompress.accuracy_diff import (
    CandidateResult,
    Comparison,
    Gate,
    Suggestion,
    compare,
    runner_for,
    suggest,
    try_suggestions,
)
from tfcompress.accuracy_diff.comparison import ReferenceResult
from tfcompress.compression import Compressed
from tfcompress.converters import TARGETS, Artifact
from tfcompress.data import Samples
from tfcompress.data.preprocess import preprocess_for
from tfcompress.errors import ConversionError
from tfcompress.layer_names import all_layers
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe

__all__ = ["Attempt", "Job"]

_LOSSES = ("clusters_lost", "sparsity_lost")
_TRAINED = ("pruning", "clustering", "quantization", "distillation", "training")


@dataclass(frozen=True)
class Attempt:
    """What came of converting.

    Attributes:
        artifacts: an artifact a target, or why there is none.
        reference: the float model's figures; None without data to compare on.
        results: how each artifact compares.
    """

    artifacts: Mapping[str, Artifact | ConversionError]
    reference: ReferenceResult | None
    results: Mapping[str, CandidateResult]


@dataclass(frozen=True)
class Job:
    """A model, what it became by training, and what its artifacts are compared on.

    Attributes:
        original: the float model.
        compressed: what fine-tuning made of it; None where nothing was trained.
        evaluation: compared on; None compares nothing.
        task: see `accuracy_diff.compare`.
        max_accuracy_drop: the gate.
        seed: of the samples drawn for the layers.
        compress: fine-tunes `original` with another recipe, for a repair that changes the training.
    """

    original: FloatModel
    compressed: Compressed | None
    evaluation: Samples | None
    task: str | None
    max_accuracy_drop: float
    seed: int
    compress: Callable[[Recipe], Compressed | None] = field(repr=False)

    def attempt(self, targets: Sequence[str], calibration: Samples | None, recipe: Recipe, folder: Path) -> Attempt:
        """Convert for each target into ``folder/TARGET`` and compare all that came of it in one pass over the data.

        Raises:
            ConversionError: every target failed; a failure beside an artifact is in the result instead.
        """
        artifacts = {target: self._artifact(target, calibration, recipe, folder / target) for target in targets}
        failures = [f"{target}: {error}" for target, error in artifacts.items() if isinstance(error, ConversionError)]
        if len(failures) == len(targets):
            raise ConversionError("; ".join(failures))
        compared = self._compare({t: item for t, item in artifacts.items() if isinstance(item, Artifact)})
        if compared is None:
            return Attempt(artifacts, None, {})
        return Attempt(artifacts, compared.reference, compared.candidates)

    def _artifact(
        self, target: str, calibration: Samples | None, recipe: Recipe, folder: Path
    ) -> Artifact | ConversionError:
        """The target's artifact, or why there is none: one target's failure does not take the others with it."""
        console.note(f"converting for {target}")
        folder.mkdir()
        try:
            return TARGETS[target].convert(self._model_for(target), calibration, recipe, folder)
        except ConversionError as error:
            shutil.rmtree(folder)
            return error

    def _model_for(self, target: str) -> FloatModel:
        if self.compressed is None:
            return self.original
        trained = self.compressed.trained if TARGETS[target].takes_quantizers else self.compressed.plain
        return float_model_from_keras(trained, name=self.original.name)

    def _compare(self, made: Mapping[str, Artifact]) -> Comparison | None:
        if self.evaluation is None or not made:
            return None
        console.note("comparing with the float model")
        trained = self.compressed and float_model_from_keras(self.compressed.plain, name=self.original.name)
        return compare(
            runner_for(self.original),
            {target: runner_for(TARGETS[target].runnable(artifact), ours=True) for target, artifact in made.items()},
            self.evaluation,
            task=self.task,
            max_accuracy_drop=self.max_accuracy_drop,
            layers=True,
            made_from=None if trained is None else runner_for(trained),
            seed=self.seed,
        )

    def repaired(
        self, attempt: Attempt, calibration: Samples | None, calibration_samples: int, recipe: Recipe, folder: Path
    ) -> Attempt:
        """The attempt with each artifact replaced that failed the gate or lost zeros or clusters, if a repair is found.

        Args:
            attempt: with the causes of what was lost.
            calibration: the whole calibration data.
            calibration_samples: how many of them were used.
            recipe: with which the attempt was made.
            folder: holds the attempt's artifacts.
        """
        artifacts, results = dict(attempt.artifacts), dict(attempt.results)
        for target, result in attempt.results.items():
            if calibration is None or _is_good(result):
                continue
            better = self._better(target, result, calibration, calibration_samples, recipe, folder / f".{target}")
            if better is not None:
                shutil.rmtree(folder / target)
                artifact, results[target], note = better
                artifact.folder.rename(folder / target)
                artifacts[target] = _moved(artifact, folder / target, note)
            shutil.rmtree(folder / f".{target}", ignore_errors=True)
        return Attempt(artifacts, attempt.reference, results)

    def _better(
        self,
        target: str,
        result: CandidateResult,
        calibration: Samples,
        calibration_samples: int,
        recipe: Recipe,
        scratch: Path,
    ) -> tuple[Artifact, CandidateResult, str] | None:
        """The first good artifact, with a line that says what was changed; None if there is none."""
        last: list[tuple[Artifact, CandidateResult]] = []
        keras_model = self.original.keras_model
        names = [] if keras_model is None else [layer.name for layer in all_layers(keras_model)]

        def retry(suggestion: Suggestion) -> Gate:
            console.note(f"{target}: trying {suggestion.flag}")
            number = max(calibration_samples, suggestion.calibration_samples or 0)
            samples = calibration.spread(number)
            if suggestion.preprocess is not None:
                samples = dataclasses.replace(samples, preprocess=preprocess_for(suggestion.preprocess))
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                tried = self._trained_for(suggestion.recipe, recipe).attempt(
                    [target], samples, suggestion.recipe, scratch
                )
            except ConversionError:
                return result.gate
            last[:] = [(cast(Artifact, tried.artifacts[target]), tried.results[target])]
            return tried.results[target].gate

        suggestions = suggest(result.causes, recipe, calibration_samples=calibration_samples, layer_names=names)
        trials = try_suggestions(suggestions, retry)
        if not last or not _is_good(last[0][1]):
            return None
        flags = "; ".join(trial.suggestion.flag for trial in trials)
        return *last[0], f"repaired: {flags}"

    def _trained_for(self, changed: Recipe, recipe: Recipe) -> Job:
        """This job, fine-tuned anew where a changed recipe trains in another way."""
        if all(getattr(changed, section) == getattr(recipe, section) for section in _TRAINED):
            return self
        return dataclasses.replace(self, compressed=self.compress(changed))


def _is_good(result: CandidateResult) -> bool:
    """Whether the gate did not fail, and nothing is lost that compression had gained."""
    return not result.gate.failed and not any(cause.kind in _LOSSES for cause in result.causes)


def _moved(artifact: Artifact, folder: Path, note: str) -> Artifact:
    runnable = folder / artifact.runnable.relative_to(artifact.folder)
    return dataclasses.replace(artifact, folder=folder, runnable=runnable, notes=(*artifact.notes, note))
