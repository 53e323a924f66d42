"""SavedModel folders, with or without Keras metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfcompress import console
from tfcompress.errors import ModelError, UnsafeModelError, one_line
from tfcompress.graphs.keras.call_graph import dtype_name
from tfcompress.graphs.tensorflow.private_names import SavedMetadata, SavedModel
from tfcompress.load.files.budget import weight_budget
from tfcompress.load.files.source import sha256_of
from tfcompress.load.float_model import float_model_from_keras
from tfcompress.load.safety.configurations import code_findings
from tfcompress.load.safety.graph_operations import CODE_OPERATIONS, FILE_OPERATIONS
from tfcompress.load.safety.vocabulary import missing_objects
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.native_output import silenced
from tfcompress.runtime import tf, tf_keras

__all__ = ["load_saved_model"]

_DEFAULT_SIGNATURE = "serving_default"


def load_saved_model(path: Path, custom_objects: Mapping[str, Any], *, trusted: bool = False) -> FloatModel:
    """The float model in a SavedModel folder.

    With Keras metadata it is a tf_keras model; without, or when that cannot be restored, its serving signature.

    Args:
        path: the folder.
        custom_objects: {name in the file: the user's class or function}.
        trusted: its graph may reach files.

    Raises:
        UnsafeModelError: its graph calls back into Python or reaches files.
        ModelError: damaged, or without a usable signature.
    """
    graph = _read_proto(path)
    _refuse_unsafe_operations(path, graph, trusted=trusted)
    sha256 = sha256_of(path)
    nodes = list(_keras_nodes(path))
    if nodes and _is_model(nodes[0]):
        model = _restore_keras(path, nodes, custom_objects)
        if model is not None:
            return float_model_from_keras(model, name=path.name, format="saved_model", sha256=sha256)
    return _signature_model(path, sha256)


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


def _refuse_unsafe_operations(path: Path, message: Any, *, trusted: bool) -> None:
    for graph in message.meta_graphs:
        functions = [(function.signature.name, function.node_def) for function in graph.graph_def.library.function]
        for where, nodes in [("the main graph", graph.graph_def.node), *functions]:
            for node in nodes:
                if node.op in CODE_OPERATIONS:
                    raise UnsafeModelError(
                        f"{path}: the graph calls Python code: the operation {node.name!r} in {where} is a {node.op} "
                        "(tf.py_function), which also cannot run outside the program that made it. Nothing was run"
                    )
                if node.op in FILE_OPERATIONS and not trusted:
                    raise UnsafeModelError(
                        f"{path}: the graph reaches files: the operation {node.name!r} in {where} is a {node.op}. "
                        "Nothing was run. --allow_unsafe_deserialization allows it"
                    )


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
                yield value
    except Exception as error:
        raise ModelError(f"{path}: corrupt keras_metadata.pb: {one_line(error)}") from error


def _is_model(node: Mapping[str, Any]) -> bool:
    return "class_name" in node and "config" in node


def _restore_keras(path: Path, nodes: Sequence[Mapping[str, Any]], custom_objects: Mapping[str, Any]) -> Any:
    """The tf_keras model, or None where the metadata does not lead to one: the signature remains.

    Code in the metadata is never run, not even when the user allows it: the signature computes the same without it.
    """
    code = [finding for node in nodes for finding in code_findings(node, custom_objects)]
    missing = sorted({name for node in nodes for name in missing_objects(node, custom_objects, keras3=False)})
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


def _signature_model(path: Path, sha256: str) -> FloatModel:
    try:
        with silenced(), weight_budget(path, None):
            loaded = tf.saved_model.load(str(path))
    except UnsafeModelError:
        raise
    except Exception as error:  # TensorFlow raises anything for a damaged graph
        raise ModelError(
            f"{path}: the SavedModel cannot be restored: {type(error).__name__}: {one_line(error)}"
        ) from error
    signature = _pick_signature(path, loaded.signatures)
    inputs = [_info(name, spec) for name, spec in signature.structured_input_signature[1].items()]
    outputs = [_info(name, spec) for name, spec in signature.structured_outputs.items()]
    if not inputs or not outputs:
        raise ModelError(
            f"{path}: the signature has {len(inputs)} inputs and {len(outputs)} outputs, expected some of each"
        )

    def function(values: Mapping[str, Any], _keep_alive: Any = loaded) -> dict[str, Any]:
        return dict(signature(**{info.name: values[info.name] for info in inputs}))

    return FloatModel(path.name, "saved_model", sha256, "saved_model", None, tuple(inputs), tuple(outputs), function)


def _pick_signature(path: Path, signatures: Mapping[str, Any]) -> Any:
    names = [name for name in signatures if not name.startswith("__")]
    if _DEFAULT_SIGNATURE in names:
        return signatures[_DEFAULT_SIGNATURE]
    if len(names) == 1:
        return signatures[names[0]]
    raise ModelError(
        f"{path}: the SavedModel has the signatures {names}, expected {_DEFAULT_SIGNATURE!r} or exactly one; "
        "export it with model.export(...) or tf.saved_model.save(..., signatures=...)"
    )


def _info(name: str, spec: Any) -> TensorInfo:
    shape = tuple(spec.shape.as_list()) if spec.shape.rank is not None else (None,)
    return TensorInfo(name, shape, dtype_name(spec.dtype))
