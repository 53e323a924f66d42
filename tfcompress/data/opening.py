"""From what the user names to samples for a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tfcompress.data.arrays import samples_from_arrays
from tfcompress.data.boxes import BoxSource, has_boxes, open_box_folder
from tfcompress.data.class_folders import read_class_names
from tfcompress.data.fit_forms import in_names, is_array, is_list_of_all, split
from tfcompress.data.functions import FunctionSource, import_attribute
from tfcompress.data.images import IMAGE_SUFFIXES, RESIZINGS, open_image_folder, open_image_zip
from tfcompress.data.numpy_files import open_npy, open_npz
from tfcompress.data.preprocess import Preprocess, preprocess_for
from tfcompress.data.records import open_records
from tfcompress.data.samples import Samples, Source
from tfcompress.data.sounds import SOUND_SUFFIXES, open_sound_folder
from tfcompress.data.tables import open_csv
from tfcompress.errors import DataError, InputError, one_line
from tfcompress.remarks import remark
from tfcompress.tensor_info import TensorInfo

__all__ = ["FORMS", "Data", "open_data"]

Data = (
    str
    | Path
    | Samples
    | np.ndarray
    | tuple[Any, ...]
    | Mapping[str, Any]
    | Callable[[], Iterable[Any]]
    | Iterable[Any]
)
"""A path, ``package.module:function``, `Samples`, or whatever `model.fit` takes: arrays ``x``, ``(x, y)`` or
``(x, y, sample_weight)``, where x and y may be arrays by name or in a list; a data set or a loader; and a function that
returns one of these, whole or piece by piece, such as a generator function."""

FORMS = (
    ".npz, .npy, .csv, .tfrecord, a folder or .zip of class folders with images, a folder of class folders with .wav, "
    "a folder of images with boxes (COCO JSON or a .txt each), or package.module:function"
)


def open_data(
    data: Data,
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
    *,
    preprocess: str | Preprocess | None = None,
    label_column: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    resize: str | None = None,
    sample_rate: int | None = None,
    flag: str = "data",
) -> Samples:
    """Samples for a model with these inputs and outputs.

    Args:
        data: in any of the forms above.
        inputs: the model's inputs; samples are checked against them.
        outputs: the model's outputs; labels are named after them.
        preprocess: see `preprocess_for`.
        label_column: name or number of the column of labels, for `.csv` only; None takes the last.
        labels: what the classes are called, in the model's order, or a text file with a name per line; None takes the
            sorted names of the folders or of the words in the label column.
        resize: how images of another size are made to fit: ``stretch``, ``crop`` or ``pad``; ``pad`` for sounds too;
            None refuses them.
        sample_rate: in Hz, to which sounds are resampled; None takes them as they are.
        flag: the option that named the data, for messages.

    Raises:
        DataError: the data cannot be found or is not of a known form.
        InputError: `preprocess` cannot be imported or is no function, or `resize` is none of these.
    """
    if isinstance(data, Samples):
        return data
    ins, outs = tuple(inputs), tuple(outputs)
    function = preprocess_for(preprocess)
    names = read_class_names(labels)
    if resize is not None and resize not in RESIZINGS:
        raise InputError(f"--resize={resize}: expected one of {', '.join(RESIZINGS)}")
    if isinstance(data, str | Path):
        reading = _Reading(label_column, names, resize, sample_rate)
        source = _source(str(data), ins, outs, reading, flag)
        class_names = names or tuple(getattr(source, "classes", ()))
        if not isinstance(source, BoxSource):
            _check_classes(source.name, names, class_names, outs)
        return Samples(source, ins, outs, function, class_names=class_names)
    if isinstance(data, Iterator):
        raise DataError(
            f"--{flag}: a generator can be read only once, and data is read several times; give the function that "
            "makes it, without calling it"
        )
    arrays = _arrays(data, ins, outs, f"--{flag}")
    if arrays is not None:
        samples = samples_from_arrays(*arrays, model_inputs=ins, model_outputs=outs, name=flag)
        return replace(samples, preprocess=function, class_names=names)
    call = data if callable(data) else lambda: data
    return Samples(FunctionSource(flag, call, ins, outs), ins, outs, function, class_names=names)


def _arrays(
    data: object, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...], where: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]] | None:
    """(inputs, labels) by name where `data` is arrays of all samples; None where it gives them piece by piece."""
    if not is_array(data) and not isinstance(data, Mapping | tuple) and not is_list_of_all(data, inputs):
        return None
    only_inputs = isinstance(data, list) and len(inputs) > 1
    x, y = (data, None) if only_inputs else split(data, inputs, outputs)
    values = in_names(x, inputs, where)
    if not isinstance(values, Mapping) and len(values) != len(inputs):
        raise DataError(
            f"{where}: got {len(values)} inputs, the model has {len(inputs)} "
            f"({', '.join(repr(info.name) for info in inputs)}); give an array for each, and labels as (inputs, labels)"
        )
    return _by_name(values, inputs, "x"), _by_name(
        [] if y is None else in_names(y, outputs, f"{where}: labels"), outputs, "y"
    )


def _by_name(values: Any, infos: tuple[TensorInfo, ...], only: str) -> dict[str, np.ndarray]:
    if isinstance(values, Mapping):
        return dict(values)
    if len(values) == 1:
        return {only: values[0]}
    names = [info.name for info in infos]
    return dict(
        zip(names if len(names) == len(values) else [f"{only}{i}" for i in range(len(values))], values, strict=True)
    )


@dataclass(frozen=True)
class _Reading:
    label_column: str | None
    class_names: tuple[str, ...]
    resize: str | None
    sample_rate: int | None


def _source(
    spec: str, inputs: tuple[TensorInfo, ...], outputs: tuple[TensorInfo, ...], reading: _Reading, flag: str
) -> Source:
    path = Path(spec)
    names, output_names = [info.name for info in inputs], [info.name for info in outputs]
    if not _exists(path, f"--{flag}={spec}"):
        if ":" in spec and path.suffix.lower() not in {".npz", ".npy", ".csv", ".zip"}:
            return FunctionSource(spec, import_attribute(spec, f"--{flag}"), inputs, outputs)
        raise DataError(f"--{flag}={spec}: no such file or folder, expected {FORMS}")
    if path.is_dir():
        return _folder(path, inputs, reading)
    if not path.is_file():
        raise DataError(f"--{flag}={spec}: not an ordinary file, expected {FORMS}")
    if path.stat().st_size == 0:
        raise DataError(f"--{flag}={spec}: the file is empty")
    openers: dict[str, Callable[[], Source]] = {
        ".npz": lambda: open_npz(path, names, output_names),
        ".npy": lambda: open_npy(path),
        ".zip": lambda: open_image_zip(path, inputs, class_names=reading.class_names, resize=reading.resize),
        ".csv": lambda: open_csv(path, inputs, reading.label_column, class_names=reading.class_names),
        ".tfrecord": lambda: open_records(path, names, output_names),
    }
    suffix = ".csv" if path.name.lower().endswith(".csv.gz") else path.suffix.lower()
    if suffix not in openers:
        raise DataError(f"--{flag}={spec}: unknown kind of file {path.suffix!r}, expected {FORMS}")
    try:
        return openers[suffix]()
    except OSError as error:
        raise DataError(f"--{flag}={spec}: cannot be read: {error.strerror}") from None


def _exists(path: Path, name: str) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or with a NUL
        raise DataError(f"{name}: no such file or folder ({one_line(error, 80)}), expected {FORMS}") from None


def _folder(path: Path, inputs: tuple[TensorInfo, ...], reading: _Reading) -> Source:
    files = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    kinds = {PurePosixPath(file).suffix.lower() for file in files}
    names, resize = reading.class_names, reading.resize
    if kinds & SOUND_SUFFIXES and not kinds & IMAGE_SUFFIXES:
        rate = reading.sample_rate
        return open_sound_folder(path, files, inputs, class_names=names, resize=resize, sample_rate=rate)
    opened = open_box_folder if has_boxes(files) else open_image_folder
    return opened(path, files, inputs, class_names=names, resize=resize)


def _check_classes(name: str, given: Sequence[str], classes: Sequence[str], outputs: Sequence[TensorInfo]) -> None:
    """Say where the classes that were found in the data are not as many as the model's."""
    wide = outputs[0].shape[-1] if len(outputs) == 1 and len(outputs[0].shape) == 2 else None
    if not given and classes and wide not in (None, 1, len(classes)):
        remark(
            f"{name}: has {len(classes)} classes, which are numbered in the order of their names, and the model has "
            f"{wide}; give --labels=FILE with the names of all classes in the model's order"
        )
