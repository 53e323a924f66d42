"""Sound models to start from, and how their configuration is changed."""

from __future__ import annotations

import functools
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py

from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["change_archive", "change_h5", "dense_h5", "dense_keras", "lambda_text", "member_bytes", "recorded_call_h5"]

Config = dict[str, Any]


@functools.cache
def _sound(kind: str) -> bytes:
    """The bytes of a sound model of one dense layer."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "keras":
            x = keras.Input((4,))
            path, model = Path(folder, "m.keras"), keras.Model(x, keras.layers.Dense(2, activation="relu")(x))
        elif kind == "h5":
            y = tf_keras.Input((4,))
            path, model = Path(folder, "m.h5"), tf_keras.Model(y, tf_keras.layers.Dense(2)(y))
        else:
            y = tf_keras.Input((4,))
            path, model = Path(folder, "m.h5"), tf_keras.Model(y, tf.math.log1p(y))
        model.save(path)
        return path.read_bytes()


def dense_keras(folder: Path, change: Callable[[Config], Any] | None = None) -> Path:
    """A Keras 3 `.keras`, its dense layer's JSON changed in place."""
    path = folder / "model.keras"
    path.write_bytes(_sound("keras"))
    return change_archive(path, lambda config: change(_layer(config, "Dense"))) if change else path


def dense_h5(folder: Path, change: Callable[[Config], Any] | None = None) -> Path:
    """A Keras 2 `.h5`, its dense layer's JSON changed in place."""
    path = folder / "model.h5"
    path.write_bytes(_sound("h5"))
    return change_h5(path, lambda config: change(_layer(config, "Dense"))) if change else path


def recorded_call_h5(folder: Path, class_name: str, **settings: Any) -> Path:
    """A Keras 2 `.h5` whose second layer is a recorded call of TensorFlow's API."""
    path = folder / "model.h5"
    path.write_bytes(_sound("call"))

    def change(config: Config) -> None:
        layer = config["config"]["layers"][1]
        arguments = settings.pop("call", None)
        layer["class_name"] = class_name
        layer["config"] = {**layer["config"], **settings}
        if arguments is not None:
            layer["inbound_nodes"] = arguments

    return change_h5(path, change)


def _layer(config: Config, class_name: str) -> Config:
    first: Config = next(layer for layer in config["config"]["layers"] if layer["class_name"] == class_name)
    return first


def change_archive(path: Path, change: Callable[[Config], Any]) -> Path:
    """The `.keras` at `path` with its configuration changed in place."""
    members = member_bytes(path)
    config = json.loads(members["config.json"])
    change(config)
    return write_members(path, {**members, "config.json": json.dumps(config).encode()})


def member_bytes(path: Path) -> dict[str, bytes]:
    """The members of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: Mapping[str, bytes]) -> Path:
    """A zip archive of these members."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def change_h5(path: Path, change: Callable[[Config], Any]) -> Path:
    """The `.h5` at `path` with its configuration changed in place."""
    with h5py.File(path, "r+") as file:
        config = json.loads(str(file.attrs["model_config"]))
        change(config)
        file.attrs["model_config"] = json.dumps(config)
    return path


def lambda_text(canary: Path) -> Config:
    """A serialized Python function whose bytecode makes the canary."""
    function = eval(f"lambda x: (open({str(canary)!r}, 'a').close(), x)[1]")
    layer = keras.layers.Lambda(function, output_shape=(4,))
    serialized: Config = layer.get_config()["function"]
    return serialized
