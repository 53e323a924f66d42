"""A Keras model of either library as the `FloatModel` that every stage works on."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tfcompress import console
from tfcompress.errors import ModelError
from tfcompress.graphs.keras.call_graph import (
    Structure,
    input_structure,
    is_graph,
    output_structure,
    subclassed_structures,
)
from tfcompress.graphs.keras.protocols import KerasModel
from tfcompress.graphs.tensorflow.draws import draws_replaced
from tfcompress.graphs.tensorflow.private_names import flat_layers
from tfcompress.graphs.tensorflow.sums import sums_of_samples
from tfcompress.layer_names import all_layers
from tfcompress.load.keras_versions.mixed_precision import HALF, has_half_tensors, in_float32, is_mixed
from tfcompress.model import Flavor, FloatModel, TensorInfo
from tfcompress.remarks import remark
from tfcompress.runtime import keras, tf_keras
from tfcompress.tensor_info import with_graph_names

__all__ = ["flavor_of", "float_model_from_keras"]


def flavor_of(model: KerasModel) -> Flavor:
    """Which library a model object belongs to.

    Raises:
        ModelError: it is not a model of Keras 3 or tf_keras.
    """
    if isinstance(model, keras.Model):
        return "keras3"
    if isinstance(model, tf_keras.Model):
        return "tf_keras"
    raise ModelError(
        f"expected a path, a keras.Model or a tf_keras.Model, got {type(model).__module__}.{type(model).__qualname__}"
    )


def float_model_from_keras(
    keras_model: Any, *, name: str | None = None, format: str = "in_memory", sha256: str | None = None
) -> FloatModel:
    """The `FloatModel` of a built Keras 3 or tf_keras model; the model itself is not copied.

    Args:
        keras_model: sequential, functional or subclassed; a subclassed one must have been called once.
        name: for reports; None takes the model's own.
        format: where it came from, see `FloatModel.format`.
        sha256: of the file; None for a model from memory.

    Raises:
        ModelError: not a Keras model, or its inputs are not known yet.
    """
    flavor = flavor_of(keras_model)
    mixed = any(is_mixed(layer) for layer in flat_layers(keras_model))
    if mixed:
        console.note(f"{name or keras_model.name}: mixed precision: computed in float32, as its weights are")
    with in_float32(keras_model):
        if is_graph(keras_model):
            inputs, outputs = input_structure(keras_model), output_structure(keras_model)
        else:
            inputs, outputs = subclassed_structures(keras_model)
    if mixed or has_half_tensors(keras_model):
        outputs = replace(outputs, infos=tuple(_in_full(info) for info in outputs.infos))
    inputs, outputs = (replace(ends, infos=with_graph_names(ends.infos)) for ends in (inputs, outputs))
    return FloatModel(
        name=name or keras_model.name,
        format=format,
        sha256=sha256,
        flavor=flavor,
        keras_model=keras_model,
        inputs=inputs.infos,
        outputs=outputs.infos,
        function=functools.partial(_run, keras_model, inputs, outputs),
        quantization_aware=any(type(layer).__name__.startswith("QuantizeWrapper") for layer in all_layers(keras_model)),
    )


def _in_full(info: TensorInfo) -> TensorInfo:
    return replace(info, dtype="float32") if info.dtype in HALF else info


def _run(model: KerasModel, inputs: Structure, outputs: Structure, values: Mapping[str, object]) -> dict[str, object]:
    """One inference pass: {input name: tensor} to {output name: tensor}."""
    # Layers of Keras 3 with dropout advance their seeds at inference too; the scope keeps such writes out of the graph.
    # A layer that carries its state from batch to batch must write it, though.
    keeps_state = any(getattr(layer, "stateful", False) for layer in all_layers(model))
    stateless = isinstance(model, keras.Model) and not keeps_state
    with (
        keras.StatelessScope() if stateless else contextlib.nullcontext(),
        in_float32(model),
        sums_of_samples(values.values()),
        draws_replaced() as draws,
    ):
        result = model(inputs.pack(values), training=False)
    if draws:
        remark(
            f"{model.name}: draws random numbers at inference ({len(draws)} times): their mean is taken; "
            "--sampling=input makes them an input of the artifact"
        )
    return outputs.unpack(result)
