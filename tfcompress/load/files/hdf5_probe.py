"""Reads an HDF5 file, or the weights in a .keras archive, in a process of its own.

The HDF5 library is native code that a damaged file can crash or send into an endless loop; here only this process is
lost.  It is run as a script by `tfcompress.load.files.hdf5`, imports neither TensorFlow nor tfcompress, and prints one
JSON object: the model's attributes and what the weight arrays declare, or ``{"error": ...}``.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import zipfile
from typing import Any

import h5py

# What Keras writes at the root of an `.h5` model (keras legacy_h5_format.save_model_to_hdf5).
_ATTRIBUTES = ("model_config", "keras_version")
_OPTIMIZER_GROUPS = ("optimizer", "optimizer_weights")


class Refused(Exception):
    """The file is sound HDF5 but must not be read."""


def main(path: str, expanded_limit: int, seconds: int) -> dict[str, Any]:
    """What the file at `path` holds; refuses arrays that expand beyond `expanded_limit` bytes."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    report: dict[str, Any] = {"attributes": {}, "groups": [], "total": 0, "largest": 0, "bytes": 0}
    if not zipfile.is_zipfile(path) or h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            _read(file, report, expanded_limit)
        return report
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".h5"):
                with h5py.File(io.BytesIO(archive.read(member)), "r") as file:
                    _read(file, report, expanded_limit)
    return report


def _read(file: Any, report: dict[str, Any], expanded_limit: int) -> None:
    report["groups"] = list(file)
    for name in _ATTRIBUTES:
        if name in file.attrs:
            value = file.attrs[name]
            report["attributes"][name] = value.decode("utf-8") if isinstance(value, bytes) else str(value)
    _refuse_links(file, "")
    datasets: list[Any] = []
    file.visititems(lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
    for dataset in datasets:
        _declare(dataset, report, expanded_limit)
    for dataset in datasets:
        dataset[()]


def _refuse_links(group: Any, path: str, depth: int = 0) -> None:
    """Links that leave the file could make it read any other file of the user's."""
    if depth > 100:
        raise Refused("groups are nested more than 100 deep")
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise Refused(f"{path}/{name} is a link to another file, {link.filename!r}")
        if isinstance(link, h5py.SoftLink):
            raise Refused(f"{path}/{name} is a soft link, which Keras never writes")
        if isinstance(group[name], h5py.Group):
            _refuse_links(group[name], f"{path}/{name}", depth + 1)


def _declare(dataset: Any, report: dict[str, Any], expanded_limit: int) -> None:
    if dataset.external or dataset.is_virtual:
        raise Refused(f"{dataset.name} keeps its data in another file")
    report["bytes"] += dataset.size * dataset.dtype.itemsize
    if report["bytes"] > expanded_limit:
        raise Refused(f"{dataset.name} of shape {list(dataset.shape)} expands beyond {expanded_limit} bytes")
    if dataset.name.strip("/").split("/")[0] not in _OPTIMIZER_GROUPS:
        report["total"] += dataset.size
        report["largest"] = max(report["largest"], dataset.size)


if __name__ == "__main__":
    try:
        result = main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    except Refused as refusal:
        result = {"refused": str(refusal)}
    except Exception as error:  # whatever HDF5 says of a damaged file becomes the parent's message
        result = {"error": f"{type(error).__name__}: {error}"}
    json.dump(result, sys.stdout)
