"""A folder, or a `.zip` of one, whose sub-folders are classes and hold images.

An image that has not the model's size, or that is coloured where the model takes grey, is an error unless the user says
how it is to be made to fit.  What loses nothing is done without asking: grey to RGB, and leaving out transparency.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfcompress.data.class_folders import ClassFolder, entries_of
from tfcompress.data.files import ARCHIVE_ERRORS
from tfcompress.data.image_sizes import check_image_size, without_extras
from tfcompress.data.samples import Sample
from tfcompress.errors import DataError, one_line
from tfcompress.plain_files import read_plain
from tfcompress.tensor_info import TensorInfo

__all__ = ["RESIZINGS", "ImageSource", "open_image_folder", "open_image_zip"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif"})
RESIZINGS = ("stretch", "crop", "pad")
MAX_IMAGE_FILE_BYTES = 256 * 2**20  # a larger "image" is a zip bomb or a mistake


@dataclass(frozen=True)
class ImageSource(ClassFolder):
    """Images by class, see `ClassFolder`.

    Attributes:
        size: (height, width, channels) that the model wants; None where it takes any.
        resize: how an image of another size is made to fit, one of `RESIZINGS`; None refuses it.
    """

    size: tuple[int | None, int | None, int | None]
    resize: str | None = None

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

    def stored_size(self, file: str) -> tuple[int, int]:
        """(height, width) of one of the images as it is stored.

        Raises:
            DataError: it cannot be read.
        """
        return check_image_size(self._read(None, file), f"{self.path}: {file}")[:2]

    def _read(self, archive: zipfile.ZipFile | None, file: str) -> bytes:
        try:
            if archive is not None:
                return archive.read(file)
            return read_plain(self.path / file, most_bytes=MAX_IMAGE_FILE_BYTES)
        except ARCHIVE_ERRORS as error:
            raise DataError(f"{self.path}: {file}: cannot be read: {one_line(error, 160)}") from None

    def _decode(self, data: bytes, file: str) -> np.ndarray:
        from tfcompress.runtime import tf

        height, width, channels = self.size
        where = f"{self.path}: {file}"
        have = check_image_size(data, where)
        same = height in (None, have[0]) and width in (None, have[1]) and (channels != 1 or have[2] < 3)
        if not same and self.resize is None:
            raise DataError(
                f"{where}: is {' x '.join(map(str, have))}, the model takes {_size_text(self.size)}; --resize="
                f"{'|'.join(RESIZINGS)} says how it is to be made to fit"
            )
        try:
            image = _decode_bytes(tf, without_extras(data, where), channels or 0)
        except tf.errors.OpError as error:
            raise DataError(f"{where}: not a readable image ({one_line(error.message, 120)})") from None
        if (height or have[0], width or have[1]) != have[:2]:
            image = _resized(tf, image, height or have[0], width or have[1], self.resize or "")
        return image.numpy()


def _size_text(size: Sequence[int | None]) -> str:
    return " x ".join("any" if each is None else str(each) for each in size)


def _resized(tf: Any, image: Any, height: int, width: int, how: str) -> Any:
    """Bilinear: `stretch` changes the form of things, `crop` cuts off at the sides, `pad` adds black at the sides."""
    if how == "pad":
        return tf.image.resize_with_pad(image, height, width)
    if how == "crop":
        scale = max(height / image.shape[0], width / image.shape[1])
        larger = [max(height, round(image.shape[0] * scale)), max(width, round(image.shape[1] * scale))]
        return tf.image.resize_with_crop_or_pad(tf.image.resize(image, larger), height, width)
    return tf.image.resize(image, (height, width))


def _decode_bytes(tf: Any, data: bytes, channels: int) -> Any:
    """A uint8 image tensor (height, width, channels)."""
    if data.startswith(b"\xff\xd8"):
        # TensorFlow's default inverse DCT is a fast approximation; on the 5,000 CIFAR-10 JPEGs that we measured it
        # costs a ResNet8 0.24 point of accuracy against the exact one, which Pillow, and so Keras, uses.
        return tf.io.decode_jpeg(data, channels, dct_method="INTEGER_ACCURATE")
    return tf.io.decode_image(data, channels=channels, expand_animations=False)


def open_image_folder(
    path: Path,
    files: Sequence[str],
    inputs: Sequence[TensorInfo],
    *,
    class_names: Sequence[str] = (),
    resize: str | None = None,
) -> ImageSource:
    """A folder of class sub-folders, or of images without classes.

    Args:
        path: the folder.
        files: all names in it, with slashes.
        inputs: of the model.
        class_names: in the model's order; empty takes the sorted names of the folders.
        resize: see `ImageSource`.

    Raises:
        DataError: no images, or a model that does not take one image.
    """
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(f"{info.name}{info.shape}" for info in inputs)
        raise DataError(f"{path}: holds images, but the model takes {shapes}; give an .npz with arrays of that shape")
    entries, classes = entries_of(path, files, IMAGE_SUFFIXES, class_names)
    _, height, width, channels = inputs[0].shape
    return ImageSource(path, entries, classes, (height, width, channels), resize)


def open_image_zip(
    path: Path, inputs: Sequence[TensorInfo], *, class_names: Sequence[str] = (), resize: str | None = None
) -> ImageSource:
    """A zip of such a folder; it is never unpacked to disk.

    Raises:
        DataError: not a zip, no images, or a member of absurd size.
    """
    with _zip(path) as archive:
        members = [info for info in archive.infolist() if info.filename and not info.filename.endswith("/")]
    for info in members:
        if info.file_size > MAX_IMAGE_FILE_BYTES:
            raise DataError(
                f"{path}: {info.filename}: declares {info.file_size} bytes, expected an image below 256 MiB"
            )
    return open_image_folder(path, [info.filename for info in members], inputs, class_names=class_names, resize=resize)


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except ARCHIVE_ERRORS as error:
        raise DataError(f"{path}: not a readable zip: {one_line(error, 160)}") from None
