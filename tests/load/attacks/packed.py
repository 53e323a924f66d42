"""Attacks by packed files (.tfcz): what their headers announce need not be there."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.load.attacks.artifacts import sound_tflite
from tfcompress.converters.phone.packing.container import MAGIC, MAX_SIZE, Header
from tfcompress.converters.phone.packing.files import pack_bytes

__all__ = ["PACKED", "sound_packed"]

Maker = Callable[[Path, Path], Path]


def sound_packed(folder: Path) -> Path:
    """A .tfcz of a small .tflite."""
    path = folder / "model.tfcz"
    path.write_bytes(pack_bytes(sound_tflite(folder).read_bytes()))
    return path


def _announces(size: int, directory: int, rest: int) -> Maker:
    """A header without what it announces."""

    def make(folder: Path, canary: Path) -> Path:
        header = Header(size, zlib.crc32(b""), 16, directory, rest, 0, 0, 0)
        (folder / "model.tfcz").write_bytes(header.to_bytes() + bytes(64))
        return folder / "model.tfcz"

    return make


def _written(content: bytes) -> Maker:
    def make(folder: Path, canary: Path) -> Path:
        (folder / "model.tfcz").write_bytes(content)
        return folder / "model.tfcz"

    return make


def _cut(folder: Path, canary: Path) -> Path:
    path = sound_packed(folder)
    path.write_bytes(path.read_bytes()[:-20])
    return path


def _fifo(folder: Path, canary: Path) -> Path:
    os.mkfifo(folder / "model.tfcz")
    return folder / "model.tfcz"


def _endless_device(folder: Path, canary: Path) -> Path:
    (folder / "model.tfcz").symlink_to("/dev/zero")
    return folder / "model.tfcz"


def _hollow(folder: Path, canary: Path) -> Path:
    path = sound_packed(folder)
    os.truncate(path, 1 << 40)
    return path


PACKED: dict[str, Maker] = {
    "packed_endless_directory": _announces(MAX_SIZE, MAX_SIZE, 0),
    "packed_endless_rest": _announces(MAX_SIZE, 0, MAX_SIZE),
    "packed_endless_both": _announces(MAX_SIZE, MAX_SIZE, MAX_SIZE),
    "packed_numbers_without_end": _written(MAGIC + b"\x01" + bytes(4) + b"\x10" + b"\xff" * 1000),
    "packed_of_another_version": _written(b"TFZ\x09" + bytes(100)),
    "packed_pickle": _written(b"\x80\x04cposix\nsystem\n(S'true'\ntR."),
    "packed_nothing": _written(b""),
    "packed_cut": _cut,
    "packed_fifo": _fifo,
    "packed_device": _endless_device,
    "packed_hollow": _hollow,
}
