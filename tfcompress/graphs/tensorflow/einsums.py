"""Sums of products over axes of which one has a single place, written as matrix products.

TFLiteConverter's own form of ``tf.einsum`` loses such an axis and refuses what it made ("x should be of the same rank
with y"): attention on a series of one feature, as tutorials on time series have it, is made of them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.graphs.tensorflow.private_names import sum_operators
from tfcompress.runtime import tf

__all__ = ["einsums_as_products"]


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
    batch = result[0]  # which is 1 while a model is converted, and open in the file
    single = [label for label, size in pairs if size == 1 and label != batch]
    if not single or any(sizes[label] != size for label, size in pairs):
        return None
    return _of_matrices(operands, (first, second, result), {**sizes, batch: -1})


def _is_plain(labels: str) -> bool:
    return labels.isalpha() and len(set(labels)) == len(labels)


def _of_matrices(operands: Sequence[Tensor], labels: tuple[str, str, str], sizes: dict[str, int]) -> Tensor | None:
    first, second, result = labels
    shared = [label for label in first if label in second and label in result]
    summed = [label for label in first if label in second and label not in result]
    left, right = (
        [x for x in own if x in result and x not in other] for own, other in ((first, second), (second, first))
    )
    if len(shared) + len(summed) + len(left) != len(first) or len(shared) + len(summed) + len(right) != len(second):
        return None  # an axis is summed in one operand alone
    rows = _arranged(operands[0], first, shared, (left, summed), sizes)
    columns = _arranged(operands[1], second, shared, (summed, right), sizes)
    order = "".join([*shared, *left, *right])
    whole = tf.reshape(tf.matmul(rows, columns), _shape(order, sizes))
    return tf.transpose(whole, [order.index(label) for label in result]) if order != result else whole


def _arranged(
    tensor: Tensor, labels: str, shared: list[str], groups: tuple[list[str], list[str]], sizes: dict[str, int]
) -> Tensor:
    """The tensor with the shared axes first, and each group of others as one axis; an open size is -1."""
    order = [*shared, *groups[0], *groups[1]]
    turned = tf.transpose(tensor, [labels.index(label) for label in order]) if "".join(order) != labels else tensor
    merged = [max(-1, math.prod(sizes[label] for label in group)) for group in groups]
    return tf.reshape(turned, [*_shape("".join(shared), sizes), *merged])


def _shape(labels: str, sizes: dict[str, int]) -> list[int]:
    return [sizes[label] for label in labels]
