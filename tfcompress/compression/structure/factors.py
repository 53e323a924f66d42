"""A layer's kernel as a product of smaller ones, chosen so that the outputs on real data change least.

`pca`: the outputs are projected on their own principal components (Zhang et al. 2016, "Accelerating Very Deep
Convolutional Networks", section 3.1); for a Dense layer on wide inputs this is the PCA of the inputs as far as the
layer sees them.  `spatial`: a KxK kernel as Kx1 and 1xK (Jaderberg et al. 2014).  `tucker_2`: 1x1, KxK, 1x1 (Kim et
al. 2016, section 3).  The inputs' second moment weighs every direction by how much it occurs, so that directions that
never do cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfcompress.compression.structure.moments import Moments

__all__ = ["Factors", "Scheme", "factorized", "ranks_for"]

Scheme = Literal["pca", "spatial", "tucker_2"]

# Of the largest eigenvalue: what is below is rounding of float32 sums.
_NOISE = 1e-7


@dataclass(frozen=True)
class Factors:
    """Kernels that are applied one after the other, and the bias of the last.

    Attributes:
        scheme: how the kernel was split.
        kernels: in the layout of the layer's own kernel.
        shift: [outputs], added to the layer's bias.
        ranks: the numbers of channels between them.
    """

    scheme: Scheme
    kernels: tuple[np.ndarray, ...]
    shift: np.ndarray
    ranks: tuple[int, ...]


def _components(moment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, descending and not negative, and eigenvectors as columns."""
    values, vectors = np.linalg.eigh((moment + moment.T) / 2)
    return np.maximum(values[::-1], 0), vectors[:, ::-1]


def _rank(values: np.ndarray, energy: float) -> int:
    """How many of the descending values hold that share of their sum; noise is left out."""
    values = np.where(values > _NOISE * max(float(values[0]), 1e-30), values, 0)
    share = np.cumsum(values) / max(float(values.sum()), 1e-30)
    return min(int(np.searchsorted(share, energy - 1e-12)) + 1, max(1, int(np.count_nonzero(values))))


def _weighted(kernel: np.ndarray, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """The kernel [height, width, inputs, outputs] times the square root of the inputs' moment, and its inverse."""
    size = kernel.shape[2]
    if moments.input is None:
        return kernel, np.eye(size)
    values, vectors = _components(moments.input)
    root = np.sqrt(values)
    inverse = np.where(root > np.sqrt(_NOISE) * root[0], 1 / np.maximum(root, 1e-30), 0)
    return np.einsum("hwio,ij->hwjo", kernel, (vectors * root) @ vectors.T), (vectors * inverse) @ vectors.T


def _spatial_matrix(kernel: np.ndarray) -> np.ndarray:
    """[height x inputs, width x outputs]."""
    height, width, inputs, outputs = kernel.shape
    return np.transpose(kernel, (0, 2, 1, 3)).reshape(height * inputs, width * outputs)


def ranks_for(scheme: Scheme, kernel: np.ndarray, moments: Moments, energy: float) -> tuple[int, ...]:
    """The smallest ranks that keep a share of the energy of the outputs.

    Args:
        scheme: see `Factors`.
        kernel: [inputs, outputs] or [height, width, inputs, outputs].
        moments: of the layer.
        energy: in (0, 1].
    """
    if scheme == "pca":
        return (_rank(_components(moments.covariance)[0], energy),)
    weighted, _ = _weighted(kernel.astype(np.float64), moments)
    if scheme == "spatial":
        return (_rank(np.square(np.linalg.svd(_spatial_matrix(weighted), compute_uv=False)), energy),)
    inside = _components(np.einsum("hwio,hwjo->ij", weighted, weighted))[0]
    each = np.sqrt(energy)  # both projections lose a part
    return _rank(inside, each), _rank(_components(moments.covariance)[0], each)


def factorized(scheme: Scheme, kernel: np.ndarray, moments: Moments, ranks: tuple[int, ...]) -> Factors:
    """The kernel as a product, with given ranks.

    Args:
        scheme: see `Factors`.
        kernel: [inputs, outputs] or [height, width, inputs, outputs].
        moments: of the layer.
        ranks: see `ranks_for`.
    """
    exact = kernel.astype(np.float64)
    if scheme == "pca":
        first, last, shift = _projected(exact, moments, ranks[0])
        return Factors(scheme, (first, last), shift, ranks)
    weighted, back = _weighted(exact, moments)
    if scheme == "spatial":
        return Factors(scheme, _spatial(weighted, back, ranks[0]), np.zeros(kernel.shape[-1]), ranks)
    vectors = _components(np.einsum("hwio,hwjo->ij", weighted, weighted))[1][:, : ranks[0]]
    inside = np.einsum("hwio,ir->hwro", weighted, vectors)
    middle, last, shift = _projected(inside, moments, ranks[1])
    first = (back @ vectors)[None, None]
    return Factors(scheme, (first, middle, last), shift, ranks)


def _projected(kernel: np.ndarray, moments: Moments, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A kernel that makes `rank` components, one that makes the outputs of them, and what the mean leaves over."""
    vectors = _components(moments.covariance)[1][:, :rank]
    last = vectors.T if kernel.ndim == 2 else vectors.T[None, None]
    if kernel.ndim == 3:
        last = vectors.T[None]
    return kernel @ vectors, last, moments.mean - vectors @ (vectors.T @ moments.mean)


def _spatial(weighted: np.ndarray, back: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    height, width, inputs, outputs = weighted.shape
    left, values, right = np.linalg.svd(_spatial_matrix(weighted), full_matrices=False)
    root = np.sqrt(values[:rank])
    column = (left[:, :rank] * root).reshape(height, inputs, rank)
    column = np.einsum("ij,hjr->hir", back, column)[:, None]
    row = (root[:, None] * right[:rank]).reshape(rank, width, outputs)
    return column, np.transpose(row, (1, 0, 2))[None]
