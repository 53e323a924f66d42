"""The state of a pass over the data in a file, so that a diff that was killed continues where it was.

The file holds arrays under nested names in numpy's own format, without pickles: reading it runs nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.runners import Runner
from tfcompress.cache import fingerprint as fingerprint_of
from tfcompress.cache import whole_file
from tfcompress.data import Samples
from tfcompress.data.kept_arrays import read_kept_arrays
from tfcompress.errors import InputError, cause_of

__all__ = ["Progress", "Tree", "fingerprint"]

Tree = Mapping[str, Any]  # {name: array or Tree}

FORMAT = "tfcompress diff progress 1"
SECONDS = 20.0  # between two writes: what a kill costs at most
SEPARATOR = "\x1f"


class Progress:
    """Where a pass has come to.

    Args:
        path: the file; None keeps nothing.
        key: what the pass is of; a file with another key is of another diff, and is replaced.

    Raises:
        InputError: the path cannot be written, or is a file of something else.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self._path = path
        self._key = key
        self._written = time.monotonic()
        if path is not None:
            _check(path)

    def load(self) -> Tree | None:
        """What `save` wrote last for the same key; None where there is nothing.

        Raises:
            InputError: the file is damaged.
        """
        if self._path is None or not self._path.exists():
            return None
        arrays = read_kept_arrays(self._path, f"--resume={self._path}; remove it")
        if str(arrays.get("key")) != self._key:
            return None
        try:
            state = _nested({str(name): arrays[f"{i}"][()] for i, name in enumerate(arrays["names"])})
            return {**state, "batches": int(state["batches"])}
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # not as `save` writes it
            raise InputError(f"--resume={self._path}: damaged; remove it: {cause_of(error)}") from None

    @property
    def due(self) -> bool:
        """Whether it is time to write again."""
        return self._path is not None and time.monotonic() - self._written >= SECONDS

    def save(self, state: Tree) -> None:
        """Replace the file in one step, so that a kill leaves the old one or the new one."""
        if self._path is None:
            return
        flat = _flat(state)
        arrays = {f"{i}": np.asarray(value) for i, value in enumerate(flat.values())}
        with whole_file(self._path) as stream:
            np.savez(stream, format=FORMAT, key=self._key, names=np.array(list(flat)), **arrays)  # type: ignore[arg-type]
        self._written = time.monotonic()

    def remove(self) -> None:
        """The pass is done."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _check(path: Path) -> None:
    if path.is_dir() or (path.is_symlink() and not path.exists()) or not os.access(path.absolute().parent, os.W_OK):
        raise InputError(f"--resume={path}: cannot be written; expected a file name in a folder that is writable")
    if path.exists() and not _is_ours(path):
        raise InputError(f"--resume={path}: is not a progress file of tfcompress diff; name another file")


def _is_ours(path: Path) -> bool:
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        return str(read_kept_arrays(path, "").get("format")) == FORMAT
    except InputError:
        return False


def _flat(tree: Tree, above: str = "") -> dict[str, object]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{above}{SEPARATOR}{name}" if above else name
        flat |= _flat(value, path) if isinstance(value, Mapping) else {path: value}
    return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split(SEPARATOR)
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return tree


def fingerprint(runners: Mapping[str, Runner], data: Samples, batch_size: int, settings: Mapping[str, object]) -> str:
    """A hash of all that the figures of a pass depend on.

    Args:
        runners: by name; a function counts by its name alone, as its code cannot be hashed.
        data: the source's bytes count, and the first batch as the model sees it, so that other preprocessing shows.
        batch_size: figures are summed a batch at a time.
        settings: JSON values.
    """
    first = next(data.batches(batch_size))
    models = {name: (runner.name, runner.sha256) for name, runner in runners.items()}
    samples = (data.sha256, data.limit, data.indices, first.inputs, first.labels)
    return fingerprint_of("diff", models, samples, batch_size, settings)
