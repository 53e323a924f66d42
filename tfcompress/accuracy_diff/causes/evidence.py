"""What the search for causes goes by: the rows of the layer diff, joined with the artifact's operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.layers import LayerDiff
from tfcompress.graphs.keras.protocols import Layer
from tfcompress.graphs.tflite import Operator, Subgraph, Tensor, TfliteFile
from tfcompress.graphs.tflite.operators import named, traits
from tfcompress.layer_names import all_layers

__all__ = ["FIXED_SCALE", "SAME_SCALE", "WEIGHTED", "Evidence", "Row"]

# Their output has the scale of their input, or a fixed one: their range says nothing about themselves.
SAME_SCALE = named(lambda row: row.scale == "input")
FIXED_SCALE = named(lambda row: row.scale == "fixed")
WEIGHTED = named(lambda row: row.multiplies)


@dataclass(frozen=True)
class Row:
    """A row of the layer diff with its operator.

    Attributes:
        diff: the row.
        operator: of the .tflite.
    """

    diff: LayerDiff
    operator: Operator

    @property
    def layer(self) -> str:
        """The Keras layer's name."""
        return self.diff.layer

    @property
    def integer(self) -> bool:
        """Whether the artifact computes it in integers."""
        return self.diff.range is not None

    def own_below(self, decibels: float) -> bool:
        """Whether its own error is larger than `decibels` of SQNR allow."""
        return self.diff.own_sqnr_db is not None and self.diff.own_sqnr_db < decibels


@dataclass(frozen=True)
class Evidence:
    """Rows of the layer diff, the artifact and the float model.

    Attributes:
        rows: in the order of execution.
        file: the .tflite.
        keras_model: the float model.
    """

    rows: Sequence[Row]
    file: TfliteFile
    keras_model: Any

    @classmethod
    def of(cls, layers: Sequence[LayerDiff], file: TfliteFile, keras_model: Any) -> Evidence:
        """Join the rows of a layer diff with a file's operators."""
        producers = {tensor: operator for operator in file.main.operators for tensor in operator.outputs}
        rows = [Row(row, producers[row.tensor]) for row in layers if row.tensor is not None and row.tensor in producers]
        return cls(rows, file, keras_model)

    @property
    def graph(self) -> Subgraph:
        """The artifact's main graph."""
        return self.file.main

    @cached_property
    def by_tensor(self) -> Mapping[int, Row]:
        """{tensor: the row of the layer that it holds}."""
        return {row.diff.tensor: row for row in self.rows if row.diff.tensor is not None}

    @cached_property
    def keras_layers(self) -> Mapping[str, Layer]:
        """{name: layer} of the float model."""
        return {layer.name: layer for layer in all_layers(self.keras_model)}

    def activations_into(self, operator: Operator) -> Iterator[Tensor]:
        """The computed tensors that an operator reads."""
        for index in operator.inputs:
            if index >= 0 and self.graph.tensors[index].data is None:
                yield self.graph.tensors[index]

    def rows_into(self, operator: Operator) -> list[Row]:
        """The rows whose tensors an operator reads, through QUANTIZE where there is one."""
        rows = []
        for tensor in self.activations_into(operator):
            index = tensor.index
            producer = self.graph.producer(index)
            if producer is not None and producer.name == "QUANTIZE":
                index = producer.inputs[0]
            if index in self.by_tensor:
                rows.append(self.by_tensor[index])
        return rows

    def before_outputs(self) -> frozenset[str]:
        """The layers from the outputs back to the last ones with weights."""
        layers: set[str] = set()
        waiting = list(self.graph.outputs)
        while waiting:
            index = waiting.pop()
            row, producer = self.by_tensor.get(index), self.graph.producer(index)
            layers.update(() if row is None else (row.layer, *row.diff.fused))
            if producer is not None and producer.name not in WEIGHTED:
                waiting += [tensor.index for tensor in self.activations_into(producer)]
        return frozenset(layers)

    def weights(self, row: Row) -> tuple[np.ndarray, Tensor, int] | None:
        """(integers, tensor, axis of the output channels) of a row's kernel; None for one without."""
        layer_traits = traits(row.operator.name)
        if not layer_traits.multiplies or layer_traits.channel_axis is None:
            return None
        for index in row.operator.inputs:
            tensor = self.graph.tensors[index] if index >= 0 else None
            if tensor is not None and tensor.dtype == "int8" and tensor.quantization is not None:
                values = tensor.array()
                if values is not None and values.ndim >= 2:
                    return values, tensor, layer_traits.channel_axis
        return None

    def kernel(self, row: Row, size: int) -> tuple[str, np.ndarray] | None:
        """(layer, its float kernel) of the one among the layers fused into a row whose kernel has `size` values."""
        for name in (row.layer, *row.diff.fused):
            layer = self.keras_layers.get(name)
            for attribute in ("kernel", "depthwise_kernel"):
                value = getattr(layer, attribute, None)
                if value is not None and int(np.prod(value.shape)) == size:
                    return name, np.asarray(value)
        return None
