"""TFLite metadata: what MediaPipe, ML Kit and Android Studio read of a model beside its graph.

The metadata are a flatbuffer of their own (metadata_schema.fbs of MediaPipe, identifier ``M001``) in a buffer of the
.tflite called ``TFLITE_METADATA``; files that they name, such as the labels, follow behind the .tflite as a zip archive
whose entries are not compressed.  Numbers below are the fields' positions in that schema.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import flatbuffers

from tfcompress import __version__
from tfcompress.graphs.tflite.editor import ModelEditor, TensorNode
from tfcompress.graphs.tflite.finished import finished
from tfcompress.model import FloatModel
from tfcompress.tensor_info import same_names
from tfcompress.usage import NUMBERED, Normalization, Usage, Words

__all__ = ["LABELS_NAME", "METADATA_NAME", "named_tensors", "with_metadata"]

METADATA_NAME = "TFLITE_METADATA"
LABELS_NAME = "labels.txt"
_IDENTIFIER = b"M001"
_OTHER, _AXIS_LABELS, _VOCABULARY = 0, 2, 5  # AssociatedFileType
_IMAGE, _AUDIO, _FEATURE = 2, 4, 1  # ContentProperties
_NORMALIZATION, _THRESHOLD, _WORDS = 1, 3, 6  # ProcessUnitOptions
_RGB, _GRAYSCALE = 1, 2  # ColorSpaceType


@dataclass(frozen=True)
class _Byte:
    value: int


@dataclass(frozen=True)
class _Uint:
    value: int


@dataclass(frozen=True)
class _Float:
    value: float


@dataclass(frozen=True)
class _Floats:
    values: tuple[float, ...]


@dataclass(frozen=True)
class _Table:
    """A table of the schema: {position of the field: value}."""

    fields: Mapping[int, str | _Byte | _Uint | _Float | _Floats | _Table | Sequence[_Table]]

    def pack(self, builder: flatbuffers.Builder) -> int:
        """The position of the packed table."""
        offsets = {slot: _offset(builder, value) for slot, value in self.fields.items()}
        builder.StartObject(max(self.fields, default=-1) + 1)
        for slot, value in self.fields.items():
            if isinstance(value, _Byte):
                builder.PrependUint8Slot(slot, value.value, 0)
            elif isinstance(value, _Uint):
                builder.PrependUint32Slot(slot, value.value, 0)
            elif isinstance(value, _Float):
                builder.PrependFloat32Slot(slot, value.value, 0.0)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
        return int(builder.EndObject())


def _offset(builder: flatbuffers.Builder, value: object) -> int:
    """Of what lies outside of its table; 0 for a number, which lies inside."""
    if isinstance(value, str):
        return int(builder.CreateString(value.encode("utf-8", "replace")))
    if isinstance(value, _Floats):
        builder.StartVector(4, len(value.values), 4)
        for number in reversed(value.values):
            builder.PrependFloat32(number)
        return int(builder.EndVector())
    if isinstance(value, _Table):
        return value.pack(builder)
    if isinstance(value, Sequence):
        packed = [table.pack(builder) for table in value]
        builder.StartVector(4, len(packed), 4)
        for offset in reversed(packed):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    return 0


def _metadata_of(file: ModelEditor, model: FloatModel) -> bytes:
    """The metadata of a .tflite, which describe its inputs and outputs in its own order."""
    inputs = [_input(name, tensor, model.usage) for name, tensor in named_tensors(file, model, "inputs")]
    outputs = [_output(name, tensor, model.usage) for name, tensor in named_tensors(file, model, "outputs")]
    graph = _Table({2: inputs, 3: outputs})
    description = f"{model.name}, converted by tfcompress {__version__}"
    # Of the fields used here none is newer than AudioProperties (1.3.0).
    files = {6: [_made_from(name) for name in model.usage.files]} if model.usage.files else {}
    author = {4: model.usage.author} if model.usage.author else {}
    whole = _Table({0: model.name, 1: description, 3: [graph], **author, **files, 7: "1.3.0"})
    builder = flatbuffers.Builder(1024)
    builder.Finish(whole.pack(builder), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def with_metadata(content: bytes, model: FloatModel) -> bytes:
    """A .tflite in the form in which it is handed over, with its metadata and the files that they name.

    Args:
        content: the .tflite.
        model: that it was made from.
    """
    file = ModelEditor.read(content)
    whole = finished(content, {METADATA_NAME: _metadata_of(file, model)})
    files = dict(model.usage.files)
    if any(model.usage.names_values_of(tensor.shape) for tensor in file.main.outputs):
        files[LABELS_NAME] = "".join(f"{name}\n" for name in model.usage.class_names)
    if not files:
        return whole
    stream = io.BytesIO(whole)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # with the zip format's earliest date: the same bytes always
    return stream.getvalue()


def named_tensors(
    file: ModelEditor, model: FloatModel, side: Literal["inputs", "outputs"]
) -> list[tuple[str, TensorNode]]:
    """The main graph's inputs or outputs, under the model's own names where the signature tells them."""
    ports = [port for item in file.signatures if item.graph is file.main for port in getattr(item, side)]
    tensors: list[TensorNode] = getattr(file.main, side)
    given: dict[TensorNode, str] = {tensor: name for name, tensor in ports}
    own = same_names([info.name for info in getattr(model, side)], list(given.values())) or {}
    names = {name: wanted for wanted, name in own.items()}
    return [(names.get(given.get(tensor, ""), given.get(tensor, tensor.name)), tensor) for tensor in tensors]


def _input(name: str, tensor: TensorNode, usage: Usage) -> _Table:
    normalization = usage.normalization.get(name)
    if normalization is not None:
        content, units = _image(tensor), [_scaling(normalization)]
    elif usage.sample_rate is not None and len(tensor.shape) in (2, 3):
        channels = tensor.shape[2] if len(tensor.shape) == 3 else 1
        content = _Table({0: _Byte(_AUDIO), 1: _Table({0: _Uint(usage.sample_rate), 1: _Uint(channels)})})
        units = []
    elif usage.words is not None and tensor.dtype == "int32" and len(tensor.shape) == 2:
        content, units = _Table({0: _Byte(_FEATURE), 1: _Table({})}), [_words(usage.words)]
    else:
        content, units = _Table({0: _Byte(_FEATURE), 1: _Table({})}), []
    return _Table({0: name, 3: content, **({4: units} if units else {}), **_statistics(tensor)})


def _image(tensor: TensorNode) -> _Table:
    _, height, width, channels = tensor.shape
    size = _Table({0: _Uint(width), 1: _Uint(height)})
    properties = _Table({0: _Byte(_RGB if channels == 3 else _GRAYSCALE), 1: size})
    return _Table({0: _Byte(_IMAGE), 1: properties})


def _scaling(scaling: Normalization) -> _Table:
    return _Table({0: _Byte(_NORMALIZATION), 1: _Table({0: _Floats(scaling.mean), 1: _Floats(scaling.std)})})


def _words(words: Words) -> _Table:
    return _Table({0: _Byte(_WORDS), 1: _Table({0: words.separators, 1: [_made_from(words.file)]})})


def _output(name: str, tensor: TensorNode, usage: Usage) -> _Table:
    content = _Table({0: _Byte(_FEATURE), 1: _Table({})})
    if not usage.names_values_of(tensor.shape):
        return _Table({0: name, 3: content, **_statistics(tensor)})
    least = usage.score_threshold
    units = {} if least is None else {4: [_Table({0: _Byte(_THRESHOLD), 1: _Table({0: _Float(least)})})]}
    return _Table({0: name, 3: content, **units, **_statistics(tensor), 6: [_labels_file()]})


def _labels_file() -> _Table:
    return _Table({0: LABELS_NAME, 1: "the names of the classes, one per line", 2: _Byte(_AXIS_LABELS)})


def _made_from(name: str) -> _Table:
    """A file that an app needs to make the inputs."""
    if name.endswith(NUMBERED):
        return _Table({0: name, 1: "a vocabulary: a word and its number a line", 2: _Byte(_VOCABULARY)})
    if name.endswith(".txt"):
        return _Table({0: name, 1: "a vocabulary: a word a line, its number the line's", 2: _Byte(_VOCABULARY)})
    return _Table({0: name, 1: "how the inputs are made, step by step", 2: _Byte(_OTHER)})


def _statistics(tensor: TensorNode) -> dict[int, _Table]:
    """The least and the largest value that an integer tensor can hold; nothing for a float one."""
    limits = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}.get(tensor.dtype)
    if limits is None or len(tensor.scales) != 1:
        return {}
    low, high = (tensor.scales[0] * (limit - tensor.zero_points[0]) for limit in limits)
    return {5: _Table({0: _Floats((high,)), 1: _Floats((low,))})}
