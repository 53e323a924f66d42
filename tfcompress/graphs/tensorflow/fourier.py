"""Fourier transforms of Keras 3, written as products with the transform's matrix.

TFLite has no transform of complex numbers.  Of a fixed size it is a product with constants (Lee-Thorp et al. 2021,
"FNet: Mixing Tokens with Fourier Transforms", section 4.2), which has integer kernels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import fourier_operations
from tfcompress.runtime import tf

__all__ = ["transforms_as_products"]

_Parts = tuple[Tensor, Tensor]  # real and imaginary
_Transform = Callable[[_Parts], _Parts]
LARGEST = 1024  # places; the matrices have its square of numbers


@contextlib.contextmanager
def transforms_as_products() -> Iterator[None]:
    """Within, what is traced has products in the place of ``keras.ops.fft`` and ``fft2`` of fixed, moderate sizes."""
    with contextlib.ExitStack() as stack:
        for name, dimensions in (("fft", 1), ("fft2", 2)):
            original = getattr(fourier_operations, name)
            stack.callback(setattr, fourier_operations, name, original)
            setattr(fourier_operations, name, _replacement(original, dimensions))
        yield


def _replacement(original: _Transform, dimensions: int) -> _Transform:
    def transformed(x: _Parts) -> _Parts:
        real, imaginary = (tf.convert_to_tensor(part) for part in x)
        sizes: list[int] = real.shape[-dimensions:].as_list() if real.shape.is_fully_defined() else [LARGEST + 1]
        if max(sizes) > LARGEST or real.dtype != tf.float32:
            return original(x)
        parts = real, None if _is_zero(imaginary) else imaginary
        for axis in range(dimensions):
            parts = _along(parts, sizes[-1 - axis], swapped=axis > 0)
        real, imaginary = parts
        return real, tf.zeros_like(real) if imaginary is None else imaginary

    return transformed


def _is_zero(tensor: Tensor) -> bool:
    value = tf.get_static_value(tensor)
    return value is not None and not np.any(value)


def _along(parts: tuple[Tensor, Tensor | None], size: int, *, swapped: bool) -> tuple[Tensor, Tensor | None]:
    """The transform along the last axis, or along the one before it where `swapped`."""
    angles = 2 * np.pi * np.outer(np.arange(size), np.arange(size)) / size
    cosines, sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    real, imaginary = parts

    def product(tensor: Tensor, matrix: np.ndarray) -> Tensor:
        if not swapped:
            return tf.matmul(tensor, matrix)
        return tf.linalg.matrix_transpose(tf.matmul(tf.linalg.matrix_transpose(tensor), matrix))

    if imaginary is None:
        return product(real, cosines), product(real, -sines)
    return (
        product(real, cosines) + product(imaginary, sines),
        product(imaginary, cosines) - product(real, sines),
    )
