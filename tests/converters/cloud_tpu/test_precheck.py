"""What XLA refuses is said in one line, with the Keras layer, before anything is compiled."""

from __future__ import annotations

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.converters.cloud_tpu.graph import trace
from tfcompress.converters.cloud_tpu.precheck import check_graph, check_model, with_layer
from tfcompress.errors import ConversionError
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf, tf_keras


def model_with(function: object) -> FloatModel:
    layers = tf_keras.layers
    inputs = layers.Input((4,), name="x")
    return models.float_model_from_keras(tf_keras.Model(inputs, layers.Lambda(function, name="odd_one")(inputs)))


REFUSED = {
    "Python": lambda x: tf.ensure_shape(tf.numpy_function(lambda a: np.asarray(a), [x], tf.float32), x.shape),
    "depends on the data": lambda x: tf.gather(x, tf.unique(tf.reshape(x, [-1]))[1][:4], axis=1, batch_dims=0),
    "without a seed": lambda x: x + tf.random.normal([4]),
    "string": lambda x: x + tf.strings.to_number(tf.strings.as_string(x)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_an_operator_is_refused_with_its_reason_and_its_layer(reason: str) -> None:
    tf.random.set_seed(None)  # with a global seed every random operator has one
    model = model_with(REFUSED[reason])
    with pytest.raises(ConversionError, match=reason) as caught:
        check_graph(trace(model, 2), ["odd_one"])
    assert str(caught.value).startswith("Keras layer 'odd_one': XLA refuses operator")


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
