"""The main job on one page: what is asked for goes through the stages, and the folder appears whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tfcompress.cache import open_store, using
from tfcompress.converters import DEFAULT_TARGETS
from tfcompress.data import Data
from tfcompress.data.preprocess import Preprocess
from tfcompress.job import stages
from tfcompress.job.options import ConvertOptions
from tfcompress.job.output_folder import published
from tfcompress.job.signing import SigningKey
from tfcompress.job.stage import run_stages
from tfcompress.job.state import State
from tfcompress.native_output import silenced
from tfcompress.process_state import leaves_process_alone
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import documented
from tfcompress.remarks import remarks
from tfcompress.report import Report
from tfcompress.report.exports import flat_figures
from tfcompress.report.notebook import render_notebook
from tfcompress.report.schema import TargetSection

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

    @property
    def figures(self) -> dict[str, float]:
        """{``target/figure``: value}, for a tracker of experiments: `mlflow.log_metrics`, `wandb.log`."""
        return flat_figures(self.result)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return render_notebook(self.result, self.output)


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
    labels: str | Path | Sequence[str] | None = None,
    resize: str | None = None,
    sample_rate: int | None = None,
    calibration_samples: int = 500,
    max_accuracy_drop: float = 0.01,
    strict_gate: bool = False,
    task: str | None = None,
    sampling: str = "mean",
    decode: str | None = None,
    suggest: bool = False,
    seed: int = 0,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
    max_load_seconds: float | None = None,
    max_load_memory: float | None = None,
    author: str | None = None,
    score_threshold: float | None = None,
    sign_key: str | Path | None = None,
    cache_dir: str | Path | None = None,
    no_cache: bool = False,
) -> Conversion:
    """Convert a trained Keras model for each target and prove every artifact against the float model.

    Returns:
        The output folder and the report.

    Raises:
        InputError: anything about the input is wrong; nothing was written.
        ConversionError: the model cannot be compressed, or no target could be made; nothing was written.
        OutputError: the disk is full, or the output cannot be put in its place; what was there is as it was.
    """
    options = ConvertOptions(**locals())  # the arguments have the options' names, which a test keeps
    folder, store = Path(output), open_store(cache_dir, no_cache=no_cache)
    key = None if sign_key is None else SigningKey(sign_key)
    reads = (model, calibration, evaluation, train, sign_key)
    with silenced(), using(store), published(folder, reads=reads) as work, remarks() as missing:
        state = run_stages(stages.STAGES, State.start(options, work, missing=missing, signing_key=key))
    assert state.report is not None, "the stage `report` comes last"
    return Conversion(folder, state.report, strict_gate)
