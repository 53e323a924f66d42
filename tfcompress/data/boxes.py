"""A folder of images with boxes: one annotation file in COCO's JSON, or a text file for each image.

COCO: ``images`` with `id` and `file_name`, ``annotations`` with `image_id`, `category_id`, `bbox` (x, y, width, height
in pixels) and `iscrowd`, ``categories`` with `id` and `name` (cocodataset.org, "Data format").  Text: ``photo.txt``
beside ``photo.jpg``, or in a folder ``labels`` in the place of ``images``, with a line ``class x y width height`` for
each box: its centre and size as shares of the image (Darknet, which the YOLO networks are trained with).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tfcompress.data.class_folders import class_number
from tfcompress.data.images import IMAGE_SUFFIXES, ImageSource, open_image_folder
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, one_line
from tfcompress.plain_files import read_plain
from tfcompress.tensor_info import TensorInfo

__all__ = ["BoxSource", "has_boxes", "open_box_folder"]

_MOST_BYTES = 1 << 30  # of an annotation file; that of COCO's training images has 470 MB
_COLUMNS = 6  # x1, y1, x2, y2, class, crowd
_NAME_FILES = ("classes.txt", "obj.names")
_NOTHING = -1.0

Table = np.ndarray  # float32 [boxes, 6]


@dataclass(frozen=True)
class BoxSource(ImageSource):
    """Images with boxes.

    A sample's labels are float32 [n, 6] with rows (x1, y1, x2, y2, class, crowd): corners in pixels of the image as the
    model gets it, and 1 for a crowd.  All samples have the same n; rows beyond an image's own boxes have the class -1.

    Attributes:
        tables: {file: float32 [boxes, 6] in pixels of the file, or in shares of its sides, see `shares`}.
        shares: corners are shares of the image's width and height.
    """

    tables: Mapping[str, Table] = field(default_factory=dict)
    shares: bool = False

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """One image at a time, see `ImageSource`."""
        rows = max((len(table) for table in self.tables.values()), default=0)
        chosen = range(self.count) if indices is None else indices
        for index, sample in zip(chosen, super().samples(chosen), strict=True):
            file = self.entries[index][0]
            assert not isinstance(sample.inputs, Mapping), "a source of images gives one input"
            boxes = self._fitted(file, np.asarray(sample.inputs[0]).shape[:2])
            table = np.full((max(rows, 1), _COLUMNS), _NOTHING, np.float32)
            table[: len(boxes)] = boxes
            yield replace(sample, labels=[table])

    def _fitted(self, file: str, shape: tuple[int, ...]) -> Table:
        """The boxes of an image in pixels of the array of `shape` that it was made into."""
        table = self.tables.get(file)
        if table is None or not len(table):
            return np.zeros((0, _COLUMNS), np.float32)
        height, width = self.stored_size(file)
        old, new = np.array([width, height]), np.array([shape[1], shape[0]])
        scale = new / old
        if self.resize in ("pad", "crop"):
            scale[:] = scale.min() if self.resize == "pad" else scale.max()
        shift = np.trunc((new - np.round(old * scale)) / 2)  # what `tf.image` adds at either side, or cuts off
        result = table.copy()
        corners = table[:, :4].reshape(-1, 2, 2) * (old if self.shares else 1.0)
        moved = np.clip(corners * scale + shift, 0, new)
        result[:, :4] = moved.reshape(-1, 4)
        return result[(result[:, 2] > result[:, 0]) & (result[:, 3] > result[:, 1])]


def has_boxes(files: Sequence[str]) -> bool:
    """Whether names in a folder are those of images with annotations: a JSON file, or texts of the images' names."""
    images = {file for file in files if _suffix(file) in IMAGE_SUFFIXES}
    texts = {_key(file) for file in files if _suffix(file) == ".txt"}
    one_folder = len({PurePosixPath(file).parent for file in images}) == 1  # several are classes, whatever is beside
    annotated = one_folder and any(_suffix(file) == ".json" for file in files)
    return annotated or bool(texts & {_key(file) for file in images})


def open_box_folder(
    path: Path,
    files: Sequence[str],
    inputs: Sequence[TensorInfo],
    *,
    class_names: Sequence[str] = (),
    resize: str | None = None,
) -> BoxSource:
    """A folder for which `has_boxes` holds.

    Args:
        path: the folder.
        files: all names in it, with slashes.
        inputs: of the model.
        class_names: in the model's order; empty takes COCO's categories in the order of their ids, or ``classes.txt``.
        resize: see `ImageSource`.

    Raises:
        DataError: an annotation is not as described above, or the model does not take one image.
    """
    images = tuple(sorted(file for file in files if _suffix(file) in IMAGE_SUFFIXES))
    plain = open_image_folder(path, images, inputs, resize=resize)
    annotations = sorted(file for file in files if _suffix(file) == ".json")
    if len(annotations) > 1:
        raise DataError(f"{path}: holds {' and '.join(annotations[:2])}, expected one annotation file: give one split")
    if annotations:
        tables, classes = _coco(path / annotations[0], images, class_names)
    else:
        tables, classes = _texts(path, files, images, class_names)
    entries = tuple((file, None) for file in images)
    return BoxSource(path, entries, classes, plain.size, resize, tables, shares=not annotations)


def _suffix(file: str) -> str:
    return PurePosixPath(file).suffix.lower()


def _key(file: str) -> str:
    """What an image and its text file have in common."""
    parts = PurePosixPath(file).with_suffix("").parts
    return "/".join("images" if part == "labels" else part for part in parts)


def _coco(path: Path, images: Sequence[str], class_names: Sequence[str]) -> tuple[dict[str, Table], tuple[str, ...]]:
    content = _json(path)
    try:
        names = {item["id"]: str(item["name"]) for item in sorted(content["categories"], key=lambda item: item["id"])}
        classes = tuple(class_names) or tuple(names.values())
        files = {item["id"]: _file_of(str(item["file_name"]), images) for item in content["images"]}
        rows: dict[str, list[list[float]]] = {file: [] for file in files.values() if file is not None}
        for item in content["annotations"]:
            file = files[item["image_id"]]
            if file is not None:
                x, y, width, height = map(float, item["bbox"])
                kind = class_number(names[item["category_id"]], classes, str(path))
                rows[file].append([x, y, x + width, y + height, kind, float(item.get("iscrowd", 0))])
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: {type(error).__name__}: {one_line(error, 80)}: expected COCO's images (id, file_name), "
            "annotations (image_id, category_id, bbox) and categories (id, name)"
        ) from None
    if not rows:
        raise DataError(f"{path}: none of its images is in the folder, such as {one_line(next(iter(images), ''), 80)}")
    return {file: _table(boxes, str(path)) for file, boxes in rows.items()}, classes


def _json(path: Path) -> Any:
    try:
        return dict(json.loads(read_plain(path, most_bytes=_MOST_BYTES)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: no annotation file in COCO's form: {one_line(error, 120)}") from None


def _file_of(name: str, images: Sequence[str]) -> str | None:
    """The image in the folder that an annotation names, by its path or by its end."""
    if name in images:
        return name
    ends = [file for file in images if PurePosixPath(file).name == PurePosixPath(name).name]
    return ends[0] if len(ends) == 1 else None


def _texts(
    path: Path, files: Sequence[str], images: Sequence[str], class_names: Sequence[str]
) -> tuple[dict[str, Table], tuple[str, ...]]:
    texts = {_key(file): file for file in files if _suffix(file) == ".txt"}
    tables = {}
    for image in images:
        text = texts.get(_key(image))
        if text is not None:
            tables[image] = _table([_box(line, f"{path / text}") for line in _lines(path / text)], str(path / text))
    named = next((name for name in _NAME_FILES if name in files), None)
    return tables, tuple(class_names) or (tuple(_lines(path / named)) if named else ())


def _lines(path: Path) -> list[str]:
    try:
        text = read_plain(path, most_bytes=_MOST_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {one_line(error, 120)}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _box(line: str, where: str) -> list[float]:
    try:
        kind, x, y, width, height = map(float, line.split()[:5])
    except ValueError:
        raise DataError(f"{where}: got {one_line(line, 60)!r}, expected: class x y width height") from None
    if not all(-1e-3 <= value <= 1 + 1e-3 for value in (x, y, width, height)):
        raise DataError(f"{where}: got {one_line(line, 60)!r}, expected centre and size as shares between 0 and 1")
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2, kind, 0.0]


def _table(rows: Sequence[Sequence[float]], where: str) -> Table:
    if not all(math.isfinite(value) for row in rows for value in row):
        raise DataError(f"{where}: a box has a value that is no finite number")
    return np.array(rows, np.float32).reshape(-1, _COLUMNS)
