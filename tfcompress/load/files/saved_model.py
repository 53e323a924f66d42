"""SavedModel folders, with or without Keras metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.errors import ModelError, UnsafeModelError, one_line
from tfcompress.file_hashes import sha256_of
from tfcompress.graphs.keras.call_graph import dtype_name
from tfcompress.graphs.tensorflow.private_names import SavedMetadata, SavedModel
from tfcompress.load.door import CustomObjects, admit_saved_model, is_trusted
from tfcompress.load.files.budget import weight_budget
from tfcompress.load.files.limits import LoadLimits
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.load.safety.configurations import code_findings, without_training_state
from tfcompress.load.safety.graph_operations import refuse_unsafe_meta_graph
from tfcompress.load.safety.lists.keras_classes import METRICS
from tfcompress.load.safety.vocabulary import missing_objects, supplied_names
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.native_output import silenced
from tfcompress.plain_files import real
from tfcompress.runtime import tf, tf_keras
from tfcompress.tensor_info import in_order_of_names, with_graph_names

__all__ = ["load_saved_model", "loaded_saved_model", "open_saved_model", "restored_saved_model"]

# Other forms of the graph, which some versions of TensorFlow would take in the place of saved_model.pb.
_OTHER_FORMS = ("saved_model.cpb", "saved_model.pbtxt")
_DEFAULT_SIGNATURE = "serving_default"
# Where there are several and none is the default: Keras's `export` writes "serve", estimators "predict".
_USUAL_SIGNATURES = ("serve", "serving", "predict")


def load_saved_model(
    path: Path,
    custom_objects: Mapping[str, object],
    *,
    given: CustomObjects = None,
    trusted: bool = False,
    limits: LoadLimits | None = None,
    ours: bool = False,
) -> FloatModel:
    """The float model in a SavedModel folder.

    With Keras metadata it is a tf_keras model; without, or when that cannot be restored, its serving signature.

    Args:
        path: the folder.
        custom_objects: {name in the file: the user's class or function}.
        given: the same as the user gave it.
        trusted: operators that are not on the list are let in, and nothing is tried in a process of its own first.
        limits: of time and memory for that; None means the defaults.
        ours: a process of ours has just written it: the graph is judged, but not tried first.

    Raises:
        UnsafeModelError: its graph calls back into Python, or does more than compute.
        ModelError: damaged, or without a usable signature; or it takes too long, too much memory, or crashes.
    """
    judge_saved_model(path, trusted=trusted)
    sample_bytes = 0
    if not trusted and not ours:
        sample_bytes = admit_saved_model(path, custom_objects=given, keras=True, limits=limits)
    model = restored_saved_model(path, custom_objects, trusted=trusted)
    model = model or _signature_model(path, loaded_saved_model(path, trusted=trusted))
    return replace(model, sample_bytes=sample_bytes)


def open_saved_model(path: Path, *, ours: bool = False, trusted: bool = False, limits: LoadLimits | None = None) -> Any:
    """A SavedModel as `tf.saved_model.load` gives it, after it went through the door.

    Args:
        path: the folder.
        ours: this run has just written it, so that it need not be tried first.
        trusted: operators that are not on the list are let in, and nothing is tried first.
        limits: of time and memory; None means the defaults.

    Raises:
        UnsafeModelError: see `load_saved_model`.
        ModelError: see `load_saved_model`.
    """
    trusted = trusted or is_trusted(path)
    if not ours and not trusted:
        admit_saved_model(path, limits=limits)
    return loaded_saved_model(path, trusted=trusted)


def restored_saved_model(
    path: Path, custom_objects: Mapping[str, object], *, trusted: bool = False
) -> FloatModel | None:
    """The tf_keras model in a SavedModel; None where it has none that can be restored."""
    judge_saved_model(path, trusted=trusted)
    nodes = list(_keras_nodes(path))
    if not nodes or not _is_model(nodes[0]):
        return None
    model = _restore_keras(path, nodes, custom_objects)
    if model is None:
        return None
    return float_model_from_keras(model, name=path.name, format="saved_model", sha256=sha256_of(path))


def judge_saved_model(path: Path, *, trusted: bool = False) -> None:
    """Refuse a SavedModel whose folder or graph reaches elsewhere; reads, and loads nothing.

    Raises:
        UnsafeModelError: names the file, the operation or the asset.
        ModelError: damaged.
    """
    _refuse_files_elsewhere(path)
    for meta_graph in _read_proto(path).meta_graphs:
        refuse_unsafe_meta_graph(path, meta_graph, trusted=trusted)


def _refuse_files_elsewhere(path: Path) -> None:
    """Links that lead out of the folder, and what is no file at all."""
    root = real(path)
    for name in _OTHER_FORMS:
        if (path / name).exists():
            raise UnsafeModelError(f"{path}: refused: it holds {name} beside saved_model.pb, so two graphs")
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            entry = Path(folder, name)
            if entry.is_symlink() and not real(entry).is_relative_to(root):
                raise UnsafeModelError(f"{path}: refused: {entry.relative_to(path)} is a link out of the folder")
            if not entry.is_file() and not entry.is_dir():
                raise ModelError(f"{path}: corrupt: {entry.relative_to(path)} is not a regular file")


def _read_proto(path: Path) -> Any:
    message = SavedModel()
    data = (path / "saved_model.pb").read_bytes()
    if not data:
        raise ModelError(f"{path}: corrupt: saved_model.pb is empty")
    try:
        message.ParseFromString(data)
    except Exception as error:  # protobuf's DecodeError lives in a module that varies with its version
        raise ModelError(f"{path}: corrupt or truncated saved_model.pb: {one_line(error)}") from error
    if not message.meta_graphs:
        raise ModelError(f"{path}: corrupt: saved_model.pb holds no graph")
    return message


def _keras_nodes(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of the Keras metadata, the model first; none where there is no metadata."""
    file = path / "keras_metadata.pb"
    if not file.is_file():
        return
    metadata = SavedMetadata()
    try:
        metadata.ParseFromString(file.read_bytes())
        for node in sorted(metadata.nodes, key=lambda node: node.node_id):
            value = json.loads(node.metadata)
            if isinstance(value, dict):
                yield without_training_state(value)
    except Exception as error:
        raise ModelError(f"{path}: corrupt keras_metadata.pb: {one_line(error)}") from error


def _is_model(node: Mapping[str, object]) -> bool:
    return "class_name" in node and "config" in node


def _restore_keras(path: Path, nodes: Sequence[Mapping[str, object]], custom_objects: Mapping[str, object]) -> Any:
    """The tf_keras model, or None where the metadata does not lead to one: the signature remains.

    Code in the metadata is never run, not even when the user allows it: the signature computes the same without it.
    """
    supplied = supplied_names(custom_objects) | METRICS
    code = [finding for node in nodes for finding in code_findings(node, supplied)]
    missing = sorted({name for node in nodes for name in missing_objects(node, supplied)})
    if code or missing:
        reason = f"{code[0].where} holds {code[0].what}" if code else f"it names custom objects: {', '.join(missing)}"
        console.note(f"{path}: only the signature is used, not the Keras model: {reason}")
        return None
    try:
        with silenced(), weight_budget(path, None):
            return tf_keras.models.load_model(str(path), custom_objects=dict(custom_objects), compile=False)
    except UnsafeModelError:
        raise
    except Exception as error:  # tf_keras raises anything where the metadata is older or newer than it expects
        console.note(f"{path}: only the signature is used: tf_keras cannot rebuild the model: {one_line(error, 200)}")
        return None


def loaded_saved_model(path: Path, *, trusted: bool = False) -> Any:
    """What `tf.saved_model.load` gives, after the graph was judged; the only call of that function on a file.

    Raises:
        UnsafeModelError: see `judge_saved_model`; or it would exhaust memory.
        ModelError: TensorFlow cannot restore it.
    """
    judge_saved_model(path, trusted=trusted)
    try:
        with silenced(), weight_budget(path, None):
            return tf.saved_model.load(str(path))
    except UnsafeModelError:
        raise
    except Exception as error:  # TensorFlow raises anything for a damaged graph
        raise ModelError(
            f"{path}: the SavedModel cannot be restored: {type(error).__name__}: {one_line(error)}"
        ) from error


def _signature_model(path: Path, loaded: Any) -> FloatModel:
    signature = _pick_signature(path, loaded.signatures)
    inputs = [_info(name, spec) for name, spec in in_order_of_names(signature.structured_input_signature[1])]
    outputs = [_info(name, spec) for name, spec in in_order_of_names(signature.structured_outputs)]
    if not inputs or not outputs:
        raise ModelError(
            f"{path}: the signature has {len(inputs)} inputs and {len(outputs)} outputs, expected some of each"
        )

    named_inputs, named_outputs = with_graph_names(inputs), with_graph_names(outputs)

    def function(values: Mapping[str, Any], _keep_alive: Any = loaded) -> dict[str, Any]:
        given = {info.name: values[named.name] for info, named in zip(inputs, named_inputs, strict=True)}
        results = signature(**given)
        return {named.name: results[info.name] for info, named in zip(outputs, named_outputs, strict=True)}

    return FloatModel(
        path.name, "saved_model", sha256_of(path), "saved_model", None, named_inputs, named_outputs, function
    )


def _pick_signature(path: Path, signatures: Mapping[str, Any]) -> Any:
    names = [name for name in signatures if not name.startswith("__")]
    if _DEFAULT_SIGNATURE in names:
        return signatures[_DEFAULT_SIGNATURE]
    if len(names) == 1:
        return signatures[names[0]]
    usual = [name for name in _USUAL_SIGNATURES if name in names]
    if usual:
        others = ", ".join(name for name in names if name != usual[0])
        console.warn(f"{path}: of its signatures {usual[0]!r} is used, not {others}")
        return signatures[usual[0]]
    raise ModelError(
        f"{path}: the SavedModel has the signatures {names}, expected {_DEFAULT_SIGNATURE!r} or exactly one; "
        "export it with model.export(...) or tf.saved_model.save(..., signatures=...)"
    )


def _info(name: str, spec: Any) -> TensorInfo:
    shape = tuple(spec.shape.as_list()) if spec.shape.rank is not None else (None,)
    return TensorInfo(name, shape, dtype_name(spec.dtype))
