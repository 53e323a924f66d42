"""``python -m benchmarks.zoo.build MODEL FOLDER``: build one network, save it as a user would, and write its inputs.

The folder then has the file, ``calibration.npz``, ``evaluation.npz`` and ``built.json``.  A file counts as saved where
Keras itself reads it back; else the network is saved as a SavedModel, which needs no classes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.zoo.calls import attribute
from benchmarks.zoo.entries import ENTRIES
from benchmarks.zoo.entry import Entry
from benchmarks.zoo.samples import samples_for
from benchmarks.zoo.weights import randomize
from tfcompress.runtime import keras, tf_keras

__all__ = ["CALIBRATION", "EVALUATION", "build", "resolved"]

Inputs = dict[str, tuple[str, tuple[int | None, ...], str]]
CALIBRATION, EVALUATION = 64, 32  # samples


def build(entry: Entry, folder: Path) -> None:
    """Build, randomize and save one network into `folder`."""
    (tf_keras if entry.legacy else keras).utils.set_random_seed(0)
    model = entry.build()
    inputs = _inputs(model)
    samples = _samples(entry, inputs)
    randomize(model, _as_called(model, {name: samples[name][:16] for name in samples}))
    file, objects, note = _saved(model, entry, folder)
    arrays: dict[str, Any] = dict(zip(("x",), samples.values(), strict=True)) if len(samples) == 1 else samples
    np.savez(folder / "calibration.npz", **{name: values[:CALIBRATION] for name, values in arrays.items()})
    np.savez(folder / "evaluation.npz", **{name: values[CALIBRATION:] for name, values in arrays.items()})
    facts = {
        "file": file,
        "keras": 2 if isinstance(model, tf_keras.Model) else 3,
        "parameters": int(model.count_params()),
        "objects": objects,
        "has_code": any(type(layer).__name__ == "Lambda" for layer in _all_layers(model)),
        "note": note,
    }
    (folder / "built.json").write_text(json.dumps(facts), encoding="utf-8")


def _samples(entry: Entry, inputs: Inputs) -> dict[str, np.ndarray]:
    drawn = samples_for(
        [(name, shape, "int32" if entry.tokens else dtype) for name, shape, dtype in inputs.values()],
        CALIBRATION + EVALUATION,
        vocabulary=entry.vocabulary,
        size=entry.size,
        pixels=entry.pixels,
    )
    return {name: drawn[name].astype(inputs[name][2]) if entry.tokens else drawn[name] for name in drawn}


def _inputs(model: Any) -> Inputs:
    tensors = getattr(model, "inputs", None)
    if not tensors:
        raise ValueError("the network has no symbolic inputs: wrap it in a functional model")
    names = [_input_name(tensor) for tensor in tensors]
    return {
        name: (name, tuple(tensor.shape[1:]), getattr(tensor.dtype, "name", tensor.dtype))
        for name, tensor in zip(names, tensors, strict=True)
    }


def _input_name(tensor: Any) -> str:
    """The input layer's name, which is the one that the file keeps."""
    history = tensor._keras_history
    return str((history.operation if hasattr(history, "operation") else history.layer).name)


def _as_called(model: Any, samples: dict[str, np.ndarray]) -> Any:
    """One batch in the form of the model's own inputs."""
    structure = getattr(model, "_inputs_struct", getattr(model, "_nested_inputs", None))
    if isinstance(structure, dict):
        names: dict[int, str] = {id(tensor): name for name, tensor in zip(samples, model.inputs, strict=True)}
        return {key: samples[names.get(id(tensor), str(key))] for key, tensor in structure.items()}
    return list(samples.values()) if len(samples) > 1 else next(iter(samples.values()))


def _saved(model: Any, entry: Entry, folder: Path) -> tuple[str, dict[str, str], str | None]:
    """The file's name, the objects that it needs, and why it is a SavedModel."""
    legacy = isinstance(model, tf_keras.Model)
    library, name = (tf_keras, "model.h5") if legacy else (keras, "model.keras")
    objects = {**_own_classes(model), **entry.objects}
    try:
        model.save(folder / name)
        library.models.load_model(folder / name, custom_objects=resolved(objects), compile=False)
    except Exception as error:  # whatever the collection's own code raises
        if legacy:
            model.save(folder / "saved_model", save_format="tf")
        else:
            model.export(folder / "saved_model", verbose=False)
        return "saved_model", {}, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    return name, objects, None


def _own_classes(model: Any) -> dict[str, str]:
    """{class name: ``module:name``} of the layers that are not Keras's, and not registered by their collection."""
    library = tf_keras.utils if isinstance(model, tf_keras.Model) else keras.saving
    classes = {type(layer) for layer in [model, *_all_layers(model)]}
    return {
        kind.__name__: f"{kind.__module__}:{kind.__qualname__}"
        for kind in classes
        if not kind.__module__.startswith(("keras.", "tf_keras."))
        and library.get_registered_name(kind) == kind.__name__
    }


def _all_layers(model: Any) -> list[Any]:
    flatten = getattr(model, "_flatten_layers", None)
    return list(flatten()) if flatten is not None else list(model.layers)


def resolved(objects: dict[str, str]) -> dict[str, Any]:
    """{name: object} of {name: ``module:name``}."""
    return {name: attribute(place) for name, place in objects.items()}


if __name__ == "__main__":
    build(ENTRIES[sys.argv[1]], Path(sys.argv[2]))
