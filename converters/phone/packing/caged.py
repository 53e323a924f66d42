"""Unpacking in the cage: a .tfcz from a stranger may ask for hours and gigabytes, or trip the decoder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfcompress.converters.phone.packing.container import MAX_SIZE, decode
from tfcompress.converters.phone.packing.files import describe_packed
from tfcompress.errors import ModelError
from tfcompress.load import LoadLimits
from tfcompress.load.door import require_file
from tfcompress.load.safety.cage_client import Product, run_caged
from tfcompress.load.safety.tasks import perform

__all__ = ["described", "run", "unpacked"]

# The byte model decodes 200 to 300 KB/s here, and packed bytes are a third of that or more.
_SECONDS, _SECONDS_PER_MIB = 60, 60
_PRODUCT = "unpacked"


def unpacked(path: Path, *, max_bytes: int = MAX_SIZE, limits: LoadLimits | None = None) -> bytes:
    """The .tflite in a .tfcz, decoded in a process that can reach nothing else.

    Args:
        path: of the .tfcz.
        max_bytes: a .tflite that would be larger is refused before memory is taken for it.
        limits: of time and memory; None means 60 s and 60 s more for each packed MiB, and the default memory.

    Raises:
        ModelError: no such file, no .tfcz, damaged, or it takes too much.
    """
    limits = _limits_for(path, limits)
    product = Product(_PRODUCT, max_bytes)
    arguments = {"max_bytes": max_bytes}
    content: bytes = run_caged("unpack", path, limits, module=__name__, arguments=arguments, product=product)["product"]
    return content


def described(path: Path, *, limits: LoadLimits | None = None) -> dict[str, Any]:
    """What `inspect_packed` returns.

    Args:
        path: of the .tfcz.
        limits: see `unpacked`.

    Raises:
        ModelError: no such file, no .tfcz, damaged, or it takes too much.
    """
    return {"packed": run_caged("describe", path, _limits_for(path, limits), module=__name__)["packed"]}


def _limits_for(path: Path, limits: LoadLimits | None) -> LoadLimits:
    require_file(path, "a .tfcz")
    limits = limits or LoadLimits()
    seconds = limits.seconds or _SECONDS + _SECONDS_PER_MIB * path.stat().st_size / (1 << 20)
    return LoadLimits(seconds, limits.memory)


def run(request: Mapping[str, Any]) -> None:
    """Enter the cage and do what the request asks."""
    perform(request, {"unpack": _unpack, "describe": _describe}, lambda: None)


def _unpack(path: Path, arguments: Mapping[str, Any], prepared: Any) -> dict[str, Any]:
    """Write the .tflite into the working folder, which is the scratch folder."""
    with _naming(path):
        whole = decode(path.read_bytes(), max_bytes=arguments["max_bytes"])
    if whole[4:8] != b"TFL3":
        raise ModelError(f"{path}: what is packed in it is no .tflite: the identifier TFL3 is missing at byte 4")
    Path(_PRODUCT).write_bytes(whole)
    return {}


def _describe(path: Path, arguments: Mapping[str, Any], prepared: Any) -> dict[str, Any]:
    with _naming(path):
        return describe_packed(path.read_bytes())


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
