"""What is done with a model inside the cage with TensorFlow: it is loaded as it will be, and run once."""

from __future__ import annotations

import contextlib
import math
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tfcompress.errors import TfCompressError, one_line
from tfcompress.load.custom_objects import parse_custom_objects
from tfcompress.load.files.restore import restore
from tfcompress.load.files.saved_model import loaded_saved_model, restored_saved_model
from tfcompress.load.files.source import model_file
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.load.keras_versions.equivalence import random_inputs
from tfcompress.load.safety.cage import OnlyHereError
from tfcompress.load.safety.tasks import perform
from tfcompress.load.safety.tensor_bytes import TensorBytes, counted_tensors
from tfcompress.runtime import tf
from tfcompress.tensor_info import TRIED_SIZE, TensorInfo

__all__ = ["run"]

_THREADS = 2
_OPEN_SIZES = (TRIED_SIZE, 64, 128, 224)


def run(request: Mapping[str, Any]) -> None:
    """Enter the cage and do what the request asks."""
    tf.config.threading.set_inter_op_parallelism_threads(_THREADS)
    tf.config.threading.set_intra_op_parallelism_threads(_THREADS)
    perform(request, _TASKS, lambda: _custom_objects(request))


def _custom_objects(request: Mapping[str, Any]) -> dict[str, Any]:
    """The user's own objects, whose modules are imported outside of the cage; they are the user's."""
    if "pickle" in request:
        try:
            objects: dict[str, Any] = pickle.loads(Path(request["pickle"]).read_bytes())
        except Exception as error:
            raise OnlyHereError(one_line(error, 200)) from error
        return objects
    return parse_custom_objects(request["custom_objects"])


def _restore_model(path: Path, arguments: Mapping[str, Any], custom_objects: dict[str, object]) -> dict[str, object]:
    file = model_file(path, arguments["facts"], sha256="")
    model = float_model_from_keras(restore(file, custom_objects))
    with counted_tensors(arguments["most_bytes"]) as count:
        _run_once(model.inputs, model.function, count)
    return {"sample_bytes": count.total}


def _saved_model(path: Path, arguments: Mapping[str, Any], custom_objects: dict[str, Any]) -> dict[str, Any]:
    """The Keras model inside where it is wanted, and every signature, loaded and run."""
    counts = []
    if arguments["keras"]:
        model = restored_saved_model(path, custom_objects)
        if model is not None:
            with counted_tensors(arguments["most_bytes"]) as count:
                _run_once(model.inputs, model.function, count)
            counts.append(count.total)
    for signature in loaded_saved_model(path).signatures.values():
        with counted_tensors(arguments["most_bytes"]) as count:
            _run_signature(signature, count)
        counts.append(count.total)
    return {"sample_bytes": max(counts, default=0)}


def _run_signature(signature: Any, count: TensorBytes) -> None:
    count.add_graph(signature.graph)
    specs = signature.structured_input_signature[1]
    with contextlib.suppress(*_ORDINARY):
        count.add_outputs(signature(**{name: _tensor(spec) for name, spec in specs.items()}))


def _tensor(spec: Any) -> Any:
    shape = [size or 1 for size in spec.shape.as_list()] if spec.shape.rank is not None else [1]
    if spec.dtype == tf.string:
        return tf.fill(shape, "text")
    return tf.cast(tf.random.stateless_uniform(shape, (0, 0), 0.0, 1.0), spec.dtype)


# What TensorFlow says where a model and inputs made without knowledge of it do not fit: no finding about the file.
_ORDINARY = (ValueError, TypeError, KeyError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError)


def _run_once(infos: Any, function: Callable[[Mapping[str, Any]], Any], count: TensorBytes) -> None:
    """One pass on random inputs of one sample; open sizes are tried in turn."""
    for size in _OPEN_SIZES:
        try:
            values = random_inputs(infos, open_size=size, batch=1)
            count.add_outputs(function({info.name: value for info, value in zip(infos, values, strict=True)}))
            count.scale(_values(infos, TRIED_SIZE) / _values(infos, size))
            return
        except TfCompressError:
            raise
        except _ORDINARY:
            if not any(None in info.shape[1:] for info in infos):
                return


def _values(infos: Iterable[TensorInfo], size: int) -> int:
    return sum(math.prod(info.sizes(size)) for info in infos) or 1


_TASKS: dict[str, Callable[[Path, Mapping[str, Any], Any], dict[str, Any]]] = {
    "restore_model": _restore_model,
    "saved_model": _saved_model,
}
