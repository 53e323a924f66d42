"""What a converter leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tfcompress.targets import Target

if TYPE_CHECKING:  # these bring TensorFlow, which inspecting a .tflite does not need
    from tfcompress.data import Samples
    from tfcompress.model import FloatModel
    from tfcompress.recipe import Recipe

__all__ = ["Artifact", "Converter"]


@dataclass(frozen=True)
class Artifact:
    """One target's files.

    Attributes:
        target: where they run.
        folder: holds all the files, and nothing else.
        runnable: the .tflite or SavedModel folder that the accuracy diff loads.
        facts: the target's own keys of report.json (`fully_integer`, `input_dtypes`, `mapping`, `compile`, ...).
        notes: one line each for people: which engine and why, what was rewritten, what stayed float.
    """

    target: Target
    folder: Path
    runnable: Path
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# (model, calibration samples, recipe, empty existing folder to fill) -> artifact
# Raises ConversionError, leaving the folder for the caller to remove.
Converter = Callable[["FloatModel", "Samples | None", "Recipe", Path], Artifact]
