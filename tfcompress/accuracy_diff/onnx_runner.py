"""Runs `.onnx` files where ONNX Runtime is installed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.runners import Arrays, as_float32, in_fixed_batches
from tfcompress.errors import ModelError, one_line
from tfcompress.file_hashes import sha256_of_file
from tfcompress.load import admit
from tfcompress.model import TensorInfo

__all__ = ["OnnxRunner"]

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OnnxRunner:
    """An `.onnx` file on the CPU.

    Args:
        path: of the file.
        admitted: it went through the door already; else it does so here.

    Raises:
        ModelError: ONNX Runtime is not installed, or cannot load the file.
    """

    def __init__(self, path: str | Path, *, admitted: bool = False) -> None:
        self.name = str(path)
        try:
            runtime: Any = importlib.import_module("onnxruntime")
        except ImportError:
            raise ModelError(
                f"{path}: running it needs onnxruntime, which is not installed: pip install onnxruntime"
            ) from None
        if not admitted:
            admit(Path(path))
        try:
            self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except _errors(runtime) as error:
            raise ModelError(f"{path}: ONNX Runtime cannot load it: {one_line(error)}") from None
        self.inputs = tuple(_info(port) for port in self._session.get_inputs())
        self.outputs = tuple(_info(port) for port in self._session.get_outputs())
        self._batch = self.inputs[0].shape[0] if self.inputs and self.inputs[0].shape else None

    @property
    def sha256(self) -> str:
        """Of the file."""
        return sha256_of_file(Path(self.name))

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Outputs of one batch; see `Runner.run`."""
        if self._batch is not None:
            return in_fixed_batches(self._run, inputs, self._batch)
        return self._run(inputs)

    def _run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        feed = {info.name: inputs[info.name].astype(info.dtype) for info in self.inputs}
        names = [info.name for info in self.outputs]
        return {name: as_float32(value) for name, value in zip(names, self._session.run(names, feed), strict=True)}


def _errors(runtime: Any) -> tuple[type[Exception], ...]:
    """What ONNX Runtime's native side raises: classes of its own, without a common base."""
    native = vars(runtime.capi.onnxruntime_pybind11_state).values()
    return (
        RuntimeError,
        ValueError,
        *(kind for kind in native if isinstance(kind, type) and issubclass(kind, Exception)),
    )


def _info(port: Any) -> TensorInfo:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in port.shape)
    return TensorInfo(port.name, shape, DTYPES.get(port.type, "float32"))
