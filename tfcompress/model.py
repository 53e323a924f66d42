"""The float model that every stage works on, whatever Keras or file it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tfcompress.errors import ModelError, cause_of
from tfcompress.runtime import tf
from tfcompress.tensor_info import TensorInfo
from tfcompress.usage import Usage

__all__ = ["Flavor", "FloatModel", "TensorInfo"]

Flavor = Literal["keras3", "tf_keras", "saved_model"]


@dataclass(frozen=True)
class FloatModel:
    """A loaded model: what it is called, what goes in and out, and how to run it.

    Attributes:
        name: for reports; the file's stem, or the Keras model's name.
        format: `keras_v3`, `keras_v2`, `h5`, `saved_model` or `in_memory`.
        sha256: of the file; None for a model that came from memory.
        flavor: which library `keras_model` belongs to; `saved_model` when only a signature is known.
        keras_model: the Keras 3 or tf_keras model; None when only a signature is known.
        inputs: in the model's own order.
        outputs: in the model's own order.
        function: maps {input name: tf.Tensor} to {output name: tf.Tensor}, in inference mode; traceable by tf.function.
        quantization_aware: `keras_model` carries tfmot quantize wrappers with trained ranges.
        teacher: the float model that a quantization-aware one was trained to be like, and to nothing else; None where
            labels had a say, where it was made smaller or sparse too, and for a model that nobody trained here.
        usage: how an app has to feed it and to read its outputs, as far as that is known.
        sample_bytes: that all tensors of one sample take, measured where the model was tried; 0 where it was not.
            Sizes that are not fixed count as `TRIED_SIZE`.
        fingerprint: of all that the model was made from, see `tfcompress.cache`; None where nothing can name that.
    """

    name: str
    format: str
    sha256: str | None
    flavor: Flavor
    keras_model: Any
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    function: Callable[[Mapping[str, Any]], dict[str, Any]] = field(repr=False)
    quantization_aware: bool = False
    teacher: FloatModel | None = field(default=None, repr=False)
    usage: Usage = field(default_factory=Usage)
    fingerprint: str | None = None
    sample_bytes: int = 0

    def concrete_function(self, batch_size: int | None) -> Any:
        """A `tf.types.experimental.ConcreteFunction` of the inference pass.

        Args:
            batch_size: fixed first dimension of every input; None leaves it open.

        Returns:
            A concrete function whose positional arguments are the inputs in order, named as in `inputs`, and whose
            result is {output name: tensor}.

        Raises:
            ModelError: the model cannot compute on inputs of these shapes; the message quotes the library.
        """
        specs = [tf.TensorSpec([batch_size, *info.shape[1:]], info.dtype, name=info.name) for info in self.inputs]
        names = [info.name for info in self.inputs]

        @tf.function(input_signature=specs, autograph=False)
        def serve(*tensors: Any) -> dict[str, Any]:
            return self.function(dict(zip(names, tensors, strict=True)))

        try:
            return serve.get_concrete_function()
        except Exception as error:  # layers raise anything
            raise self._cannot_compute({spec.name: spec.shape for spec in specs}, error) from error

    def predict(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run one batch eagerly.

        Args:
            inputs: {input name: array with the batch dimension first}.

        Returns:
            {output name: array}.

        Raises:
            ModelError: the model cannot compute on them; the message quotes the library.
        """
        arrays = {info.name: inputs[info.name] for info in self.inputs}
        try:
            tensors = {info.name: tf.constant(arrays[info.name], info.dtype) for info in self.inputs}
            return {name: np.asarray(value) for name, value in self.function(tensors).items()}
        except Exception as error:  # layers and operators raise anything
            raise self._cannot_compute({name: np.shape(array) for name, array in arrays.items()}, error) from error

    def _cannot_compute(self, shapes: Mapping[str, object], error: Exception) -> ModelError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        return ModelError(f"{self.name}: cannot compute on inputs of the shapes {listed}: {cause_of(error)}")

    @property
    def parameters(self) -> int | None:
        """Number of weights, trainable or not; None when only a signature is known."""
        return None if self.keras_model is None else int(self.keras_model.count_params())

    @property
    def float_bytes(self) -> int | None:
        """Bytes of all weights as they are stored; None when only a signature is known."""
        return None if self.keras_model is None else sum(self.weight_bytes)

    @property
    def weight_bytes(self) -> tuple[int, ...]:
        """Bytes of each weight as it is stored; none when only a signature is known."""
        weights = () if self.keras_model is None else self.keras_model.weights
        return tuple(int(np.prod(item.shape)) * np.dtype(_dtype_name(item)).itemsize for item in weights)


def _dtype_name(weight: Any) -> str:
    """A weight's numpy dtype name, for both Kerases."""
    dtype = weight.dtype
    name = dtype if isinstance(dtype, str) else dtype.name
    return {"bfloat16": "float16"}.get(name, name)  # same width; numpy itself has no bfloat16
