"""The proof that two models compute the same: both run on random inputs, and the outputs are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfcompress.errors import ModelError, one_line
from tfcompress.graphs.keras.call_graph import (
    dtype_name,
    flatten,
    input_structure,
    is_graph,
    is_keras3,
    nested_tensors,
    subclassed_structures,
)
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.layer_names import all_layers
from tfcompress.load.keras_versions.weights import read_states, write_states
from tfcompress.model import TensorInfo
from tfcompress.native_output import silenced
from tfcompress.runtime import keras, tf, tf_keras
from tfcompress.tensor_info import have_open_sizes

__all__ = ["RELATIVE_TOLERANCE", "prove_equal", "random_inputs", "relative_difference"]

RELATIVE_TOLERANCE = 1e-5
"""Largest difference of an output, divided by its largest absolute value, for models that compute in float32."""

# In half precision one rounding is larger than that; a few may fall differently (units: eps of the dtype).
_HALF_PRECISION_ROUNDINGS = 8
_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}

_BATCH = 2
_OPEN_SIZES = (32, 64, 128, 256)


def prove_equal(
    source: Any,
    target: Any,
    tensor_pairs: Sequence[tuple[str, Sequence[object], Sequence[object]]],
    sizes: Sequence[TensorInfo] | None = None,
) -> None:
    """Compare the two models' outputs on seeded random inputs.

    Args:
        source: a built model of either Keras.
        target: its counterpart of the other Keras, with inputs and outputs nested the same way.
        tensor_pairs: (layer name, symbolic tensors in `source`, their counterparts in `target`), in the order of
            computation; to find the first layer that differs.
        sizes: of the inputs, for a model that leaves sizes open; None tries several sizes.

    Raises:
        ModelError: an output differs by more than `RELATIVE_TOLERANCE`; names the first layer that does.
    """
    with silenced(), _kept_states(source, target):
        values, expected = _first_that_runs(source, input_structure(target).infos, sizes)
        actual = _run(target, values)
    tolerance = _tolerance(source)
    worst = max((relative_difference(a, b) for a, b in zip(expected, actual, strict=True)), default=0.0)
    if worst <= tolerance:
        return
    with silenced():
        name = _first_different(source, target, tensor_pairs, values, tolerance)
    library = "Keras 3" if is_keras3(target) else "tf_keras"
    raise ModelError(
        f"{source.name!r} does not compute the same in {library}: outputs on random inputs differ by {worst:.2g} "
        f"relative, allowed is {tolerance:.2g}; the first layer that differs is {name}"
    )


class _kept_states:
    """Puts the states of stateful layers back where they were before the proof."""

    def __init__(self, *models: object) -> None:
        self.layers = [layer for model in models for layer in all_layers(model)]

    def __enter__(self) -> None:
        self.values = [read_states(layer) for layer in self.layers]

    def __exit__(self, *_: object) -> None:
        for layer, values in zip(self.layers, self.values, strict=True):
            write_states(layer, values)


def _first_that_runs(
    source: Any, infos: Sequence[TensorInfo], given: Sequence[TensorInfo] | None
) -> tuple[list[Any], list[np.ndarray]]:
    """Random inputs that the source accepts, and its outputs: sizes that the model leaves open are tried in turn."""
    if given is not None and [info.name for info in given] == [info.name for info in infos]:
        infos = [info.of_sample_shape(own.shape[1:]) for info, own in zip(infos, given, strict=True)]
    sizes = _OPEN_SIZES if have_open_sizes(infos) else _OPEN_SIZES[:1]
    reason: Exception | None = None
    for size in sizes:
        values = random_inputs(infos, open_size=size)
        try:
            return values, _run(source, values)
        except Exception as error:  # too small an image for a model of open size, or what is told below
            reason = error
    raise ModelError(
        f"{source.name!r} cannot be run on random inputs: {type(reason).__name__}: {one_line(reason, 300)}"
    ) from reason


def random_inputs(
    infos: Sequence[TensorInfo], *, open_size: int = _OPEN_SIZES[0], batch: int = _BATCH, seed: int = 0
) -> list[Any]:
    """One batch of seeded random tensors: floats in [0, 1), integers 0 or 1.

    Args:
        infos: of the inputs.
        open_size: taken for a dimension that is not fixed.
        batch: taken for the first dimension where it is not fixed.
        seed: of the generator.
    """
    generator = np.random.default_rng(seed)
    values = []
    for info in infos:
        shape = [info.shape[0] or batch, *info.sizes(open_size)]
        if info.dtype == "string":
            values.append(tf.fill(shape, "text"))
            continue
        dtype = tf.as_dtype(info.dtype)
        numbers = generator.random(shape) if dtype.is_floating or dtype.is_complex else generator.integers(0, 2, shape)
        values.append(tf.cast(numbers, dtype))
    return values


def _run(model: KerasModel, values: Sequence[object]) -> list[np.ndarray]:
    structure = input_structure(model) if is_graph(model) else subclassed_structures(model)[0]
    packed = structure.pack({info.name: value for info, value in zip(structure.infos, values, strict=True)})
    return [np.asarray(output) for output in flatten(model(packed, training=False), keras3=is_keras3(model))]


def _tolerance(model: KerasModel) -> float:
    dtypes = {dtype_name(getattr(layer, "compute_dtype", None) or "float32") for layer in all_layers(model)}
    half = [_HALF_PRECISION_ROUNDINGS * epsilon for name, epsilon in _EPSILON.items() if name in dtypes]
    return max([RELATIVE_TOLERANCE, *half])


def relative_difference(expected: np.ndarray, actual: np.ndarray) -> float:
    """The largest absolute difference over the largest absolute expected value.

    Infinite where shapes or the places of non-finite values differ; zero for two equal arrays, also empty ones.
    """
    if expected.shape != actual.shape:
        return float("inf")
    if not np.issubdtype(expected.dtype, np.number) and expected.dtype.kind != "V":
        return 0.0 if np.array_equal(expected, actual) else float("inf")
    a, b = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    largest = np.abs(a[finite]).max()
    difference = np.abs(a[finite] - b[finite]).max()
    return float(difference / largest) if largest else float("inf") if difference else 0.0


def _first_different(
    source: Any,
    target: Any,
    pairs: Sequence[tuple[str, Sequence[object], Sequence[object]]],
    values: Sequence[Any],
    tolerance: float,
) -> str:
    """The name of the first layer, in the order of computation, whose outputs differ."""
    ours = [tensor for _, tensors, _ in pairs for tensor in tensors]
    theirs = [tensor for _, _, tensors in pairs for tensor in tensors]
    names = [name for name, tensors, _ in pairs for _ in tensors]
    results = zip(names, _intermediates(source, ours, values), _intermediates(target, theirs, values), strict=True)
    return next((repr(name) for name, a, b in results if relative_difference(a, b) > tolerance), "not to be found")


def _intermediates(model: KerasModel, tensors: Sequence[object], values: Sequence[object]) -> Iterator[np.ndarray]:
    if not tensors:  # Keras makes no model without outputs
        return iter(())
    inputs, _ = nested_tensors(model)
    probe = (keras if is_keras3(model) else tf_keras).Model(inputs, list(tensors))
    return iter(_run(probe, values))
