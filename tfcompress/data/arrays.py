"""Samples held in arrays: `.npz` and `.npy` files, and arrays of the caller."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfcompress.data.samples import Sample, Samples
from tfcompress.errors import DataError
from tfcompress.tensor_info import TensorInfo

__all__ = ["ArraySource", "named_sample", "samples_from_arrays"]


@dataclass(frozen=True)
class ArraySource:
    """Arrays with the sample dimension first.

    Attributes:
        name: for messages.
        inputs: {input name: array}; the single name ``x`` stands for the only input.
        labels: {output name: array}; the single name ``y`` stands for the only output.
        file_sha256: hash of the file that the arrays came from, or None.
    """

    name: str
    inputs: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    file_sha256: str | None = None

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))

    @property
    def sha256(self) -> str:
        """Hash of the file, or of the arrays' bytes."""
        if self.file_sha256 is not None:
            return self.file_sha256
        digest = hashlib.sha256()
        for name in sorted(self.inputs):
            digest.update(name.encode("utf-8", "surrogatepass") + np.ascontiguousarray(self.inputs[name]).tobytes())
        return digest.hexdigest()

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """One sample a row."""
        self.stacked()
        for row in range(self.count) if indices is None else indices:
            yield named_sample(
                {name: array[row] for name, array in self.inputs.items()},
                {name: array[row] for name, array in self.labels.items()},
            )

    def stacked(self) -> Sample:
        """The arrays.

        Raises:
            DataError: their lengths differ.
        """
        sizes = {name: len(array) for name, array in {**self.inputs, **self.labels}.items()}
        if len(set(sizes.values())) > 1:
            raise DataError(f"{self.name}: arrays have different numbers of samples: {sizes}")
        return named_sample(self.inputs, self.labels)


def named_sample(inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> Sample:
    """A sample by name, where ``x`` alone and ``y`` alone stand for the model's only input and output."""
    return Sample(
        list(inputs.values()) if list(inputs) == ["x"] else inputs,
        list(labels.values()) if list(labels) == ["y"] else labels,
    )


def samples_from_arrays(
    inputs: np.ndarray | Mapping[str, np.ndarray],
    labels: np.ndarray | Mapping[str, np.ndarray] | None = None,
    *,
    model_inputs: tuple[TensorInfo, ...],
    model_outputs: tuple[TensorInfo, ...],
    name: str = "arrays",
) -> Samples:
    """Samples from arrays in memory.

    Args:
        inputs: one array, or {input name: array}; the sample dimension comes first.
        labels: one array, {output name: array}, or None.
        model_inputs: of the model that is to see them.
        model_outputs: of the same model.
        name: for messages.

    Raises:
        DataError: no arrays of inputs, or a single number in place of an array.
    """
    by_name = inputs if isinstance(inputs, Mapping) else {"x": inputs}
    labels_by_name = labels if isinstance(labels, Mapping) else {} if labels is None else {"y": labels}
    if not by_name:
        wanted = ", ".join(repr(info.name) for info in model_inputs)
        raise DataError(f"{name}: holds no arrays of inputs, expected an array for each of {wanted}")
    for key, array in {**by_name, **labels_by_name}.items():
        if np.ndim(array) == 0:
            raise DataError(f"{name}: {key!r} is a single number, expected samples along the first dimension")
    return Samples(ArraySource(name, by_name, labels_by_name), model_inputs, model_outputs)
