"""Convolution and pooling of volumes, traced as those of pictures, compute what they did."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfcompress.graphs.tensorflow.volumes import volumes_as_pictures
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf_keras

VOLUME = (7, 6, 5, 3)
ROUNDING = 1e-5  # of float32 sums in another order, for values around 1
OF_VOLUMES = {"Conv3D", "MaxPool3D", "AvgPool3D"}
LAYERS: list[tuple[str, dict[str, Any]]] = [
    ("Conv3D", {"filters": 4, "kernel_size": 3, "padding": "same"}),
    ("Conv3D", {"filters": 4, "kernel_size": (3, 2, 1), "padding": "valid", "use_bias": False}),
    ("Conv3D", {"filters": 4, "kernel_size": (2, 3, 3), "strides": (2, 2, 1), "padding": "same"}),
    ("Conv3D", {"filters": 4, "kernel_size": (4, 1, 1), "strides": (3, 1, 1), "padding": "valid"}),
    ("Conv3D", {"filters": 4, "kernel_size": 2, "dilation_rate": 2, "padding": "same"}),
    ("Conv3D", {"filters": 4, "kernel_size": (1, 3, 3), "padding": "same"}),
    ("MaxPooling3D", {"pool_size": 2}),
    ("MaxPooling3D", {"pool_size": (3, 2, 2), "strides": (2, 1, 2), "padding": "same"}),
    ("AveragePooling3D", {"pool_size": 2}),
    ("AveragePooling3D", {"pool_size": (3, 3, 2), "strides": (2, 2, 1), "padding": "same"}),
]


def operators(model: FloatModel) -> set[str]:
    graph = model.concrete_function(1).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {node.op for node in nodes}


def model_of(library: Any, name: str, settings: dict[str, Any], **more: Any) -> FloatModel:
    library.utils.set_random_seed(0)
    layer = getattr(library.layers, name)(**settings, **more)
    return float_model_from_keras(library.Sequential([library.Input(VOLUME, name="x"), layer]))


@pytest.mark.parametrize("library", [keras, tf_keras], ids=["keras3", "keras2"])
@pytest.mark.parametrize(("name", "settings"), LAYERS)
def test_a_layer_of_volumes_becomes_operators_of_pictures_that_compute_the_same(
    library: Any, name: str, settings: dict[str, Any]
) -> None:
    model = model_of(library, name, settings)
    inputs = {"x": np.random.default_rng(0).normal(size=(2, *VOLUME)).astype(np.float32)}
    (expected,) = model.predict(inputs).values()
    assert operators(model) & OF_VOLUMES
    with volumes_as_pictures():
        assert not operators(model) & OF_VOLUMES
        (flat,) = model.predict(inputs).values()
    assert np.abs(flat - expected).max() <= ROUNDING
    assert np.abs(flat - expected[:, ::-1]).max() > ROUNDING
    assert operators(model) & OF_VOLUMES


def test_a_convolution_in_groups_stays_as_it_is() -> None:
    model = model_of(keras, "Conv3D", {"filters": 3, "kernel_size": 3, "groups": 3})
    with volumes_as_pictures():
        assert "Conv3D" in operators(model)
