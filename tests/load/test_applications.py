"""One model of each keras.applications family goes to tf_keras and comes back with equal outputs."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from tests.load.test_conversion import assert_close, outputs_of
from tfcompress.load import to_keras3, to_tf_keras
from tfcompress.runtime import keras

# (family, side of the smallest useful picture)
FAMILIES = [
    ("Xception", 96), ("VGG16", 64), ("ResNet50", 64), ("ResNet50V2", 64), ("InceptionV3", 96),
    ("InceptionResNetV2", 96), ("MobileNet", 64), ("MobileNetV2", 64), ("MobileNetV3Small", 64), ("DenseNet121", 64),
    ("NASNetMobile", 64), ("EfficientNetB0", 64), ("EfficientNetV2B0", 64), ("ConvNeXtTiny", 64),
]  # fmt: skip


def with_random_statistics(model: Any) -> Any:
    """Batch normalizations with statistics of no pattern: fresh ones are the identity and would hide mistakes."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


@pytest.mark.parametrize(
    ("family", "size"),
    [
        pytest.param(family, size, marks=() if family == "MobileNetV3Small" else pytest.mark.slow)
        for family, size in FAMILIES
    ],
)
def test_family_goes_there_and_back_with_equal_outputs(family: str, size: int) -> None:
    keras.backend.clear_session()
    build = getattr(keras.applications, family)
    model = with_random_statistics(build(weights=None, input_shape=(size, size, 3), classes=10))
    there = to_tf_keras(model)
    back = to_keras3(there)
    assert there.count_params() == model.count_params() == back.count_params()
    expected = outputs_of(model)
    assert_close(outputs_of(there), expected)
    assert_close(outputs_of(back), expected)
    gc.collect()
