"""`pack` and `unpack` for bytes and files, and what packing makes of each tensor."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from tfcompress.converters.phone.packing.container import (
    MAX_SIZE,
    decode,
    encode,
    fits,
    read_directory,
    read_header,
)
from tfcompress.converters.phone.packing.directory import Directory
from tfcompress.converters.phone.packing.layout import Array, find_arrays
from tfcompress.converters.phone.packing.planning import plan
from tfcompress.errors import InputError, ModelError
from tfcompress.load import LoadLimits, read_admitted
from tfcompress.plain_files import is_one_of

__all__ = ["describe_packed", "inspect_packed", "pack", "pack_bytes", "packed_bytes", "unpack", "unpack_bytes"]

# An array of fewer bytes is left to the byte model; small files are tried with each, as the directory counts there.
_LEAST_ARRAYS = (48, 256, 1024)
_SMALL_FILE = 1 << 16


def pack_bytes(content: bytes) -> bytes:
    """The .tfcz of a .tflite.

    Args:
        content: of any .tflite, by whatever tool it was made.

    Raises:
        ModelError: it is no .tflite, or larger than 2 GiB.
    """
    return _packed(content, "model")[0]


def unpack_bytes(content: bytes, *, max_bytes: int = MAX_SIZE) -> bytes:
    """The .tflite that `pack_bytes` was given, byte for byte.

    Args:
        content: of a .tfcz.
        max_bytes: a file that would be larger is refused before memory is taken for it.

    Raises:
        ModelError: it is no .tfcz, damaged, or larger than `max_bytes`.
    """
    return decode(content, max_bytes=max_bytes)


def pack(
    model: str | Path,
    *,
    output: str | Path,
    max_load_seconds: float | None = None,
    max_load_memory: float | None = None,
) -> dict[str, Any]:
    """Write the .tfcz of a .tflite.

    Args:
        model: path of the .tflite.
        output: path to write; its folder exists.
        max_load_seconds: of processor time that the process may take in which it is read first; None means 60, and one
            more for each MiB of the file.
        max_load_memory: MiB that it may take there; None means 1,536 and six times the file.

    Returns:
        What `packed_bytes` returns, and "output".

    Raises:
        ModelError: `model` cannot be read or is no .tflite.
        InputError: `output` cannot be written.
    """
    _refuse_output(output, model)
    content = read_admitted(Path(model), run=False, limits=LoadLimits(max_load_seconds, max_load_memory))
    packed, facts = _with_facts(content, str(model))
    _write(Path(output), packed)
    return {"output": str(output), **facts}


def unpack(
    packed: str | Path,
    *,
    output: str | Path,
    max_bytes: int = MAX_SIZE,
    max_load_seconds: float | None = None,
    max_load_memory: float | None = None,
) -> dict[str, object]:
    """Write the .tflite of a .tfcz, which is decoded in a process that can reach nothing else.

    Args:
        packed: path of the .tfcz.
        output: path to write; its folder exists.
        max_bytes: a .tflite that would be larger is refused before memory is taken for it.
        max_load_seconds: of processor time that decoding may take; None means 60, and 60 more for each packed MiB.
        max_load_memory: MiB that it may take; None means 1,536 and six times the file.

    Returns:
        {"output", "bytes", "packed_bytes"}.

    Raises:
        ModelError: `packed` cannot be read, is no .tfcz, or is damaged; or decoding takes too long or too much memory.
        InputError: `output` cannot be written.
    """
    from tfcompress.converters.phone.packing.caged import unpacked

    _refuse_output(output, packed)
    whole = unpacked(Path(packed), max_bytes=max_bytes, limits=LoadLimits(max_load_seconds, max_load_memory))
    _write(Path(output), whole)
    return {"output": str(output), "bytes": len(whole), "packed_bytes": Path(packed).stat().st_size}


def packed_bytes(model: str | Path | bytes) -> dict[str, Any]:
    """What packing makes of a .tflite, without writing anything.

    Args:
        model: path or content of the .tflite.

    Returns:
        {"bytes", "packed_bytes", "graph_packed_bytes": what is in no tensor, "tensors": [{"name", "role", "dtype",
        "bytes", "packed_bytes"}]}.  A tensor that shares its tables with others gets its share of their bytes.

    Raises:
        ModelError: it cannot be read or is no .tflite.
    """
    content = model if isinstance(model, bytes) else read_admitted(Path(model), run=False)
    return _with_facts(content, "model" if isinstance(model, bytes) else str(model))[1]


def inspect_packed(packed: str | Path) -> dict[str, object]:
    """What is where in a .tfcz, from its header and directory alone.

    Args:
        packed: path of the .tfcz.

    Returns:
        {"packed": {"version", "bytes", "packed_bytes", "checksum", "coded_bytes", "array_bytes", "lanes", "groups":
        [{"width", "elements", "segments", "from", "to": bytes of the .tflite that they lie between, "kinds"}]}}.

    Raises:
        ModelError: it cannot be read, is no .tfcz, or is damaged; or reading it takes too long or too much memory.
    """
    from tfcompress.converters.phone.packing.caged import described

    return described(Path(packed))


def describe_packed(content: bytes) -> dict[str, Any]:
    """What `inspect_packed` returns, of the content of a .tfcz.

    Raises:
        ModelError: it is no .tfcz, or damaged.
    """
    header, directory = read_header(content), read_directory(content)
    groups = [
        {
            "width": group.width,
            "elements": count,
            "segments": len(segments),
            "from": min(segment.offset for segment in segments),
            "to": max(segment.offset + segment.count * group.width for segment in segments),
            "kinds": ["fill"]
            if group.fill is not None
            else ["constant" if isinstance(plane, int) else plane.kind.name.lower() for plane in group.planes],
        }
        for group, count, segments in zip(directory.groups, directory.counts(), directory.by_group(), strict=True)
    ]
    return {
        "packed": {
            "version": content[3],
            "bytes": header.size,
            "packed_bytes": len(content),
            "checksum": f"{header.checksum:08x}",
            "coded_bytes": header.coded,
            "array_bytes": len(content) - header.length - header.coded,
            "lanes": header.lanes,
            "groups": groups,
        }
    }


def _packed(content: bytes, name: str) -> tuple[bytes, list[Array], Directory, list[float]]:
    if content[4:8] != b"TFL3":
        raise ModelError(f"{name}: not a .tflite: the identifier TFL3 is missing at byte 4")
    if len(content) > MAX_SIZE:
        raise ModelError(f"{name}: {len(content)} bytes, expected a .tflite of at most {MAX_SIZE}")
    tried = []
    for least in _LEAST_ARRAYS if len(content) <= _SMALL_FILE else _LEAST_ARRAYS[:1]:
        arrays = find_arrays(content, least)
        planned = plan(content, arrays)
        directory = planned if fits(planned, len(content)) else Directory((), ())
        packed, spent = encode(content, directory)
        tried.append((packed, arrays, directory, spent))
    return min(tried, key=lambda result: len(result[0]))


def _with_facts(content: bytes, name: str) -> tuple[bytes, dict[str, object]]:
    packed, arrays, directory, spent = _packed(content, name)
    counts = directory.counts()
    by_offset = {segment.offset: segment for segment in directory.segments}
    tensors, in_arrays = [], 0.0
    for array in arrays:
        segment = by_offset.get(array.offset)
        if segment is None:
            continue
        share = spent[segment.group] / 8 * segment.count / counts[segment.group]
        in_arrays += share
        tensors.append(
            {
                "name": array.name,
                "role": array.role,
                "dtype": array.dtype,
                "bytes": array.count * array.width,
                "packed_bytes": round(share, 1),
            }
        )
    return packed, {
        "bytes": len(content),
        "packed_bytes": len(packed),
        "graph_packed_bytes": round(len(packed) - in_arrays),
        "tensors": tensors,
    }


def _refuse_output(output: str | Path, read: str | Path) -> None:
    """Before anything is packed: a place that cannot be written to, or the file that is read."""
    path = Path(output)
    if (path.exists() and not path.is_file()) or not path.absolute().parent.is_dir():
        raise InputError(f"--output={output}: cannot be written: expected a file in a folder that exists")
    if is_one_of(output, [read]):
        raise InputError(f"--output={output}: is the file that is read; choose another name")


def _write(path: Path, content: bytes) -> None:
    """Write to a temporary sibling and rename, so that the file is never half-written."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as folder:
            temporary = Path(folder) / path.name
            temporary.write_bytes(content)
            os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"--output={path}: cannot be written: {error.strerror}") from None
