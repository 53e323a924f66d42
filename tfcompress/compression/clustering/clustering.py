"""Weight sharing: kernels with few distinct values (Han et al. 2016, "Deep Compression", section 3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tfcompress.compression.sparsity.pruning import layers_to_compress, meant_by, prunable_weights
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.recipe import Clustering

__all__ = ["cluster_ids", "cluster_kernels", "clustered_values", "kmeans"]

_ITERATIONS = 50
_RESTARTS = 3
# k-means++ looks at so many weights of a kernel at most; the assignment of all of them is exact.
_SAMPLE = 50_000


def cluster_kernels(model: KerasModel, clustering: Clustering, *, seed: int = 0) -> list[str]:
    """Replace the weights of a flat tf_keras model's kernels by their cluster's value, in place.

    Args:
        model: a flat tf_keras model.
        clustering: how many clusters, how begun, and where.
        seed: of the first centroids.

    Returns:
        Names of the layers with kernels that are left as they are.

    Raises:
        RecipeError: a layer pattern fits no layer that is clustered.
    """
    layers, left = layers_to_compress(model, clustering.skip)
    names = [layer.name for layer in layers]
    for pattern, _ in clustering.layers:
        if not any(meant_by(model, name, [pattern]) for name in names):
            raise RecipeError(
                f"recipe: clustering.layers: {pattern!r} fits no layer that is clustered; they are {', '.join(names)}"
            )
    for layer in layers:
        clusters = next((n for pattern, n in clustering.layers if meant_by(model, layer.name, [pattern])), None)
        own = clustering if clusters is None else replace(clustering, clusters=clusters)
        for weight in prunable_weights(layer):
            weight.assign(clustered_values(np.asarray(weight), own, seed=seed))
    return left


def clustered_values(values: np.ndarray, clustering: Clustering, *, seed: int = 0) -> np.ndarray:
    """`values`, float32 of any shape, with at most `clusters` distinct ones (for each index of the last axis, where
    `per_channel`).  Zeros stay zero, as one of the clusters, where `preserve_sparsity`."""
    random = np.random.default_rng(seed)
    if clustering.per_channel:
        columns = values.reshape(-1, values.shape[-1]).T
        return np.stack([_clustered(column, clustering, random) for column in columns], -1).reshape(values.shape)
    return _clustered(values.reshape(-1), clustering, random).reshape(values.shape)


def _clustered(values: np.ndarray, clustering: Clustering, random: np.random.Generator) -> np.ndarray:
    moved = values != 0 if clustering.preserve_sparsity else np.ones(values.shape, bool)
    clusters = clustering.clusters - (0 if moved.all() else 1)
    result = np.zeros_like(values)
    if moved.any():
        result[moved] = kmeans(values[moved], max(1, clusters), clustering.initialization, random)
    return result


def kmeans(values: np.ndarray, clusters: int, initialization: str, random: np.random.Generator) -> np.ndarray:
    """Each of `values`, float32 [n], replaced by its centroid's value after Lloyd's iterations in one dimension.

    Args:
        values: at least one.
        clusters: largest number of distinct results.
        initialization: `kmeans_plus_plus` (Arthur & Vassilvitskii 2007), `linear` between the extremes, `density`
            at equal shares of the values, or `random` ones of the values.
        random: for the initializations that draw.
    """
    distinct = np.unique(values)
    if len(distinct) <= clusters:
        return values
    tries = _RESTARTS if initialization in ("kmeans_plus_plus", "random") else 1
    attempts = [
        _lloyd(np.sort(values), _first_centroids(values, clusters, initialization, random)) for _ in range(tries)
    ]
    centroids = min(attempts, key=lambda c: float(np.square(values - _nearest(values, c)).sum()))
    return _nearest(values, centroids)


def _first_centroids(values: np.ndarray, clusters: int, initialization: str, random: np.random.Generator) -> np.ndarray:
    if initialization == "linear":
        return np.linspace(values.min(), values.max(), clusters)
    if initialization == "density":
        return np.unique(np.quantile(values, (np.arange(clusters) + 0.5) / clusters))
    drawn = values if len(values) <= _SAMPLE else random.choice(values, _SAMPLE, replace=False)
    if initialization == "random":
        return np.sort(random.choice(np.unique(drawn), min(clusters, len(np.unique(drawn))), replace=False))
    centroids = [random.choice(drawn)]
    distance = np.square(drawn - centroids[0], dtype=np.float64)
    while len(centroids) < clusters and distance.sum() > 0:
        centroids.append(drawn[random.choice(len(drawn), p=distance / distance.sum())])
        distance = np.minimum(distance, np.square(drawn - centroids[-1], dtype=np.float64))
    return np.sort(np.array(centroids))


def _lloyd(ascending: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Centroids, ascending, after Lloyd's iterations; in one dimension a cluster is a slice of the sorted values."""
    sums = np.concatenate([[0.0], np.cumsum(ascending, dtype=np.float64)])
    centroids = centroids.astype(np.float64)
    for _ in range(_ITERATIONS):
        bounds = np.searchsorted(ascending, (centroids[1:] + centroids[:-1]) / 2)
        edges = np.concatenate([[0], bounds, [len(ascending)]])
        counts = np.diff(edges)
        means = np.where(counts > 0, np.diff(sums[edges]) / np.maximum(counts, 1), centroids)
        if np.array_equal(means, centroids):
            break
        centroids = means
    return centroids


def _nearest(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    ascending = np.unique(centroids.astype(values.dtype))
    return ascending[np.searchsorted((ascending[1:] + ascending[:-1]) / 2, values)]


def cluster_ids(values: np.ndarray, *, per_channel: bool) -> np.ndarray:
    """Int32 of the shape of `values`: equal where values are equal (and of the same channel, where `per_channel`)."""
    if not per_channel:
        return np.unique(values, return_inverse=True)[1].reshape(values.shape).astype(np.int32)
    columns = values.reshape(-1, values.shape[-1])
    ids, used = [], 0
    for column in columns.T:
        levels, inverse = np.unique(column, return_inverse=True)
        ids.append(inverse + used)
        used += len(levels)
    return np.stack(ids, -1).reshape(values.shape).astype(np.int32)
