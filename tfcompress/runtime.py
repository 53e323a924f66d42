"""TensorFlow and the two Kerases, imported in one place and quietly.

Every module that computes takes them from here: ``from tfcompress.runtime import tf, tf_keras, keras``.
They carry no types, so each is `Any`.  Importing this module takes seconds; the modules that only describe
things (`errors`, `recipe`, `targets`, the command line) must not import it.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import Any

from tfcompress.errors import InputError
from tfcompress.keras_backend import BACKEND, ON_TENSORFLOW, backend_in_use
from tfcompress.native_output import silenced
from tfcompress.unneeded_imports import left_out

__all__ = ["keras", "tf", "tf_keras", "tfmot"]


_WHILE_IMPORTING = {"TF_CPP_MIN_LOG_LEVEL": "3", **ON_TENSORFLOW}  # both are read once, by the import


def _import_all() -> tuple[Any, Any, Any, Any]:
    _check_backend(backend_in_use())
    before, path = dict(os.environ), list(sys.path)
    levels = {name: logging.getLogger(name).level for name in ("absl", "tensorflow")}
    os.environ.update({**_WHILE_IMPORTING, **{k: v for k, v in before.items() if k == "TF_CPP_MIN_LOG_LEVEL"}})
    try:
        with silenced(), left_out():
            modules = [
                importlib.import_module(name)
                for name in ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization")
            ]
            modules[0].config.list_physical_devices()  # looks for GPUs, and complains of missing drivers, now
    finally:
        # tfmot sets TF_USE_LEGACY_KERAS when it is imported; left in place it would turn every later `tf.keras` of the
        # user's own code into Keras 2.
        for name in {"TF_USE_LEGACY_KERAS", *_WHILE_IMPORTING}:
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        sys.path[:] = path  # one of the imports may append the current folder
    _check_backend(modules[2].backend.backend())
    return modules[0], modules[1], modules[2], modules[3]


def _check_backend(name: str) -> None:
    if name != "tensorflow":
        raise InputError(
            f"{BACKEND}={name}: this needs Keras on TensorFlow in its process; tfcompress.convert, compress and diff "
            f"run in their own process then; else unset {BACKEND}, or save the model and use the command tfcompress"
        )


tf, tf_keras, keras, tfmot = _import_all()
