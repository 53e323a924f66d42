"""``tfcompress convert MODEL MODEL...``: every model into a folder of its own, and one table of what came of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tfcompress.converters.target import title_of
from tfcompress.errors import GATE_FAILED, InputError, TfCompressError
from tfcompress.report import figures

if TYPE_CHECKING:
    from tfcompress.job.conversion import Conversion  # with TensorFlow, which not every command needs

__all__ = ["Outcome", "convert_each", "exit_code_of", "folders_for", "summary_table"]


@dataclass(frozen=True)
class Outcome:
    """What came of one model.

    Attributes:
        model: its path.
        output: its folder.
        conversion: None where it failed.
        error: why it failed; None where it did not.
    """

    model: str
    output: Path
    conversion: Conversion | None = None
    error: TfCompressError | None = None

    @property
    def exit_code(self) -> int:
        """As if the model had been converted alone."""
        if self.conversion is not None:
            return self.conversion.exit_code
        return 1 if self.error is None else self.error.exit_code

    def to_json(self) -> dict[str, Any]:
        """The model's entry in what ``--json`` prints."""
        return {
            "model": self.model,
            "output": str(self.output),
            "exit_code": self.exit_code,
            "error": None if self.error is None else str(self.error),
            "report": None if self.conversion is None else dict(self.conversion.report),
        }


def folders_for(models: Sequence[str], output: str) -> list[Path]:
    """A folder for each model below `output`, by the model's own name.

    Raises:
        InputError: two models have the same name.
    """
    folders = [Path(output) / Path(model).stem for model in models]
    for index, folder in enumerate(folders):
        if folder in folders[:index]:
            raise InputError(f"{models[index]}: another model is called {folder.name} too; convert it in a second run")
    return folders


def convert_each(models: Sequence[str], output: str, convert: Callable[[str, Path], Conversion]) -> list[Outcome]:
    """Convert one model after the other; one that fails does not take the others with it.

    Args:
        models: paths.
        output: the folder that gets a folder for each.
        convert: converts a model into a folder.

    Raises:
        InputError: two models have the same name, or `output` cannot be made.
    """
    outcomes, folders = [], folders_for(models, output)
    try:
        Path(output).mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"--output={output}: cannot be made: {error.strerror}") from None
    for model, folder in zip(models, folders, strict=True):
        try:
            outcomes.append(Outcome(model, folder, convert(model, folder)))
        except TfCompressError as error:
            outcomes.append(Outcome(model, folder, error=error))
    if not any(Path(output).iterdir()):
        Path(output).rmdir()
    return outcomes


def exit_code_of(outcomes: Sequence[Outcome]) -> int:
    """2 or 1 where a model failed, else 3 where one lost too much accuracy, else 0."""
    codes = {outcome.exit_code for outcome in outcomes}
    return next((code for code in (InputError.exit_code, 1, GATE_FAILED) if code in codes), 0)


def summary_table(outcomes: Sequence[Outcome]) -> Table:
    """A row for each target of each model, or for the error of a model that failed."""
    table = Table(title="all models", title_justify="left")
    for name in ("model", "target", "status", "size", "change in points", "why"):
        table.add_column(name, overflow="fold", ratio=1 if name == "why" else None)
    for outcome in outcomes:
        name = Path(outcome.model).name
        if outcome.conversion is None:
            table.add_row(Text(name), "", Text("failed", style="bold red"), "", "", Text(str(outcome.error)))
            continue
        for target, section in outcome.conversion.targets.items():
            style = {"ok": "green", "undecided": "yellow"}.get(section.status, "bold red")
            table.add_row(
                Text(name),
                title_of(target),
                Text(section.status.replace("_", " "), style=style),
                figures.size(section.bytes),
                figures.change(section.diff.accuracy_drop),
                Text(section.reason or ""),
            )
    return table
