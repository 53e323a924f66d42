"""The process in which code from a model file runs; started by `tfcompress.load.safety.isolation`.

It loads the model, code and all, predicts with it, and leaves what the parent needs to rebuild the model without the
code: each Lambda layer as a recorded graph or, where the code sits elsewhere, the whole model as a SavedModel.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import pickle
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.errors import TfCompressError, one_line
from tfcompress.graphs.keras.call_graph import calls, is_graph
from tfcompress.graphs.tensorflow.private_names import scopes_of_bytecode
from tfcompress.load.custom_objects import parse_custom_objects
from tfcompress.load.files.archive import read_keras_archive
from tfcompress.load.files.hdf5 import read_h5
from tfcompress.load.files.restore import reads_with_keras3, restore
from tfcompress.load.files.source import file_kind
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.load.keras_versions.equivalence import random_inputs
from tfcompress.load.keras_versions.frozen_lambda import freeze_call
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["main"]


def main(folder: Path) -> None:
    """Do what ``request.json`` in `folder` asks, and write ``result.json`` beside it."""
    request = json.loads((folder / "request.json").read_text())
    try:
        result = _load(Path(request["path"]), request["custom_objects"], request["modules"], folder)
    except TfCompressError as error:
        result = {"error": str(error)}
    except Exception as error:  # the file's code may raise anything
        result = {"error": f"{request['path']}: its code failed: {type(error).__name__}: {one_line(error, 300)}"}
    if "NameError: " in result.get("error", ""):
        result["error"] += "; it is a name of the file that the code was written in: give it in custom_objects"
    (folder / "result.json").write_text(json.dumps(result))


def _load(path: Path, spec: str | None, modules: list[str], folder: Path) -> dict[str, Any]:
    pickled = folder / "custom_objects.pickle"
    objects = pickle.loads(pickled.read_bytes()) if pickled.exists() else parse_custom_objects(spec)
    keras.config.enable_unsafe_deserialization()
    file = read_h5(path) if file_kind(path) == "hdf5" else read_keras_archive(path)
    for module in modules:
        with contextlib.suppress(ImportError):  # of a notebook's folder, say; a name that is missing then is asked for
            importlib.import_module(module)
    _supply_names(objects, keras3=reads_with_keras3(file, objects))
    model = float_model_from_keras(restore(file, objects, trusted=True))
    _predict(model, folder / "expected.npz")
    try:
        return {"lambdas": dict(_frozen_lambdas(model.keras_model))}
    except _CodeElsewhereError as elsewhere:
        _export(model, folder / "saved_model")
        return {"saved_model": str(elsewhere)}


def _supply_names(objects: Mapping[str, object], *, keras3: bool) -> None:
    """Let the code find what it was written beside: the user's objects, and libraries under their usual names.

    A lambda's bytecode comes without the imports of its file, and neither Keras looks for them.
    """
    library = keras if keras3 else tf_keras
    usual = {
        "tf": tf,
        "np": np,
        "numpy": np,
        "math": math,
        "keras": library,
        "ops": keras.ops,
        "layers": library.layers,
    }
    names = {**usual, "backend": library.backend, "K": library.backend, **objects}
    for scope in scopes_of_bytecode:
        for name, value in names.items():
            vars(scope).setdefault(name, value)


def _predict(model: FloatModel, path: Path) -> None:
    """Run the code eagerly and traced, and keep the outputs for the parent to compare."""
    values = random_inputs(model.inputs)
    inputs = {info.name: np.asarray(value) for info, value in zip(model.inputs, values, strict=True)}
    outputs: dict[str, Any] = {f"output_{i}": value for i, value in enumerate(model.predict(inputs).values())}
    model.concrete_function(None)
    np.savez(path, **outputs)


class _CodeElsewhereError(Exception):
    """Code sits where it cannot be replaced by a recorded graph."""


def _frozen_lambdas(model: Any, prefix: str = "") -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(path of the layer, its recorded calls) for each Lambda layer, those in nested models too."""
    if not is_graph(model):
        raise _CodeElsewhereError(f"{model.name!r} is a subclassed model")
    recordings: dict[str, list[dict[str, Any]]] = {}
    for call in calls(model):
        name = f"{prefix}{call.layer.name}"
        if type(call.layer).__name__ == "Lambda":
            recordings.setdefault(name, []).append(freeze_call(call.layer, call.args[0]))
        elif hasattr(call.layer, "layers"):
            recordings.update(_frozen_lambdas(call.layer, f"{name}/"))
        elif type(getattr(call.layer, "layer", None)).__name__ == "Lambda":
            raise _CodeElsewhereError(f"{name!r} wraps a Lambda layer")
    yield from recordings.items()


def _export(model: FloatModel, folder: Path) -> None:
    """The whole model as a SavedModel with one signature."""
    module = tf.Module()
    module.model = model.keras_model
    tf.saved_model.save(module, str(folder), signatures={"serving_default": model.concrete_function(None)})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
