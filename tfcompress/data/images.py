"""A folder, or a `.zip` of one, whose sub-folders are classes and hold images.

Class numbers follow the sorted names of the sub-folders, as in `keras.utils.image_dataset_from_directory`.  Samples
come class by class in turn (one of each, then the next of each), so that any first part of the stream is balanced.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tfcompress.data.files import ARCHIVE_ERRORS, sha256_of_file, sha256_of_files
from tfcompress.data.image_sizes import check_image_size
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, one_line
from tfcompress.tensor_info import TensorInfo

__all__ = ["ImageSource", "open_image_folder", "open_image_zip"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif"})
MAX_IMAGE_FILE_BYTES = 256 * 2**20  # a larger "image" is a zip bomb or a mistake


@dataclass(frozen=True)
class ImageSource:
    """Images by class.

    Attributes:
        path: the folder or the zip.
        entries: (file, class number) in stream order; the class is None when there are no sub-folders.
        classes: sub-folder names in class order.
        size: (height, width, channels) that the model wants; None where it takes any.
    """

    path: Path
    entries: tuple[tuple[str, int | None], ...]
    classes: tuple[str, ...]
    size: tuple[int | None, int | None, int | None]

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.entries)

    @property
    def sha256(self) -> str:
        """Hash of the zip, or of all the images' names and contents."""
        if self.path.is_dir():
            return sha256_of_files(self.path, (self.path / file for file, _ in self.entries))
        return sha256_of_file(self.path)

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """One image at a time: uint8 where its size fits, float32 where it had to be resized (bilinear)."""
        archive = None if self.path.is_dir() else _zip(self.path)
        try:
            for index in range(self.count) if indices is None else indices:
                file, label = self.entries[index]
                image = self._decode(self._read(archive, file), file)
                yield Sample([image], () if label is None else [np.asarray(label, np.int64)])
        finally:
            if archive is not None:
                archive.close()

    def _read(self, archive: zipfile.ZipFile | None, file: str) -> bytes:
        try:
            if archive is not None:
                return archive.read(file)
            with (self.path / file).open("rb") as stream:
                data = stream.read(MAX_IMAGE_FILE_BYTES + 1)
        except ARCHIVE_ERRORS as error:
            raise DataError(f"{self.path}: {file}: cannot be read: {one_line(error, 160)}") from None
        if len(data) > MAX_IMAGE_FILE_BYTES:
            raise DataError(f"{self.path}: {file}: is larger than 256 MiB, expected an image")
        return data

    def _decode(self, data: bytes, file: str) -> np.ndarray:
        from tfcompress.runtime import tf

        height, width, channels = self.size
        check_image_size(data, f"{self.path}: {file}")
        try:
            image = _decode_bytes(tf, data, channels or 0)
        except tf.errors.OpError as error:
            reason = one_line(error.message, 120)
            raise DataError(f"{self.path}: {file}: not a readable image ({reason}); remove or replace it") from None
        got_height, got_width = image.shape[0], image.shape[1]
        if (height or got_height, width or got_width) != (got_height, got_width):
            image = tf.image.resize(image, (height or got_height, width or got_width))
        return image.numpy()


def _decode_bytes(tf: Any, data: bytes, channels: int) -> Any:
    """A uint8 image tensor (height, width, channels)."""
    if data.startswith(b"\xff\xd8"):
        # TensorFlow's default inverse DCT is a fast approximation; on the 5,000 CIFAR-10 JPEGs that we measured it
        # costs a ResNet8 0.24 point of accuracy against the exact one, which Pillow, and so Keras, uses.
        return tf.io.decode_jpeg(data, channels, dct_method="INTEGER_ACCURATE")
    return tf.io.decode_image(data, channels=channels, expand_animations=False)


def open_image_folder(path: Path, inputs: Sequence[TensorInfo]) -> ImageSource:
    """A folder of class sub-folders, or of images without classes.

    Raises:
        DataError: no images, or a model that does not take one image.
    """
    files = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
    return _source(path, files, inputs)


def open_image_zip(path: Path, inputs: Sequence[TensorInfo]) -> ImageSource:
    """A zip of such a folder; it is never unpacked to disk.

    Raises:
        DataError: not a zip, no images, or a member of absurd size.
    """
    with _zip(path) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
    for info in members:
        if info.file_size > MAX_IMAGE_FILE_BYTES:
            raise DataError(
                f"{path}: {info.filename}: declares {info.file_size} bytes, expected an image below 256 MiB"
            )
    return _source(path, [info.filename for info in members], inputs)


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: not a readable zip: {one_line(error, 160)}") from None


def _source(path: Path, files: Sequence[str], inputs: Sequence[TensorInfo]) -> ImageSource:
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(f"{info.name}{info.shape}" for info in inputs)
        raise DataError(f"{path}: holds images, but the model takes {shapes}; give an .npz with arrays of that shape")
    images = sorted(
        file for file in files if PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES and not _hidden(file)
    )
    if not images:
        raise DataError(
            f"{path}: no images found, expected class sub-folders with {'/'.join(sorted(IMAGE_SUFFIXES))} files"
        )
    by_class = _by_class(path, images)
    classes = tuple(sorted(by_class))
    labelled = len(classes) > 1
    turns = itertools.zip_longest(*[[(file, number) for file in by_class[c]] for number, c in enumerate(classes)])
    entries = tuple(
        (file, number if labelled else None) for turn in turns for file, number in (e for e in turn if e is not None)
    )
    _, height, width, channels = inputs[0].shape
    return ImageSource(path, entries, classes if labelled else (), (height, width, channels))


def _hidden(file: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(file).parts)


def _by_class(path: Path, images: Sequence[str]) -> Mapping[str, list[str]]:
    """Images by the folder that directly holds them."""
    found: dict[str, list[str]] = {}
    parents = {str(PurePosixPath(image).parent) for image in images}
    for image in images:
        found.setdefault(str(PurePosixPath(image).parent), []).append(image)
    if len({PurePosixPath(parent).name for parent in parents}) != len(parents):
        raise DataError(
            f"{path}: two class folders have the same name below different parents; give one split, not several"
        )
    return {PurePosixPath(parent).name: files for parent, files in found.items()}
