"""The one place that makes LiteRT interpreters; everything in this package runs on what they print nowhere."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from tfcompress.native_output import silenced

__all__ = [
    "CANNOT_RUN",
    "Interpreter",
    "executed",
    "new_interpreter",
    "random_input",
    "random_inputs",
    "run",
    "run_all",
]

CANNOT_RUN = (RuntimeError, ValueError)  # what LiteRT raises for a file that it cannot prepare or run


def new_interpreter(
    content: bytes,
    *,
    threads: int | None = None,
    xnnpack: bool = True,
    reference: bool = False,
    keep_all: bool = False,
    allocate: bool = True,
    silent: bool = True,
) -> Any:
    """An `ai_edge_litert` interpreter of a .tflite.

    Args:
        content: the file.
        threads: for XNNPACK; None leaves the number to LiteRT.
        xnnpack: let XNNPACK compute what it can; else LiteRT's own kernels compute everything.
        reference: compute with LiteRT's reference kernels alone, whatever `xnnpack` says.
        keep_all: keep the values of all tensors, not only those of outputs.
        allocate: make it ready for the file's own input shapes.
        silent: keep what LiteRT prints from the user; not where the process may open no file.

    Raises:
        RuntimeError: LiteRT cannot prepare the file.
        ValueError: the file is no .tflite, or has an operator that LiteRT lacks.
    """
    resolver = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    resolver = OpResolverType.BUILTIN_REF if reference else resolver
    with silenced() if silent else contextlib.nullcontext():
        interpreter = Interpreter(
            model_content=content,
            num_threads=threads,
            experimental_preserve_all_tensors=keep_all,
            experimental_op_resolver_type=resolver,
        )
        if allocate:
            interpreter.allocate_tensors()
    return interpreter


def run(interpreter: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs in the file's order, from inputs in the file's order, in the stored dtypes.

    Raises:
        RuntimeError: LiteRT cannot run the file.
        ValueError: an input has another shape or dtype.
    """
    with silenced():
        for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def run_all(content: bytes, inputs: Sequence[np.ndarray], *, tensors: Sequence[int]) -> Mapping[int, np.ndarray]:
    """What tensors of the main graph hold after one run, by LiteRT's own kernels.

    Args:
        content: the .tflite.
        inputs: in the file's order.
        tensors: their indices.

    Raises:
        RuntimeError: LiteRT cannot run the file.
        ValueError: an input has another shape or dtype, or a tensor has no value.
    """
    interpreter = new_interpreter(content, xnnpack=False, keep_all=True)
    run(interpreter, inputs)
    return {index: interpreter.get_tensor(index) for index in tensors}


def executed(interpreter: Any) -> list[dict[str, Any]]:
    """What a ready interpreter runs: {`index`, `op_name`, `inputs`, `outputs`} of each operator and each delegate."""
    return list(interpreter._get_ops_details())  # no public call tells what a delegate took


def random_inputs(interpreter: Any, random: np.random.Generator) -> list[np.ndarray]:
    """Inputs for a file: floats are normal, 8-bit integers take all values, wider ones and bools 0 and 1."""
    return [random_input(random, detail) for detail in interpreter.get_input_details()]


def random_input(random: np.random.Generator, detail: Mapping[str, Any]) -> np.ndarray:
    """A value for one input, by what LiteRT tells of it."""
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return random.normal(size=shape).astype(dtype)
    low, high = (-128, 128) if dtype == np.int8 else (0, 256) if dtype == np.uint8 else (0, 2)
    return random.integers(low, high, size=shape).astype(dtype)
