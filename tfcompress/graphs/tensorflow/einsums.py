"""Sums of products of two tensors, ``tf.einsum``, written as matrix products.

TFLiteConverter's own form of ``tf.einsum`` loses an axis of a single place and refuses what it made ("x should be of
the same rank with y"): attention on a series of one feature, as tutorials on time series have it, is made of them.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import sum_operators
from tfcompress.runtime import tf

__all__ = ["einsums_as_products", "matrix_product"]


@contextlib.contextmanager
def einsums_as_products() -> Iterator[None]:
    """Within, what is traced has matrix products in the place of einsums of two operands with an axis of one place."""
    original = sum_operators.einsum

    def einsum(inputs: Sequence[Tensor], equation: str, **settings: object) -> Tensor:
        product = _product(inputs, equation)
        return original(inputs, equation, **settings) if product is None else product

    sum_operators.einsum = einsum
    try:
        yield
    finally:
        sum_operators.einsum = original


def _product(inputs: Sequence[Tensor], equation: str) -> Tensor | None:
    """The sum of products as a matrix product; None where TensorFlow's own form is as good."""
    operands = [tf.convert_to_tensor(tensor) for tensor in inputs]
    terms, _, result = equation.replace(" ", "").partition("->")
    first, _, second = terms.partition(",")
    if len(operands) != 2 or not all(_is_plain(term) for term in (first, second, result)):
        return None
    if not all(tensor.shape.is_fully_defined() for tensor in operands):
        return None
    pairs = [
        pair
        for term, tensor in zip((first, second), operands, strict=True)
        for pair in zip(term, tensor.shape, strict=True)
    ]
    sizes = dict(pairs)
    batch = _batch_of((first, second, result), operands, sizes)
    if batch is None:
        return None
    single = [label for label, size in pairs if size == 1 and label != batch]
    if not single or any(sizes[label] != size for label, size in pairs):
        return None
    return matrix_product((first, second, result), operands, {**sizes, batch: None})


def _batch_of(terms: tuple[str, str, str], operands: Sequence[Tensor], sizes: Mapping[str, int | None]) -> str | None:
    """The axis of the batch, which is 1 while a model is converted and open in the file; None where it is not plain.

    It is the first axis of most of what is computed, among those of one place with which an operand begins; constants
    have none.
    """
    first, second, result = terms
    constant = [tf.get_static_value(tensor) is not None for tensor in operands]
    leading = [term[0] for term, fixed in zip((first, second), constant, strict=True) if not fixed]
    candidates = [label for label in (*leading, result[0]) if label in leading and sizes[label] == 1]
    if not candidates:
        return None
    (label, most), *others = Counter(candidates).most_common()
    return label if all(number < most for _, number in others) else None


def _is_plain(labels: str) -> bool:
    return labels.isalpha() and len(set(labels)) == len(labels)


def matrix_product(
    labels: tuple[str, str, str], operands: Sequence[Tensor], sizes: Mapping[str, int | None]
) -> Tensor | None:
    """A sum of products of two tensors as one matrix product; None where it is none, or open axes stand in the way.

    Args:
        labels: of the axes of both operands and of the result, as ``tf.einsum`` has them, none twice in one of them.
        operands: two tensors, of which one may be constant.
        sizes: {label: places of its axis}; None for an open axis, of which there may be one.
    """
    first, second, result = labels
    shared = [label for label in first if label in second and label in result]
    summed = [label for label in first if label in second and label not in result]
    rows, columns = [label for label in first if label not in second], [label for label in second if label not in first]
    unknown = {label for label, size in sizes.items() if size is None}
    if set(rows + columns) - set(result) or unknown & set(summed) or len(unknown) > 1:
        return None
    left = _arranged(operands[0], first, (shared, rows, summed), sizes)
    right = _arranged(operands[1], second, (shared, summed, columns), sizes)
    order = [*shared, *rows, *columns]
    whole = tf.reshape(tf.matmul(left, right), [_places(sizes[label]) for label in order])
    axes = [order.index(label) for label in result]
    return whole if axes == sorted(axes) else tf.transpose(whole, axes)


def _arranged(
    tensor: Tensor, labels: str, groups: tuple[list[str], list[str], list[str]], sizes: Mapping[str, int | None]
) -> Tensor:
    """The tensor with the axes of the first group in front, and those of each of the others as one axis."""
    shared, *others = groups
    axes = [labels.index(label) for group in groups for label in group]
    turned = tensor if axes == sorted(axes) else tf.transpose(tensor, axes)
    if all(len(group) == 1 for group in others):
        return turned
    merged = [max(-1, math.prod(_places(sizes[label]) for label in group)) for group in others]
    return tf.reshape(turned, [*(_places(sizes[label]) for label in shared), *merged])


def _places(size: int | None) -> int:
    """As a reshape wants it: -1 for an open size."""
    return -1 if size is None else size
