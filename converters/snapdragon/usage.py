"""USE.md of the snapdragon target: how its files are run on a phone, and under which licence they were made."""

from __future__ import annotations

from collections.abc import Sequence

from tfcompress.converters.npu.mapping import CompiledMapping
from tfcompress.converters.snapdragon.chips import SOCS
from tfcompress.converters.usage import Ports, page, sample
from tfcompress.converters.usage.languages import kotlin_fits, kotlin_lines
from tfcompress.converters.usage.tflite import python_section

__all__ = ["usage"]


def usage(ports: Ports, mappings: Sequence[CompiledMapping]) -> str:
    """The page for these chips.

    Args:
        ports: inputs and outputs of the int8 file, which are the compiled files' too.
        mappings: of each chip.
    """
    feed, read = kotlin_lines(ports) if kotlin_fits(ports) else (_NO_TYPES, "")
    return page(
        "How to use these files",
        sample(
            "snapdragon",
            files=_files(mappings),
            table=ports.table(),
            feed=feed,
            read=read,
            python=python_section(ports),
        ),
    )


_NO_TYPES = "// LiteRT's Kotlin API has no arrays of this file's types: convert with --io=int8 or --io=float32"


def _files(mappings: Sequence[CompiledMapping]) -> str:
    rows = [
        f"| `{mapping.file}` | {_chip(mapping.name)} | {mapping.mapped_ops} of {len(mapping.operators)} |"
        for mapping in mappings
        if mapping.file is not None
    ]
    return "\n".join(["| file | chip | operators on the NPU |", "|---|---|---|", *rows])


def _chip(name: str) -> str:
    return f"{name} ({SOCS[name].title})" if name in SOCS else name
