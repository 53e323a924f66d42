"""Attacks by the container: zip archives and HDF5 files."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.load.attacks.base import dense_h5, dense_keras, member_bytes, write_members

__all__ = ["CONTAINERS", "aligned_archive"]

Maker = Callable[[Path, Path], Path]


def aligned_archive(path: Path, offset: int) -> Path:
    """The archive at `path` with its weights, stored uncompressed, beginning at byte `offset`; a sound file."""
    members = member_bytes(path)
    weights = members.pop("model.weights.h5")
    padding = offset - 30 - len("model.weights.h5")
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("model.weights.h5")
        # An extra field of a number that nobody knows (APPNOTE.TXT 4.5): its header and the padding.
        info.extra = struct.pack("<HH", 0xCAFE, padding - 4) + bytes(padding - 4)
        archive.writestr(info, weights)
        for name, data in members.items():
            archive.writestr(name, data)
    assert path.read_bytes()[offset : offset + 4] == b"\x89HDF"
    return path


def _changed_h5(change: Callable[[Any, Path], Any]) -> Maker:
    """A `.h5` with something added below its weights."""

    def make(folder: Path, canary: Path) -> Path:
        path = dense_h5(folder)
        with h5py.File(path, "r+") as file:
            change(file, canary)
        return path

    return make


def _changed_weights(change: Callable[[Any, Path], Any]) -> Maker:
    """A `.keras` whose weights file was changed."""

    def make(folder: Path, canary: Path) -> Path:
        path = dense_keras(folder)
        members = member_bytes(path)
        weights = folder / "weights.h5"
        weights.write_bytes(members["model.weights.h5"])
        with h5py.File(weights, "r+") as file:
            change(file, canary)
        members["model.weights.h5"] = weights.read_bytes()
        weights.unlink()
        return write_members(path, members)

    return make


def _external(file: Any, canary: Path) -> None:
    _replace(file, lambda group, name, old: group.create_dataset(
        name, old.shape, old.dtype, external=[("/etc/passwd", 0, old.size * 4)]))  # fmt: skip


def _virtual(file: Any, canary: Path) -> None:
    def make(group: Any, name: str, old: Any) -> None:
        layout = h5py.VirtualLayout(old.shape, old.dtype)
        layout[...] = h5py.VirtualSource("/etc/passwd", "x", old.shape)
        group.create_virtual_dataset(name, layout)

    _replace(file, make)


def _replace(file: Any, make: Callable[[Any, str, Any], Any]) -> None:
    """Replace the first array of the file."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    group, _, name = names[0].rpartition("/")
    old = file[names[0]][()]
    del file[names[0]]
    make(file[group or "/"], name, old)


def _shared_text(file: Any, canary: Path) -> None:
    """Elements of variable length that all point to the same bytes in the global heap."""
    dtype = h5py.vlen_dtype(np.uint8)
    dataset = file.create_dataset("bomb", (1,), dtype)
    dataset[0] = np.zeros(100_000, np.uint8)
    file.flush()
    raw = np.empty((2000,), dtype)
    for i in range(2000):
        raw[i] = np.zeros(100, np.uint8)
    file.create_dataset("bombs", data=raw, dtype=dtype)


def _many_attributes(file: Any, canary: Path) -> None:
    file["/"].attrs.create("layer_names", np.array([b"x" * 64_000]))
    for i in range(30):
        group = file.create_group(f"g{i}")
        group.attrs.create("names", np.zeros((1000,), "S60"))


def _self_containing(file: Any, canary: Path) -> None:
    a, b = file.create_group("a"), file.create_group("b")
    for i in range(4):
        a[f"x{i}"], b[f"x{i}"] = b, a
        a[f"y{i}"], b[f"y{i}"] = a, b


def _filtered(file: Any, canary: Path) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4,))
    settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file.id, b"filtered", h5py.h5t.NATIVE_FLOAT, space, settings)


def duplicate_members(folder: Path, canary: Path) -> Path:
    path = dense_keras(folder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", b"{}")
    return path


def many_members(folder: Path, canary: Path) -> Path:
    path = dense_keras(folder)
    with zipfile.ZipFile(path, "a") as archive:
        for i in range(12_000):
            archive.writestr(f"assets/{i}", b"")
    return path


def encrypted_member(folder: Path, canary: Path) -> Path:
    path = dense_keras(folder)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        position = data.find(signature)
        while position >= 0:
            data[position + offset] |= 1
            position = data.find(signature, position + 4)
    path.write_bytes(bytes(data))
    return path


def polyglot(folder: Path, canary: Path) -> Path:
    """A zip archive at whose byte 512 an HDF5 file begins, with its data in another file."""
    path = dense_keras(folder)
    decoy = dense_h5(folder)
    with h5py.File(decoy, "r+") as file:
        _external(file, canary)
    members = {"model.weights.h5": decoy.read_bytes(), **member_bytes(path)}
    members["model.weights.h5"] = decoy.read_bytes()
    decoy.unlink()
    write_members(path, members)
    return aligned_archive(path, 512)


def h5_with_an_archive_behind(folder: Path, canary: Path) -> Path:
    """HDF5 from the first byte, and a zip archive from the end."""
    path = dense_keras(folder)
    archive = path.read_bytes()
    decoy = dense_h5(folder, lambda layer: layer["config"].update(units=-1))
    path.write_bytes(decoy.read_bytes() + archive)
    decoy.unlink()
    return path


def archive_in_user_block(folder: Path, canary: Path) -> Path:
    """A `.h5` with a user block that begins as a zip archive does."""
    plain = dense_h5(folder)
    block = (b"PK\x03\x04" + bytes(508)) + plain.read_bytes()
    plain.write_bytes(block)
    return plain


def path_of_a_device(folder: Path, canary: Path) -> Path:
    return Path("/dev/zero")


def fifo(folder: Path, canary: Path) -> Path:
    import os

    os.mkfifo(folder / "model.keras")
    return folder / "model.keras"


def _member(name: str, data: Callable[[], bytes]) -> Maker:
    def make(folder: Path, canary: Path) -> Path:
        path = dense_keras(folder)
        return write_members(path, {**member_bytes(path), name: data()})

    return make


CONTAINERS: dict[str, Maker] = {
    "cve_2026_1669_external_data": _changed_weights(_external),
    "cve_2026_0897_huge_shape": _changed_weights(
        lambda file, canary: file.create_dataset("huge", (10**11,), "f4", chunks=(10**6,), compression="gzip")),
    "h5_external_data": _changed_h5(_external),
    "h5_virtual_data": _changed_h5(_virtual),
    "keras_virtual_data": _changed_weights(_virtual),
    "h5_external_link": _changed_h5(lambda file, canary: file.__setitem__("l", h5py.ExternalLink("/etc/passwd", "/"))),
    "h5_soft_link": _changed_h5(lambda file, canary: file.__setitem__("l", h5py.SoftLink("/model_weights"))),
    "h5_elements_of_variable_length": _changed_h5(_shared_text),
    "keras_elements_of_variable_length": _changed_weights(_shared_text),
    "h5_groups_in_each_other": _changed_h5(_self_containing),
    "h5_filter_of_a_plug_in": _changed_h5(_filtered),
    "h5_references": _changed_h5(
        lambda file, canary: file.create_dataset("r", data=np.array([file.ref], h5py.ref_dtype), dtype=h5py.ref_dtype)),
    "h5_compound": _changed_h5(
        lambda file, canary: file.create_dataset("c", (4,), np.dtype([("a", "f4"), ("b", "f4", (1000,))]))),
    "h5_constant_bomb": _changed_h5(
        lambda file, canary: file.create_dataset("z", (2 * 10**9,), "u1", chunks=(10**6,), compression="gzip")),
    "zip_two_configurations": duplicate_members,
    "zip_many_members": many_members,
    "zip_encrypted": encrypted_member,
    "zip_and_h5": polyglot,
    "h5_and_zip": h5_with_an_archive_behind,
    "zip_magic_in_user_block": archive_in_user_block,
    "zip_backslash_path": _member("assets\\..\\..\\canary", lambda: b"x"),
    "zip_absolute_path": _member("/tmp/tfcompress_never", lambda: b"x"),
    "zip_configuration_of_empty_objects": _member(
        "config.json", lambda: b'{"a":[' + b",".join([b"{}"] * 8_000_000) + b"]}"),
    "zip_configuration_of_text": _member("config.json", lambda: json.dumps("x" * 1000).encode()),
    "zip_weights_that_are_zip": _member("model.weights.h5", lambda: b"PK\x05\x06" + bytes(18)),
    "zip_weights_empty": _member("model.weights.h5", lambda: b""),
    "device": path_of_a_device,
    "fifo": fifo,
}  # fmt: skip
