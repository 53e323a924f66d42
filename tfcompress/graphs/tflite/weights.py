"""Zeros and shared values among the weights of a .tflite, counted in the file itself."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfcompress.graphs.tflite.operators import kernel_of, traits
from tfcompress.graphs.tflite.reader import Tensor, TfliteFile, read_tflite

__all__ = ["WeightFacts", "count_weights"]


@dataclass(frozen=True)
class WeightFacts:
    """What makes the kernels of a file compressible.

    Attributes:
        weights: number of kernel weights.
        zeros: how many of them mean exactly 0.0: they equal their zero point.
        clusters: distinct stored values in the kernel that has the most.
        gzip_bytes: size of the whole file after gzip -9: what a download or an APK costs.
    """

    weights: int
    zeros: int
    clusters: int
    gzip_bytes: int

    def to_json(self) -> dict[str, object]:
        """The `weights` section of report.json."""
        return {
            "count": self.weights,
            "sparsity": self.zeros / self.weights if self.weights else None,
            "clusters": self.clusters or None,
            "gzip_bytes": self.gzip_bytes,
        }


def count_weights(path: Path) -> WeightFacts:
    """Count zeros and distinct values in the kernels of a .tflite.

    Raises:
        ModelError: the file cannot be read.
    """
    weights = zeros = clusters = 0
    for tensor in _kernels(read_tflite(path)):
        values = tensor.array()
        if values is None:
            continue
        zero_point = 0 if tensor.quantization is None else int(tensor.quantization.zero_points[0])
        weights += values.size
        zeros += int(np.count_nonzero(values == zero_point))
        clusters = max(clusters, len(np.unique(values)))
    return WeightFacts(weights, zeros, clusters, len(gzip.compress(path.read_bytes(), 9, mtime=0)))


def _kernels(file: TfliteFile) -> list[Tensor]:
    """Constant kernels, each once."""
    kernels: dict[tuple[int, int], Tensor] = {}
    for graph in file.subgraphs:
        for operator in graph.operators:
            tensor = kernel_of(operator, graph)
            if tensor is not None and traits(operator.name).multiplies:
                kernels[graph.index, tensor.index] = tensor
    return list(kernels.values())
