"""The command line that does a conversion again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfcompress.data import Data
from tfcompress.data.preprocess import Preprocess
from tfcompress.recipe import Recipe

__all__ = ["convert_command"]


def convert_command(
    model: Any,
    targets: Sequence[str],
    calibration: Data | None,
    evaluation: Data | None,
    train: Data | None,
    preprocess: str | Preprocess | None,
    label_column: str | None,
    recipe: Recipe | None,
    output: Path,
) -> str | None:
    """The command line that does the same; None where something came from memory, which no command can name."""
    flags = {
        "targets": ",".join(targets),
        "calibration": calibration,
        "evaluation": evaluation,
        "train": train,
        "preprocess": preprocess,
        "label_column": label_column,
        "recipe": None if recipe is None else "recipe.json",
        "output": output,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    if not all(isinstance(value, str | Path) for value in (model, *given.values())):
        return None
    return shlex.join(["tfcompress", "convert", str(model), *(f"--{name}={value}" for name, value in given.items())])
