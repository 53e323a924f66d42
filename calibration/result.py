"""What a calibration leaves: one range per tensor, and what it was made from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tfcompress.errors import DataError
from tfcompress.plain_files import read_plain

__all__ = ["Calibration", "Range"]

FORMAT_VERSION = 1

MOST_BYTES = 256 << 20  # a network of 100,000 channels has 10 MiB


@dataclass(frozen=True)
class Range:
    """The real values that an integer tensor has to represent.

    Attributes:
        low: the lowest, finite.
        high: the highest, finite and not below `low`.

    Raises:
        DataError: they are not.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise DataError(f"calibration: a range from {self.low} to {self.high}, expected finite values, low <= high")

    def with_a_scale(self) -> Range:
        """The range, or [0, 1] for a tensor that was always 0, of which no scale can be made."""
        return Range(0.0, 1.0) if self.low == self.high == 0.0 else self


@dataclass(frozen=True)
class Calibration:
    """Activation ranges of one model on one set of samples.

    Attributes:
        model_sha256: of the float .tflite that was run.
        data_sha256: of the samples' source; None when it was not recorded.
        samples: how many were run.
        estimator: how the ranges were estimated, with its parameter: ``percentile 99.99``.
        ranges: {tensor name: range} of every computed float tensor.
    """

    model_sha256: str
    data_sha256: str | None
    samples: int
    estimator: str
    ranges: Mapping[str, Range]

    def check_fresh(self, *, model_sha256: str, data_sha256: str | None = None) -> None:
        """Refuse a calibration that was made for something else.

        Args:
            model_sha256: of the float .tflite that is to be quantized.
            data_sha256: of the samples that are to be used; None does not compare them.

        Raises:
            DataError: the model or the data is another one.
        """
        for what, mine, theirs in [
            ("model", self.model_sha256, model_sha256),
            ("data", self.data_sha256, data_sha256),
        ]:
            if theirs is not None and mine != theirs:
                raise DataError(
                    f"calibration: made for {what} {str(mine)[:12]}, but this is {theirs[:12]}; calibrate again"
                )

    def to_json(self) -> str:
        """JSON text that `from_json` reads back to an equal result."""
        return json.dumps({"version": FORMAT_VERSION, **asdict(self)}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The calibration in a JSON text.

        Raises:
            DataError: not JSON, of another version, or with missing or unknown keys.
        """
        try:
            plain: dict[str, Any] = json.loads(text)
            version = plain.pop("version")
            if version != FORMAT_VERSION:
                raise DataError(f"calibration: version {version}, expected {FORMAT_VERSION}; calibrate again")
            ranges = {name: Range(**item) for name, item in plain.pop("ranges").items()}
            return cls(ranges=ranges, **plain)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"calibration: not a calibration file: {type(error).__name__}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The calibration in a file.

        Raises:
            DataError: the file cannot be read, or see `from_json`.
        """
        try:
            return cls.from_json(read_plain(path, most_bytes=MOST_BYTES).decode("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot read the calibration: {error}") from None
