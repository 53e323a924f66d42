"""The form in which a .tflite is handed over: whole in itself, aligned, and without what nothing uses.

litert-quantizer keeps constants of larger files behind the flatbuffer (`Buffer.offset`), where only newer runtimes look
for them: TFLite Micro reads them as empty and answers with a constant.  And the schema wants constants at multiples of
16 bytes (`force_align: 16` of `Buffer.data`), which its Python object API does not heed: a microcontroller may fault on
a bias at an odd address.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfcompress.graphs.tflite.editor import ModelEditor

__all__ = ["ALIGNMENT", "LARGEST_FLATBUFFER", "finished"]

ALIGNMENT = 16
# A flatbuffer's offsets are signed 32-bit numbers; larger files have to keep constants outside.
LARGEST_FLATBUFFER = 2**31 - 2**20
_IDENTIFIER = b"TFL3"


def finished(content: bytes, metadata: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """The file with its constants inside of the flatbuffer, each at a multiple of 16 bytes, and nothing unused.

    Args:
        content: a .tflite; one of 2 GB and more comes back as it is.
        metadata: {name: content} of buffers to add that belong to no tensor.
    """
    if len(content) > LARGEST_FLATBUFFER:
        return content
    model = ModelEditor.read(content)
    model.drop_unused()
    tree = model.tree()
    tree.buffers = [_AlignedBuffer(buffer.data) for buffer in tree.buffers]
    for name, value in metadata.items():
        entry: Any = schema.MetadataT()
        entry.name, entry.buffer = name.encode(), len(tree.buffers)
        tree.metadata = [*(tree.metadata or []), entry]
        tree.buffers.append(_AlignedBuffer(np.frombuffer(value, np.uint8)))
    builder = flatbuffers.Builder(len(content) + 1024)
    builder.Finish(tree.Pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


class _AlignedBuffer:
    """A `BufferT` that packs its data as the schema wants it."""

    def __init__(self, data: np.ndarray | None) -> None:
        self.data = data

    def Pack(self, builder: Any) -> int:
        """The position of the packed table."""
        data = None if self.data is None or len(self.data) == 0 else _aligned_vector(builder, bytes(self.data))
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


def _aligned_vector(builder: Any, data: bytes) -> int:
    builder.StartVector(1, len(data), ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return int(builder.EndVector())
