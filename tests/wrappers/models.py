"""Small models, data and int8 conversion that the wrapper tests share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfcompress.chatter import silenced
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.model import TensorInfo
from tfcompress.runtime import tf, tf_keras

L = tf_keras.layers


def small_cnn(seed: int = 0) -> Any:
    """8x8x1 -> 3 classes, with batch normalization, pooling and a skipped connection."""
    tf_keras.utils.set_random_seed(seed)
    x = inputs = L.Input((8, 8, 1), name="image")
    x = L.Conv2D(8, 3, padding="same", use_bias=False, name="conv_1")(x)
    x = skip = L.ReLU(name="relu_1")(L.BatchNormalization(name="bn_1")(x))
    x = L.Conv2D(8, 3, padding="same", name="conv_2")(x)
    x = L.Add(name="add")([L.BatchNormalization(name="bn_2")(x), skip])
    x = L.ReLU(name="relu_2")(x)
    x = L.AveragePooling2D(8, name="pool")(x)
    x = L.Dense(16, activation="relu", name="hidden")(L.Flatten(name="flat")(x))
    model = tf_keras.Model(inputs, L.Dense(3, activation="softmax", name="scores")(x), name="small_cnn")
    randomize_batch_norms(model, seed)
    return model


def randomize_batch_norms(model: Any, seed: int = 0) -> None:
    """Statistics other than 0 and 1, as training would leave."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            values = [random.uniform(0.5, 1.5, weight.shape).astype(np.float32) for weight in layer.weights]
            layer.set_weights(values)


def samples_for(model: Any, count: int = 64, *, labels: bool = True, seed: int = 0) -> Samples:
    """Normal inputs and, for a classifier, random labels."""
    random = np.random.default_rng(seed)
    infos = tuple(
        TensorInfo(name, tuple(t.shape), t.dtype.name) for name, t in zip(model.input_names, model.inputs, strict=True)
    )
    outputs = tuple(
        TensorInfo(name, tuple(t.shape), t.dtype.name)
        for name, t in zip(model.output_names, model.outputs, strict=True)
    )
    x = {info.name: _values(random, info.dtype, (count, *_sizes(info.shape[1:]))) for info in infos}
    y = random.integers(0, outputs[0].shape[-1] or 2, count) if labels else None
    return samples_from_arrays(x, y, model_inputs=infos, model_outputs=outputs)


def _values(random: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype.startswith("int"):
        return random.integers(0, 3, shape).astype(dtype)
    return random.normal(size=shape).astype(dtype)


def _sizes(shape: Sequence[int | None]) -> list[int]:
    return [8 if size is None else size for size in shape]


class Int8File:
    """A quantization-aware model converted by TFLiteConverter to a fully integer file, and run by LiteRT."""

    def __init__(self, model: Any, *, float_io: bool = False) -> None:
        specs = [tf.TensorSpec((1, *_sizes(tensor.shape[1:])), tensor.dtype) for tensor in model.inputs]

        @tf.function(input_signature=specs, autograph=False)
        def serve(*inputs: Any) -> Any:
            return model(list(inputs) if len(specs) > 1 else inputs[0], training=False)

        with silenced():
            converter = tf.lite.TFLiteConverter.from_concrete_functions([serve.get_concrete_function()], model)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if not float_io:
                converter.inference_input_type = tf.int8
                converter.inference_output_type = tf.int8
            self.content = converter.convert()
            from ai_edge_litert.interpreter import Interpreter, OpResolverType

            # The reference kernels: XNNPACK, the default, may round otherwise by one step.
            self.interpreter = Interpreter(
                model_content=self.content,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            self.interpreter.allocate_tensors()

    @property
    def operators(self) -> list[str]:
        return [op["op_name"] for op in self.interpreter._get_ops_details()]

    @property
    def float_tensors(self) -> list[str]:
        """Names of tensors that hold float values."""
        return [
            item["name"]
            for item in self.interpreter.get_tensor_details()
            if item["dtype"] in (np.float32, np.float16) and item["name"]
        ]

    def weights(self, minimum_size: int = 1) -> dict[str, np.ndarray]:
        """{name: integer values} of the constant int8 tensors."""
        found = {}
        for item in self.interpreter.get_tensor_details():
            if not item["name"] or item["dtype"] is not np.int8 or int(np.prod(item["shape"])) < minimum_size:
                continue
            produced = any(item["index"] in op["outputs"] for op in self.interpreter._get_ops_details())
            if not produced and item["index"] not in [i["index"] for i in self.interpreter.get_input_details()]:
                found[item["name"]] = np.array(self.interpreter.get_tensor(item["index"]))
        return found

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, float]:
        """First output as float values, and its scale (0 for a float output)."""
        rows = []
        details = self.interpreter.get_input_details()
        output = self.interpreter.get_output_details()[0]
        for row in range(len(inputs[0])):
            for item, values in zip(details, inputs, strict=True):
                self.interpreter.set_tensor(item["index"], _to_grid(values[row : row + 1], item))
            self.interpreter.invoke()
            rows.append(self.interpreter.get_tensor(output["index"])[0])
        result = np.array(rows)
        if result.dtype != np.int8:
            return result, 0.0
        scale, zero_point = output["quantization"]
        return (result.astype(np.float32) - zero_point) * scale, scale


def _to_grid(values: np.ndarray, item: dict[str, Any]) -> np.ndarray:
    if item["dtype"] is not np.int8:
        return values.astype(item["dtype"])
    scale, zero_point = item["quantization"]
    return np.clip(np.round(values / scale) + zero_point, -128, 127).astype(np.int8)
