"""What an HDF5 file holds, checked object by object before any of it is used.

Keras reads arrays of numbers and attributes of text.  HDF5 can do more: data in other files, links, elements of
variable length that share storage, arrays that expand a thousandfold, groups that contain themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h5py

_h5o: Any = importlib.import_module("h5py.h5o")  # the stubs do not have it

__all__ = ["Probe", "RefusedError", "probe_file"]

# What Keras writes at the root of an `.h5` model (keras legacy_h5_format.save_model_to_hdf5).
_ATTRIBUTES = ("model_config", "keras_version")
_OPTIMIZER_GROUPS = ("optimizer", "optimizer_weights")
_MOST_OBJECTS = 200_000
_MOST_TEXTS = 1_000_000
# Filters that h5py brings itself (H5Zpublic.h): deflate, shuffle, fletcher32, szip, nbit, scaleoffset, lzf.  Any other
# number makes the HDF5 library look for a plug-in to load.
_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})


class RefusedError(Exception):
    """The file is sound HDF5 but must not be read."""


@dataclass
class Probe:
    """What was found.

    Attributes:
        expanded_limit: bytes that all arrays and attributes together may take.
        attributes: of the root group, as text: `model_config`, `keras_version`.
        total: elements of the weight arrays, without those of the optimizer.
        largest: elements of the largest one.
        bytes: of all arrays and attributes.
    """

    expanded_limit: int
    attributes: dict[str, str] = field(default_factory=dict)
    total: int = 0
    largest: int = 0
    bytes: int = 0

    def take(self, size: int, name: str) -> None:
        """Count `size` bytes.

        Raises:
            RefusedError: there are too many.
        """
        self.bytes += size
        if self.bytes > self.expanded_limit:
            raise RefusedError(f"{name} expands beyond {self.expanded_limit} bytes")


def probe_file(file: Any, probe: Probe) -> None:
    """Check and read every object of an open HDF5 file.

    Args:
        file: an `h5py.File`, open for reading.
        probe: is added to.

    Raises:
        RefusedError: names what must not be read.
    """
    datasets = []
    for name, item in _objects(file):
        for attribute in item.attrs:
            _check_attribute(item, attribute, f"{name}@{attribute}", probe)
        if isinstance(item, h5py.Dataset):
            _check_dataset(item, name, probe)
            datasets.append(item)
    for dataset in datasets:
        dataset[()]
    for name in _ATTRIBUTES:
        if name in file.attrs:
            value = file.attrs[name]
            probe.attributes[name] = value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _objects(file: Any) -> Iterator[tuple[str, Any]]:
    """(path, object) of every group and dataset, each once however often it is linked."""
    seen: set[object] = set()
    stack: list[tuple[str, Any]] = [("/", file["/"])]
    while stack:
        name, item = stack.pop()
        place = _h5o.get_info(item.id)
        if (place.fileno, place.addr) in seen:
            continue
        seen.add((place.fileno, place.addr))
        if len(seen) > _MOST_OBJECTS:
            raise RefusedError(f"it holds more than {_MOST_OBJECTS} objects")
        yield name, item
        if isinstance(item, h5py.Group):
            stack += [(f"{name.rstrip('/')}/{key}", _linked(item, str(key), name)) for key in item]


def _linked(group: Any, key: str, path: str) -> Any:
    """The object behind a link; links that leave the file could make it read any other file of the user's."""
    link = group.get(key, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise RefusedError(f"{path.rstrip('/')}/{key} is a link to another file, {link.filename!r}")
    if not isinstance(link, h5py.HardLink):
        raise RefusedError(f"{path.rstrip('/')}/{key} is a soft link, which Keras never writes")
    return group[key]


def _check_attribute(item: Any, attribute: str, name: str, probe: Probe) -> None:
    """Numbers and text, whose shared storage is counted as often as it is read."""
    handle = h5py.h5a.open(item.id, attribute.encode("utf-8", "surrogateescape"))
    count = handle.get_space().get_simple_extent_npoints()
    text = h5py.check_string_dtype(handle.dtype)
    if handle.dtype.kind == "O" and text is None:
        raise RefusedError(f"{name} has elements of variable length that are not text, which Keras never writes")
    if count > _MOST_TEXTS:
        raise RefusedError(f"{name} has {count} elements")
    if handle.dtype.kind != "O":
        probe.take(count * handle.dtype.itemsize, name)
        return
    value = item.attrs[attribute]
    texts = [value] if isinstance(value, str | bytes) else value.ravel() if hasattr(value, "ravel") else []
    probe.take(sum(len(each) for each in texts), name)


def _check_dataset(dataset: Any, name: str, probe: Probe) -> None:
    if dataset.external or dataset.is_virtual:
        raise RefusedError(f"{name} keeps its data in another file")
    dtype = dataset.dtype
    if dtype.kind == "O" or dtype.fields is not None or h5py.check_vlen_dtype(dtype) is not None:
        raise RefusedError(f"{name} has elements that are not plain numbers or text, which Keras never writes")
    settings = dataset.id.get_create_plist()
    for index in range(settings.get_nfilters()):
        number = settings.get_filter(index)[0]
        if number not in _FILTERS:
            raise RefusedError(f"{name} needs the HDF5 filter {number}, which would load a plug-in")
    probe.take(dataset.size * dtype.itemsize, f"{name} of shape {list(dataset.shape)}")
    if name.strip("/").split("/")[0] not in _OPTIMIZER_GROUPS:
        probe.total += dataset.size
        probe.largest = max(probe.largest, dataset.size)
