"""A fingerprint of samples as a model sees them: their source's bytes and how they are read, or all their values."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfcompress.cache.fingerprints import fingerprint
from tfcompress.data.preprocess import preprocess_for
from tfcompress.data.samples import Samples

__all__ = ["content_of"]

_OURS = ("unit", "signed_unit")  # whose code is ours, and so known by its version


def content_of(samples: Samples, source_sha256: str | None) -> str:
    """Equal for two streams only where every value, label and position is the same; without `limit` and `indices`.

    A file counts by its bytes, not by its name.  Where the samples come out of a function, or go through one of the
    user's own, nobody can say whether it is still the same function: then a pass over the data takes their values.

    Args:
        samples: the stream.
        source_sha256: what ``samples.source.sha256`` says; None where there are no bytes behind the samples.

    Raises:
        DataError: a bad sample, where the values count.
    """
    ours = samples.preprocess in (None, *map(preprocess_for, _OURS))
    settings = _settings(samples.source) if ours and source_sha256 is not None else None
    if settings is not None:
        reading = getattr(samples.preprocess, "__name__", "")
        try:
            return fingerprint(source_sha256, settings, reading, samples.inputs, samples.outputs)
        except TypeError:  # a source that holds more than data
            pass
    whole = dataclasses.replace(samples, limit=None, indices=None)
    hashes = [fingerprint(batch.inputs, batch.labels) for batch in whole.batches(64)]
    return fingerprint(samples.inputs, samples.outputs, hashes)


def _settings(source: object) -> tuple[str, dict[str, object]] | None:
    """What a source of ours says about how its bytes are read; None for somebody else's."""
    if not dataclasses.is_dataclass(source) or type(source).__module__.partition(".")[0] != "tfcompress":
        return None
    values = {item.name: getattr(source, item.name) for item in dataclasses.fields(source)}
    kept = {name: value for name, value in values.items() if name != "name" and not _is_place(value)}
    return type(source).__qualname__, kept


def _is_place(value: object) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(isinstance(item, Path) for item in value)
    return isinstance(value, Path)
