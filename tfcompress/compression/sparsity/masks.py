"""Which weights of a kernel are the least important: masks with exactly the asked number of zeros.

A kernel of any rank is seen as a matrix: rows are all axes but the last (an output's inputs), columns the outputs.
"""

from __future__ import annotations

import math
from typing import Any

from tfcompress.graphs.keras.protocols import Tensor
from tfcompress.recipe import Pruning
from tfcompress.runtime import tf

__all__ = ["importance", "mask_for"]


def importance(values: Tensor, pruning: Pruning, gradient_products: object) -> Any:
    """How much each weight matters, of the shape of `values`.

    Args:
        values: float tensor, the weights.
        pruning: `magnitude` is |w|; `gradient` is |gradient x w| (Molchanov et al. 2017, equation 7, for one weight);
            `l1_norm` and `l2_norm` give every weight its filter's norm (Li et al. 2017), so that whole filters go.
        gradient_products: running mean of |gradient x w|, used by `gradient` alone.
    """
    if pruning.criterion == "gradient":
        return gradient_products
    if pruning.criterion == "magnitude" or pruning.pattern != "unstructured":
        return tf.abs(values)
    axes = list(range(len(values.shape) - 1))
    if pruning.criterion == "l1_norm":
        norms = tf.reduce_sum(tf.abs(values), axis=axes, keepdims=True)
    else:
        norms = tf.sqrt(tf.reduce_sum(tf.square(values), axis=axes, keepdims=True))
    return tf.broadcast_to(norms, values.shape)


def mask_for(scores: Any, sparsity: Any, pruning: Pruning) -> Any:
    """1 where a weight is kept and 0 where it goes, float32 of the shape of `scores`.

    Args:
        scores: importance of each weight.
        sparsity: share of zeros, a scalar; not used by `n_m`, which has n of every m.
        pruning: gives the pattern, its sizes and the criterion.
    """
    if pruning.pattern == "n_m":
        return _n_m_mask(scores, pruning.n, pruning.m)
    if pruning.pattern == "block":
        return _block_mask(scores, sparsity, pruning)
    if pruning.criterion in ("l1_norm", "l2_norm"):
        per_filter = tf.reshape(scores, [-1, scores.shape[-1]])[0]
        return tf.broadcast_to(_keep_largest(per_filter, sparsity), scores.shape)
    return tf.reshape(_keep_largest(tf.reshape(scores, [-1]), sparsity), scores.shape)


def _keep_largest(scores: Tensor, sparsity: Tensor) -> Tensor:
    """Exactly ``round(size * sparsity)`` zeros; of equal scores the first go first."""
    zeros = tf.cast(tf.round(tf.cast(tf.size(scores), tf.float32) * sparsity), tf.int32)
    rank = tf.argsort(tf.argsort(scores, stable=True), stable=True)
    return tf.cast(rank >= zeros, tf.float32)


def _n_m_mask(scores: Tensor, n: int, m: int) -> Tensor:
    """The n largest of every m neighbours along the input axis; a shorter last group keeps its n largest too."""
    inputs = int(scores.shape[-2])
    groups = math.ceil(inputs / m)
    last_first = tf.reshape(scores, [-1, inputs, scores.shape[-1]])
    padded = tf.pad(last_first, [[0, 0], [0, groups * m - inputs], [0, 0]], constant_values=-1.0)
    grouped = tf.transpose(tf.reshape(padded, [-1, groups, m, scores.shape[-1]]), [0, 1, 3, 2])
    rank = tf.argsort(tf.argsort(grouped, direction="DESCENDING", stable=True), stable=True)
    kept = tf.transpose(tf.cast(rank < n, tf.float32), [0, 1, 3, 2])
    return tf.reshape(tf.reshape(kept, tf.shape(padded))[:, :inputs, :], scores.shape)


def _block_mask(scores: Tensor, sparsity: Tensor, pruning: Pruning) -> Tensor:
    """Whole blocks of the matrix go, those of the smallest sum of scores (of squares, for `l2_norm`)."""
    height, width = pruning.block_shape
    matrix = tf.reshape(scores, [-1, scores.shape[-1]])
    rows, columns = (int(size) for size in matrix.shape)
    down, across = math.ceil(rows / height), math.ceil(columns / width)
    padded = tf.pad(matrix, [[0, down * height - rows], [0, across * width - columns]])
    blocks = tf.reshape(padded, [down, height, across, width])
    sums = tf.reduce_sum(tf.square(blocks) if pruning.criterion == "l2_norm" else blocks, axis=[1, 3])
    kept = tf.reshape(_keep_largest(tf.reshape(sums, [-1]), sparsity), [down, 1, across, 1])
    mask = tf.reshape(tf.broadcast_to(kept, blocks.shape), padded.shape)
    return tf.reshape(mask[:rows, :columns], scores.shape)
