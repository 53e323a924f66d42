"""What is done with a file inside the cage without TensorFlow: reading containers, .tflite and .onnx files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.errors import ModelError, TfCompressError, UnsafeModelError, one_line
from tfcompress.load.files.archive import read_keras_archive
from tfcompress.load.files.hdf5 import read_h5
from tfcompress.load.files.source import file_kind, head_of
from tfcompress.load.safety.cage import COPIES, Bounds, OnlyHereError, enter_cage, grown_since, peak_memory
from tfcompress.load.safety.onnx_files import external_files, refuse_unsafe_onnx
from tfcompress.load.safety.tflite_files import refuse_unsafe_tflite

__all__ = ["enter", "perform", "run"]

_BATCH = 3
_LITERT_START_UP, _ONNX_START_UP = 64 << 20, 16 << 20  # bytes that a small model takes there
# How TensorFlow, ONNX Runtime and LiteRT say that memory ran out.
_OUT_OF_MEMORY = ("ResourceExhausted", "OOM when allocating", "bad_alloc", "Failed to allocate memory", "MemoryError")


def run(request: Mapping[str, Any]) -> None:
    """Enter the cage and do what the request asks."""
    perform(request, _TASKS, lambda: None)


def perform(request: Mapping[str, Any], tasks: Mapping[str, Callable[..., Any]], prepare: Callable[[], object]) -> None:
    """Do a task and write ``result.json`` into the scratch folder.

    Args:
        request: as `cage_client.run_caged` made it.
        tasks: {name: function of the path, the request's arguments and what `prepare` gave}.
        prepare: done before the cage closes, in the user's working folder.
    """
    scratch = Path(request["scratch"])
    result: dict[str, Any]
    missing: list[str] = []
    try:
        os.chdir(request["working_folder"])
        prepared = prepare()
        missing = enter(request)
        result = tasks[request["task"]](Path(request["path"]), request["arguments"], prepared)
    except TfCompressError as error:
        result = {"error": str(error), "unsafe": isinstance(error, UnsafeModelError)}
        result["only_here"] = isinstance(error, OnlyHereError)
    except MemoryError:
        result = {"error": "", "memory": True}
    except Exception as error:  # a library may raise anything for a file from a stranger
        result = {"error": f"{request['path']}: cannot be loaded: {type(error).__name__}: {one_line(error, 300)}"}
    result["memory"] = any(words in str(result.get("error")) for words in _OUT_OF_MEMORY) or result.get("memory")
    text = json.dumps({**result, "missing": missing})
    (scratch / "result.json").write_text(text, encoding="utf-8", errors="replace")


def enter(request: Mapping[str, Any]) -> list[str]:
    """Close the cage that a request describes; returns what this system does not have of it."""
    os.chdir(request["scratch"])
    os.environ["TMPDIR"] = request["scratch"]
    import tempfile

    tempfile.tempdir = request["scratch"]
    bounds = Bounds(int(request["seconds"]) + 1, request["memory"], request["file_bytes"])
    return enter_cage(map(Path, request["readable"]), Path(request["scratch"]), bounds)


def _read_model(path: Path, arguments: Mapping[str, object], prepared: object) -> dict[str, object]:
    """The facts of a .keras or .h5: what `ModelFile` holds."""
    kind = file_kind(path)
    file = read_h5(path) if kind == "hdf5" else read_keras_archive(path)
    assert file.stored is not None
    return {
        "format": file.format,
        "keras_version": file.keras_version,
        "config": file.config,
        "stored": [file.stored.total, file.stored.largest],
    }


def _tflite(path: Path, arguments: Mapping[str, Any], prepared: object) -> dict[str, object]:
    """Parse a .tflite and, where it is going to be run, run it once."""
    content = path.read_bytes()
    refuse_unsafe_tflite(path, content, run=arguments["run"], trusted=arguments["trusted"])
    sample_bytes = _run_tflite(path, content) if arguments["run"] else 0
    return {"sha256": hashlib.sha256(content).hexdigest(), "sample_bytes": sample_bytes}


def _run_tflite(path: Path, content: bytes) -> int:
    """What the tensors of a sample take: the growth of the process, and copies of the outputs."""
    from tfcompress.graphs.tflite.interpreter import CANNOT_RUN, new_interpreter

    cause, before = "", peak_memory()
    for xnnpack in (True, False):  # XNNPACK refuses some ratios of scales that LiteRT's own kernels compute
        try:
            interpreter = new_interpreter(content, threads=1, xnnpack=xnnpack)
            _invoke_on_random(interpreter)
            outputs = sum(interpreter.get_tensor(port["index"]).nbytes for port in interpreter.get_output_details())
        except CANNOT_RUN as error:
            cause = one_line(error) or "its tensors cannot be set up"
        else:
            grown = grown_since(before, start_up=_LITERT_START_UP)
            if not grown:
                with contextlib.suppress(*CANNOT_RUN):  # few files are made for any batch
                    _run_batch(interpreter)
            return grown + COPIES * outputs
    raise ModelError(f"{path}: LiteRT cannot run it: {cause}")


def _run_batch(interpreter: Any) -> None:
    """Run a small file on several samples at once, as is done later: what crashes then should crash here."""
    for port in interpreter.get_input_details():
        interpreter.resize_tensor_input(port["index"], [_BATCH, *port["shape"][1:]])
    interpreter.allocate_tensors()
    _invoke_on_random(interpreter)


def _invoke_on_random(interpreter: Any) -> None:
    for port in interpreter.get_input_details():
        interpreter.set_tensor(port["index"], _values(port["shape"], np.dtype(port["dtype"])))
    interpreter.invoke()


def _values(shape: Any, dtype: np.dtype[np.generic]) -> np.ndarray:
    sizes = [max(1, int(size)) for size in shape]
    if dtype.kind not in "fiub":
        return np.full(sizes, b"1", dtype=object) if dtype.kind in "OSU" else np.zeros(sizes, dtype)
    return np.random.default_rng(0).integers(0, 2, sizes).astype(dtype)


def _onnx(path: Path, arguments: Mapping[str, Any], prepared: object) -> dict[str, object]:
    """Judge an .onnx and, where it is going to be run, run it once."""
    content = path.read_bytes()
    refuse_unsafe_onnx(path, content, trusted=arguments["trusted"])
    return {
        "sample_bytes": _run_onnx(path) if arguments["run"] else 0,
        "external_files": external_files(path, content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _run_onnx(path: Path) -> int:
    """What the tensors of a sample take: the growth of the process, and copies of the outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {}
    for port in session.get_inputs():
        name = port.type.removeprefix("tensor(").removesuffix(")")
        dtype = np.dtype({"float": "float32", "double": "float64", "string": "object"}.get(name, name))
        feed[port.name] = _values([size if isinstance(size, int) else 1 for size in port.shape], dtype)
    before = peak_memory()
    outputs = sum(int(getattr(value, "nbytes", 0)) for value in session.run(None, feed))
    return grown_since(before, start_up=_ONNX_START_UP) + COPIES * outputs


def _head(path: Path, arguments: Mapping[str, Any], prepared: Any) -> dict[str, Any]:
    """The first bytes; for tests of the cage."""
    return {"head": head_of(path)[:16].hex()}


_TASKS: dict[str, Callable[[Path, Mapping[str, Any], Any], dict[str, Any]]] = {
    "read_model": _read_model,
    "tflite": _tflite,
    "onnx": _onnx,
    "head": _head,
}
