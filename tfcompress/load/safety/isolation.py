"""Models whose file carries code, for users who trust it: the code runs in a process of its own.

Old bytecode can crash the interpreter, even after it has returned a result.  So this process never runs it: the child
does, records what it computes, and the model is rebuilt here from the recorded graphs and the file's weights.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress import console
from tfcompress.errors import InputError, ModelError, one_line
from tfcompress.keras_backend import ON_TENSORFLOW
from tfcompress.load.custom_objects import parse_custom_objects
from tfcompress.load.files.restore import reads_with_keras3, restore
from tfcompress.load.files.saved_model import load_saved_model
from tfcompress.load.files.source import ModelFile
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.load.keras_versions.equivalence import RELATIVE_TOLERANCE, random_inputs, relative_difference
from tfcompress.load.keras_versions.frozen_lambda import frozen_class
from tfcompress.model import FloatModel
from tfcompress.plain_files import real

__all__ = ["load_in_child"]

_SECONDS = 600
# Set in the child: a module that loads such a file while it is imported would start a child in each child.
_INSIDE = "TFCOMPRESS_TRUSTED_CHILD"


def load_in_child(file: ModelFile, custom_objects: str | Mapping[str, Any] | None) -> FloatModel:
    """The float model in a file that carries code, rebuilt without the code.

    Lambda layers become `FrozenLambda` layers.  Where the code sits elsewhere (in a subclassed model), only the
    signature of the whole model is left, which converts and compares but cannot be wrapped for fine-tuning.

    Args:
        file: of format `keras_v3`, `keras_v2` or `h5`.
        custom_objects: as the user gave them.

    Raises:
        ModelError: the code failed, crashed or did not end; or the rebuilt model computes something else.
    """
    with tempfile.TemporaryDirectory(prefix="tfcompress_") as name:
        folder = Path(name)
        result = _run_child(file, custom_objects, folder)
        if "saved_model" in result:
            console.note(f"{file.path}: only the signature is used: {result['saved_model']}")
            exported = load_saved_model(folder / "saved_model", {}, ours=True)
            model = dataclasses.replace(exported, name=file.path.stem, format=file.format, sha256=file.sha256)
        else:
            model = _rebuilt(file, parse_custom_objects(custom_objects), result["lambdas"])
        _compare(file.path, model, folder / "expected.npz")
    return model


def _run_child(file: ModelFile, custom_objects: str | Mapping[str, Any] | None, folder: Path) -> dict[str, Any]:
    request = {
        "path": str(real(file.path)),
        "custom_objects": custom_objects if isinstance(custom_objects, str) else None,
        "modules": [] if _INSIDE in os.environ else _modules_in_use(file),
    }
    (folder / "request.json").write_text(json.dumps(request))
    if isinstance(custom_objects, Mapping):
        (folder / "custom_objects.pickle").write_bytes(_pickled(custom_objects))
    command = [sys.executable, "-P", "-m", "tfcompress.load.safety.isolated", str(folder)]
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, **ON_TENSORFLOW, _INSIDE: "1", "PYTHONPATH": paths}
    try:
        child = subprocess.run(command, capture_output=True, timeout=_SECONDS, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{file.path}: the code in the file did not end within {_SECONDS} s") from error
    if child.returncode or not (folder / "result.json").exists():
        how = f"signal {-child.returncode}" if child.returncode < 0 else f"exit status {child.returncode}"
        last = child.stderr.decode(errors="replace").strip().splitlines()[-1:] if child.returncode > 0 else []
        raise ModelError(
            f"{file.path}: running the code in the file crashed its process ({how}); bytecode of another Python "
            f"version does that: save the model again with this one {one_line(' '.join(last), 200)}"
        )
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    if "error" in result:
        raise ModelError(result["error"])
    return result


def _modules_in_use(file: ModelFile) -> list[str]:
    """The modules that Lambda layers of Keras 2 say their code is of, as far as the user has imported them here."""
    settings = (item.get("config") for _, item in _lambda_items(file.config or {}))
    names = {str(given.get("module")) for given in settings if isinstance(given, Mapping)}
    return sorted(name for name in names if name in sys.modules and name != "__main__")


def _pickled(custom_objects: Mapping[str, object]) -> bytes:
    """The custom objects by reference, for our own child process."""
    try:
        return pickle.dumps(dict(custom_objects))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"custom_objects: {one_line(error)}: with allow_unsafe_deserialization a second process needs them; "
            "define them in a module and give package.module:dict"
        ) from error


def _rebuilt(file: ModelFile, custom_objects: Mapping[str, Any], lambdas: Mapping[str, Any]) -> FloatModel:
    config = copy.deepcopy(dict(file.config or {}))
    keras3 = reads_with_keras3(file, custom_objects)
    for name, item in _lambda_items(config):
        if name in lambdas:
            settings = item["config"]
            kept = {
                key: settings[key] for key in ("name", "trainable", "dtype", "batch_input_shape") if key in settings
            }
            item["class_name"] = f"tfcompress>{frozen_class(keras3=keras3)}"
            item["config"] = {**kept, "recordings": lambdas[name]}
            if "registered_name" in item:
                item["module"], item["registered_name"] = (
                    "tfcompress.load.keras_versions.frozen_lambda",
                    item["class_name"],
                )
                item["class_name"] = frozen_class(keras3=keras3)
    model = restore(file, custom_objects, config=config)
    return float_model_from_keras(model, name=file.path.stem, format=file.format, sha256=file.sha256)


def _lambda_items(item: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(path of the layer, its configuration) for each Lambda layer inside a model's configuration."""
    config = item.get("config")
    for layer in (
        config if isinstance(config, list) else config.get("layers", []) if isinstance(config, Mapping) else []
    ):
        settings = layer.get("config")
        name = settings.get("name") if isinstance(settings, Mapping) else None
        name = name or layer.get("name") or "sequential"
        if layer.get("class_name") == "Lambda":
            yield f"{prefix}{name}", layer
        else:
            yield from _lambda_items(layer, f"{prefix}{name}/")


def _compare(path: Path, model: FloatModel, expected: Path) -> None:
    """The proof that the rebuilt model computes what the file's code computed in the child."""
    values = random_inputs(model.inputs)
    outputs = model.predict({info.name: np.asarray(value) for info, value in zip(model.inputs, values, strict=True)})
    with np.load(expected, allow_pickle=False) as stored:
        worst = max(relative_difference(stored[f"output_{i}"], output) for i, output in enumerate(outputs.values()))
    if worst > RELATIVE_TOLERANCE:
        raise ModelError(
            f"{path}: the model rebuilt without its code differs by {worst:.2g} relative from what the code computed"
        )
