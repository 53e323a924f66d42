"""From what the user names to samples for a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.data.arrays import samples_from_arrays
from tfcompress.data.functions import FunctionSource, import_attribute
from tfcompress.data.images import open_image_folder, open_image_zip
from tfcompress.data.numpy_files import open_npy, open_npz
from tfcompress.data.preprocess import Preprocess, preprocess_for
from tfcompress.data.records import open_records
from tfcompress.data.samples import Samples, Source
from tfcompress.data.tables import open_csv
from tfcompress.errors import DataError
from tfcompress.tensor_info import TensorInfo

__all__ = ["Data", "open_data"]

Data = str | Path | Samples | np.ndarray | tuple[Any, Any] | Callable[[], Iterable[Any]] | Iterable[Any]
"""A path, ``package.module:function``, `Samples`, arrays ``x`` or ``(x, y)``, a function, or a re-iterable."""

_FORMS = ".npz, .npy, .csv, .tfrecord, a folder or .zip of class folders with images, or package.module:function"


def open_data(
    data: Data,
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
    *,
    preprocess: str | Preprocess | None = None,
    label_column: str | None = None,
    flag: str = "data",
) -> Samples:
    """Samples for a model with these inputs and outputs.

    Args:
        data: in any of the forms above.
        inputs: the model's inputs; samples are checked against them.
        outputs: the model's outputs; labels are named after them.
        preprocess: see `preprocess_for`.
        label_column: for `.csv` only.
        flag: the option that named the data, for messages.

    Raises:
        DataError: the data cannot be found or is not of a known form.
    """
    if isinstance(data, Samples):
        return data
    ins, outs = tuple(inputs), tuple(outputs)
    function = preprocess_for(preprocess)
    if isinstance(data, np.ndarray) or (isinstance(data, tuple) and len(data) == 2):
        x, y = data if isinstance(data, tuple) else (data, None)
        samples = samples_from_arrays(x, y, model_inputs=ins, model_outputs=outs, name=flag)
        return replace(samples, preprocess=function)
    if isinstance(data, str | Path):
        return Samples(_source(str(data), ins, outs, label_column, flag), ins, outs, function)
    call = data if callable(data) else lambda: data
    return Samples(FunctionSource(flag, call, ins), ins, outs, function)


def _source(
    spec: str, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...], label_column: str | None, flag: str
) -> Source:
    path = Path(spec)
    names, output_names = [info.name for info in inputs], [info.name for info in outputs]
    if not path.exists():
        if ":" in spec and path.suffix.lower() not in {".npz", ".npy", ".csv", ".zip"}:
            return FunctionSource(spec, import_attribute(spec, f"--{flag}"), inputs)
        raise DataError(f"--{flag}={spec}: no such file or folder, expected {_FORMS}")
    if path.is_dir():
        return open_image_folder(path, inputs)
    if path.stat().st_size == 0:
        raise DataError(f"--{flag}={spec}: the file is empty")
    openers: dict[str, Callable[[], Source]] = {
        ".npz": lambda: open_npz(path, names, output_names),
        ".npy": lambda: open_npy(path),
        ".zip": lambda: open_image_zip(path, inputs),
        ".csv": lambda: open_csv(path, inputs, label_column),
        ".tfrecord": lambda: open_records(path, names, output_names),
    }
    suffix = ".csv" if path.name.lower().endswith(".csv.gz") else path.suffix.lower()
    if suffix not in openers:
        raise DataError(f"--{flag}={spec}: unknown kind of file {path.suffix!r}, expected {_FORMS}")
    return openers[suffix]()
