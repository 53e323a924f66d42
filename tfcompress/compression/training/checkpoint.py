"""Training state on disk: a killed run goes on from the last whole epoch and ends with the same weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.errors import InputError

__all__ = ["Checkpoint"]


class Checkpoint:
    """The last finished epoch of one stage of training, in one file that is replaced whole.

    Args:
        folder: made if missing; None keeps nothing.
        stage: name of the stage.
        fingerprint: of model, recipe and data; a file of another run is refused.
        writes: whether this process is the one that writes (the chief of several workers).
    """

    def __init__(self, folder: Path | None, stage: str, fingerprint: str, *, writes: bool = True) -> None:
        self.path = None if folder is None else folder / f"{stage}.npz"
        self.fingerprint = fingerprint
        self.writes = writes

    def save(self, epoch: int, model: Any) -> None:
        """Remember `model`, its optimizer included, after so many finished epochs."""
        if self.path is None or not self.writes:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state: dict[str, Any] = {f"v{index}": np.asarray(variable) for index, variable in enumerate(_state_of(model))}
        temporary = self.path.with_suffix(".partial")
        with temporary.open("wb") as file:
            np.savez(file, epoch=epoch, fingerprint=self.fingerprint, **state)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)

    def restore(self, model: Any) -> int:
        """Give `model` the remembered state; the number of finished epochs, 0 without a file.

        Raises:
            InputError: the file is of another run.
        """
        if self.path is None or not self.path.exists():
            return 0
        model.optimizer.build(model.trainable_variables)
        with np.load(self.path) as stored:
            if str(stored["fingerprint"]) != self.fingerprint:
                raise InputError(
                    f"{self.path}: checkpoint of another model, recipe or data; remove it or choose another folder"
                )
            for index, variable in enumerate(_state_of(model)):
                variable.assign(stored[f"v{index}"])
            return int(stored["epoch"])


def _state_of(model: Any) -> list[Any]:
    return [*model.weights, *model.optimizer.variables]
