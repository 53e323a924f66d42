"""What XLA refuses is said in one line, with the Keras layer, before anything is compiled."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.converters.cloud_tpu import precheck
from tfcompress.converters.cloud_tpu.precheck import check_graph, check_model, with_layer
from tfcompress.converters.cloud_tpu.stablehlo import lower_graph
from tfcompress.errors import ConversionError
from tfcompress.graphs.tensorflow.inference_graph import trace
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.runtime import keras, tf, tf_keras

FLOAT32_TOLERANCE = 1e-5


def model_with(function: object) -> FloatModel:
    layers = tf_keras.layers
    inputs = layers.Input((4,), name="x")
    return models.float_model_from_keras(tf_keras.Model(inputs, layers.Lambda(function, name="odd_one")(inputs)))


def collects_until_large(x: Any) -> Any:
    collected = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
    _, collected, _ = tf.while_loop(
        lambda count, rows, value: tf.reduce_sum(value) < 100.0,
        lambda count, rows, value: (count + 1, rows.write(count, value), value * 2 + 1),
        (0, collected, x),
    )
    return tf.reduce_sum(collected.stack(), 0)


def collects_as_many_as_it_is_told(x: Any) -> Any:
    rounds = tf.cast(tf.reduce_max(x), tf.int32) + 3
    rows = tf.TensorArray(tf.float32, size=rounds, element_shape=[None, 4])
    _, rows = tf.while_loop(lambda i, _: i < rounds, lambda i, rows: (i + 1, rows.write(i, x)), (0, rows))
    return tf.reduce_sum(rows.stack(), 0)


def looks_up(x: Any) -> Any:
    pairs = tf.lookup.KeyValueTensorInitializer(tf.constant([1, 2]), tf.constant([3, 4]))
    return x + tf.cast(tf.lookup.StaticHashTable(pairs, -1).lookup(tf.cast(x, tf.int32)), tf.float32)


# {what the message says: a function that XLA refuses}
REFUSED = {
    "calls back into Python": lambda x: tf.ensure_shape(
        tf.numpy_function(lambda a: np.asarray(a), [x], tf.float32), x.shape
    ),
    "a result of the model gets its size from the data": lambda x: tf.boolean_mask(x, x[:, 0] > 0),
    "a random operator without a seed": lambda x: x + tf.raw_ops.RandomStandardNormal(shape=[4], dtype=tf.float32),
    "text or files": lambda x: x + tf.strings.to_number(tf.strings.as_string(x)),
    "lookup table": looks_up,
    "complex128": lambda x: tf.cast(tf.abs(tf.cast(x, tf.complex128)), tf.float32),
    "the length of a range depends on the data": lambda x: (
        x + tf.reduce_sum(tf.cast(tf.range(tf.cast(tf.reduce_max(x), tf.int32)), tf.float32))
    ),
    "a loop collects grows with its rounds": collects_until_large,
    "the number of results that a loop collects depends on the data": collects_as_many_as_it_is_told,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_an_operator_is_refused_with_its_reason_and_its_layer(reason: str) -> None:
    tf.random.set_seed(None)  # with a global seed every random operator has one
    model = model_with(REFUSED[reason])
    with pytest.raises(ConversionError, match=reason) as caught:
        check_graph(trace(model, 2), ["odd_one"])
    assert str(caught.value).startswith("Keras layer 'odd_one': XLA refuses operator")


def asserts(x: Any) -> Any:
    with tf.control_dependencies([tf.debugging.assert_less(tf.reduce_max(x), 1e9)]):
        return x * 2


ACCEPTED = {
    "a loop until a condition holds": lambda x: tf.while_loop(
        lambda value: tf.reduce_sum(value) < 100.0, lambda value: (value * 2 + 1,), (x,)
    )[0],
    "a masked sum": lambda x: x + tf.reduce_sum(tf.boolean_mask(x, x > 0)),
    "unique values": lambda x: x + tf.reduce_sum(tf.unique(tf.reshape(x, [-1]))[0]),
    "a size that follows from shapes": lambda x: x + tf.reduce_sum(tf.cast(tf.range(tf.shape(x)[1]), tf.float32)),
    "an assertion": asserts,
    "a map": lambda x: tf.map_fn(lambda row: row * 2, x),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_what_xla_compiles_is_not_refused(what: str) -> None:
    model = model_with(ACCEPTED[what])
    graph = trace(model, 2)
    check_graph(graph, ["odd_one"])
    inputs = models.random_inputs(model, 2)
    ((expected,), (got,)) = model.predict(inputs).values(), models.run_graph(graph, inputs).values()
    assert np.abs(expected - got).max() <= FLOAT32_TOLERANCE * np.abs(expected).max()
    assert lower_graph(graph)


def test_a_seeded_random_number_compiles_though_xla_draws_another_one() -> None:
    graph = trace(model_with(lambda x: x + tf.random.normal([4], seed=3)), 2)
    check_graph(graph, ["odd_one"])
    assert lower_graph(graph)


def test_text_inputs_are_refused_before_tracing() -> None:
    text = TensorInfo("words", (None, 3), "string")
    with pytest.raises(ConversionError, match="input 'words' is text"):
        check_model(dataclasses.replace(models.conv_net(), inputs=(text,)))


def test_more_weights_than_a_graph_holds_are_refused_before_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precheck, "LARGEST_GRAPH_BYTES", 1000)
    with pytest.raises(ConversionError, match="bytes of weights, and a TensorFlow graph holds at most 1000"):
        check_model(models.conv_net(), constants=True)
    with pytest.raises(ConversionError, match=r"a weight of \d+ bytes, and TensorFlow passes on at most 1000 at once"):
        check_model(models.conv_net())
    monkeypatch.setattr(precheck, "LARGEST_GRAPH_BYTES", max(models.conv_net().weight_bytes))
    check_model(models.conv_net())


def test_a_refusal_of_xla_itself_names_the_layer() -> None:
    def grows(x: Any) -> Any:
        shapes = (tf.TensorShape([None, 4]),)
        grown = tf.while_loop(lambda v: tf.shape(v)[0] < 10, lambda v: (tf.concat([v, v], 0),), (x,), shapes)[0]
        return tf.reduce_sum(grown, 0, keepdims=True) + x

    with pytest.raises(ConversionError, match=r"^Keras layer 'odd_one': XLA refuses the graph: .*loop body"):
        lower_graph(trace(model_with(grows), 2), ["odd_one"])


def test_an_open_size_is_refused_before_tracing() -> None:
    model = models.float_model_from_keras(
        keras.Sequential([keras.Input((None, None, 3), name="picture"), keras.layers.GlobalAveragePooling2D()])
    )
    with pytest.raises(ConversionError, match=r"input 'picture' has the dynamic shape \(None, None, None, 3\)"):
        check_model(model)


def test_ordinary_models_pass() -> None:
    for model in (models.conv_net(), models.recurrent("tf_keras")):
        check_model(model)
        check_graph(trace(model, 2), [])


def test_a_message_without_a_known_layer_stays_as_it_is() -> None:
    assert (
        with_layer("failed at model/conv/Conv2D\nsecond line", ["dense"]) == "failed at model/conv/Conv2D second line"
    )


def test_a_resize_to_a_size_from_the_data_names_its_layer() -> None:
    image, size = keras.Input((8, 8, 3), name="image"), keras.Input((), dtype="int32", name="size")
    layer = keras.layers.Lambda(
        lambda parts: tf.image.resize(parts[0], tf.repeat(tf.reduce_max(parts[1]), 2)),
        output_shape=(None, None, 3),
        name="resized",
    )
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(layer([image, size]))
    model = models.float_model_from_keras(keras.Model([image, size], pooled))
    with pytest.raises(ConversionError, match=r"Keras layer 'resized'.*size of a resized image depends on the data"):
        check_graph(trace(model, 1), ["resized", "pool"])


@pytest.mark.parametrize("library", [keras, models.tf_keras])
def test_a_sparse_input_is_refused_in_words(library: Any) -> None:
    inputs = library.Input((5,), sparse=True, name="bag")
    model = models.float_model_from_keras(library.Model(inputs, library.layers.Dense(2)(inputs)))
    with pytest.raises(ConversionError, match="input 'bag' is sparse, and XLA has dense tensors only"):
        check_model(model)
