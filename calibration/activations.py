"""Runs a float .tflite over samples and hands out every activation: LiteRT with XNNPACK, batched, on all cores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.data import Samples
from tfcompress.errors import ConversionError
from tfcompress.graphs.tflite import Subgraph, read_tflite
from tfcompress.graphs.tflite.interpreter import new_interpreter
from tfcompress.graphs.tflite.operators import traits
from tfcompress.native_output import silenced

__all__ = ["ActivationRunner", "activation_limits", "float_activations"]

ACTIVATION_BYTES = 96 * 2**20  # of all activations of a batch: large enough to be fast, small beside TensorFlow itself
MAX_BATCH = 32
# Two batch sizes may add floats in another order.
BATCH_TOLERANCE = 1e-3


def float_activations(graph: Subgraph) -> dict[str, int]:
    """{tensor name: index} of the inputs and of every tensor that an operator computes in float32.

    Results of a WHILE that nobody reads are left out: LiteRT gives them no memory.
    """
    read = {index for operator in graph.operators for index in operator.inputs}.union(graph.outputs)
    results = [(operator.name, index) for operator in graph.operators for index in operator.outputs]
    computed = [*graph.inputs, *(index for name, index in results if name != "WHILE" or index in read)]
    tensors = (graph.tensors[index] for index in dict.fromkeys(computed) if index >= 0)
    return {tensor.name: tensor.index for tensor in tensors if tensor.dtype == "float32"}


# The activation that is fused into an operator, by the operator that it would be alone.
_FUSED = {
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU6: "RELU6",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
}


def activation_limits(graph: Subgraph) -> dict[int, tuple[float, float]]:
    """{tensor index: (low, high)} where the operator's own function cannot leave these limits."""
    limits = {}
    for operator in graph.operators:
        fused = getattr(operator.options, "FusedActivationFunction", lambda: schema.ActivationFunctionType.NONE)()
        fixed = traits(operator.name).limits or traits(_FUSED.get(fused, "")).limits
        if fixed is not None:
            limits.update(dict.fromkeys(operator.outputs, fixed))
    return limits


@dataclass
class ActivationRunner:
    """An interpreter that keeps all activations of one batch.

    Attributes:
        content: the float .tflite, with one signature that names its inputs.
        threads: for XNNPACK.
        graph: of the file.
        inputs: {name of an input: its tensor}.
        tensors: {name of an activation: its tensor}, of all that are kept.
    """

    content: bytes
    threads: int = os.cpu_count() or 1

    def __post_init__(self) -> None:
        parsed = read_tflite(self.content)
        self.graph = parsed.main
        self.tensors = float_activations(self.graph)
        self.inputs: Mapping[str, int] = parsed.signatures[0].inputs
        self._fixed_batch = len({tensor.shape[:1] for tensor in self._input_tensors()}) != 1
        self._interpreter = self._new_interpreter(delegate=True)
        self._checked = False

    def _input_tensors(self) -> list[Any]:
        return [self.graph.tensors[index] for index in self.inputs.values()]

    def _new_interpreter(self, *, delegate: bool) -> Any:
        self._delegate = delegate
        return new_interpreter(self.content, threads=self.threads, xnnpack=delegate, keep_all=True, allocate=False)

    def batch_size(self) -> int:
        """Samples a batch such that all their activations fit `ACTIVATION_BYTES`."""
        if self._fixed_batch:
            return 1
        bytes_each = 4 * sum(self.graph.tensors[index].elements for index in self.tensors.values())
        return max(1, min(MAX_BATCH, ACTIVATION_BYTES // max(1, bytes_each)))

    def run(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Compute one batch; `value` then reads its activations.

        Raises:
            ConversionError: LiteRT cannot run the model.
        """
        try:
            with silenced():
                self._feed(inputs)
                self._interpreter.invoke()
                if not self._checked and not self._all_readable():
                    self._interpreter = self._new_interpreter(delegate=False)
                    self._feed(inputs)
                    self._interpreter.invoke()
                self._checked = True
        except (RuntimeError, ValueError) as error:
            raise ConversionError(f"calibration: LiteRT cannot run the float model: {error}") from error

    def _feed(self, inputs: Mapping[str, np.ndarray]) -> None:
        details = {item["index"]: tuple(item["shape"]) for item in self._interpreter.get_input_details()}
        shapes = {index: inputs[name].shape for name, index in self.inputs.items()}
        if any(details[index] != shape for index, shape in shapes.items()):
            for index, shape in shapes.items():
                self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()
        for name, index in self.inputs.items():
            dtype = self.graph.tensors[index].dtype  # indices may be float in Keras and int32 in the file
            self._interpreter.set_tensor(index, np.ascontiguousarray(inputs[name], dtype))

    def _all_readable(self) -> bool:
        """XNNPACK does not write out what it computes from constants alone (the first step of an unrolled LSTM)."""
        try:
            for index in self.tensors.values():
                self.value(index)
        except ValueError:
            return False
        return True

    def value(self, index: int) -> np.ndarray:
        """A view of a tensor's value; only valid until the next `run`."""
        return self._interpreter.tensor(index)()

    def batches_exactly(self, inputs: Mapping[str, np.ndarray]) -> bool:
        """Whether the model gives each sample of a batch what it gives that sample alone."""
        outputs = [index for index in self.graph.outputs if index in self.tensors.values()]
        try:
            self.run(inputs)
            together = [self.value(index).copy() for index in outputs]
            last = len(next(iter(inputs.values()))) - 1
            self.run({name: value[last:] for name, value in inputs.items()})
        except ConversionError:
            self._interpreter = self._new_interpreter(delegate=self._delegate)
            return False
        alone = [self.value(index) for index in outputs]
        return all(
            wide.shape[:1] == (last + 1,) and _close(wide[last:], single)
            for wide, single in zip(together, alone, strict=True)
        )

    def over(self, samples: Samples) -> Iterator[int]:
        """Run all samples; yields after each batch, with its size, when `value` holds that batch.

        Raises:
            DataError: a bad sample, or none.
            ConversionError: LiteRT cannot run the model.
        """
        batch_size = self.batch_size()
        if batch_size > 1:
            first = next(iter(samples.batches(batch_size)))
            batch_size = batch_size if self.batches_exactly(first.inputs) else 1
        for batch in samples.batches(batch_size):
            self.run(batch.inputs)
            yield len(batch)


def _close(first: np.ndarray, second: np.ndarray) -> bool:
    if first.shape != second.shape:
        return False
    allowed = BATCH_TOLERANCE * max(1e-6, float(np.abs(second).max(initial=0.0)))
    return float(np.abs(first - second).max(initial=0.0)) <= allowed
