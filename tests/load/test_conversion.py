"""Models carried from Keras 3 to tf_keras and back: the hard cases, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfcompress.errors import ModelError
from tfcompress.load import float_model_from_keras, to_keras3, to_tf_keras
from tfcompress.load.keras_versions.adapters import Keras3Graph, Keras3Layer
from tfcompress.load.keras_versions.equivalence import (
    RELATIVE_TOLERANCE,
    prove_equal,
    random_inputs,
    relative_difference,
)
from tfcompress.load.keras_versions.layer_copies import copy_of
from tfcompress.runtime import keras, tf, tf_keras, tfmot

layers, ops = keras.layers, keras.ops


def outputs_of(model: Any) -> dict[str, np.ndarray]:
    """What a model computes on seeded inputs, by output name."""
    float_model = float_model_from_keras(model)
    values = random_inputs(float_model.inputs, seed=7)
    return float_model.predict({info.name: value for info, value in zip(float_model.inputs, values, strict=True)})


def assert_close(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float = 1e-5) -> None:
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert relative_difference(value, actual[name]) <= tolerance, name


def siamese_encoder() -> Any:
    encoder = keras.Sequential([keras.Input((8,)), layers.Dense(5, activation="relu"), layers.Dense(3)], name="encoder")
    left, right = keras.Input((8,), name="left"), keras.Input((8,), name="right")
    distance = layers.Subtract()([encoder(left), encoder(right)])
    return keras.Model([left, right], layers.Dense(1, activation="sigmoid")(distance))


def three_levels() -> Any:
    x = keras.Input((4,))
    inner = keras.Model(x, layers.Dense(4, activation="tanh")(x), name="inner")
    y = keras.Input((4,))
    middle = keras.Model(y, layers.Dense(4)(inner(y)), name="middle")
    z = keras.Input((4,))
    return keras.Model(z, layers.Dense(2)(middle(z)), name="outer")


def inputs_of_two_dtypes() -> Any:
    words, numbers = keras.Input((6,), dtype="int32", name="words"), keras.Input((3,), name="numbers")
    embedded = layers.GlobalAveragePooling1D()(layers.Embedding(5, 4)(words))
    return keras.Model([words, numbers], layers.Dense(2)(layers.Concatenate()([embedded, numbers])))


def dictionaries() -> Any:
    inputs = {"b": keras.Input((3,), name="b"), "a": keras.Input((2,), name="a")}
    joined = layers.Concatenate()([inputs["a"], inputs["b"]])
    return keras.Model(
        inputs, {"score": layers.Dense(1)(joined), "class": layers.Dense(4, activation="softmax")(joined)}
    )


def called_with_different_arguments() -> Any:
    x = keras.Input((6, 8))
    y = keras.Input((4, 8))
    attention = layers.MultiHeadAttention(num_heads=2, key_dim=4)
    itself = attention(x, x, use_causal_mask=True)
    other = attention(x, y)
    return keras.Model([x, y], layers.Add()([itself, other]))


def residual_by_operator() -> Any:
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(3, 3, padding="same")(x)
    return keras.Model(x, layers.GlobalAveragePooling2D()((x + y) * 0.5 - y / 3.0))


def operations_in_the_graph() -> Any:
    x = keras.Input((8, 8, 3))
    mean = ops.mean(x, axis=(1, 2))
    corner = ops.max(x[:, :4, ::2, 1:], axis=[1, 2], keepdims=False)
    joined = ops.concatenate([mean, corner, ops.log(1.0 + mean)], axis=-1)
    return keras.Model(x, layers.Dense(2)(ops.reshape(joined, (-1, 8))))


def masked_lstm() -> Any:
    x = keras.Input((7,), dtype="int32")
    embedded = layers.Embedding(5, 4, mask_zero=True)(x)
    return keras.Model(x, layers.Dense(2)(layers.LSTM(3)(layers.Masking()(embedded))))


def stateful_recurrent() -> Any:
    x = keras.Input((5, 3), batch_size=2)
    return keras.Model(x, layers.Dense(1)(layers.GRU(4, stateful=True)(x)))


def initial_state() -> Any:
    x, start = keras.Input((5, 3)), keras.Input((4,))
    sequence, hidden, _ = layers.LSTM(4, return_sequences=True, return_state=True)(x, [start, start])
    return keras.Model([x, start], [layers.Bidirectional(layers.LSTM(2))(sequence), hidden])


def mixed_precision() -> Any:
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(4, 3, dtype="mixed_float16", activation="relu")(x)
    return keras.Model(x, layers.Dense(2, dtype="float32")(layers.GlobalAveragePooling2D(dtype="mixed_float16")(y)))


def hard_activations() -> Any:
    x = keras.Input((6,))
    y = layers.Dense(5, activation="hard_sigmoid")(x)
    y = layers.Dense(5, activation="hard_silu")(y)
    y = layers.Dense(5, activation=layers.LeakyReLU(negative_slope=0.2))(y)
    return keras.Model(x, layers.LSTM(2, recurrent_activation="hard_sigmoid")(layers.Reshape((5, 1))(y)))


def many_kinds() -> Any:
    x = keras.Input((12, 12, 4))
    y = layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2)(x)
    y = layers.BatchNormalization(epsilon=1e-2)(layers.ZeroPadding2D(1)(y))
    y = layers.PReLU(shared_axes=[1, 2])(layers.DepthwiseConv2D(3, depth_multiplier=2)(y))
    y = layers.Conv2DTranspose(4, 3, strides=2)(layers.AveragePooling2D(2)(y))
    y = layers.LayerNormalization()(layers.UpSampling2D(2, interpolation="bilinear")(y))
    y = layers.TimeDistributed(layers.Dense(3, kernel_regularizer="l2", kernel_constraint="max_norm"))(y)
    y = layers.GroupNormalization(groups=3)(layers.Cropping2D(2)(y))
    return keras.Model(x, layers.Softmax()(layers.Flatten()(y)))


def cells() -> Any:
    x = keras.Input((5, 3))
    stacked = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True)(x)
    wrapped = layers.Bidirectional(
        layers.SimpleRNN(2), merge_mode="sum", backward_layer=layers.GRU(2, go_backwards=True)
    )
    return keras.Model(x, wrapped(stacked))


def several_outputs() -> Any:
    x = keras.Input((4,), name="x")
    shared = layers.Dense(3, name="shared")(x)
    return keras.Model(x, [layers.Dense(2, name="zebra")(shared), layers.Dense(1, name="ant")(shared), shared])


def python_lambda() -> Any:
    x = keras.Input((4,))
    return keras.Model(x, layers.Lambda(lambda value: value * 2.0 + 1.0)(x))


def adapted_normalization() -> Any:
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(3.0, 2.0, (50, 6, 6, 3)))
    x = keras.Input((6, 6, 3))
    return keras.Model(x, layers.Resizing(5, 5)(layers.RandomRotation(0.1)(normalization(x))))


def spectral_normalization_of_frozen_layers() -> Any:
    x = keras.Input((8,), name="x")
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.BatchNormalization()])
    inner.trainable = False
    return keras.Model(x, [x, layers.SpectralNormalization(layers.Dense(4))(inner(x))])


def only_in_keras3() -> Any:
    x = keras.Input((6, 8))
    y = layers.RMSNormalization()(x) if hasattr(layers, "RMSNormalization") else x
    return keras.Model(x, layers.Dense(2)(layers.GroupQueryAttention(4, 4, 2)(y, y)))


HARD_CASES = [
    siamese_encoder, three_levels, inputs_of_two_dtypes, dictionaries, called_with_different_arguments,
    residual_by_operator, operations_in_the_graph, masked_lstm, stateful_recurrent, initial_state, mixed_precision,
    hard_activations, many_kinds, cells, several_outputs, python_lambda, adapted_normalization,
    spectral_normalization_of_frozen_layers, only_in_keras3,
]  # fmt: skip


@pytest.mark.parametrize("build", HARD_CASES, ids=lambda build: build.__name__)
def test_round_trip_computes_the_same(build: Callable[[], Any]) -> None:
    model = build()
    there = to_tf_keras(model)
    back = to_keras3(there)
    assert isinstance(there, tf_keras.Model)
    assert isinstance(back, keras.Model)
    tolerance = 8 * 2.0**-10 if build is mixed_precision else 1e-5
    expected = outputs_of(model)
    assert_close(outputs_of(there), expected, tolerance)
    assert_close(outputs_of(back), expected, tolerance)


@pytest.mark.parametrize(
    "build",
    [siamese_encoder, operations_in_the_graph, hard_activations, only_in_keras3],
    ids=lambda build: build.__name__,
)
def test_converted_model_can_be_cloned_by_tf_keras(build: Callable[[], Any]) -> None:
    there = to_tf_keras(build())
    clone = tf_keras.models.clone_model(there)
    clone.set_weights(there.get_weights())
    assert_close(outputs_of(clone), outputs_of(there))


def test_shared_encoder_stays_shared() -> None:
    there = to_tf_keras(siamese_encoder())
    assert [layer.name for layer in there.layers].count("encoder") == 1
    assert len(there.get_layer("encoder").inbound_nodes) == 2


def test_conversion_leaves_the_original_alone() -> None:
    model = only_in_keras3()
    before = outputs_of(model)
    there = to_tf_keras(model)
    there.set_weights([np.zeros_like(weight) for weight in there.get_weights()])
    assert_close(outputs_of(model), before)


def test_one_category_alone_is_encoded_as_one_among_many() -> None:
    x = keras.Input((), dtype="int32")
    model = keras.Model(x, layers.CategoryEncoding(4, output_mode="one_hot")(x))
    converted = to_tf_keras(model)
    for days in ([2], [2, 0, 3]):
        np.testing.assert_array_equal(np.asarray(converted(np.array(days, np.int32))), np.eye(4)[days])


def test_operator_plus_becomes_an_add_layer() -> None:
    kinds = [type(layer).__name__ for layer in to_tf_keras(residual_by_operator()).layers]
    assert "Add" in kinds
    assert "Rescaling" in kinds


def test_names_and_order_of_inputs_and_outputs_are_kept() -> None:
    for build in (several_outputs, dictionaries, inputs_of_two_dtypes):
        model = build()
        before, after = float_model_from_keras(model), float_model_from_keras(to_tf_keras(model))
        assert [info.name for info in before.inputs] == [info.name for info in after.inputs]
        assert [info.name for info in before.outputs] == [info.name for info in after.outputs]
    assert [info.name for info in float_model_from_keras(several_outputs()).outputs] == ["zebra", "ant", "shared"]


def test_stateful_layer_keeps_its_state_through_conversion() -> None:
    model = stateful_recurrent()
    outputs_of(model)
    there = to_tf_keras(model)
    assert_close(outputs_of(there), outputs_of(model))
    assert_close(outputs_of(to_keras3(there)), outputs_of(model))


def test_two_bit_difference_in_one_layer_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless_copy(source: Any, target: Any) -> None:
        values = source.get_weights()
        if source.name == "second":
            values[0] = values[0] * (1 + 1e-4)
        target.set_weights(values)

    x = keras.Input((4,))
    y = layers.Dense(3, name="first")(x)
    model = keras.Model(x, layers.Dense(2, name="third")(layers.Dense(3, name="second")(y)))
    monkeypatch.setattr("tfcompress.load.keras_versions.conversion.copy_weights", careless_copy)
    with pytest.raises(ModelError, match="first layer that differs is 'second'"):
        to_tf_keras(model)


@pytest.mark.parametrize(
    ("actual", "within"),
    [([1.0, 100.0], True), ([1.0, 100.0009], True), ([1.0, 100.0011], False), ([np.nan, 100.0], False), ([1.0], False)],
)
def test_relative_difference_has_a_sharp_edge(actual: list[float], within: bool) -> None:
    difference = relative_difference(np.array([1.0, 100.0]), np.array(actual))
    assert (difference <= RELATIVE_TOLERANCE) is within


def test_compile_state_goes_along() -> None:
    model = several_outputs()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)
    model.compile(
        keras.optimizers.Adam(schedule, beta_1=0.8),
        ["mse", keras.losses.Huber(delta=0.5), None],
        metrics=["mae", "mse", None],
    )
    x = np.ones((4, 4), "float32")
    model.fit(x, [np.ones((4, 2)), np.ones((4, 1)), np.ones((4, 3))], epochs=3, verbose=0)
    there = to_tf_keras(model)
    back = to_keras3(there)
    for other in (there, back):
        assert other.optimizer.beta_1 == 0.8
        assert other.optimizer.iterations == 3
        assert type(other.loss[1]).__name__ == "Huber"
    np.testing.assert_array_equal(there.optimizer._momentums[0], model.optimizer._momentums[0])
    losses = [
        other.evaluate(x, [np.ones((4, 2)), np.ones((4, 1)), np.ones((4, 3))], verbose=0)[0]
        for other in (model, there, back)
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


class Doubler(keras.layers.Layer):
    """A user's own Keras 3 layer, of which the condition keeps the parts from view."""

    def __init__(self, factor: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")

    def call(self, inputs: Any) -> Any:
        return ops.cond(ops.size(inputs) > 0, lambda: inputs * self.scale * self.factor, lambda: -inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class NotDescribed(Doubler):
    """A layer whose configuration says nothing of its argument."""

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "colour": "red"}


def test_custom_keras3_layer_trains_inside_tf_keras_and_comes_back() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2)(Doubler(3.0)(x)))
    there = to_tf_keras(model)
    assert any(isinstance(layer, Keras3Layer) for layer in there.layers)
    there.compile("sgd", "mse")
    there.fit(np.ones((8, 4)), np.ones((8, 2)), epochs=2, verbose=0)
    clone = tf_keras.models.clone_model(there)
    clone.set_weights(there.get_weights())
    assert_close(outputs_of(clone), outputs_of(there))
    back = to_keras3(there)
    assert isinstance(back.layers[1], Doubler)
    assert back.layers[1].factor == 3.0
    assert not np.array_equal(back.layers[1].get_weights()[0], np.ones(4))
    assert_close(outputs_of(back), outputs_of(there))


def test_custom_layer_without_its_arguments_in_get_config_is_explained() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, NotDescribed()(x))
    with pytest.raises(ModelError, match=r"NotDescribed cannot be copied: .*get_config\(\)"):
        to_tf_keras(model)


class Slipped(Doubler):
    """A layer whose configuration asks for an attribute that it never got, as one of keras-hub's does."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


def test_a_configuration_that_fails_is_one_line_which_says_why_the_layer_is_copied_at_all() -> None:
    x = keras.Input((4,))
    model = keras.Model(x, Slipped(2.0)(x))
    expected = r"Slipped cannot be copied: AttributeError: .*'width'.*taken apart: control flow on values"
    with pytest.raises(ModelError, match=expected):
        to_tf_keras(model)


def test_layers_that_were_given_a_policy_of_dtypes_are_layers_of_the_other_keras() -> None:
    """Keras 3 cannot write down a policy that such a layer was given, as the layers of keras-hub all are."""
    policy = keras.DTypePolicy("float32")
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2, dtype=policy)(layers.Identity(name="as_it_is", dtype=policy)(x)))
    with pytest.raises(NotImplementedError):
        model.layers[1].get_config()
    there = to_tf_keras(model)
    assert type(there.get_layer("as_it_is")) is tf_keras.layers.Identity
    assert_close(outputs_of(there), outputs_of(model))


class Times(keras.layers.Layer):
    """A layer that stays whole, for its control flow, and does not describe itself."""

    factor: Any

    def call(self, inputs: Any) -> Any:
        return ops.cond(ops.size(inputs) > 0, lambda: inputs * self.factor, lambda: -inputs)


class ByName(Times):
    """It takes its own argument out of those of all layers."""

    def __init__(self, **kwargs: Any) -> None:
        factor = kwargs.pop("factor", 1.0)
        super().__init__(**kwargs)
        self.factor = factor


class ByPlace(Times):
    """It takes its own argument by its place."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = args[0] if args else 1.0


FACTORS = np.array([2, 3, 4, 5], np.float32)


@pytest.mark.parametrize("layer", [ByName(factor=FACTORS), ByPlace(FACTORS)])
def test_an_argument_that_the_constructor_does_not_name_is_not_left_at_its_default(layer: Times) -> None:
    with pytest.raises(ModelError, match=r"cannot be copied: .*get_config\(\)"):
        copy_of(layer)
    x = keras.Input((4,))
    with pytest.raises(ModelError, match=r"cannot be copied: .*get_config\(\)"):
        to_tf_keras(keras.Model(x, layer(x)))


def test_models_that_differ_without_a_pair_of_layers_to_blame_are_one_line() -> None:
    x, y = keras.Input((4,)), tf_keras.Input((4,))
    with pytest.raises(ModelError, match="the first layer that differs is not to be found"):
        prove_equal(keras.Model(x, ops.exp(x)), tf_keras.Model(y, 2 * y), [])


def test_custom_tf_keras_layer_and_tf_functions_come_to_keras3() -> None:
    class Shift(tf_keras.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.offset = self.add_weight("offset", shape=(input_shape[-1],), initializer="ones")

        def call(self, inputs: Any) -> Any:
            return inputs + self.offset

    x = tf_keras.Input((4,))
    y = tf.math.log1p(tf.abs(Shift()(x)))[:, 1:]
    model = tf_keras.Model(x, tf_keras.layers.Dense(2, activation="hard_sigmoid")(y))
    there = to_keras3(model)
    assert there.count_params() == model.count_params()
    assert_close(outputs_of(there), outputs_of(model))
    assert_close(outputs_of(to_tf_keras(there)), outputs_of(model))


def test_operation_without_a_layer_runs_in_an_adapter() -> None:
    there = to_tf_keras(operations_in_the_graph())
    assert any(isinstance(layer, Keras3Graph) for layer in there.layers)


class Subclassed(keras.Model):
    """A model whose calls Keras does not list."""

    def __init__(self, name: str = "mine", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.dense = layers.Dense(2)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs) if inputs.shape[-1] else inputs


def test_subclassed_model_is_a_float_model_and_is_taken_apart_to_be_wrapped() -> None:
    model = Subclassed()
    model(np.ones((3, 4), "float32"))
    float_model = float_model_from_keras(model)
    assert [(info.name, info.shape) for info in float_model.inputs] == [("input", (None, 4))]
    result = float_model.predict({"input": np.ones((5, 4), "float32")})
    assert result["output"].shape == (5, 2)
    assert float_model.concrete_function(1) is not None
    assert [type(layer).__name__ for layer in to_tf_keras(model).layers] == ["InputLayer", "Dense"]


def test_subclassed_model_that_was_never_called_is_explained() -> None:
    with pytest.raises(ModelError, match="has not been built: call it once on a batch"):
        float_model_from_keras(Subclassed())


def test_wrapped_model_does_not_go_to_keras3() -> None:
    x = tf_keras.Input((4,))
    model = tf_keras.Model(x, tf_keras.layers.Dense(2)(x))
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(model)
    with pytest.raises(ModelError, match=r"still has tfmot's wrappers .* tfcompress.compression.strip"):
        to_keras3(wrapped)


def test_model_of_the_wanted_keras_is_returned_as_it_is() -> None:
    x = tf_keras.Input((4,))
    model = tf_keras.Model(x, tf_keras.layers.Dense(2)(x))
    assert to_tf_keras(model) is model
    back = to_keras3(model)
    assert to_keras3(back) is back
