"""What sample code has to know of a .tflite's inputs and outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tfcompress.converters.litert.metadata import named_tensors
from tfcompress.converters.usage.pages import cell
from tfcompress.graphs.tflite.editor import ModelEditor, TensorNode
from tfcompress.model import FloatModel
from tfcompress.usage import Normalization, Words

__all__ = ["Port", "Ports", "ports_of"]


@dataclass(frozen=True)
class Port:
    """One input or output of the file.

    Attributes:
        name: the Keras model's.
        shape: with a batch of 1.
        dtype: as stored, such as ``int8``.
        scale: real value of one step of an integer; None where the numbers are the values.
        zero_point: the integer that stands for 0.0; None likewise.
        normalization: from pixels to the float model's input; None where that is not known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    normalization: Normalization | None = None

    @property
    def count(self) -> int:
        """Number of values in one sample."""
        return math.prod(self.shape)

    @property
    def scale_text(self) -> str:
        """The scale with as many digits as a float32 has, always with a decimal point."""
        text = np.format_float_positional(np.float32(self.scale or 1.0), unique=True, trim="0")
        return text if len(text) < 24 else f"{np.float32(self.scale or 1.0):.8e}"

    @property
    def limits(self) -> tuple[int, int]:
        """Least and largest stored integer."""
        kind = np.iinfo(self.dtype)
        return int(kind.min), int(kind.max)


@dataclass(frozen=True)
class Ports:
    """All of a file.

    Attributes:
        inputs: in the file's order.
        outputs: in the file's order.
        labels: names of the classes; empty where nobody gave them or no output has one value for each.
        scores: index of the output that has a value for each label; None without labels.
        sample_rate: in Hz, of the sounds that the file takes; None where it takes none or the rate is not known.
        words: how the only input is made of a text; None where it is not.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    labels: tuple[str, ...] = ()
    scores: int | None = None
    sample_rate: int | None = None
    words: Words | None = None

    def table(self) -> str:
        """A markdown table of all inputs and outputs, and how integers stand for values."""
        rows = ["| | name | shape | type | real value |", "|---|---|---|---|---|"]
        for side, ports in (("input", self.inputs), ("output", self.outputs)):
            for index, port in enumerate(ports):
                rows.append(
                    f"| {side} {index} | {cell(port.name)} | {list(port.shape)} | {port.dtype} | {_meaning(port)} |"
                )
        lines = ["\n".join(rows), *(_pixels(port) for port in self.inputs if port.normalization is not None)]
        if self.labels:
            shown = ", ".join(cell(name) for name in self.labels[:10])
            more = f" and {len(self.labels) - 10} more" if len(self.labels) > 10 else ""
            lines.append(f"Classes of output {self.scores}, in order: {shown}{more}.")
        return "\n\n".join(lines)


def _meaning(port: Port) -> str:
    if port.scale is None:
        return "the number itself"
    zero = port.zero_point or 0
    return f"{port.scale_text} × (number {'−' if zero >= 0 else '+'} {abs(zero)})"


def _pixels(port: Port) -> str:
    scaling = port.normalization
    assert scaling is not None
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (scaling.mean, scaling.std))
    return f"{cell(port.name)} is an image: its real values are (pixel − {mean}) / {std}, for pixels from 0 to 255."


def ports_of(content: bytes, model: FloatModel) -> Ports:
    """The inputs and outputs of a file that was made from a model.

    Args:
        content: a .tflite.
        model: its names, labels and normalization are used.
    """
    file = ModelEditor.read(content)
    inputs = tuple(
        _port(name, tensor, model.usage.normalization.get(name))
        for name, tensor in named_tensors(file, model, "inputs")
    )
    outputs = tuple(_port(name, tensor, None) for name, tensor in named_tensors(file, model, "outputs"))
    scores = next((index for index, port in enumerate(outputs) if model.usage.names_values_of(port.shape)), None)
    labels = () if scores is None else model.usage.class_names
    return Ports(inputs, outputs, labels, scores, model.usage.sample_rate, model.usage.words)


def _port(name: str, tensor: TensorNode, normalization: Normalization | None) -> Port:
    shape = tuple(max(1, size) for size in tensor.shape)
    if tensor.dtype.startswith(("int", "uint")) and len(tensor.scales) == 1:
        return Port(name, shape, tensor.dtype, float(tensor.scales[0]), int(tensor.zero_points[0]), normalization)
    return Port(name, shape, tensor.dtype, normalization=normalization)
