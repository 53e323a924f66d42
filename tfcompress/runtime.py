"""TensorFlow and the two Kerases, imported in one place and quietly.

Every module that computes takes them from here: ``from tfcompress.runtime import tf, tf_keras, keras``.
They carry no types, so each is `Any`.  Importing this module takes seconds; the modules that only describe
things (`errors`, `recipe`, `targets`, the command line) must not import it.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from tfcompress.native_output import silenced

__all__ = ["keras", "tf", "tf_keras", "tfmot"]


def _import_all() -> tuple[Any, Any, Any, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    legacy = os.environ.get("TF_USE_LEGACY_KERAS")
    with silenced():
        modules = [
            importlib.import_module(name)
            for name in ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization")
        ]
        modules[0].config.list_physical_devices()  # looks for GPUs, and complains of missing drivers, now
    # tfmot sets this variable when it is imported; left in place it would turn every later `tf.keras` of the
    # user's own code into Keras 2.
    if legacy is None:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)
    else:
        os.environ["TF_USE_LEGACY_KERAS"] = legacy
    return modules[0], modules[1], modules[2], modules[3]


tf, tf_keras, keras, tfmot = _import_all()
tf.get_logger().setLevel("ERROR")
