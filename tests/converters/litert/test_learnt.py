"""Integers learnt end to end: the simulation is the file, what is written is the simulation, and that is closer."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.litert.models import images, samples_for, small_cnn
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.converters.litert.learnt import learnt
from tfcompress.converters.litert.learnt.scales import shared_scales, unchangeable
from tfcompress.converters.litert.learnt.simulation import Simulation, lacks
from tfcompress.converters.litert.learnt.writing import written
from tfcompress.converters.litert.quality import output_error
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.interpreter import run_all
from tfcompress.graphs.tflite.quantization import quantize
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.runtime import tf, tf_keras

NEARLY_ALL = 0.98  # of the integers: the kernels' multipliers have 32 bits, float32 sums another order
layers = tf_keras.layers


def _quantized(model: FloatModel, count: int = 64) -> bytes:
    return quantize_int8(model, samples_for(model, images(count)), Recipe()).content


def test_the_simulation_computes_the_files_integers() -> None:
    content = _quantized(small_cnn())
    graph, image = read_tflite(content).main, images(1, seed=5)
    simulation = Simulation(content, graph)
    source = graph.tensors[graph.inputs[0]].quantization
    assert source is not None
    stored = quantize(image, float(source.scales[0]), int(source.zero_points[0]), np.dtype(np.int8))
    # LiteRT's own MEAN cuts off a part of a step, which XNNPACK's, the default, does not.
    mean = next(operator.index for operator in graph.operators if operator.name == "MEAN")
    computed = [index for operator in graph.operators[:mean] for index in operator.outputs]
    assert len(computed) >= 4
    wanted = run_all(content, [stored], tensors=computed)
    values = simulation([tf.constant(image)])
    for index, scale, zero in simulation.tensors():
        if index in wanted:
            integers = np.rint(np.asarray(values[index]) / scale) + zero
            assert np.abs(integers - wanted[index]).max() <= 1, graph.tensors[index].name
            assert (integers == wanted[index]).mean() >= NEARLY_ALL, graph.tensors[index].name


def test_what_is_written_without_learning_gives_the_same_outputs() -> None:
    model = small_cnn()
    content = _quantized(model)
    again = written(Simulation(content, read_tflite(content).main))
    samples = samples_for(model, images(16, seed=3))
    floats = to_float_tflite(model)
    assert output_error(floats, again, samples) == output_error(floats, content, samples)


def test_learnt_integers_are_closer_to_float_on_images_that_they_have_not_seen() -> None:
    model = small_cnn()
    content, floats = _quantized(model), to_float_tflite(model)
    better, why_not = learnt(content, floats, samples_for(model, images(128)))
    assert why_not is None
    unseen = samples_for(model, images(128, seed=9))
    assert output_error(floats, better, unseen) < output_error(floats, content, unseen)
    before, after = read_tflite(content).main, read_tflite(better).main
    assert [operator.name for operator in after.operators] == [operator.name for operator in before.operators]
    assert [tensor.dtype for tensor in after.tensors] == [tensor.dtype for tensor in before.tensors]
    assert shared_scales(after) == shared_scales(before)
    for root in unchangeable(before, shared_scales(before)):
        kept = [graph.tensors[root].quantization for graph in (before, after)]
        assert [str(item) for item in kept[:1]] == [str(item) for item in kept[1:]]


def test_learning_twice_gives_the_same_bytes() -> None:
    model = small_cnn()
    content, floats = _quantized(model), to_float_tflite(model)
    samples = samples_for(model, images(64))
    assert learnt(content, floats, samples) == learnt(content, floats, samples)


def test_a_file_with_an_operator_that_has_no_form_is_left_as_it_is() -> None:
    image = tf_keras.Input((8, 8, 3), name="image")
    result = layers.Dense(4, name="scores")(layers.Flatten()(layers.Conv2DTranspose(4, 3, name="up")(image)))
    model = float_model_from_keras(tf_keras.Model(image, result, name="transposed"))
    content = _quantized(model)
    missing = lacks(read_tflite(content).main)
    assert missing == "TRANSPOSE_CONV"
    left, why_not = learnt(content, to_float_tflite(model), samples_for(model, images(8)))
    assert left == content
    assert "TRANSPOSE_CONV" in str(why_not)


@pytest.mark.parametrize("times", [1, 2])
def test_weights_that_several_layers_share_are_not_learnt(times: int) -> None:
    image = tf_keras.Input((8, 8, 3), name="image")
    shared, value = layers.Dense(3, activation="relu6", name="shared"), image
    for _ in range(times):
        value = shared(value)
    model = float_model_from_keras(tf_keras.Model(image, layers.Flatten()(value), name="shared"))
    missing = lacks(read_tflite(_quantized(model)).main)
    assert (missing is None) == (times == 1)
