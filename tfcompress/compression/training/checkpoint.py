"""Training state that outlives the process: a killed run goes on from the last whole epoch and ends the same.

The state is numpy's own format without pickles: reading it runs nothing.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfcompress.cache import Store, write_whole
from tfcompress.data.kept_arrays import read_kept_arrays
from tfcompress.errors import InputError

__all__ = ["Checkpoint", "CheckpointFile", "Kept", "KeptInStore"]


class Kept(Protocol):
    """Where the state of one stage of training is kept."""

    def read(self) -> bytes | None:
        """What was written last; None where there is nothing."""
        ...

    def write(self, content: bytes) -> None:
        """Replace it in one step."""
        ...


class CheckpointFile:
    """A file that the user named.

    Args:
        path: made with its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> bytes | None:
        """See `Kept`."""
        return self.path.read_bytes() if self.path.is_file() else None

    def write(self, content: bytes) -> None:
        """See `Kept`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, content)


class KeptInStore:
    """An entry of a store.

    Args:
        store: which.
        key: a fingerprint of all that the training depends on.
    """

    def __init__(self, store: Store, key: str) -> None:
        self.store = store
        self.key = key

    def read(self) -> bytes | None:
        """See `Kept`."""
        return self.store.get(self.key)

    def write(self, content: bytes) -> None:
        """See `Kept`."""
        self.store.put(self.key, content)


class Checkpoint:
    """The last finished epoch of one stage of training.

    Args:
        kept: where; None keeps nothing.
        fingerprint: of model, recipe and data; the state of another run is refused.
        where: what holds the state, for messages.
        writes: whether this process is the one that writes (the chief of several workers).
    """

    def __init__(self, kept: Kept | None, fingerprint: str, *, where: str = "", writes: bool = True) -> None:
        self.kept = kept
        self.fingerprint = fingerprint
        self.where = where
        self.writes = writes

    def save(self, epoch: int, model: Any) -> None:
        """Remember `model`, its optimizer included, after so many finished epochs."""
        if self.kept is None or not self.writes:
            return
        state: dict[str, Any] = {f"v{index}": np.asarray(variable) for index, variable in enumerate(_state_of(model))}
        stream = io.BytesIO()
        np.savez(stream, epoch=epoch, fingerprint=self.fingerprint, **state)
        self.kept.write(stream.getvalue())

    def restore(self, model: Any) -> int:
        """Give `model` the remembered state; the number of finished epochs, 0 where there is none.

        Raises:
            InputError: the state is that of another run, or cannot be read.
        """
        content = None if self.kept is None else self.kept.read()
        if content is None:
            return 0
        model.optimizer.build(model.trainable_variables)
        stored = read_kept_arrays(io.BytesIO(content), f"{self.where}: not a readable checkpoint; remove it")
        try:
            return self._restored(stored, model)
        except (ValueError, TypeError, KeyError) as error:  # of another shape or dtype, or not there
            raise InputError(f"{self.where}: not a readable checkpoint ({error}); remove it") from None

    def _restored(self, stored: Mapping[str, np.ndarray], model: Any) -> int:
        if str(stored["fingerprint"]) != self.fingerprint:
            raise InputError(
                f"{self.where}: checkpoint of another model, recipe or data; remove it or choose another folder"
            )
        for index, variable in enumerate(_state_of(model)):
            variable.assign(stored[f"v{index}"])
        return int(stored["epoch"].item())


def _state_of(model: Any) -> list[Any]:
    return [*model.weights, *model.optimizer.variables]
