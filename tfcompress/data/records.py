"""`.tfrecord` files of `tf.train.Example`, with a feature spec beside them.

The spec is a JSON file: ``data.tfrecord`` is described by ``data.json``, or by ``features.json`` in the same folder::

    {"inputs": {"image": {"dtype": "uint8", "shape": [28, 28, 1], "encoding": "raw"}},
     "labels": {"label": {"dtype": "int64", "shape": []}}}

The keys under `inputs` and `labels` are feature names; where a feature is not called as the model's input, `"name"`
says which input (or output) it is.  `encoding` is `values` (default: a float or int64 list), `raw` (a string of the
array's bytes) or `image` (an encoded JPEG, PNG, BMP or GIF).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.data.arrays import named_sample
from tfcompress.data.files import sha256_of_files
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, one_line

__all__ = ["RecordSource", "open_records"]

_ENCODINGS = ("values", "raw", "image")


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

    def decode(self, tf: Any, value: Any) -> np.ndarray:
        if self.encoding == "image":
            channels = self.shape[-1] if self.shape else 0
            return tf.io.decode_image(value, channels=channels, expand_animations=False).numpy()
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
        for index, record in enumerate(tf.data.TFRecordDataset([str(file) for file in self.files])):
            if wanted is not None and index not in wanted:
                continue
            try:
                parsed = tf.io.parse_single_example(record, features)
                yield named_sample(
                    {item.name: item.decode(tf, parsed[item.key]) for item in self.inputs},
                    {item.name: item.decode(tf, parsed[item.key]) for item in self.labels},
                )
            except (tf.errors.OpError, ValueError) as error:
                reason = one_line(getattr(error, "message", error), 160)
                raise DataError(f"{self.path}: record {index} does not fit the feature spec: {reason}") from None


@lru_cache(maxsize=8)
def _count(files: tuple[Path, ...]) -> int:
    from tfcompress.runtime import tf

    try:
        return sum(1 for _ in tf.data.TFRecordDataset([str(file) for file in files]))
    except tf.errors.OpError as error:
        raise DataError(f"{files[0]}: not a readable .tfrecord: {one_line(error.message, 160)}") from None


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
        spec = json.loads(spec_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{spec_path}: not a readable feature spec: {error}") from None
    if not isinstance(spec, dict) or not set(spec) <= {"inputs", "labels"} or not spec.get("inputs"):
        raise DataError(f'{spec_path}: expected {{"inputs": {{...}}, "labels": {{...}}}}')
    inputs = _features(spec_path, spec["inputs"], input_names, "x")
    labels = _features(spec_path, spec.get("labels", {}), output_names, "y")
    return RecordSource(path, (path,), inputs, labels)


def _features(path: Path, spec: Mapping[str, Any], names: Sequence[str], only: str) -> tuple[_Feature, ...]:
    found = []
    for key, item in spec.items():
        unknown = set(item) - {"name", "dtype", "shape", "encoding"}
        encoding = item.get("encoding", "values")
        if unknown or encoding not in _ENCODINGS:
            raise DataError(
                f"{path}: feature {key!r}: unknown {unknown or encoding}, expected encoding {'/'.join(_ENCODINGS)}"
            )
        name = item.get("name", key if key in names or len(spec) > 1 else only)
        try:
            dtype = np.dtype(item.get("dtype", "float32")).name
        except TypeError:
            raise DataError(f"{path}: feature {key!r}: unknown dtype {item['dtype']!r}") from None
        found.append(_Feature(key, name, dtype, tuple(item.get("shape", ())), encoding))
    return tuple(found)
