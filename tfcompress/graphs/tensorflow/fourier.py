"""Fourier transforms of Keras 3 and inverse ones of TensorFlow, written as products with the transform's matrix.

TFLite has no transform of complex numbers.  Of a fixed size it is a product with constants (Lee-Thorp et al. 2021,
"FNet: Mixing Tokens with Fourier Transforms", section 4.2), which has integer kernels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import fourier_operations, spectral_operations
from tfcompress.runtime import tf

__all__ = ["transforms_as_products"]

_Parts = tuple[Tensor, Tensor]  # real and imaginary
_Transform = Callable[[_Parts], _Parts]
_OfReal = Callable[[Tensor, int | None], _Parts]
_ToReal = Callable[[_Parts, int | None], Tensor]
_FromValues = Callable[..., Tensor]
_FromComplex = Callable[[Tensor, object, str | None], Tensor]
LARGEST = 1024  # places; the matrices have its square of numbers


@contextlib.contextmanager
def transforms_as_products() -> Iterator[None]:
    """Within, what is traced has products in the place of transforms of fixed, moderate sizes.

    These are ``fft``, ``fft2``, ``rfft`` and ``irfft`` of ``keras.ops``, and ``fft``, ``ifft``, ``fft2d``, ``ifft2d``
    and ``irfft`` of ``tf.signal``; ``ifft2`` of ``keras.ops`` is made of ``fft2``.  TFLite's own RFFT2D is left to
    models that call ``tf.signal.rfft`` with a length that the kernel takes, a power of two.
    """
    backend, signal = fourier_operations, tf.signal
    with contextlib.ExitStack() as stack:
        for module, name, change in (
            (backend, "fft", lambda original: _replacement(original, 1)),
            (backend, "fft2", lambda original: _replacement(original, 2)),
            (backend, "rfft", _of_real_values),
            (backend, "irfft", _to_real_values),
            (signal, "rfft", _of_real_tensor),
            (spectral_operations, "rfft", _of_real_tensor),
            (signal, "irfft", _from_complex_values),
            (signal, "fft", lambda original: _of_complex_values(original, 1)),
            (signal, "ifft", lambda original: _of_complex_values(original, 1, inverse=True)),
            (signal, "fft2d", lambda original: _of_complex_values(original, 2)),
            (signal, "ifft2d", lambda original: _of_complex_values(original, 2, inverse=True)),
        ):
            original = getattr(module, name)
            stack.callback(setattr, module, name, original)
            setattr(module, name, change(original))
        yield


def _of_real_values(original: _OfReal) -> _OfReal:
    """``keras.ops.rfft``: float [..., n] to two of [..., n // 2 + 1]."""

    def transformed(x: Tensor, fft_length: int | None = None) -> _Parts:
        x = tf.convert_to_tensor(x)
        size = fft_length or x.shape[-1]
        if not x.shape.is_fully_defined() or size > LARGEST or x.dtype != tf.float32:
            return original(x, fft_length)
        return _half(x, size)

    return transformed


def _of_real_tensor(original: _FromValues) -> _FromValues:
    """``tf.signal.rfft``: float [..., n] to complex64 [..., n // 2 + 1]; TFLite knows lengths of powers of two."""

    def transformed(input_tensor: Tensor, fft_length: object = None, name: str | None = None) -> Tensor:
        x = tf.convert_to_tensor(input_tensor)
        lengths = [x.shape[-1]] if fft_length is None else tf.get_static_value(tf.convert_to_tensor(fft_length))
        size = 0 if lengths is None else int(lengths[0] or 0)  # 0 where it is not known
        taken_by_kernel = size & (size - 1) == 0
        if taken_by_kernel or size > LARGEST or x.shape[-1] is None or x.dtype != tf.float32:
            return original(x, fft_length, name)
        return tf.complex(*_half(x, size))

    return transformed


def _half(x: Tensor, size: int) -> _Parts:
    """The first half of the transform of `size` real values, cut or filled up with zeros: [..., size // 2 + 1]."""
    kept = min(size, x.shape[-1])
    angles = _angles(size)[:kept, : size // 2 + 1]
    taken = x[..., :kept]
    return _product(taken, _constant(np.cos(angles))), _product(taken, _constant(-np.sin(angles)))


def _to_real_values(original: _ToReal) -> _ToReal:
    """``keras.ops.irfft``: two of float [..., n // 2 + 1] to [..., n]."""

    def transformed(x: _Parts, fft_length: int | None = None) -> Tensor:
        real, imaginary = (tf.convert_to_tensor(part) for part in x)
        size = fft_length or 2 * ((real.shape[-1] or LARGEST) - 1)
        if not real.shape.is_fully_defined() or size > LARGEST or real.dtype != tf.float32:
            return original(x, fft_length)
        return _inverse(real, imaginary, size)

    return transformed


def _from_complex_values(original: _FromComplex) -> _FromComplex:
    """``tf.signal.irfft``: complex64 [..., n // 2 + 1] to float [..., n]."""

    def transformed(input_tensor: Tensor, fft_length: object = None, name: str | None = None) -> Tensor:
        given = tf.convert_to_tensor(input_tensor)
        result = original(given, fft_length, name)  # nobody reads it below: it knows a length that was computed
        size = result.shape[-1]
        if size is None or size > LARGEST or given.shape[-1] is None or given.dtype != tf.complex64:
            return result
        return _inverse(tf.math.real(given), tf.math.imag(given), size)

    return transformed


def _of_complex_values(original: Callable[..., Tensor], dimensions: int, *, inverse: bool = False) -> _FromValues:
    """``tf.signal.fft`` and its like: complex64 of one shape to complex64 of that shape.

    The inverse is the conjugate of the transform of conjugates, divided by the number of places.
    """

    def transformed(input: Tensor, name: str | None = None) -> Tensor:
        given = tf.convert_to_tensor(input)
        sizes: list[int] = given.shape[-dimensions:].as_list() if given.shape.is_fully_defined() else [LARGEST + 1]
        if max(sizes) > LARGEST or given.dtype != tf.complex64:
            return original(given, name)
        real, imaginary = tf.math.real(given), tf.math.imag(given)
        parts = real, None if _is_zero(imaginary) else -imaginary if inverse else imaginary
        for axis in range(dimensions):
            parts = _along(parts, sizes[-1 - axis], swapped=axis > 0)
        real, imaginary = parts
        assert imaginary is not None  # `_along` gives both
        places = float(np.prod(sizes))
        return tf.complex(real / places, -imaginary / places) if inverse else tf.complex(real, imaginary)

    return transformed


def _inverse(real: Tensor, imaginary: Tensor, size: int) -> Tensor:
    """The `size` real values of which these are the first half of the transform, cut or filled up with zeros."""
    kept = min(size // 2 + 1, real.shape[-1])
    angles = _angles(size)[:kept]
    twice = np.full((kept, 1), 2.0)  # a part stands for its mirror image too, but the first and the middle one
    twice[0] = 1.0
    if size % 2 == 0 and kept == size // 2 + 1:
        twice[-1] = 1.0
    cosines, sines = _constant(twice * np.cos(angles) / size), _constant(-twice * np.sin(angles) / size)
    return _product(real[..., :kept], cosines) + _product(imaginary[..., :kept], sines)


def _product(values: Tensor, matrix: np.ndarray) -> Tensor:
    """[..., n] by [n, m]: [..., m].  A filter may be a single row, [n], which TensorFlow does not multiply."""
    return tf.matmul(values[None], matrix)[0] if values.shape.rank == 1 else tf.matmul(values, matrix)


def _angles(size: int) -> np.ndarray:
    return 2 * np.pi * (np.outer(np.arange(size), np.arange(size)) % size) / size


def _constant(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


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
    cosines, sines = _constant(np.cos(_angles(size))), _constant(np.sin(_angles(size)))
    real, imaginary = parts

    def product(tensor: Tensor, matrix: np.ndarray) -> Tensor:
        if not swapped:
            return _product(tensor, matrix)
        return tf.linalg.matrix_transpose(tf.matmul(tf.linalg.matrix_transpose(tensor), matrix))

    if imaginary is None:
        return product(real, cosines), product(real, -sines)
    return (
        product(real, cosines) + product(imaginary, sines),
        product(imaginary, cosines) - product(real, sines),
    )
