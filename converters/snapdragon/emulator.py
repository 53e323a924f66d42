"""Runs a compiled Snapdragon artifact for the accuracy diff: its NPU parts in Qualcomm's HTP emulator.

The emulator is Qualcomm's own x86 build of the HTP's kernels.  What it computes is what the chip computes as far as
Qualcomm's library is faithful; how fast the chip is, it does not tell.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfcompress.accuracy_diff.runners import Arrays, in_fixed_batches
from tfcompress.converters.npu.ports import info_of, port_names, to_real, to_stored
from tfcompress.converters.npu.worker import Worker
from tfcompress.converters.snapdragon.context import NpuPart, parts_of
from tfcompress.converters.snapdragon.sdk import find_sdk
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter, run

__all__ = ["CALL_SECONDS", "EmulatorRunner"]

CALL_SECONDS = 300.0  # of one sample in one part; MobileNetV2-224 takes 2


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
        names = port_names(file.signatures)
        self.inputs = tuple(info_of(self._tensors[index], names) for index in self._input_indices)
        self.outputs = tuple(info_of(self._tensors[index], names) for index in self._output_indices)
        self._parts = parts_of(self.content)
        npu = [part.onnx for part in self._parts if isinstance(part, NpuPart)]
        self._worker = _worker(npu, seconds) if npu else None
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
            index: to_stored(self._tensors[index], sample[info.name])
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
            info.name: to_real(self._tensors[index], values[index])
            for index, info in zip(self._output_indices, self.outputs, strict=True)
        }

    def _on_cpu(self, position: int, tflite: bytes, given: Sequence[np.ndarray]) -> list[np.ndarray]:
        if position not in self._interpreters:
            self._interpreters[position] = new_interpreter(tflite, threads=1)
        return run(self._interpreters[position], given)


def _worker(models: Sequence[bytes], seconds: float) -> Worker:
    module = "tfcompress.converters.snapdragon.emulator_worker"
    return Worker(module, models, suffix=".onnx", seconds=seconds, title="the HTP emulator")
