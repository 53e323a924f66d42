"""Which bit width each layer needs, from the distribution of its weights and activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tfcompress.calibration import observe
from tfcompress.calibration.histogram import Histogram
from tfcompress.calibration.precision import activation_sqnr_db, weight_sqnr_db
from tfcompress.converters.litert.float_tflite import to_float_tflite
from tfcompress.converters.litert.patterns import layers_by_tensor
from tfcompress.data import Samples
from tfcompress.data.fixed_sizes import with_fixed_sizes
from tfcompress.graphs.tflite import Operator, Subgraph, TfliteFile, read_tflite
from tfcompress.graphs.tflite.operators import kernel_of, traits
from tfcompress.model import FloatModel

__all__ = ["BITS", "ENOUGH_DB", "LayerBits", "advise", "layer_bits"]

BITS = (4, 8, 16)
ENOUGH_DB = 25.0  # what the report grades as good


@dataclass(frozen=True)
class LayerBits:
    """What 4, 8 and 16 bits keep of one layer.

    Attributes:
        layer: the Keras layer's name; a tensor's name where no layer is known.
        weights: {bits: decibels}, the worst of its kernels; empty without any, None where nothing is lost.
        activations: {bits: decibels}, the worst of its outputs; empty where no data was given.
        tensors: names of its outputs in the float .tflite.
    """

    layer: str
    weights: Mapping[int, float | None]
    activations: Mapping[int, float | None]
    tensors: tuple[str, ...] = field(default=(), repr=False)

    def enough(self, decibels: Mapping[int, float | None]) -> int | None:
        """The fewest bits that keep `ENOUGH_DB`; None when not even 16 do, or nothing is known."""
        return next((bits for bits, value in decibels.items() if value is None or value >= ENOUGH_DB), None)

    def to_json(self) -> dict[str, object]:
        """A row for ``inspect`` and report.json: decibels by kind and bits, and the fewest bits that are enough."""
        row: dict[str, object] = {"layer": self.layer}
        for kind, decibels in (("weights", self.weights), ("activations", self.activations)):
            rounded = {str(bits): None if value is None else round(value, 1) for bits, value in decibels.items()}
            row |= {f"{kind}_db": rounded or None, f"{kind}_need_bits": self.enough(decibels)}
        return row


def advise(model: FloatModel, samples: Samples | None = None) -> tuple[LayerBits, ...]:
    """The advice for a float model, in order of execution.

    Args:
        model: any float model.
        samples: representative inputs; None looks at weights only.

    Raises:
        ConversionError: TFLite has no operator for something in the model, or LiteRT cannot run it.
        DataError: a bad sample, or none.
    """
    fixed = with_fixed_sizes(model, samples)
    return layer_bits(fixed, to_float_tflite(fixed, loops=True), samples)


def layer_bits(model: FloatModel, content: bytes, samples: Samples | None) -> tuple[LayerBits, ...]:
    """As `advise`, for a float .tflite that was made of the model."""
    file = read_tflite(content)
    seen = {} if samples is None else observe(content, samples, lambda _: Histogram())[0]
    rows: dict[str, LayerBits] = {}
    for operator, layer in _named_operators(model, file):
        new = LayerBits(layer, _weights(operator, file.main), *_activations(operator, file.main, seen))
        rows[layer] = _worse(rows[layer], new) if layer in rows else new
    return tuple(row for row in rows.values() if row.weights or row.activations)


def _named_operators(model: FloatModel, file: TfliteFile) -> list[tuple[Operator, str]]:
    names = layers_by_tensor(model, file)
    return [
        # The layer computed first has the weights; those fused behind it are activations and normalizations.
        (operator, (names[operator.outputs[0]] or (file.main.tensors[operator.outputs[0]].name,))[-1])
        for operator in file.main.operators
        if operator.outputs
    ]


def _weights(operator: Operator, graph: Subgraph) -> dict[int, float | None]:
    kernel, axis = kernel_of(operator, graph), traits(operator.name).channel_axis
    values = None if kernel is None or kernel.dtype != "float32" else kernel.array()
    if values is None or axis is None or values.ndim <= axis:
        return {}
    rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    return {bits: weight_sqnr_db(rows, bits) for bits in BITS}


def _activations(
    operator: Operator, graph: Subgraph, seen: Mapping[str, Histogram]
) -> tuple[dict[int, float | None], tuple[str, ...]]:
    names = tuple(name for index in operator.outputs if (name := graph.tensors[index].name) in seen)
    by_name = [{bits: activation_sqnr_db(seen[name], bits) for bits in BITS} for name in names]
    worst: dict[int, float | None] = {}
    for decibels in by_name:
        worst = _lower(worst, decibels)
    return worst, names


def _worse(first: LayerBits, second: LayerBits) -> LayerBits:
    return LayerBits(
        first.layer,
        _lower(first.weights, second.weights),
        _lower(first.activations, second.activations),
        (*first.tensors, *second.tensors),
    )


def _lower(first: Mapping[int, float | None], second: Mapping[int, float | None]) -> dict[int, float | None]:
    """For each number of bits the lower figure; None, where nothing is lost, is above all."""
    result = dict(first)
    for bits, value in second.items():
        lower = result.get(bits)
        result[bits] = value if lower is None else lower if value is None else min(lower, value)
    return result
