"""Runs `.tflite` files: whole batches where the file allows, several interpreters at a time, real values in and out.

One interpreter runs on one thread; parallelism comes from several interpreters on different batches, which scales
better on small models than threads inside one operator do.
"""

from __future__ import annotations

import hashlib
import os
import queue
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.runners import Arrays, as_float32, in_fixed_batches
from tfcompress.errors import ModelError, one_line
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import CANNOT_RUN, Interpreter, new_interpreter
from tfcompress.graphs.tflite.quantization import dequantize, quantize
from tfcompress.load import read_admitted
from tfcompress.model import TensorInfo
from tfcompress.native_output import silenced
from tfcompress.remarks import remark

__all__ = ["LiteRtRunner"]

# The same kernel may sum in another order in a larger batch: relative to the largest output.  A batch that is not
# supported by the file gives errors of the order of 1.
BATCH_TOLERANCE = 1e-3

# Of the largest activation in one call: what stays in a core's cache runs up to twice as fast as what does not
# (MobileNetV2-224 in int8: 1.9 ms an image two at a time, 4.4 ms eight at a time).
CACHED_BYTES = 1 << 19


@dataclass(frozen=True)
class _Port:
    """An input or output tensor: where it is and how its integers stand for real values.

    Attributes:
        name: of the signature, or of the tensor where the file has no signature.
        index: tensor index in the interpreter.
        shape: as the file gives it, -1 where open.
        dtype: as stored.
        scale: real value of one step; 0 when the tensor is not quantized.
        zero_point: the integer that stands for 0.0.
    """

    name: str
    index: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    scale: float
    zero_point: int

    @property
    def info(self) -> TensorInfo:
        """As the rest of the package describes it; the batch dimension is open when it is 1 or -1."""
        sizes: list[int | None] = [None if size < 0 else size for size in self.shape]
        if sizes and sizes[0] == 1:
            sizes[0] = None
        return TensorInfo(self.name, tuple(sizes), self.dtype.name)


class _SampleRefusedError(Exception):
    """A kernel refuses what one sample leads to; the file runs on others."""


class LiteRtRunner:
    """A `.tflite` file.

    Args:
        model: the file's path, which then goes through the door, or its content.
        name: for messages; None takes the path.
        workers: how many batches may run at a time, each in an interpreter of its own; None means one per core.
        reference: compute with LiteRT's reference kernels, and where they lack an operator with LiteRT's own; else
            XNNPACK computes what it can.

    Raises:
        ModelError: not a .tflite file, or one with operators that LiteRT does not have.
    """

    def __init__(
        self, model: str | Path | bytes, *, name: str | None = None, workers: int | None = None, reference: bool = False
    ) -> None:
        self._reference = reference
        self.name = name or ("model.tflite" if isinstance(model, bytes) else str(model))
        self.content = model if isinstance(model, bytes) else read_admitted(Path(model))
        first = self._interpreter()
        self._inputs, self._outputs = _ports(first)
        self.inputs = tuple(port.info for port in self._inputs)
        self.outputs = tuple(port.info for port in self._outputs)
        # None stands for an interpreter that the thread that needs it will make: packing the weights of a large file
        # takes as long as several samples.
        self._idle: queue.LifoQueue[Interpreter | None] = queue.LifoQueue()
        for each in [None] * ((workers or os.cpu_count() or 1) - 1) + [first]:
            self._idle.put(each)
        self._sizes: dict[int, tuple[tuple[int, ...], ...]] = {}  # input shapes that an interpreter is set up for
        self._refused = False  # whether it refused a sample
        self._batches: bool | None = None  # None until the first batch was tried

    def _interpreter(self) -> Any:
        # XNNPACK refuses some ratios of scales that LiteRT's own kernels compute; the reference kernels lack operators.
        for first_choice in (True, False):
            xnnpack, reference = first_choice and not self._reference, first_choice and self._reference
            try:
                return new_interpreter(self.content, threads=1, xnnpack=xnnpack, reference=reference)
            except CANNOT_RUN as error:
                cause = one_line(error)
        raise ModelError(f"{self.name}: LiteRT cannot run it: {cause}")

    @property
    def sha256(self) -> str:
        """Of the file's content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def input_indices(self) -> tuple[int, ...]:
        """Tensor index of each input, in the order of `inputs`."""
        return tuple(port.index for port in self._inputs)

    @property
    def output_indices(self) -> tuple[int, ...]:
        """Tensor index of each output, in the order of `outputs`."""
        return tuple(port.index for port in self._outputs)

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Outputs of one batch; see `Runner.run`."""
        stored = {port.name: _to_stored(port, inputs[port.name]) for port in self._inputs}
        rows = len(next(iter(stored.values())))
        interpreter = self._idle.get()
        try:
            interpreter = interpreter or self._interpreter()
            size = self._fixed_batch()
            if size == 1 and min(rows, self._cached_batch) > 1 and self._can_batch(interpreter, stored):
                size = min(rows, self._cached_batch)
            return in_fixed_batches(lambda piece: self._answers(interpreter, piece), stored, size)
        finally:
            self._idle.put(interpreter)

    def _answers(self, interpreter: Interpreter, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Real outputs; NaN for a sample that a kernel refuses, as one that would have it divide by zero."""
        try:
            raw = self._invoke(interpreter, stored)
        except _SampleRefusedError as refusal:
            if len(next(iter(stored.values()))) > self._fixed_batch():
                return in_fixed_batches(lambda piece: self._answers(interpreter, piece), dict(stored), 1)
            if not self._refused:
                self._refused = True
                remark(f"{self.name}: LiteRT refuses some samples, which count as NaN: {refusal}")
            return {
                port.name: np.full(interpreter.get_tensor(port.index).shape, np.nan, np.float32)
                for port in self._outputs
            }
        return {port.name: _to_real(port, raw[port.name]) for port in self._outputs}

    def _fixed_batch(self) -> int:
        """The batch size written into the file; 1 also where it is open."""
        return max([1, *(port.shape[0] for port in self._inputs if port.shape)])

    @cached_property
    def _cached_batch(self) -> int:
        """How many samples per call may have for its largest activation to stay in the cache: a power of two."""
        largest = max(tensor.bytes for tensor in read_tflite(self.content).main.tensors if tensor.data is None)
        return 1 << (max(1, CACHED_BYTES // max(1, largest)).bit_length() - 1)

    def _can_batch(self, interpreter: Interpreter, stored: Mapping[str, np.ndarray]) -> bool:
        """Whether a resized batch gives what one sample at a time gives; tried once, on real samples."""
        if self._batches is None:
            self._batches = self._try_batch(interpreter, {name: array[:3] for name, array in stored.items()})
        return self._batches

    def _try_batch(self, interpreter: Interpreter, stored: dict[str, np.ndarray]) -> bool:
        try:
            single = in_fixed_batches(lambda piece: self._invoke(interpreter, piece), stored, 1)
            batched = self._invoke(interpreter, stored)
        except (_SampleRefusedError, *CANNOT_RUN):
            # A constant in the graph (a reshape's target, a state) holds the batch size: the interpreter is of no
            # more use in its half-resized state.
            self._sizes.pop(id(interpreter), None)
            return False
        return all(_same(single[name], batched[name]) for name in single)

    def _invoke(self, interpreter: Interpreter, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        shapes = tuple(stored[port.name].shape for port in self._inputs)
        if self._sizes.get(id(interpreter)) != shapes:
            for port, shape in zip(self._inputs, shapes, strict=True):
                interpreter.resize_tensor_input(port.index, shape)
            interpreter.allocate_tensors()
            self._sizes[id(interpreter)] = shapes
        interpreter.reset_all_variables()  # a stateful model must not carry one sample into the next
        for port in self._inputs:
            interpreter.set_tensor(port.index, stored[port.name])
        try:
            interpreter.invoke()
        except RuntimeError as error:  # LiteRT has no other
            raise _SampleRefusedError(one_line(error)) from error
        return {port.name: interpreter.get_tensor(port.index) for port in self._outputs}


def _ports(interpreter: Interpreter) -> tuple[list[_Port], list[_Port]]:
    """Inputs and outputs with the signature's names where there is one signature."""
    names = _signature_names(interpreter)
    inputs = [_port(detail, names[0]) for detail in interpreter.get_input_details()]
    outputs = [_port(detail, names[1]) for detail in interpreter.get_output_details()]
    return inputs, outputs


def _signature_names(interpreter: Interpreter) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """{tensor index: names in the signature} of inputs and of outputs; empty where the file has none or several.

    Outputs of the same value, such as an autoencoder's code and its noise-free sample, are one tensor of two names.
    """
    signatures = interpreter.get_signature_list()
    names: tuple[dict[int, list[str]], dict[int, list[str]]] = {}, {}
    if len(signatures) == 1:
        with silenced():
            runner = interpreter.get_signature_runner(next(iter(signatures)))
        for end, details in zip(names, (runner.get_input_details(), runner.get_output_details()), strict=True):
            for name, detail in details.items():
                end.setdefault(detail["index"], []).append(name)
    return names


def _port(detail: Mapping[str, Any], names: Mapping[int, list[str]]) -> _Port:
    """The port of a tensor; each of its names is given out once."""
    scale, zero_point = detail["quantization"]
    waiting = names.get(detail["index"])
    return _Port(
        name=waiting.pop(0) if waiting else detail["name"],
        index=detail["index"],
        shape=tuple(int(size) for size in detail["shape_signature"]),
        dtype=np.dtype(detail["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _to_stored(port: _Port, values: np.ndarray) -> np.ndarray:
    if port.dtype.kind in "iu" and port.scale:
        return quantize(values, port.scale, port.zero_point, port.dtype)
    return values.astype(port.dtype, copy=False)


def _to_real(port: _Port, values: np.ndarray) -> np.ndarray:
    if port.dtype.kind in "iu" and port.scale:
        return dequantize(values, port.scale, port.zero_point)
    return as_float32(values)


def _same(single: np.ndarray, batched: np.ndarray) -> bool:
    if single.shape != batched.shape:
        return False
    if single.dtype.kind != "f":
        return np.array_equal(single, batched)
    largest = max(float(np.nan_to_num(np.abs(single)).max(initial=0.0)), 1.0)
    close = np.abs(single - batched) <= BATCH_TOLERANCE * largest
    return bool(np.all(close | (np.isnan(single) & np.isnan(batched)) | (single == batched)))
