"""Layers of one's own taken apart: the model becomes a flat graph of built-in layers that computes the same."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.load import own_layers as own
from tfcompress.errors import ModelError
from tfcompress.graphs.keras.taken_apart import take_apart
from tfcompress.load import float_model_from_keras, to_tf_keras
from tfcompress.load.keras_versions.adapters import Keras3Layer
from tfcompress.load.keras_versions.equivalence import RELATIVE_TOLERANCE, random_inputs, relative_difference
from tfcompress.runtime import keras, tf_keras

layers = keras.layers


def model_of(*parts: Any, shape: tuple[int | None, ...] = (16, 8)) -> Any:
    """A functional model of a chain of layers, its weights random."""
    x = inputs = keras.Input(shape)
    for part in parts:
        x = part(x)
    return with_random_weights(keras.Model(inputs, x))


def text_model(*parts: Any, length: int | None = 16) -> Any:
    x = inputs = keras.Input((length,), dtype="int32")
    for part in parts:
        x = part(x)
    return with_random_weights(keras.Model(inputs, x))


def with_random_weights(model: Any) -> Any:
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if "float" in str(weight.dtype) and "seed" not in weight.path:
            weight.assign(generator.normal(size=weight.shape) * 0.4 + (1.0 if "variance" in weight.path else 0.0))
    return model


def dictionary() -> Any:
    x = keras.Input((8,))
    parts = own.NamedOutputs()(x)
    return with_random_weights(keras.Model(x, layers.Dense(2)(layers.Concatenate()(list(parts.values())))))


def subclassed(model: Any, inputs: Any) -> Any:
    model(inputs)
    return with_random_weights(model)


def shared_inside() -> Any:
    dense = layers.Dense(8, activation="tanh")
    return model_of(own.Residual(dense), own.Residual(dense), own.Residual(own.Residual(layers.Dense(8))))


def same_names_in_several_blocks() -> Any:
    return model_of(*(own.Residual(layers.Dense(8, name="inner")) for _ in range(3)))


def nested_functional() -> Any:
    inner = model_of(own.AttentionByHand(8), own.SequencePooling())
    middle = keras.Sequential([keras.Input((16, 8)), inner, layers.Dense(4)])
    return model_of(own.DropPath(), middle)


KINDS: dict[str, Callable[[], Any]] = {
    "transformer": lambda: text_model(own.TokenAndPositionEmbedding(16, 50, 8), own.TransformerBlock(8)),
    "sequence_pooling": lambda: model_of(own.SequencePooling()),
    "class_token": lambda: model_of(own.ClassToken(), own.AttentionByHand(8)),
    "repeated_token": lambda: model_of(own.RepeatedToken()),
    "windows": lambda: model_of(own.WindowAttention(8)),
    "own_weights": lambda: model_of(own.OwnDense(4), own.ListOfWeights()),
    "drop_path": lambda: model_of(own.DropPath(), layers.Dense(3)),
    "tensorflow": lambda: model_of(own.InTensorFlow()),
    "tuple": lambda: model_of(own.TwoOutputs(), layers.Add()),
    "dictionary": dictionary,
    "none_beside_its_result": lambda: model_of(own.EncoderWithScoresOnRequest(2)),
    "mask": lambda: text_model(own.MaskedSummary(), layers.LSTM(4)),
    "shared": shared_inside,
    "same_names": same_names_in_several_blocks,
    "nested": nested_functional,
    "built_in_under_another_name": lambda: model_of(own.DenseOfOnesOwn(4, activation="relu")),
    "subclassed": lambda: subclassed(own.Perceptron(), np.ones((2, 5), np.float32)),
    "subclassed_in_functional": lambda: model_of(own.Perceptron(), shape=(6,)),
    "subclassed_of_dictionary": lambda: subclassed(
        own.TwoTowers(), {"user": np.ones((2, 5), np.float32), "item": np.ones((2, 4), np.float32)}
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_with_layers_of_ones_own_becomes_a_flat_graph_that_computes_the_same(kind: str) -> None:
    model = KINDS[kind]()
    flat = to_tf_keras(model)
    left = [layer.name for layer in flat.layers if isinstance(layer, Keras3Layer | tf_keras.Model)]
    assert left == []
    assert_same(flat, model, seed=3)


def assert_same(flat: Any, model: Any, *, seed: int) -> None:
    before, after = float_model_from_keras(model), float_model_from_keras(flat)
    values = random_inputs(before.inputs, open_size=16, batch=3, seed=seed)
    expected = before.predict({info.name: value for info, value in zip(before.inputs, values, strict=True)})
    actual = after.predict({info.name: value for info, value in zip(after.inputs, values, strict=True)})
    for wanted, other in zip(expected.values(), actual.values(), strict=True):
        assert relative_difference(wanted, other) <= RELATIVE_TOLERANCE


def test_the_comparison_sees_another_weight() -> None:
    model = KINDS["own_weights"]()
    flat = to_tf_keras(model)
    flat.layers[1].set_weights([value * 1.001 for value in flat.layers[1].get_weights()])
    with pytest.raises(AssertionError):
        assert_same(flat, model, seed=3)


def test_every_weight_can_still_be_trained() -> None:
    for kind in ("transformer", "class_token", "own_weights", "shared", "nested"):
        model = KINDS[kind]()
        flat = to_tf_keras(model)
        ours = sum(int(np.prod(weight.shape)) for weight in flat.trainable_weights)
        assert ours == sum(int(np.prod(weight.shape)) for weight in model.trainable_weights), kind


def test_a_layer_that_is_called_twice_is_one_layer_that_is_called_twice() -> None:
    flat = to_tf_keras(shared_inside())
    assert [len(layer.inbound_nodes) for layer in flat.layers if isinstance(layer, tf_keras.layers.Dense)] == [4, 4]


def test_dropout_inside_of_a_layer_is_on_while_training() -> None:
    block = own.TransformerBlock(8, rate=0.5)
    flat = to_tf_keras(model_of(block))
    x = np.random.default_rng(0).normal(size=(2, 16, 8)).astype(np.float32)
    assert np.array_equal(flat(x, training=False), flat(x, training=False))
    assert not np.allclose(flat(x, training=True), flat(x, training=True))


def test_control_flow_on_values_stays_whole_and_is_named() -> None:
    model = model_of(own.Residual(own.ByValue(name="by_value")), own.SequencePooling())
    graph = take_apart(model)
    assert list(graph.whole) == ["by_value"]
    assert "Cond" in graph.whole["by_value"]
    flat = to_tf_keras(model)
    assert [layer.name for layer in flat.layers if isinstance(layer, Keras3Layer)] == ["by_value"]
    assert_same(flat, model, seed=1)


def test_a_subclassed_model_that_follows_values_says_why_it_cannot_be_wrapped() -> None:
    class Deciding(keras.Model):
        def call(self, x: Any) -> Any:
            return keras.ops.cond(keras.ops.sum(x) > 0, lambda: 2 * x, lambda: -x)

    model = Deciding(name="deciding")
    model(np.ones((1, 4), np.float32))
    with pytest.raises(ModelError, match="'deciding' cannot be taken apart into layers: control flow on values"):
        to_tf_keras(model)


def test_a_subclassed_model_that_python_decides_in_cannot_be_recorded() -> None:
    class Deciding(keras.Model):
        def call(self, x: Any) -> Any:
            return x if keras.ops.sum(x) > 0 else -x

    model = Deciding(name="deciding")
    model(np.ones((1, 4), np.float32))
    with pytest.raises(ModelError, match=r"'deciding' cannot be recorded as a graph: .* must do without"):
        float_model_from_keras(model)


def test_positions_are_counted_at_the_size_of_the_data() -> None:
    model = text_model(own.TokenAndPositionEmbedding(16, 50, 8), layers.GlobalAveragePooling1D(), length=None)
    sizes = [info.of_sample_shape((16,)) for info in float_model_from_keras(model).inputs]
    assert_same(to_tf_keras(model, sizes=sizes), model, seed=2)


def test_the_users_model_is_as_it_was() -> None:
    model = nested_functional()
    block = own.TransformerBlock(8)
    outer = model_of(block, own.SequencePooling())
    for each in (model, outer):
        before = {id(layer): (sorted(vars(layer)), layer.output.shape) for layer in each.layers}
        expected = np.asarray(each(np.ones((2, 16, 8), np.float32)))
        to_tf_keras(each)
        assert {id(layer): (sorted(vars(layer)), layer.output.shape) for layer in each.layers} == before
        assert np.array_equal(each(np.ones((2, 16, 8), np.float32)), expected)
    assert keras.Model(outer.input, block.output)(np.ones((2, 16, 8), np.float32)).shape == (2, 16, 8)


def shifted(x: Any) -> Any:
    """An activation of one's own, as mixture density networks have it."""
    return keras.ops.elu(x) + 1.5


def test_activations_of_ones_own_are_operations_behind_a_layer_that_stays_built_in() -> None:
    shared = layers.Dense(8, activation=shifted)
    model = model_of(layers.Conv1D(8, 3, activation=lambda x: x * keras.ops.sigmoid(x)), shared, shared)
    end = layers.Activation(shifted)(model.output)
    result = to_tf_keras(keras.Model(model.input, end))
    kinds = [type(layer).__name__ for layer in result.layers]
    assert kinds.count("Dense") == kinds.count("Conv1D") == 1
    assert not any(isinstance(layer, Keras3Layer) for layer in result.layers)
    values = random_inputs(float_model_from_keras(model).inputs)
    expected = np.asarray(end_of(model, values))
    assert relative_difference(expected, np.asarray(result(values[0]))) <= RELATIVE_TOLERANCE
    assert relative_difference(expected + 0.1, np.asarray(result(values[0]))) > RELATIVE_TOLERANCE


def test_code_without_a_module_is_the_users_own() -> None:
    """As functions are that were made while running, from text or from the bytes that a Lambda layer keeps."""
    bare = types.FunctionType(shifted.__code__, {"keras": keras})
    assert bare.__module__ is None
    model = model_of(layers.Dense(8, activation=bare), layers.GRU(4, activation=bare))
    wrapped = to_tf_keras(model)
    values = random_inputs(float_model_from_keras(model).inputs)
    expected = np.asarray(model(values[0]))
    assert relative_difference(expected, np.asarray(wrapped(values[0]))) <= RELATIVE_TOLERANCE

    class Bare(keras.layers.Layer):
        call = types.FunctionType((lambda self, inputs: keras.ops.relu(inputs)).__code__, {"keras": keras})

    assert not any(isinstance(layer, Keras3Layer) for layer in to_tf_keras(model_of(Bare())).layers)


def end_of(model: Any, values: Any) -> Any:
    return shifted(model(values[0]))


def test_a_recurrent_layer_with_an_activation_of_ones_own_is_copied_whole() -> None:
    model = model_of(layers.GRU(4, activation=shifted))
    (adapter,) = [layer for layer in to_tf_keras(model).layers if isinstance(layer, Keras3Layer)]
    assert adapter.layer.activation is shifted
