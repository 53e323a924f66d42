"""Small models, data and int8 conversion that the wrapper tests share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.compression import wrap
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.model import TensorInfo
from tfcompress.native_output import silenced
from tfcompress.recipe import Distillation, Quantization, Recipe, Training
from tfcompress.runtime import tf, tf_keras

L = tf_keras.layers

QUANTIZED = Recipe(quantization=Quantization(strict=True), distillation=Distillation(), training=Training(epochs=1))

# Simulation and file compute the same; but XNNPACK's additions have fixed-point factors, and a value that lies between
# two steps may fall to either.
STEPS_APART = 1.01
SHARE_APART = 0.02


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


def functional(shape: tuple[int | None, ...], function: Any) -> Any:
    """The model that computes `function` of an input of `shape`."""
    tf_keras.utils.set_random_seed(0)
    inputs = L.Input(shape)
    model = tf_keras.Model(inputs, function(inputs))
    randomize_batch_norms(model)
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


def bright_bands(model: Any, count: int, *, seed: int = 0) -> Samples:
    """Noise for `small_cnn` in which one third of the columns is brighter; the label says which."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, count)
    x = random.normal(size=(count, 8, 8, 1)).astype(np.float32)
    for row, band in enumerate(y):
        x[row, :, 3 * band : 3 * band + 3] += 1.0
    outputs = (TensorInfo(model.output_names[0], (None, 3), "float32"),)
    inputs = (TensorInfo(model.input_names[0], (None, 8, 8, 1), "float32"),)
    return samples_from_arrays({inputs[0].name: x}, y, model_inputs=inputs, model_outputs=outputs)


def accuracy_of(model: Any, samples: Samples) -> float:
    """Share of right classes, in inference."""
    batch = next(samples.batches(10_000))
    answers = np.asarray(model(next(iter(batch.inputs.values())), training=False)).argmax(axis=-1)
    return float((answers == next(iter(batch.labels.values())).reshape(-1)).mean())


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

        function = serve.get_concrete_function()
        variables = tf.Module()  # given the model, the converter would save every layer of it: five times as long
        variables.of_function = list(function.graph.variables)
        with silenced():
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function], variables)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if not float_io:
                converter.inference_input_type = tf.int8
                converter.inference_output_type = tf.int8
            self.content = converter.convert()
            from ai_edge_litert.interpreter import Interpreter, OpResolverType

            # Without XNNPACK, the default, which would stand as one operator for many.
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
        arrays = {}
        for item in self.interpreter.get_tensor_details():
            if not item["name"] or item["dtype"] is not np.int8 or int(np.prod(item["shape"])) < minimum_size:
                continue
            produced = any(item["index"] in op["outputs"] for op in self.interpreter._get_ops_details())
            if not produced and item["index"] not in [i["index"] for i in self.interpreter.get_input_details()]:
                arrays[item["name"]] = np.array(self.interpreter.get_tensor(item["index"]))
        return arrays

    def run(self, *inputs: np.ndarray) -> tuple[np.ndarray, float]:
        """First output as float values, and its scale (0 for a float output); LiteRT's default kernels."""
        runner = LiteRtRunner(self.content, workers=1)
        given = {info.name: values for info, values in zip(runner.inputs, inputs, strict=True)}
        result = next(iter(runner.run(given).values()))
        return result, self.interpreter.get_output_details()[0]["quantization"][0]


def largest_and_share_of_errors(wrapped: Any, file: Int8File, *inputs: np.ndarray) -> tuple[float, float]:
    """Between the simulation and the file as XNNPACK runs it, in steps of the output; and the share of unequal ones."""
    got, scale = file.run(*inputs)
    steps = np.abs(got - np.asarray(wrapped(list(inputs), training=False))) / scale
    steps = np.round(steps, 3)  # the same integer as a float32 of either side: 1e-5 of a step apart on some processors
    return float(steps.max()), float(np.mean(steps > 0.5))


def check_quantized(model: Any, *, steps_apart: float = STEPS_APART, share_apart: float = SHARE_APART) -> Int8File:
    """Wrap with no configuration; the file must be fully integer and compute what the simulation computes.

    Args:
        model: what is wrapped.
        steps_apart: largest difference of an output value, in steps of its grid.
        share_apart: largest share of the output values that differ at all.
    """
    samples = samples_for(model, 32, labels=False)
    wrapped = wrap(model, QUANTIZED, calibration=samples)
    inputs = list(next(samples.batches(32)).inputs.values())
    file = Int8File(wrapped)
    worst, share = largest_and_share_of_errors(wrapped, file, *inputs)
    assert not file.float_tensors
    assert worst <= steps_apart, f"{worst} steps"
    assert share <= share_apart, f"{share} of the values"
    return file
