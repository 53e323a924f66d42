"""The data sets of a conversion: for calibration, evaluation and training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tfcompress.cache import store_in_use
from tfcompress.data import Samples, open_data
from tfcompress.data.content import content_of
from tfcompress.data.front_part import behind_front
from tfcompress.data.usage import usage_of
from tfcompress.job.options import ConvertOptions
from tfcompress.load.preprocessing import BeforeArtifact
from tfcompress.tensor_info import TensorInfo
from tfcompress.usage import Usage

__all__ = ["DataSets"]


@dataclass(frozen=True)
class DataSets:
    """Opened for one model.

    Attributes:
        calibration: representative data; None where none was given.
        evaluation: what artifacts are compared on: the calibration data where nothing else was given.
        train: for fine-tuning: the calibration data where nothing else was given.
        usage: how an app has to use the model, as far as the data show.
    """

    calibration: Samples | None
    evaluation: Samples | None
    train: Samples | None
    usage: Usage = field(default_factory=Usage)
    _hashes: dict[int, str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        ends: tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]],
        options: ConvertOptions,
        front: BeforeArtifact | None = None,
        *,
        sample_bytes: int = 0,
    ) -> DataSets:
        """Open what is given, and read a first sample of each: a mistake in the data shows at once.

        Args:
            ends: the model's inputs and its outputs.
            options: which data, and how it is read.
            front: the part of the model before its inputs; the data are what that part takes.
            sample_bytes: see `FloatModel`.
        """
        inputs, outputs = ends
        hashes: dict[int, str] = {}

        def opened(data: Any, flag: str) -> Samples | None:
            if data is None:
                return None
            raw = inputs if front is None else front.raw
            samples = open_data(data, raw, outputs, flag=flag, **options.reading)
            next(samples.take(1).batches(1))
            if store_in_use().folder is not None and samples.content is None:
                digest = samples.source.sha256
                if digest is not None:
                    hashes[id(samples.source)] = digest
                samples = replace(samples, content=content_of(samples, digest))
            if front is None:
                return samples.measured(sample_bytes)
            return behind_front(samples, front, inputs, fingerprint=front.fingerprint).measured(sample_bytes)

        representative = opened(options.calibration, "calibration")
        evaluation = opened(options.evaluation, "evaluation") or representative
        train = opened(options.train, "train") or representative
        usage = usage_of((evaluation, representative, train), options.sample_rate)
        return cls(representative, evaluation, train, usage, hashes)

    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know about the data."""
        lines = []
        if self.evaluation is None:
            lines.append("no data was given to compare on: the artifacts are not proven; give --evaluation")
        elif self.evaluation is self.calibration:
            lines.append("compared on the calibration data, which flatters an artifact; give --evaluation")
        return tuple(lines)

    def hashes(self) -> dict[str, dict[str, object] | None]:
        """Name and hash of each set, for the manifest."""
        sets = {"calibration": self.calibration, "evaluation": self.evaluation, "train": self.train}
        return {
            key: None if samples is None else {"name": samples.name, "sha256": self._sha256(samples)}
            for key, samples in sets.items()
        }

    def _sha256(self, samples: Samples) -> str:
        """Taken once for each source: most often one serves for all three."""
        if id(samples.source) not in self._hashes:
            self._hashes[id(samples.source)] = samples.sha256
        return self._hashes[id(samples.source)]
