"""Tensor names lead back to Keras layers."""

import pytest

from tfcompress.layer_names import all_layers, as_named_in, layers_of, patterns_match
from tfcompress.load import float_model_from_keras
from tfcompress.runtime import keras, tf_keras

NAMES = ("conv", "norm", "act", "block", "dense")


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        ("model/act/Relu;model/norm/FusedBatchNormV3;model/conv/Conv2D1", ("act", "norm", "conv")),
        ("model/block/conv/BiasAdd", ("conv",)),
        ("model/quant_conv/BiasAdd", ("conv",)),
        ("StatefulPartitionedCall:0", ()),
        ("model/convolution/Conv2D", ()),
    ],
)
def test_a_tensor_name_names_its_layers_last_computed_first(tensor: str, expected: tuple[str, ...]) -> None:
    assert layers_of(tensor, NAMES) == expected


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_layers_inside_of_nested_models_and_wrappers_are_found(library) -> None:  # type: ignore[no-untyped-def]
    layers = library.layers
    inner = library.Sequential([library.Input((4,)), layers.Dense(3, name="inner_dense")], name="inner")
    each = layers.TimeDistributed(layers.Dense(2, name="wrapped"), name="each")
    model = library.Sequential([library.Input((5, 4)), layers.TimeDistributed(inner, name="outer"), each])
    names = [layer.name for layer in all_layers(model)]
    assert {"outer", "inner", "each", "wrapped"} <= set(names)


def test_patterns_are_shell_patterns_and_mind_the_case() -> None:
    assert patterns_match("block_3_conv", ["head", "block_?_*"])
    assert not patterns_match("Block_3_conv", ["block_?_*"])


@pytest.mark.parametrize("library", [keras, tf_keras])
def test_layers_with_default_names_are_told_apart_in_either_keras(library) -> None:  # type: ignore[no-untyped-def]
    library.backend.clear_session()
    layers = library.layers
    image = library.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    x = layers.Conv2D(4, 3)(layers.ReLU()(x))
    x = layers.Conv2D(4, 3)(layers.ReLU()(x))
    model = float_model_from_keras(library.Model(image, x))
    names = [layer.name for layer in all_layers(model.keras_model)]
    assert {"conv2d", "conv2d_1", "conv2d_2"} <= set(names)
    operations = model.concrete_function(1).graph.get_operations()
    layer_names = as_named_in(names, [operation.name for operation in operations])
    computing = [layers_of(operation.name, layer_names)[0] for operation in operations if operation.type == "Conv2D"]
    assert computing == ["conv2d", "conv2d_1", "conv2d_2"]
