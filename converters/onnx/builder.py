"""Grows an ONNX graph from a float .tflite: names, constants, layouts of tensors, and Q/DQ pairs.

TFLite has the channels last, ONNX's convolutions and pools have them behind the batch.  A value is transposed only
where an operator needs the other layout; operators that do not care stay in the layout of their inputs, so that a
convolutional network has one transposition at its input and none inside.
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfcompress.errors import ConversionError, MissingExtraError
from tfcompress.graphs.tflite import Operator, Subgraph, Tensor
from tfcompress.unique_names import unique_name

__all__ = ["Builder", "Layout", "Scheme", "axis_in", "load_onnx", "to_first", "to_last"]

# First opset with LayerNormalization, and old enough for TensorRT 8.6 (its onnx-tensorrt: "opset 17").
OPSET, IR_VERSION = 17, 8


class Layout(enum.Enum):
    """Where the channels of a tensor of four or more dimensions are: last, as in TFLite, or behind the batch."""

    LAST = "last"
    FIRST = "first"


class Scheme:
    """Which tensors are quantized, and with which scale.

    Attributes:
        scales: {tensor index: real value of one step}; absent for a tensor that stays float.
        weights: indices of operators whose weights are stored in int8.
        zero_points: {tensor index: the integer of 0}; 0 for tensors that are not in it.
    """

    def __init__(
        self, scales: Mapping[int, float], weights: frozenset[int], zero_points: Mapping[int, int] | None = None
    ) -> None:
        self.scales = scales
        self.weights = weights
        self.zero_points = zero_points or {}


def load_onnx() -> Any:
    """The onnx package.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("onnx")
    except ImportError:
        raise MissingExtraError("onnx", "onnx", "converting to ONNX") from None


def to_first(rank: int) -> list[int]:
    """The permutation that brings the channels from the last place behind the batch."""
    return [0, rank - 1, *range(1, rank - 1)]


def to_last(rank: int) -> list[int]:
    """The permutation that brings the channels back to the last place."""
    return [0, *range(2, rank), 1]


def axis_in(layout: Layout, axis: int, rank: int) -> int:
    """Where an axis of a channels-last tensor is in a layout; negative axes count from the end."""
    axis %= rank
    return to_first(rank).index(axis) if layout is Layout.FIRST else axis


class Builder:
    """The ONNX graph under construction; see the module's docstring.

    Args:
        graph: the float graph.
        scheme: what is quantized.
        name_of: gives a name for the node of an operator, such as its Keras layer.
    """

    def __init__(self, graph: Subgraph, scheme: Scheme, name_of: Callable[[Operator], str]) -> None:
        self.onnx = load_onnx()
        self.graph = graph
        self.scheme = scheme
        self._name_of = name_of
        self.nodes: list[object] = []
        self.initializers: list[object] = []
        self._values: dict[int, dict[Layout, str]] = {}
        self._constants: dict[int, np.ndarray] = {}
        self._used: set[str] = set()
        self._current = ""

    # --- operators ---

    def begin(self, operator: Operator) -> None:
        """Name the nodes that follow after an operator."""
        self.begin_with(self._name_of(operator))

    def begin_with(self, title: str) -> None:
        """Name the nodes that follow."""
        self._current = title

    def node(self, kind: str, inputs: Sequence[str], *, name: str = "", **attributes: Any) -> str:
        """Add a node with one output, and give the output's name: `name` where that is free."""
        return self.node_with(kind, inputs, 1, name=name, **attributes)[0]

    def node_with(
        self, kind: str, inputs: Sequence[str], outputs: int, *, name: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs, and give their names."""
        title = self.unique(f"{self._current}/{kind}")
        names = [self.unique(name or f"{title}_output")] + [self.unique(f"{title}_output") for _ in range(outputs - 1)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), names, name=title, **attributes))
        return names

    def unique(self, name: str) -> str:
        """`name`, with a number where it is taken."""
        return unique_name(name, self._used, first=2)

    # --- constants ---

    def constant(self, value: np.ndarray | Sequence[int], name: str = "constant") -> str:
        """Add an initializer; a sequence of integers becomes int64."""
        array = value if isinstance(value, np.ndarray) else np.asarray(value, np.int64)
        unique = self.unique(name)
        self.initializers.append(self.onnx.numpy_helper.from_array(np.asarray(array, order="C"), unique))
        return unique

    def scalar(self, value: float) -> str:
        """Add a float32 number."""
        return self.constant(np.array(value, np.float32), f"{self._current}/number")

    def weight(self, operator: Operator, value: np.ndarray, axis: int, name: str) -> str:
        """A layer's weights: int8 with a scale for each index of `axis` where the scheme says so, else float32."""
        if operator.index not in self.scheme.weights:
            return self.constant(value.astype(np.float32), name)
        others = tuple(a for a in range(value.ndim) if a != axis)
        largest = np.abs(value).max(axis=others)
        scales = np.where(largest > 0, largest / np.float32(127), np.float32(1)).astype(np.float32)
        shape = [-1 if a == axis else 1 for a in range(value.ndim)]
        stored = np.clip(np.rint(value / scales.reshape(shape)), -127, 127).astype(np.int8)
        inputs = [
            self.constant(stored, f"{name}/quantized"),
            self.constant(scales, f"{name}/scale"),
            self.constant(np.zeros(len(scales), np.int8), f"{name}/zero_point"),
        ]
        return self.node("DequantizeLinear", inputs, name=f"{name}/dequantized", axis=axis)

    # --- tensors ---

    def tensor(self, index: int) -> Tensor:
        """A tensor of the float graph."""
        return self.graph.tensors[index]

    def value_of(self, index: int) -> np.ndarray | None:
        """The content of a tensor that is constant, or that was computed from constants; None for any other."""
        if index in self._constants:
            return self._constants[index]
        return self.tensor(index).array()

    def fold(self, index: int, value: np.ndarray) -> None:
        """Say that a computed tensor is constant."""
        self._constants[index] = value

    def layout_of(self, index: int) -> Layout:
        """The layout that a tensor was computed in."""
        return next(iter(self._values.get(index, {Layout.LAST: ""})))

    def read(self, index: int, layout: Layout = Layout.LAST) -> str:
        """The name of a tensor's value in a layout, transposed where it is not there yet."""
        rank = len(self.tensor(index).shape)
        constant = self.value_of(index)
        if constant is not None:
            moved = constant.transpose(to_first(rank)) if layout is Layout.FIRST and rank > 2 else constant
            return self.constant(moved, self.tensor(index).name)
        by_layout = self._values.get(index)
        if by_layout is None:
            raise ConversionError(f"tensor {self.tensor(index).name!r} is used before it is computed")
        if rank <= 2:
            return next(iter(by_layout.values()))
        if layout not in by_layout:
            (other, name), *_ = by_layout.items()
            order = to_first(rank) if other is Layout.LAST else to_last(rank)
            by_layout[layout] = self.node(
                "Transpose", [name], name=f"{self.tensor(index).name}/{layout.value}", perm=order
            )
        return by_layout[layout]

    def write(self, index: int, name: str, layout: Layout = Layout.LAST) -> None:
        """Register the computed value of a tensor, behind a Q/DQ pair where the scheme quantizes it."""
        scale = self.scheme.scales.get(index)
        self._values[index] = {layout: name if scale is None else self._quantized(index, name, scale)}

    def _quantized(self, index: int, name: str, scale: float) -> str:
        title = self.tensor(index).name
        parameters = [
            self.constant(np.array(scale, np.float32), f"{title}/scale"),
            self.constant(np.array(self.scheme.zero_points.get(index, 0), np.int8), f"{title}/zero_point"),
        ]
        integers = self.node("QuantizeLinear", [name, *parameters], name=f"{title}/quantized")
        return self.node("DequantizeLinear", [integers, *parameters], name=f"{title}/dequantized")
