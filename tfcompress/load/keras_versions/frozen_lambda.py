"""A Lambda layer whose Python code has become a TensorFlow graph.

The code ran once, in a process of its own, while TensorFlow recorded what it computes.  What is left is arithmetic:
it can be called, differentiated, quantized and saved without ever touching the bytecode again.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfcompress.graphs.keras.call_graph import flatten, is_keras3
from tfcompress.graphs.keras.protocols import Config, Layer, Tensor
from tfcompress.graphs.tensorflow.private_names import convert_variables_to_constants_v2
from tfcompress.load.safety.graph_operations import refuse_unsafe_graph
from tfcompress.runtime import keras, tf, tf_keras

__all__ = ["FrozenLambda", "FrozenLambda3", "freeze_call", "frozen_class"]

_PACKAGE = "tfcompress"


@dataclass(frozen=True)
class _Recording:
    """One traced call.

    Attributes:
        graph_def: the frozen graph.
        inputs: names of its input tensors.
        outputs: names of its output tensors.
        shapes: of the inputs, batch dimension first, None where open.
        single: the code returned one tensor and not a list.
    """

    graph_def: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    single: bool

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> _Recording:
        graph_def = tf.compat.v1.GraphDef.FromString(base64.b64decode(value["graph_def"]))
        refuse_unsafe_graph(graph_def, "a FrozenLambda layer")
        shapes = tuple(tuple(shape) for shape in value["shapes"])
        return cls(graph_def, tuple(value["inputs"]), tuple(value["outputs"]), shapes, bool(value["single"]))

    def accepts(self, tensors: Sequence[Any]) -> bool:
        return len(tensors) == len(self.shapes) and all(
            tf.TensorShape(shape).is_compatible_with(tensor.shape)
            for shape, tensor in zip(self.shapes, tensors, strict=True)
        )

    def run(self, tensors: Sequence[object]) -> Any:
        mapping = dict(zip(self.inputs, tensors, strict=True))
        results = tf.graph_util.import_graph_def(self.graph_def, mapping, list(self.outputs), name="")
        return results[0] if self.single else results


def _call(recordings: Sequence[_Recording], tensors: Sequence[object]) -> Any:
    recording = next((candidate for candidate in recordings if candidate.accepts(tensors)), recordings[0])
    if not tf.executing_eagerly():
        return recording.run(tensors)
    return tf.function(lambda *values: recording.run(values), autograph=False)(*tensors)


class _Recorded:
    """What the two forms of the layer share; mixed in before the base layer of either Keras."""

    def __init__(self, recordings: Sequence[Mapping[str, object]], **kwargs: object) -> None:
        """`recordings` is what `freeze_call` returned, one for each way in which the layer is called."""
        super().__init__(**kwargs)
        self.serialized = list(recordings)
        self.recordings = [_Recording.from_json(value) for value in recordings]

    def call(self, inputs: Tensor, mask: object = None) -> Any:
        """Run the recorded graph; the mask, which a Lambda layer may be called with, is not used."""
        return _call(self.recordings, flatten(inputs, keras3=is_keras3(self)))

    def get_config(self) -> Config:
        """The settings with the recorded graphs."""
        base: dict[str, object] = super().get_config()  # type: ignore[misc]
        return {**base, "recordings": [dict(value) for value in self.serialized]}


@tf_keras.saving.register_keras_serializable(_PACKAGE)
class FrozenLambda(_Recorded, tf_keras.layers.Layer):
    """The tf_keras form."""


@keras.saving.register_keras_serializable(_PACKAGE)
class FrozenLambda3(_Recorded, keras.layers.Layer):
    """The Keras 3 form."""


def frozen_class(*, keras3: bool) -> str:
    """The class name that stands for a Lambda layer in a configuration."""
    return "FrozenLambda3" if keras3 else "FrozenLambda"


def freeze_call(layer: Layer, inputs: Tensor) -> dict[str, Any]:
    """Run a Lambda layer's code once and record what it computes, as JSON.

    Args:
        layer: of either Keras.
        inputs: the symbolic tensor or nest of tensors that a model calls it with.

    Raises:
        UnsafeModelError: what was recorded still calls Python or reaches files.
    """
    keras3 = is_keras3(layer)
    symbolic = flatten(inputs, keras3=keras3)
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=f"x{i}") for i, tensor in enumerate(symbolic)]
    nest = keras.tree if keras3 else tf.nest

    @tf.function(input_signature=specs, autograph=False)
    def trace(*tensors: object) -> Any:
        return layer(nest.pack_sequence_as(inputs, list(tensors)))

    concrete = trace.get_concrete_function()
    frozen = convert_variables_to_constants_v2(concrete)
    graph_def = frozen.graph.as_graph_def()
    refuse_unsafe_graph(graph_def, f"the layer {layer.name!r}")
    return {
        "graph_def": base64.b64encode(graph_def.SerializeToString()).decode(),
        "inputs": [tensor.name for tensor in frozen.inputs],
        "outputs": [tensor.name for tensor in frozen.outputs],
        "shapes": [spec.shape.as_list() for spec in specs],
        "single": not isinstance(concrete.structured_outputs, list | tuple | dict),
    }
