"""The main job on one page: load, compress, convert, compare, report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.accuracy_diff import Comparison, compare, runner_for
from tfcompress.chatter import silenced
from tfcompress.converters import converter_for
from tfcompress.converters.artifact import Artifact
from tfcompress.data import Data, Samples, open_data
from tfcompress.data.preprocess import Preprocess
from tfcompress.errors import ConversionError, InputError, MissingExtraError
from tfcompress.load import float_model_from_keras, load_model
from tfcompress.manifest import write_manifest
from tfcompress.model import FloatModel
from tfcompress.output_folder import check_output, published
from tfcompress.recipe import Recipe
from tfcompress.report import render_html
from tfcompress.results import build_report
from tfcompress.runtime import tf_keras
from tfcompress.targets import Target, parse_targets
from tfcompress.wrappers import Compressed, finetune

__all__ = ["Conversion", "convert"]


@dataclass(frozen=True)
class Conversion:
    """What a run of `convert` made.

    Attributes:
        output: the folder.
        report: the content of report.json.
    """

    output: Path
    report: Mapping[str, Any] = field(repr=False)

    @property
    def exit_code(self) -> int:
        """0 all is well; 1 a conversion failed; 3 an artifact failed the accuracy gate."""
        statuses = {target["status"] for target in self.report["targets"].values()}
        return 1 if "failed" in statuses else 3 if "gate_failed" in statuses else 0


def convert(
    model: Any,
    *,
    output: str | Path,
    targets: str | Sequence[str] = tuple(Target),
    calibration: Data | None = None,
    evaluation: Data | None = None,
    train: Data | None = None,
    recipe: Recipe | None = None,
    preprocess: str | Preprocess | None = None,
    label_column: str | None = None,
    calibration_samples: int = 500,
    max_accuracy_drop: float = 0.01,
    task: str | None = None,
    seed: int = 0,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
) -> Conversion:
    """Convert a trained Keras model for each target and prove every artifact against the float model.

    Args:
        model: path of a .keras, .h5 or SavedModel, or a Keras 3 or tf_keras model in memory.
        output: folder to make; an earlier one of ours is replaced whole.
        targets: any of phone, edgetpu, cloud_tpu.
        calibration: representative data, see `tfcompress.data.open_data`; needed for integer targets.
        evaluation: data that artifacts are compared on, with labels or without; None uses the calibration data.
        train: data for fine-tuning where the recipe trains; None uses the calibration data.
        recipe: what to do; None means a plain `Recipe()`.
        preprocess: what happens to raw values before the model, see `tfcompress.data.preprocess.preprocess_for`.
        label_column: of `.csv` data.
        calibration_samples: how many samples calibrate, spread evenly over the data.
        max_accuracy_drop: the gate, absolute: 0.01 is one point.
        task: see `accuracy_diff.compare`; None finds it from the outputs.
        seed: of everything random.
        custom_objects: {name: class}, or ``package.module:dict``.
        allow_unsafe_deserialization: let code that the model file carries run.

    Returns:
        The output folder and the report.

    Raises:
        InputError: anything about the input is wrong; nothing was written.
        ConversionError: the model cannot be compressed; nothing was written.
    """
    wanted, plan, folder = parse_targets(targets), recipe or Recipe(), Path(output)
    check_output(folder)
    with silenced(), published(folder) as work:
        tf_keras.utils.set_random_seed(seed)
        console.note("loading the model")
        original = load_model(
            model, custom_objects=custom_objects, allow_unsafe_deserialization=allow_unsafe_deserialization
        )
        data = _Data.open(original, calibration, evaluation, train, preprocess, label_column)
        data.require_for(wanted, plan)
        representative = data.calibration.spread(calibration_samples) if data.calibration else None
        compressed = _compress(original, plan, data, seed)
        artifacts = {
            target: _artifact(target, original, compressed, representative, plan, work / target) for target in wanted
        }
        comparison = _compare(original, artifacts, data.evaluation, task, max_accuracy_drop, seed)
        notes = compressed.notes if compressed else ()
        report = build_report(
            original, plan, artifacts, comparison, notes=notes, max_accuracy_drop=max_accuracy_drop, seed=seed
        )
        _write(work, report, data)
    return Conversion(folder, report)


@dataclass(frozen=True)
class _Data:
    """The three data sets, opened for one model."""

    calibration: Samples | None
    evaluation: Samples | None
    train: Samples | None

    @classmethod
    def open(
        cls,
        model: FloatModel,
        calibration: Data | None,
        evaluation: Data | None,
        train: Data | None,
        preprocess: str | Preprocess | None,
        label_column: str | None,
    ) -> _Data:
        """Open what is given, and read a first sample of each: a mistake in the data shows at once."""

        def opened(data: Data | None, flag: str) -> Samples | None:
            if data is None:
                return None
            samples = open_data(
                data, model.inputs, model.outputs, preprocess=preprocess, label_column=label_column, flag=flag
            )
            next(samples.take(1).batches(1))
            return samples

        representative = opened(calibration, "calibration")
        return cls(
            representative, opened(evaluation, "evaluation") or representative, opened(train, "train") or representative
        )

    def hashes(self) -> dict[str, dict[str, Any] | None]:
        """Name and hash of each set, for the manifest."""
        sets = {"calibration": self.calibration, "evaluation": self.evaluation, "train": self.train}
        return {
            key: None if samples is None else {"name": samples.name, "sha256": samples.sha256}
            for key, samples in sets.items()
        }

    def require_for(self, targets: Sequence[Target], recipe: Recipe) -> None:
        """Refuse a job that has not the data it needs."""
        needs_ranges = recipe.post_training.scheme in ("int8", "int8_float_io", "int16x8")
        integer = Target.EDGETPU in targets or (Target.PHONE in targets and needs_ranges)
        if integer and self.calibration is None:
            raise InputError(
                "--calibration: integer targets need representative data, a few hundred inputs; none given"
            )
        if recipe.trains and self.train is None:
            raise InputError("--train: the recipe trains, which needs data; none given")


def _compress(original: FloatModel, recipe: Recipe, data: _Data, seed: int) -> Compressed | None:
    if not recipe.trains:
        return None
    if original.keras_model is None:
        raise InputError(
            f"{original.name}: a SavedModel without Keras layers cannot be wrapped; give the .keras or .h5"
        )
    assert data.train is not None  # require_for has seen to it
    console.note("compressing and fine-tuning")
    return finetune(original.keras_model, recipe, data.train, seed=seed)


def _artifact(
    target: Target,
    original: FloatModel,
    compressed: Compressed | None,
    calibration: Samples | None,
    recipe: Recipe,
    folder: Path,
) -> Artifact | ConversionError:
    """The target's artifact, or why there is none: one target's failure does not take the others with it."""
    console.note(f"converting for {target}")
    model = original
    if compressed is not None:
        # The TPU computes in bfloat16: it takes the trained weights without the integer simulation.
        keras_model = compressed.plain if target is Target.CLOUD_TPU else compressed.trained
        model = float_model_from_keras(keras_model, name=original.name)
    folder.mkdir()
    try:
        return converter_for(target)(model, calibration, recipe, folder)
    except ConversionError as error:
        shutil.rmtree(folder)
        return error


def _compare(
    original: FloatModel,
    artifacts: Mapping[Target, Artifact | ConversionError],
    evaluation: Samples | None,
    task: str | None,
    max_accuracy_drop: float,
    seed: int,
) -> Comparison | None:
    made = {str(target): runner_for(item.runnable) for target, item in artifacts.items() if isinstance(item, Artifact)}
    if evaluation is None or not made:
        return None
    console.note("comparing with the float model")
    return compare(runner_for(original), made, evaluation, task=task, max_accuracy_drop=max_accuracy_drop, seed=seed)


def _write(work: Path, report: Mapping[str, Any], data: _Data) -> None:
    """report.json, report.html and manifest.json."""
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    (work / "report.json").write_text(text, encoding="utf-8")
    try:
        (work / "report.html").write_text(render_html(dict(report)), encoding="utf-8")
    except MissingExtraError as error:
        console.warn(str(error))
    facts = {key: report[key] for key in ("model", "recipe", "seed", "versions")}
    write_manifest(work, {**facts, "data": data.hashes()})
