"""Equal layers on one tensor are one operator in the file, so they must be one layer in the simulation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compression.models import Int8File, functional, samples_for
from tfcompress.compression import finetune
from tfcompress.compression.lowering.common_subexpressions import merge_common_subexpressions
from tfcompress.recipe import Distillation, Quantization, Recipe, Training
from tfcompress.runtime import tf_keras

L = tf_keras.layers


def two_branches(first: Any, second: Any) -> Any:
    """A model that gives the same map to two layers and subtracts what they return."""

    def body(x: Any) -> Any:
        shared = L.Add()([x, L.Conv2D(4, 1)(x)])
        return L.Conv2D(2, 1)(L.Subtract()([first(shared), second(shared)]))

    return functional((6, 6, 4), body)


def test_a_relu_repeated_in_each_branch_is_integer_after_training() -> None:
    def body(x: Any) -> Any:
        shared = L.Add()([x, L.Conv2D(4, 1)(x)])
        return L.Concatenate()([L.Conv2D(2, 3)(L.ReLU()(shared)), L.Conv2D(2, 3)(L.ReLU()(shared))])

    model = functional((6, 6, 4), body)
    training = Training(epochs=4, batch_size=8, learning_rate=0.01)
    recipe = Recipe(quantization=Quantization(), distillation=Distillation(), training=training)
    file = Int8File(finetune(model, recipe, samples_for(model, 32, labels=False)).trained)
    assert not file.float_tensors


SAME: dict[str, Callable[[], Any]] = {
    "ReLU": L.ReLU,
    "Activation": lambda: L.Activation("sigmoid"),
    "MaxPooling2D": lambda: L.MaxPooling2D(2),
}


@pytest.mark.parametrize("name", SAME)
def test_equal_layers_on_one_tensor_are_called_once(name: str) -> None:
    model = two_branches(SAME[name](), SAME[name]())
    merged = merge_common_subexpressions(model)
    assert len(merged.layers) == len(model.layers) - 1
    x = np.random.default_rng(0).normal(size=(3, 6, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(merged(x), model(x))


def test_a_layer_with_weights_on_one_tensor_is_called_once() -> None:
    shared = L.Conv2D(4, 1)
    model = two_branches(shared, shared)
    merged = merge_common_subexpressions(model)
    assert len([layer for layer in merged.layers if len(layer.inbound_nodes) > 1]) == 0
    x = np.random.default_rng(0).normal(size=(3, 6, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(merged(x), model(x))


def test_a_dense_layer_called_twice_on_one_tensor_is_integer_after_training() -> None:
    """Its kernel has a weight scale for each output, which TFLiteConverter refuses to transpose for two products."""

    def body(x: Any) -> Any:
        shared = L.Dense(4, use_bias=False)
        return L.Subtract()([L.Dense(4)(shared(x)), shared(x)])

    model = functional((6,), body)
    recipe = Recipe(quantization=Quantization(), distillation=Distillation(), training=Training(epochs=1))
    file = Int8File(finetune(model, recipe, samples_for(model, 32, labels=False)).trained)
    assert not file.float_tensors


DIFFERENT: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "another configuration": (L.ReLU, lambda: L.ReLU(6.0)),
    "weights": (lambda: L.Conv2D(4, 1), lambda: L.Conv2D(4, 1)),
    "random numbers": (lambda: L.Dropout(0.5), lambda: L.Dropout(0.5)),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_layers_that_differ_are_kept(name: str) -> None:
    first, second = DIFFERENT[name]
    model = two_branches(first(), second())
    assert len(merge_common_subexpressions(model).layers) == len(model.layers)


def test_every_output_of_a_model_keeps_its_own_layer() -> None:
    given = L.Input((4,))
    model = tf_keras.Model(given, [L.ReLU(name="one")(given), L.ReLU(name="other")(given)])
    assert merge_common_subexpressions(model).output_names == ["one", "other"]
