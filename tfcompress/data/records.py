"""`.tfrecord` files of `tf.train.Example`, with a feature spec beside them.

The spec is a JSON file: ``data.tfrecord`` is described by ``data.json``, or by ``features.json`` in the same folder::

    {"inputs": {"image": {"dtype": "uint8", "shape": [28, 28, 1], "encoding": "raw"}},
     "labels": {"label": {"dtype": "int64", "shape": []}}}

The keys under `inputs` and `labels` are feature names; where a feature is not called as the model's input, `"name"`
says which input (or output) it is.  `encoding` is `values` (default: a float or int64 list), `raw` (a string of the
array's bytes) or `image` (an encoded JPEG, PNG, BMP or GIF).
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.data.arrays import named_sample
from tfcompress.data.image_sizes import check_image_size, without_extras
from tfcompress.data.record_files import count_records
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, one_line
from tfcompress.file_hashes import sha256_of_files
from tfcompress.plain_files import read_plain

__all__ = ["RecordSource", "open_records"]

_ENCODINGS = ("values", "raw", "image")
_MOST_SPEC_BYTES = 4 << 20
MOST_DIMENSIONS = 8
MOST_VALUES = 1 << 28  # a sample: 1 GiB in float32


@dataclass(frozen=True)
class _Feature:
    key: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    encoding: str

    def parser(self, tf: Any) -> Any:
        if self.encoding != "values":
            return tf.io.FixedLenFeature([], tf.string)
        return tf.io.FixedLenFeature(self.shape, tf.int64 if np.dtype(self.dtype).kind in "iub" else tf.float32)

    def decode(self, tf: Any, value: Any, where: str) -> np.ndarray:
        if self.encoding == "image":
            name = f"{where}: feature {self.key!r}"
            check_image_size(value.numpy(), name)
            channels = self.shape[-1] if self.shape else 0
            return tf.io.decode_image(
                without_extras(value.numpy(), name), channels=channels, expand_animations=False
            ).numpy()
        if self.encoding == "raw":
            return np.frombuffer(value.numpy(), self.dtype).reshape(self.shape)
        return value.numpy().astype(self.dtype)


@dataclass(frozen=True)
class RecordSource:
    """TFRecord files with the same features.

    Attributes:
        path: what the user named.
        files: in order.
        inputs: features that are inputs.
        labels: features that are labels.
    """

    path: Path
    files: tuple[Path, ...]
    inputs: tuple[_Feature, ...]
    labels: tuple[_Feature, ...]

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def count(self) -> int:
        """Number of records, from one pass over the files."""
        return _count(self.files)

    @property
    def sha256(self) -> str:
        """Hash of the files."""
        return sha256_of_files(self.path.parent, self.files)

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """One sample a record."""
        from tfcompress.runtime import tf

        wanted = None if indices is None else frozenset(indices)
        features = {item.key: item.parser(tf) for item in (*self.inputs, *self.labels)}
        for index, record in enumerate(self._records(tf)):
            if wanted is not None and index not in wanted:
                continue
            where = f"{self.path}: record {index}"
            try:
                parsed = tf.io.parse_single_example(record, features)
                inputs, labels = (
                    {item.name: item.decode(tf, parsed[item.key], where) for item in group}
                    for group in (self.inputs, self.labels)
                )
            except (tf.errors.OpError, ValueError, TypeError, OverflowError) as error:
                raise DataError(f"{where} does not fit the feature spec: {_reason(error)}") from None
            yield named_sample(inputs, labels)

    def _records(self, tf: Any) -> Iterator[object]:
        _count(self.files)  # its checks come before any record is read
        stream = iter(tf.data.TFRecordDataset([str(file) for file in self.files]))
        for index in itertools.count():
            try:
                record = next(stream)
            except StopIteration:
                return
            except tf.errors.OpError as error:
                raise DataError(f"{self.path}: record {index} cannot be read: {_reason(error)}") from None
            yield record


def _reason(error: Exception) -> str:
    """What TensorFlow says, without the name of the operator that said it."""
    return one_line(re.sub(r"\{\{.*?\}\}", "", str(getattr(error, "message", error))), 160)


def _count(files: tuple[Path, ...]) -> int:
    return sum(_counted(file, file.stat().st_mtime_ns, file.stat().st_size) for file in files)


@lru_cache(maxsize=64)
def _counted(file: Path, changed: int, size: int) -> int:
    del changed, size  # they tell a file that was written anew from the one before
    return count_records(file)


def open_records(path: Path, input_names: Sequence[str], output_names: Sequence[str]) -> RecordSource:
    """A `.tfrecord` file and its feature spec.

    Raises:
        DataError: no spec, or a spec that names unknown keys, encodings or dtypes.
    """
    spec_path = next((p for p in (path.with_suffix(".json"), path.parent / "features.json") if p.exists()), None)
    if spec_path is None:
        raise DataError(
            f"{path}: no feature spec, expected {path.with_suffix('.json').name} or features.json beside it"
        )
    try:
        spec = json.loads(read_plain(spec_path, most_bytes=_MOST_SPEC_BYTES).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{spec_path}: not a readable feature spec: {one_line(error, 160)}") from None
    parts = [spec.get("inputs"), spec.get("labels", {})] if isinstance(spec, dict) else [None]
    if not all(isinstance(part, dict) for part in parts) or not set(spec) <= {"inputs", "labels"} or not parts[0]:
        raise DataError(f'{spec_path}: expected {{"inputs": {{...}}, "labels": {{...}}}}')
    inputs = _features(spec_path, spec["inputs"], input_names, "x")
    labels = _features(spec_path, spec.get("labels", {}), output_names, "y")
    return RecordSource(path, (path,), inputs, labels)


def _features(path: Path, spec: Mapping[str, object], names: Sequence[str], only: str) -> tuple[_Feature, ...]:
    return tuple(
        _feature(f"{path}: feature {key!r}", key, item, key if key in names or len(spec) > 1 else only)
        for key, item in spec.items()
    )


def _feature(where: str, key: str, item: object, name: str) -> _Feature:
    if not isinstance(item, dict):
        raise DataError(f'{where}: expected {{"dtype": ..., "shape": [...]}}, got {one_line(item, 60)}')
    unknown = set(item) - {"name", "dtype", "shape", "encoding"}
    encoding, name = item.get("encoding", "values"), item.get("name", name)
    if unknown or encoding not in _ENCODINGS or not isinstance(name, str):
        raise DataError(f"{where}: unknown {unknown or encoding}, expected encoding {'/'.join(_ENCODINGS)}")
    try:
        dtype: np.dtype[np.generic] | None = np.dtype(item.get("dtype", "float32"))
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype.kind not in "biuf":
        raise DataError(f"{where}: unknown dtype {one_line(item['dtype'], 60)!r}, expected one of numbers")
    shape = item.get("shape", [])
    whole = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or len(shape) > MOST_DIMENSIONS or math.prod(shape) > MOST_VALUES:
        raise DataError(
            f"{where}: shape {one_line(shape, 60)}, expected up to {MOST_DIMENSIONS} sizes and {MOST_VALUES} values"
        )
    return _Feature(key, name, dtype.name, tuple(shape), encoding)
