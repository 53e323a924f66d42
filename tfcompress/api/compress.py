"""`compress`: prune, cluster, quantization-aware-train or distil a model and save it, without converting it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfcompress.compression import finetune, start_strategy
from tfcompress.data import Data, open_data
from tfcompress.data.front_part import behind_front
from tfcompress.data.preprocess import Preprocess
from tfcompress.errors import InputError, one_line
from tfcompress.interruption import stoppable
from tfcompress.job.options import CompressOptions
from tfcompress.job.output_folder import explained
from tfcompress.load import load_model, to_keras3
from tfcompress.load.preprocessing import joined, split_preprocessing
from tfcompress.native_output import silenced
from tfcompress.plain_files import is_one_of
from tfcompress.process_state import leaves_process_alone
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import documented
from tfcompress.runtime import keras

__all__ = ["compress"]


@leaves_process_alone
@documented(CompressOptions)
def compress(
    model: Any,
    *,
    recipe: Recipe,
    train: Data,
    output: str | Path,
    preprocess: str | Preprocess | None = None,
    label_column: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    resize: str | None = None,
    sample_rate: int | None = None,
    checkpoints: str | Path | None = None,
    seed: int = 0,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
    max_load_seconds: float | None = None,
    max_load_memory: float | None = None,
) -> dict[str, Any]:
    """Wrap, fine-tune, strip and save a model, without converting it.

    Returns:
        {"output": the file, "notes": what was done, a line each}.

    Raises:
        InputError: anything about the input is wrong, the recipe among it; nothing was written.
        OutputError: the disk is full, or a limit is reached; a file that was there is as it was.
    """
    options = CompressOptions(**locals())  # the arguments have the options' names, which a test keeps
    path = Path(options.output)
    _check_file(path, model, train)
    with stoppable(), explained(path, path.absolute().parent), silenced():
        start_strategy(recipe.training.strategy)
        loaded = load_model(
            model,
            custom_objects=custom_objects,
            allow_unsafe_deserialization=allow_unsafe_deserialization,
            max_load_seconds=max_load_seconds,
            max_load_memory=max_load_memory,
        )
        if loaded.keras_model is None:
            raise InputError(f"{model}: a SavedModel without Keras layers cannot be wrapped; give the .keras or .h5")
        data = open_data(train, loaded.inputs, loaded.outputs, flag="train", **options.reading)
        front, rest = split_preprocessing(loaded) or (None, loaded)
        if front is not None:
            data = behind_front(data, front, rest.inputs, fingerprint=None)
        data = data.measured(loaded.sample_bytes)
        folder = None if checkpoints is None else Path(checkpoints)
        done = finetune(rest.keras_model, recipe, data, seed=seed, checkpoint_dir=folder)
        plain = to_keras3(done.stripped) if isinstance(loaded.keras_model, keras.Model) else done.stripped
        _save_whole(plain if front is None else joined(front, plain), path)
    return {"output": str(path), "notes": list(done.notes)}


def _check_file(path: Path, *read: Any) -> None:
    if path.suffix != ".keras":
        raise InputError(f"--output={path}: expected a file name that ends in .keras")
    try:
        writable = not path.is_dir() and path.absolute().parent.is_dir() and os.access(path.absolute().parent, os.W_OK)
        same = is_one_of(path, read)
        if writable:  # some file systems let nobody write, whatever their modes say
            tempfile.TemporaryDirectory(prefix=".tfcompress-", dir=path.absolute().parent).cleanup()
    except (OSError, ValueError) as error:
        raise InputError(f"--output={path}: cannot be written: {one_line(error, 160)}") from None
    if not writable:
        raise InputError(f"--output={path}: cannot be written; its folder must exist and be writable")
    if same:
        raise InputError(f"--output={path}: is a file that is read, the model itself or the data; choose another file")


def _save_whole(model: Any, path: Path) -> None:
    """Save to a temporary sibling and rename, so that the file is never half-written."""
    # The sibling's name is short: that of the file may be as long as the file system allows.
    with tempfile.TemporaryDirectory(prefix=".tfcompress-", dir=path.absolute().parent) as folder:
        temporary = Path(folder) / "model.keras"
        model.save(temporary)
        os.replace(temporary, path)
