"""Samples behind the front part of a model: what the artifact takes, made from raw samples as they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfcompress.cache.fingerprints import fingerprint as fingerprint_of
from tfcompress.data.samples import Sample, Samples
from tfcompress.tensor_info import TensorInfo

__all__ = ["behind_front"]

_AT_ONCE = 64

FrontPart = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


@dataclass(frozen=True)
class _BehindFront:
    """A source of what a model's front part makes of raw samples."""

    raw: Samples
    front: FrontPart

    @property
    def name(self) -> str:
        """Of the raw samples."""
        return self.raw.name

    @property
    def count(self) -> int | None:
        """Number of samples."""
        return self.raw.count

    @property
    def sha256(self) -> str | None:
        """Of the raw samples' bytes."""
        return self.raw.source.sha256

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """A pass in the raw samples' order."""
        chosen = self.raw if indices is None else self.raw.select(indices)
        for batch in chosen.batches(_AT_ONCE):
            built = self.front(batch.inputs)
            for row in range(len(batch)):
                labels = {name: value[row] for name, value in batch.labels.items()}
                yield Sample({name: value[row] for name, value in built.items()}, labels)


def behind_front(raw: Samples, front: FrontPart, inputs: Sequence[TensorInfo], *, fingerprint: str | None) -> Samples:
    """What an artifact takes, from samples of the whole model.

    Args:
        raw: bound to the whole model's inputs.
        front: maps a batch of those, {name: array}, to one of the artifact's.
        inputs: of the artifact.
        fingerprint: of the front part, whose words and bins shape the values; None where nothing can name it.
    """
    named = (raw.content, fingerprint)
    content = None if None in named else fingerprint_of("behind the front part", named, tuple(inputs))
    return replace(
        raw, source=_BehindFront(raw, front), inputs=tuple(inputs), preprocess=None, indices=None, content=content
    )
