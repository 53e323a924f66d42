"""A `.keras` or `.h5` file as a Keras model: with the Keras that wrote it, repaired where that is needed."""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfcompress.errors import ModelError, TfCompressError, one_line
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.load.files.budget import refuse_absurd_activations, refuse_expanding_calls, weight_budget
from tfcompress.load.files.old_layout import has_old_layout, to_present_layout
from tfcompress.load.files.source import ModelFile
from tfcompress.load.keras_versions.keras_quantized import with_quantized_attention
from tfcompress.load.keras_versions.repair import repaired_config
from tfcompress.load.safety.configurations import (
    refuse_code,
    require_json_names,
    walk_objects,
    without_training_state,
)
from tfcompress.load.safety.graph_operations import refuse_unsafe_graph
from tfcompress.load.safety.vocabulary import require_known_objects, supplied_names
from tfcompress.native_output import silenced
from tfcompress.runtime import keras, tf, tf_keras, tfmot

__all__ = ["judge", "reads_with_keras3", "restore", "strip_leftover_wrappers"]

_SPARSITY_WRAPPERS = frozenset({"PruneLowMagnitude", "ClusterWeights"})


def restore(
    file: ModelFile,
    custom_objects: Mapping[str, Any],
    *,
    config: Mapping[str, Any] | None = None,
    trusted: bool = False,
) -> Any:
    """The Keras 3 or tf_keras model in a file, uncompiled.

    Args:
        file: of format `keras_v3`, `keras_v2` or `h5`.
        custom_objects: {name in the file: the user's class or function}.
        config: to use in the place of the file's own; None takes the file's.
        trusted: run the code that the file carries; only ever true in a process of its own.

    Raises:
        UnsafeModelError: the file carries code, or asks for more memory than it can fill.
        ModelError: it names objects that nobody supplies, or Keras refuses it.
    """
    repaired = judge(file, custom_objects, config=config, trusted=trusted)
    with tfmot_scopes(repaired):
        keras3 = reads_with_keras3(file, custom_objects)
        model = _read(file, repaired, custom_objects, keras3=keras3, trusted=trusted)
    refuse_absurd_activations(file.path, model)
    refuse_expanding_calls(file.path, model)
    return strip_leftover_wrappers(model)


def judge(
    file: ModelFile,
    custom_objects: Mapping[str, object],
    *,
    config: Mapping[str, Any] | None = None,
    trusted: bool = False,
) -> dict[str, object]:
    """The configuration that is going to be loaded, repaired, without training state, and found harmless.

    Args:
        file: of format `keras_v3`, `keras_v2` or `h5`.
        custom_objects: {name in the file: the user's class or function}.
        config: to use in the place of the file's own; None takes the file's.
        trusted: do not refuse code.

    Raises:
        UnsafeModelError: it carries code.
        ModelError: it names objects that nobody supplies.
    """
    plain: dict[str, Any] = without_training_state(config or file.config or {})
    require_json_names(file.path, plain)
    supplied = supplied_names(custom_objects)
    repaired = repaired_config(plain, keras3=reads_with_keras3(file, custom_objects))
    if not trusted:
        refuse_code(file.path, plain, supplied)
        refuse_code(file.path, repaired, supplied)
        _refuse_recorded_graphs(file.path, repaired)
    require_known_objects(file.path, repaired, supplied)
    return repaired


def _refuse_recorded_graphs(path: Path, config: Mapping[str, object]) -> None:
    """Graphs that our own layers keep as text are judged like any other."""
    for where, value in walk_objects(config):
        recordings = value.get("recordings")
        for recording in recordings if isinstance(recordings, list) else []:
            try:
                graph = tf.compat.v1.GraphDef.FromString(base64.b64decode(recording["graph_def"]))
            except Exception as error:  # protobuf's DecodeError lives in a module that varies with its version
                raise ModelError(f"{path}: corrupt: {where} has a recorded graph that is none") from error
            refuse_unsafe_graph(graph, f"{path}: the graph in {where}")


def reads_with_keras3(file: ModelFile, custom_objects: Mapping[str, object]) -> bool:
    """Whether Keras 3 is the one to read a file: it wrote it, or the user's layers are Keras 3 layers.

    Our own adapters hold layers of the other Keras, so there the user's layers say nothing.  A configuration that does
    not name its version is Keras 3's when an input in it has a ``batch_shape``, which Keras 2 calls
    ``batch_input_shape``.

    Raises:
        ModelError: the user's layers are of Keras 2 and the file is of Keras 3.
    """
    kinds = {_library_of(value) for value in custom_objects.values()} - {None}
    adapted = any(str(value.get("registered_name")).startswith("tfcompress>") for _, value in walk_objects(file.config))
    if kinds == {"tf_keras"} and file.keras_major == 3 and not adapted:
        raise ModelError(
            f"{file.path}: written by Keras {file.keras_version}, but the custom layers given are tf_keras (Keras 2) "
            "layers: derive them from keras.layers.Layer"
        )
    if len(kinds) == 1 and not adapted:
        return kinds == {"keras"}
    if file.keras_major is not None:
        return file.keras_major == 3
    return any("batch_shape" in value for _, value in walk_objects(file.config))


def _library_of(custom_object: object) -> str | None:
    if isinstance(custom_object, type):
        if issubclass(custom_object, keras.layers.Layer):
            return "keras"
        if issubclass(custom_object, tf_keras.layers.Layer):
            return "tf_keras"
    return None


def _read(
    file: ModelFile, config: Mapping[str, object], custom_objects: Mapping[str, object], *, keras3: bool, trusted: bool
) -> KerasModel:
    library = keras if keras3 else tf_keras
    # Keras finds our own layers, such as those of a model that was converted before, only where they are registered.
    importlib.import_module("tfcompress.load.keras_versions.adapters")
    with contextlib.ExitStack() as stack:
        stack.enter_context(silenced())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfcompress_")))
        objects = dict(custom_objects)
        for either in (keras, tf_keras):  # an adapter holds a layer of the other one
            stack.enter_context(either.saving.custom_object_scope(objects))
        stack.enter_context(weight_budget(file.path, file.stored))
        # The second is for what Keras's own `quantize` leaves out of the configuration.
        configs = [config, with_quantized_attention(config)] if keras3 else [config]
        for number, tried in enumerate(configs):
            path = _readable_copy(file, tried, folder)
            try:
                return library.models.load_model(
                    str(path), custom_objects=objects, compile=False, safe_mode=not trusted
                )
            except Exception as error:  # Keras raises anything for a configuration that it did not expect
                if number == len(configs) - 1 or configs[1] is config:
                    raise _explained(file, error, keras3=keras3) from error
    raise AssertionError("the last attempt returns or raises")


def _explained(file: ModelFile, error: BaseException, *, keras3: bool) -> TfCompressError:
    """Our own error where one is at the root of Keras's; else Keras's reason in one line."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TfCompressError):
            return cause
        cause = cause.__cause__ or cause.__context__
    library = "Keras 3" if keras3 else "tf_keras (Keras 2)"
    version = f"saved by Keras {file.keras_version}, " if file.keras_version else ""
    hint = ""
    if isinstance(error, EOFError) or "marshal" in str(error):
        hint = "; its bytecode was made by another Python version: load it there, and save it without Lambda layers"
    return ModelError(
        f"{file.path}: {version}{library} cannot restore it: {type(error).__name__}: {one_line(error, 300)}{hint}"
    )


@contextlib.contextmanager
def tfmot_scopes(config: Mapping[str, object]) -> Iterator[None]:
    """Makes tfmot's classes known to tf_keras, where a configuration still holds its wrappers."""
    names = {str(value.get("class_name")).rpartition(">")[2] for _, value in walk_objects(config)}
    with contextlib.ExitStack() as stack:
        if names & _SPARSITY_WRAPPERS:
            stack.enter_context(tfmot.sparsity.keras.prune_scope())
            stack.enter_context(tfmot.clustering.keras.cluster_scope())
            # The pruning wrapper restores its own schedule, but the names have to be known.
            schedules = {name: getattr(tfmot.sparsity.keras, name) for name in ("ConstantSparsity", "PolynomialDecay")}
            stack.enter_context(tf_keras.saving.custom_object_scope(schedules))
        if any(name.startswith("Quantize") for name in names):
            stack.enter_context(tfmot.quantization.keras.quantize_scope())
        yield


def _readable_copy(file: ModelFile, config: Mapping[str, object], folder: Path) -> Path:
    """The file itself, or a copy with the name that Keras insists on and the repaired configuration."""
    suffix = ".h5" if file.format == "h5" else ".keras"
    old = suffix == ".keras" and file.keras_major == 2 and has_old_layout(file.path)
    own_name = file.path.suffix == suffix or (file.path.suffix, suffix) == (".hdf5", ".h5")
    # Neither Keras looks at the compile state of the outermost model where it does not compile.
    if (
        own_name
        and not old
        and config == {key: value for key, value in (file.config or {}).items() if key != "compile_config"}
    ):
        return file.path
    copy = folder / f"model{suffix}"
    if suffix == ".h5":
        _copy_h5(file.path, config, copy)
    else:
        _copy_archive(file.path, config, copy, old_layout=old)
    return copy


def _copy_h5(path: Path, config: Mapping[str, object], copy: Path) -> None:
    import h5py

    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        del file.attrs["model_config"]
        file.attrs["model_config"] = json.dumps(config).encode()


def _copy_archive(path: Path, config: Mapping[str, object], copy: Path, *, old_layout: bool) -> None:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        for info in source.infolist():
            if info.filename == "config.json":
                target.writestr("config.json", json.dumps(config))
                continue
            if old_layout and info.filename == "model.weights.h5":
                weights = Path(source.extract(info, copy.parent))
                to_present_layout(weights)
                target.write(weights, info.filename)
                continue
            with source.open(info) as reader, target.open(info.filename, "w", force_zip64=True) as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)


def strip_leftover_wrappers(model: KerasModel) -> KerasModel:
    """The model without tfmot's pruning and clustering wrappers, which only matter while training."""
    if not isinstance(model, tf_keras.Model):
        return model
    kinds = {type(layer).__name__ for layer in _flat_layers(model)}
    with silenced():
        if "PruneLowMagnitude" in kinds:
            model = tfmot.sparsity.keras.strip_pruning(model)
        if "ClusterWeights" in kinds:
            model = tfmot.clustering.keras.strip_clustering(model)
    return model


def _flat_layers(model: Any) -> Iterator[Any]:
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _flat_layers(layer)
