"""Runs a compiled Snapdragon artifact for the accuracy diff: its NPU parts in Qualcomm's HTP emulator.

The emulator is Qualcomm's own x86 build of the HTP's kernels.  What it computes is what the chip computes as far as
Qualcomm's library is faithful; how fast the chip is, it does not tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from tfcompress.accuracy_diff.runners import Arrays, as_float32, in_fixed_batches
from tfcompress.converters.snapdragon import emulator_worker
from tfcompress.converters.snapdragon.context import NpuPart, parts_of
from tfcompress.converters.snapdragon.sdk import find_sdk
from tfcompress.errors import ConversionError, one_line
from tfcompress.graphs.tflite import Tensor, read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter, run
from tfcompress.graphs.tflite.quantization import dequantize, quantize
from tfcompress.model import TensorInfo

__all__ = ["CALL_SECONDS", "EmulatorRunner"]

CALL_SECONDS = 300.0  # of one sample in one part; MobileNetV2-224 takes 2


class _Worker:
    """The child process and its pipes; killed when a call takes too long."""

    def __init__(self, models: Sequence[bytes], seconds: float) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tfcompress_emulator_")
        paths = []
        for number, model in enumerate(models):
            path = Path(self._folder.name) / f"part_{number}.onnx"
            path.write_bytes(model)
            paths.append(str(path))
        self._seconds = seconds
        self._process = subprocess.Popen(
            [sys.executable, emulator_worker.__file__, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder.name,
            start_new_session=True,
        )
        self._end = weakref.finalize(self, _end, self._process, self._folder)
        self._answer(starting=True)

    def run(self, part: int, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs of one part."""
        with contextlib.suppress(BrokenPipeError):  # the answer says more
            emulator_worker.write(_stream(self._process.stdin), [np.array([part, len(inputs)]), *inputs])
        return self._answer()

    def _answer(self, *, starting: bool = False) -> list[np.ndarray]:
        """The outputs; `starting` waits for the first answer, which only counts the parts."""
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self._seconds, stop)
        timer.start()
        try:
            stream = _stream(self._process.stdout)
            count = int(emulator_worker.read(stream)[0])
            if count < 0:
                message = emulator_worker.read(stream).tobytes().decode("utf-8", "replace")
                raise ConversionError(f"the HTP emulator failed: {one_line(message, 300)}")
            return [] if starting else [emulator_worker.read(stream) for _ in range(count)]
        except (EOFError, ValueError, OSError):
            why = f"did not answer within {self._seconds:g} seconds" if late.is_set() else "ended without an answer"
            raise ConversionError(f"the HTP emulator {why}; the compiled file itself is not affected") from None
        finally:
            timer.cancel()


def _stream(pipe: object) -> BinaryIO:
    return cast(BinaryIO, pipe)


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    folder.cleanup()


class EmulatorRunner:
    """A compiled .tflite, run one sample at a time; see `accuracy_diff.runners.Runner`.

    Args:
        model: path or content of the compiled file.
        name: for messages; None takes the path.
        seconds: time limit of one call of one part.

    Raises:
        MissingExtraError: onnxruntime-qnn or onnx is not installed.
        ModelError: the file is damaged.
        ConversionError: the emulator cannot load it.
    """

    def __init__(self, model: str | Path | bytes, *, name: str | None = None, seconds: float = CALL_SECONDS) -> None:
        find_sdk()
        self.name = name or ("model.tflite" if isinstance(model, bytes) else str(model))
        self.content = model if isinstance(model, bytes) else Path(model).read_bytes()
        file = read_tflite(self.content)
        self._tensors = file.main.tensors
        self._input_indices, self._output_indices = file.main.inputs, file.main.outputs
        names = _names(file.signatures)
        self.inputs = tuple(_info(self._tensors[index], names) for index in self._input_indices)
        self.outputs = tuple(_info(self._tensors[index], names) for index in self._output_indices)
        self._parts = parts_of(self.content)
        npu = [part.onnx for part in self._parts if isinstance(part, NpuPart)]
        self._worker = _Worker(npu, seconds) if npu else None
        self._interpreters: dict[int, object] = {}
        self._one_at_a_time = threading.Lock()

    @property
    def sha256(self) -> str:
        """Of the file's content."""
        return hashlib.sha256(self.content).hexdigest()

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Outputs of one batch; see `Runner.run`."""
        with self._one_at_a_time:
            return in_fixed_batches(self._run_one, inputs, 1)

    def _run_one(self, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        values = {
            index: _to_stored(self._tensors[index], sample[info.name])
            for index, info in zip(self._input_indices, self.inputs, strict=True)
        }
        number = 0
        for position, part in enumerate(self._parts):
            given = [values[index] for index in part.inputs]
            if isinstance(part, NpuPart):
                assert self._worker is not None
                results, number = self._worker.run(number, given), number + 1
            else:
                results = self._on_cpu(position, part.tflite, given)
            values.update(zip(part.outputs, results, strict=True))
        return {
            info.name: _to_real(self._tensors[index], values[index])
            for index, info in zip(self._output_indices, self.outputs, strict=True)
        }

    def _on_cpu(self, position: int, tflite: bytes, given: Sequence[np.ndarray]) -> list[np.ndarray]:
        if position not in self._interpreters:
            self._interpreters[position] = new_interpreter(tflite, threads=1)
        return run(self._interpreters[position], given)


def _names(signatures: Sequence[Any]) -> dict[int, str]:
    """{tensor index: name in the signature}; empty where the file has none or several."""
    if len(signatures) != 1:
        return {}
    ports = {**signatures[0].inputs, **signatures[0].outputs}
    return {index: name for name, index in ports.items()}


def _info(tensor: Tensor, names: Mapping[int, str]) -> TensorInfo:
    return TensorInfo(names.get(tensor.index, tensor.name), (None, *tensor.shape[1:]), tensor.dtype)


def _to_stored(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    dtype = np.dtype(tensor.dtype)
    if dtype.kind in "iu" and tensor.quantization is not None:
        scale, zero_point = float(tensor.quantization.scales[0]), int(tensor.quantization.zero_points[0])
        return quantize(values, scale, zero_point, dtype)
    return values.astype(dtype, copy=False)


def _to_real(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind in "iu" and tensor.quantization is not None:
        scale, zero_point = float(tensor.quantization.scales[0]), int(tensor.quantization.zero_points[0])
        return dequantize(values, scale, zero_point)
    return as_float32(values)
