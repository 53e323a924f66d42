"""Artifacts with one fault each, made on purpose, and sound ones made of the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from tensorflow.lite.python.convert import mlir_quantize

from tests.accuracy_diff.models import samples_with_own_answers
from tfcompress.accuracy_diff import CandidateResult, compare, runner_for
from tfcompress.accuracy_diff.causes import Suggestion
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.calibration import Calibration, Range, calibrate
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.data import Samples
from tfcompress.graphs.tflite.editor import ModelEditor, OperatorNode, TensorNode
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.recipe import Recipe
from tfcompress.runtime import tf, tf_keras

SAMPLES = 400


@dataclass(frozen=True)
class Bench:
    """A float model with its data and everything to make artifacts from it."""

    model: FloatModel

    @cached_property
    def evaluation(self) -> Samples:
        """Labelled with the model's own clear answers."""
        return samples_with_own_answers(self.model, SAMPLES)

    @cached_property
    def calibration_data(self) -> Samples:
        """Other samples of the same kind."""
        return samples_with_own_answers(self.model, 100, seed=1)

    @cached_property
    def float_content(self) -> bytes:
        """The float .tflite."""
        return to_float_tflite(self.model)

    @cached_property
    def calibration(self) -> Calibration:
        """Sound ranges."""
        return calibrate(self.float_content, self.calibration_data, hash_data=False)

    @cached_property
    def sound(self) -> bytes:
        """A sound int8 .tflite."""
        return self.with_ranges(lambda name, interval: interval)

    def with_ranges(self, change: Callable[[str, Range], Range], data: Samples | None = None) -> bytes:
        """Quantized with every range put through `change`."""
        calibration = self.calibration if data is None else calibrate(self.float_content, data, hash_data=False)
        ranges = {name: change(name, item) for name, item in calibration.ranges.items()}
        return quantized(self.float_content, ranges)

    def judged(self, content: bytes) -> CandidateResult:
        """The diff of an artifact, with its layers and causes."""
        return self.judge(LiteRtRunner(content))

    def judge(self, runner: Any) -> CandidateResult:
        """The diff of a runner, with its layers and causes."""
        reference = runner_for(self.model)
        return compare(reference, {"it": runner}, self.evaluation, layers=True).candidates["it"]

    def repaired(self, suggestion: Suggestion) -> CandidateResult:
        """The diff of what the converter makes with a suggestion."""
        integer_io = suggestion.recipe.post_training.scheme != "int8_float_io"
        result = quantize_int8(self.model, self.calibration_data, suggestion.recipe, integer_io=integer_io)
        return self.judged(result.content)


def quantized(content: bytes, ranges: Mapping[str, Range]) -> bytes:
    """A float .tflite in int8 with these ranges, by TensorFlow's own quantizer: what is tested here is not ours."""
    model = ModelEditor.read(content)
    for tensor in model.main.tensors:
        interval = ranges.get(tensor.name)
        if interval is not None:
            tensor.set_range(interval.low, interval.high)
    with silenced():
        result: Any = mlir_quantize(model.to_bytes(), input_data_type=tf.int8, output_data_type=tf.int8)
    return bytes(result)


def of_layer(layer: str) -> Callable[[str], bool]:
    """Whether a tensor's name begins with the layer's operators."""
    return lambda name: layer in name.split(";")[0].split("/")


def scaled(layer: str, factor: float) -> Callable[[str, Range], Range]:
    """The layer's range times `factor`."""
    mine = of_layer(layer)
    return lambda name, interval: Range(interval.low * factor, interval.high * factor) if mine(name) else interval


def edited(content: bytes, layer: str, edit: Callable[[OperatorNode], None]) -> bytes:
    """A file after `edit(operator)` of the operator whose output is the layer's."""
    model = ModelEditor.read(content)
    mine = of_layer(layer)
    edit(next(operator for operator in model.main.operators if mine(operator.result.name)))
    return model.to_bytes()


def coarse_weights(operator: OperatorNode) -> None:
    """Weights of which only the largest are left, all of one size."""
    _set_constant(operator.operands[1], lambda w: np.clip(np.round(w / 240.0) * 240, -127, 127))


def drowned_bias(operator: OperatorNode) -> None:
    """Biases so low that nothing comes through the ReLU."""
    _set_constant(operator.operands[2], lambda b: np.full_like(b, -(2**28)))


def rescaled_output(operator: OperatorNode) -> None:
    """An output whose scale is another than the operator computes with."""
    operator.result.quantize(operator.result.scales[0] / 50, operator.result.zero_points[0])


def _set_constant(tensor: TensorNode, change: Callable[[np.ndarray], np.ndarray]) -> None:
    values = tensor.array()
    assert values is not None
    tensor.set_array(change(values).astype(values.dtype))


def per_tensor(bench: Bench) -> bytes:
    """Converted by TFLiteConverter with one weight scale for all channels."""
    model = bench.model
    with silenced():
        concrete = model.concrete_function(1)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], concrete)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter._experimental_disable_per_channel = True
        converter.representative_dataset = lambda: (
            [next(iter(batch.inputs.values()))] for batch in bench.calibration_data.batches(1)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return bytes(converter.convert())


def changed(model: FloatModel, change: Callable[[Any], None]) -> FloatModel:
    """A copy of the model after `change(keras_model)`."""
    twin = tf_keras.models.clone_model(model.keras_model)
    twin.set_weights(model.keras_model.get_weights())
    change(twin)
    return float_model_from_keras(twin, name=model.name)


def converted(model: FloatModel, data: Samples) -> bytes:
    """What the phone converter makes of a model."""
    return quantize_int8(model, data, Recipe()).content
