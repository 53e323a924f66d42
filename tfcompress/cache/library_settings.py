"""How the libraries that compute are set: by environment variables, by Keras's own file, and from within Python.

Threads add in another order, and so give other last bits; a float type or a policy gives other values altogether.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["settings_of_libraries"]

# TensorFlow's, oneDNN's, OpenMP's, BLAS's and XLA's own settings, as their documentation names them.
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "DNNL_MAX_CPU_ISA",
    "LIBTPU_INIT_ARGS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_NUM_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)
_KERAS_DEFAULTS = {"floatx": "float32", "epsilon": 1e-07, "image_data_format": "channels_last"}
_MOST_BYTES = 2**16


def settings_of_libraries() -> dict[str, str | None]:
    """{setting: its value}, as they are now.

    The keys are names of environment variables; `cores`, which counts those that this process may use; `keras.json` for
    the file in which a user sets Keras's defaults; and names of functions of TensorFlow and Keras that give a setting.
    Of the last two only what differs from the library's default is there, so that a process that has not imported the
    library yet gives the same as one that has.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    variables = {name: os.environ.get(name) for name in _VARIABLES}
    return {"cores": str(usable), **variables, **_keras_file(), **_set_in_python()}


def _keras_file() -> dict[str, str | None]:
    """What of Keras's defaults the user's file changes; both Kerases read it when they are imported."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    try:
        with Path(os.path.expanduser(home), "keras.json").open(encoding="utf-8") as stream:
            values = json.loads(stream.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(values, Mapping):
        return {}
    changed = {name: values[name] for name, usual in _KERAS_DEFAULTS.items() if values.get(name, usual) != usual}
    return {"keras.json": json.dumps(changed, sort_keys=True)} if changed else {}


def _set_in_python() -> dict[str, str | None]:
    """{function: its value} of the settings that this process has changed; none of a library that is not imported."""
    values = dict[str, str | None]()
    for library, settings in _SETTINGS.items():
        if library in sys.modules:
            for name, usual in settings.items():
                value = _asked(library, name)
                if value != usual:
                    values[f"{library}.{name}"] = repr(value)
    if "tensorflow" in sys.modules:
        devices = [_names(_function("tensorflow", f"config.{which}")()) for which in _DEVICES]
        if devices[0] != devices[1]:
            values["tensorflow.config.get_visible_devices"] = repr(devices[0])
    return values


_DEVICES = ("get_visible_devices", "list_physical_devices")
_SETTINGS: dict[str, dict[str, object]] = {
    "tensorflow": {
        "config.functions_run_eagerly": False,
        "config.optimizer.get_experimental_options": {"disable_model_pruning": False, "disable_meta_optimizer": False},
        "config.optimizer.get_jit": "",
        "config.experimental.tensor_float_32_execution_enabled": True,
        "config.threading.get_inter_op_parallelism_threads": 0,
        "config.threading.get_intra_op_parallelism_threads": 0,
    },
    "keras": {
        "config.dtype_policy": "float32",
        "config.epsilon": 1e-07,
        "config.floatx": "float32",
        "config.image_data_format": "channels_last",
    },
    "tf_keras": {
        "backend.epsilon": 1e-07,
        "backend.floatx": "float32",
        "backend.image_data_format": "channels_last",
        "mixed_precision.global_policy": "float32",
    },
}


def _asked(library: str, name: str) -> object:
    value: object = _function(library, name)()
    return getattr(value, "name", value)  # a policy counts by its name


def _function(library: str, name: str) -> Callable[[], object]:
    value: object = sys.modules[library]
    for part in name.split("."):
        value = getattr(value, part)
    assert callable(value), f"{library}.{name} is a function"
    return value


def _names(devices: object) -> list[str]:
    assert isinstance(devices, list), "TensorFlow lists devices"
    return sorted(str(getattr(device, "name", device)) for device in devices)
