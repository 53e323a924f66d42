"""The main job on one page: load, compress, convert, compare, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.calibration import select_representative
from tfcompress.compression import Compressed, finetune, start_strategy
from tfcompress.converters import DEFAULT_TARGETS, TARGETS, parse_targets
from tfcompress.data import Data, Samples
from tfcompress.data.preprocess import Preprocess
from tfcompress.diagnosis import missing_extras, optional
from tfcompress.errors import InputError
from tfcompress.job.attempts import Job
from tfcompress.job.data_sets import DataSets
from tfcompress.job.manifest import write_manifest
from tfcompress.job.options import ConvertOptions
from tfcompress.job.output_folder import published
from tfcompress.job.reproduce import reproduce_command
from tfcompress.job.results import build_report
from tfcompress.job.signing import SigningKey
from tfcompress.load import load_model
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.process_state import leaves_process_alone
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import documented
from tfcompress.report import Report, render_html
from tfcompress.report.schema import TargetSection
from tfcompress.typed_json import to_plain

__all__ = ["Conversion", "convert"]


@dataclass(frozen=True)
class Conversion:
    """What a run of `convert` made.

    Attributes:
        output: the folder.
        result: what came of it, typed.
        strict_gate: an undecided gate counts as a failed one.
    """

    output: Path
    result: Report = field(repr=False)
    strict_gate: bool = False

    @cached_property
    def report(self) -> Mapping[str, Any]:
        """The content of report.json, as plain JSON values."""
        return self.result.to_plain()

    @property
    def targets(self) -> Mapping[str, TargetSection]:
        """What came of each target that was asked for."""
        return self.result.asked

    @property
    def exit_code(self) -> int:
        """0 all is well; 1 a conversion failed; 3 an artifact failed the accuracy gate, or is undecided if strict."""
        return self.result.exit_code(strict_gate=self.strict_gate)


@leaves_process_alone
@documented(ConvertOptions)
def convert(
    model: Any,
    *,
    output: str | Path,
    targets: str | Sequence[str] = DEFAULT_TARGETS,
    calibration: Data | None = None,
    evaluation: Data | None = None,
    train: Data | None = None,
    recipe: Recipe | None = None,
    preprocess: str | Preprocess | None = None,
    label_column: str | None = None,
    calibration_samples: int = 500,
    max_accuracy_drop: float = 0.01,
    task: str | None = None,
    suggest: bool = False,
    seed: int = 0,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
    max_load_seconds: float | None = None,
    max_load_memory: float | None = None,
    sign_key: str | Path | None = None,
) -> Conversion:
    """Convert a trained Keras model for each target and prove every artifact against the float model.

    Returns:
        The output folder and the report.

    Raises:
        InputError: anything about the input is wrong; nothing was written.
        ConversionError: the model cannot be compressed, or no target could be made; nothing was written.
        OutputError: the disk is full, or the output cannot be put in its place; what was there is as it was.
    """
    options = ConvertOptions(
        model=model,
        output=output,
        targets=targets,
        calibration=calibration,
        evaluation=evaluation,
        train=train,
        recipe=recipe,
        preprocess=preprocess,
        label_column=label_column,
        calibration_samples=calibration_samples,
        max_accuracy_drop=max_accuracy_drop,
        task=task,
        suggest=suggest,
        seed=seed,
        custom_objects=custom_objects,
        allow_unsafe_deserialization=allow_unsafe_deserialization,
        max_load_seconds=max_load_seconds,
        max_load_memory=max_load_memory,
        sign_key=sign_key,
    )
    wanted, plan, folder = parse_targets(targets), recipe or Recipe(), Path(output)
    key = None if sign_key is None else SigningKey(sign_key)
    reads = (model, calibration, evaluation, train, sign_key)
    with silenced(), published(folder, reads=reads) as work, missing_extras() as missing:
        if plan.trains:
            start_strategy(plan.training.strategy)
        console.note("loading the model")
        original = load_model(
            model,
            custom_objects=custom_objects,
            allow_unsafe_deserialization=allow_unsafe_deserialization,
            max_load_seconds=max_load_seconds,
            max_load_memory=max_load_memory,
        )
        data = DataSets.open(original, calibration, evaluation, train, preprocess, label_column)
        data.require_for(wanted, plan)
        compressed = _compress(original, plan, data, seed, wanted)
        job = Job(
            original,
            compressed,
            data.evaluation,
            task,
            max_accuracy_drop,
            seed,
            compress=lambda changed: _compress(original, changed, data, seed, wanted),
        )
        representative = _representative(original, data.calibration, calibration_samples, plan)
        attempt = job.attempt(wanted, representative, plan, work)
        if suggest:
            attempt = job.repaired(attempt, data.calibration, calibration_samples, plan, work)
        report = build_report(
            original,
            plan,
            attempt,
            notes=compressed.notes if compressed else (),
            warnings=(*data.warnings(), *missing),
            command=reproduce_command(options),
            max_accuracy_drop=max_accuracy_drop,
            seed=seed,
        )
        plan.save(work / "recipe.json")
        _write(work, report, data, key)
    return Conversion(folder, report)


def _representative(model: FloatModel, samples: Samples | None, count: int, recipe: Recipe) -> Samples | None:
    """The samples that calibrate, as the recipe selects them."""
    if samples is None or recipe.post_training.selection == "spread":
        return None if samples is None else samples.spread(count)
    from tfcompress.converters.litert import to_float_tflite, with_fixed_sizes  # heavy, and seldom needed here

    console.note("choosing representative samples")
    return select_representative(to_float_tflite(with_fixed_sizes(model, samples)), samples, count)


def _compress(
    original: FloatModel, recipe: Recipe, data: DataSets, seed: int, wanted: Sequence[str]
) -> Compressed | None:
    if not recipe.trains:
        return None
    if original.keras_model is None:
        raise InputError(
            f"{original.name}: a SavedModel without Keras layers cannot be wrapped; give the .keras or .h5"
        )
    assert data.train is not None  # require_for has seen to it
    console.note("compressing and fine-tuning")
    changed = original.keras_model
    notes: tuple[str, ...] = ()
    for target in (TARGETS[name] for name in wanted):
        if target.before_training is not None:
            changed, more = target.before_training(changed, recipe)
            notes = (*notes, *more)
    teacher = None if changed is original.keras_model else original.keras_model
    compressed = finetune(changed, recipe, data.train, seed=seed, distil_from=teacher)
    return replace(compressed, notes=(*notes, *compressed.notes))


def _write(work: Path, report: Report, data: DataSets, key: SigningKey | None) -> None:
    """report.html, report.json and manifest.json."""
    with missing_extras() as missing, optional("report.html"):
        html = render_html(report)
        (work / "report.html").write_text(html, encoding="utf-8", errors="backslashreplace")
    told = replace(report, warnings=(*report.warnings, *missing))
    (work / "report.json").write_text(told.to_json(), encoding="utf-8")
    facts = {name: to_plain(getattr(report, name), name) for name in ("model", "recipe", "seed", "versions")}
    write_manifest(work, {**facts, "data": data.hashes()}, key=key)
