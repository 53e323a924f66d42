"""Layers that carry a piece of one Keras inside a model of the other.

Both Kerases compute with TensorFlow here, so a layer or an operation that has no counterpart runs where it is.  What
an adapter holds is part of its configuration: a model with adapters can be cloned, saved and loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfcompress.graphs.keras.protocols import Config, Layer, Tensor
from tfcompress.graphs.keras.taken_apart import has_parts
from tfcompress.graphs.tensorflow.private_names import flat_layers, share_variable, takes_training
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["Keras3Graph", "Keras3Layer", "TfKerasGraph", "TfKerasLayer"]

_PACKAGE = "tfcompress"


class _Serialized(dict[str, Any]):
    """A serialized layer that still knows its classes, so that a clone needs no registration of the user's own.

    Written to a file and read back it is a plain dictionary, and the custom objects have to be given again.
    """

    def __init__(self, library: Any, layer: Any) -> None:
        super().__init__(library.saving.serialize_keras_object(layer))
        kinds = {type(inner) for inner in flat_layers(layer)}
        self.classes = {
            name: kind for kind in kinds for name in (kind.__name__, library.saving.get_registered_name(kind))
        }


def _restored(library: Any, layer: Layer) -> Any:
    """The layer itself, from its serialized form or as it is."""
    if not isinstance(layer, Mapping):
        return layer
    classes = layer.classes if isinstance(layer, _Serialized) else None
    return library.saving.deserialize_keras_object(dict(layer), custom_objects=classes)


@tf_keras.saving.register_keras_serializable(_PACKAGE)
class Keras3Graph(tf_keras.layers.Layer):
    """One call of a Keras 3 operation without weights, as a tf_keras layer."""

    def __init__(self, graph: Any, **kwargs: object) -> None:
        """`graph` is a Keras 3 functional model of that one call, or its serialized form."""
        super().__init__(autocast=False, **kwargs)
        self.graph = keras.saving.deserialize_keras_object(graph) if isinstance(graph, Mapping) else graph
        self.graph.supports_masking = True  # it drops a mask by design: no warning
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        """Run the operation on the list of its tensors."""
        return self.graph(inputs)

    def compute_mask(self, inputs: Tensor, mask: object = None) -> None:
        """An operation of `keras.ops` drops the mask of its inputs."""

    def get_config(self) -> Config:
        """The settings, with the operation in Keras 3's serialized form."""
        return {**super().get_config(), "graph": keras.saving.serialize_keras_object(self.graph)}


def _shapes(input_shape: Any) -> Any:
    """Shapes that `tf.nest` does not look into."""
    return (
        tf.nest.map_structure(tf.TensorShape, input_shape)
        if isinstance(input_shape, dict)
        else (
            [tf.TensorShape(shape) for shape in input_shape]
            if isinstance(input_shape, list) and isinstance(input_shape[0], list | tuple | tf.TensorShape)
            else tf.TensorShape(input_shape)
        )
    )


def _symbolic(shape: Any) -> Any:
    return keras.KerasTensor(tuple(shape))


@tf_keras.saving.register_keras_serializable(_PACKAGE)
class Keras3Layer(tf_keras.layers.Layer):
    """A Keras 3 layer, built in or the user's own, as a tf_keras layer that owns its weights."""

    def __init__(self, layer: Layer, **kwargs: object) -> None:
        """`layer` is a Keras 3 layer or its serialized form."""
        super().__init__(**kwargs)
        self.layer = _restored(keras, layer)
        self.supports_masking = bool(self.layer.supports_masking)
        self._adopt_weights()

    def _adopt_weights(self) -> None:
        # tf_keras finds variables among an object's attributes; a Keras 3 variable keeps a TensorFlow one.
        if self.layer.built and not getattr(self, "_adopted", None):
            self._adopted = [weight.value for weight in self.layer.weights]

    def build(self, input_shape: object) -> None:
        """Create the weights of a layer that has none yet."""
        if not self.layer.built:
            self.layer.build(input_shape)
        if not self.layer.weights and has_parts(self.layer):
            self.layer(tf.nest.map_structure(_symbolic, _shapes(input_shape)))  # its parts get weights by a call
            self._adopted = []
        self._adopt_weights()
        super().build(input_shape)

    def call(self, inputs: Tensor, *args: object, training: object = None, **kwargs: object) -> Any:
        """Run the Keras 3 layer."""
        if takes_training(self.layer, keras3=True):
            kwargs["training"] = training
        return self.layer(inputs, *args, **kwargs)

    def compute_mask(self, inputs: Tensor, mask: object = None) -> Any:
        """The mask that the Keras 3 layer passes on."""
        return self.layer.compute_mask(inputs, mask) if self.supports_masking else None

    def get_config(self) -> Config:
        """The settings, with the layer in Keras 3's serialized form."""
        return {**super().get_config(), "layer": _Serialized(keras, self.layer)}


@keras.saving.register_keras_serializable(_PACKAGE)
class TfKerasGraph(keras.layers.Layer):
    """One call of a tf_keras layer without weights (such as ``tf.math.add``), as a Keras 3 layer."""

    def __init__(self, graph: Any, **kwargs: object) -> None:
        """`graph` is a tf_keras functional model of that one call, or its serialized form."""
        super().__init__(autocast=False, **kwargs)
        self.graph = tf_keras.saving.deserialize_keras_object(graph) if isinstance(graph, Mapping) else graph

    def call(self, inputs: Any) -> Any:
        """Run the operation on the list of its tensors."""
        return self.graph(inputs)

    def get_config(self) -> Config:
        """The settings, with the operation in tf_keras's serialized form."""
        return {**super().get_config(), "graph": tf_keras.saving.serialize_keras_object(self.graph)}


@keras.saving.register_keras_serializable(_PACKAGE)
class TfKerasLayer(keras.layers.Layer):
    """A tf_keras layer, built in or the user's own, as a Keras 3 layer that owns its weights."""

    def __init__(self, layer: Layer, **kwargs: object) -> None:
        """`layer` is a built tf_keras layer or its serialized form."""
        super().__init__(**kwargs)
        self.layer = _restored(tf_keras, layer)
        self.supports_masking = bool(self.layer.supports_masking)
        self._adopted: list[object] = []
        if self.layer.built:
            self._adopt_weights()

    def _adopt_weights(self) -> None:
        for weight in self.layer.weights:
            variable = self.add_weight(
                shape=weight.shape,
                dtype=weight.dtype.name,
                trainable=weight.trainable,
                name=weight.name.split(":")[0].rpartition("/")[2],
            )
            variable.assign(weight)
            share_variable(variable, weight)
            self._adopted.append(variable)

    def build(self, input_shape: object) -> None:
        """Create the weights of a layer that has none yet."""
        if not self.layer.built:
            self.layer.build(input_shape)
            self._adopt_weights()

    def call(self, inputs: Tensor, *args: object, training: object = None, **kwargs: object) -> Any:
        """Run the tf_keras layer."""
        if takes_training(self.layer, keras3=False):
            kwargs["training"] = training
        return self.layer(inputs, *args, **kwargs)

    def get_config(self) -> Config:
        """The settings, with the layer in tf_keras's serialized form."""
        return {**super().get_config(), "layer": _Serialized(tf_keras, self.layer)}
