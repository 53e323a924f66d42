"""`compress` and `diff`: the two jobs besides `convert`, as functions."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfcompress.accuracy_diff import compare, runner_for
from tfcompress.compression import finetune, start_strategy
from tfcompress.data import Data, open_data
from tfcompress.data.preprocess import Preprocess
from tfcompress.errors import InputError
from tfcompress.load import load_model, to_keras3
from tfcompress.native_output import silenced
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras

__all__ = ["compress", "diff"]


def compress(
    model: Any,
    *,
    recipe: Recipe,
    train: Data,
    output: str | Path,
    preprocess: str | Preprocess | None = None,
    label_column: str | None = None,
    checkpoints: str | Path | None = None,
    seed: int = 0,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
) -> dict[str, Any]:
    """Wrap, fine-tune, strip and save a model, without converting it.

    Args:
        model: path of a .keras, .h5 or SavedModel, or a model in memory.
        recipe: must have a section that trains.
        train: training data, see `tfcompress.data.open_data`.
        output: a .keras file; the model comes back in the Keras that it was made with.
        preprocess: what happens to raw values before the model.
        label_column: of `.csv` data.
        checkpoints: folder of checkpoints; a run that was killed resumes from the last epoch saved there.
        seed: of everything random.
        custom_objects: {name: class}, or ``package.module:dict``.
        allow_unsafe_deserialization: let code that the model file carries run.

    Returns:
        {"output", "notes": what was done, a line each}.

    Raises:
        InputError: anything about the input is wrong; nothing was written.
    """
    path = Path(output)
    _check_file(path)
    if not recipe.trains:
        raise InputError("--recipe: has none of pruning, clustering, quantization, distillation; nothing to do")
    with silenced():
        start_strategy(recipe.training.strategy)
        loaded = load_model(
            model, custom_objects=custom_objects, allow_unsafe_deserialization=allow_unsafe_deserialization
        )
        if loaded.keras_model is None:
            raise InputError(f"{model}: a SavedModel without Keras layers cannot be wrapped; give the .keras or .h5")
        data = open_data(
            train, loaded.inputs, loaded.outputs, preprocess=preprocess, label_column=label_column, flag="train"
        )
        folder = None if checkpoints is None else Path(checkpoints)
        done = finetune(loaded.keras_model, recipe, data, seed=seed, checkpoint_dir=folder)
        plain = to_keras3(done.plain) if isinstance(loaded.keras_model, keras.Model) else done.plain
        _save_whole(plain, path)
    return {"output": str(path), "notes": list(done.notes)}


def _check_file(path: Path) -> None:
    if path.suffix != ".keras":
        raise InputError(f"--output={path}: expected a file name that ends in .keras")
    if path.is_dir() or not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise InputError(f"--output={path}: cannot be written; its folder must exist and be writable")


def _save_whole(model: Any, path: Path) -> None:
    """Save to a temporary sibling and rename, so that the file is never half-written."""
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as folder:
        temporary = Path(folder) / path.name
        model.save(temporary)
        os.replace(temporary, path)


def diff(
    reference: Any,
    candidate: Any,
    *,
    evaluation: Data,
    preprocess: str | Preprocess | None = None,
    label_column: str | None = None,
    samples: int | None = None,
    task: str | None = None,
    metrics: Sequence[str] = (),
    resume: str | Path | None = None,
    max_accuracy_drop: float = 0.01,
    seed: int = 0,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
) -> dict[str, Any]:
    """Compare any two of .keras, .h5, SavedModel, .tflite, .onnx, a Keras model or a Python callable on the same data.

    Args:
        reference: what is taken as right; ``package.module:function`` names a callable.
        candidate: what is measured; the same.
        evaluation: data, with labels or without, see `tfcompress.data.open_data`.
        preprocess: what happens to raw values before both models.
        label_column: of `.csv` data.
        samples: use only the first so many; None means all.
        task: what the outputs mean; None finds it from the outputs.
        metrics: names of Keras metrics to count as well, or ``package.module:function`` of one that makes a metric.
        resume: a file that holds the state meanwhile, from which a diff that was killed continues; None keeps nothing.
        max_accuracy_drop: the gate, absolute.
        seed: of everything random.
        custom_objects: {name: class}, or ``package.module:dict``.
        allow_unsafe_deserialization: let code that a model file carries run.

    Returns:
        {"reference": {...}, "candidate": {"status", "reason", "metrics", "diff", "layers", ...}}.

    Raises:
        InputError: anything about the input is wrong.
    """
    with silenced():
        first, second = (
            runner_for(model, custom_objects=custom_objects, allow_unsafe_deserialization=allow_unsafe_deserialization)
            for model in (reference, candidate)
        )
        known = first if first.inputs else second  # a function takes what the other model takes
        if not known.inputs:
            raise InputError(f"{first.name} and {second.name}: two functions; one of the two must be a model")
        data = open_data(
            evaluation, known.inputs, known.outputs, preprocess=preprocess, label_column=label_column, flag="evaluation"
        )
        data = data if samples is None else data.take(samples)
        compared = compare(
            first,
            {"candidate": second},
            data,
            task=task,
            metrics=metrics,
            resume=None if resume is None else Path(resume),
            max_accuracy_drop=max_accuracy_drop,
            seed=seed,
            layers=True,
        ).to_json()
    return {
        "reference": {"name": str(reference), **compared["reference"], "bytes": _size(reference)},
        "candidate": {"name": str(candidate), **compared["candidates"]["candidate"], "bytes": _size(candidate)},
    }


def _size(model: Any) -> int | None:
    """Bytes of the file, or of all files of the folder, that a model is; None for one in memory."""
    if not isinstance(model, str | Path):
        return None
    path = Path(model)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
