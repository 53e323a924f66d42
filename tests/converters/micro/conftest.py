"""What the tests of the micro target share: one conversion, and the installed interpreter or a skip."""

from __future__ import annotations

import numpy as np
import pytest

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.micro import convert
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras
from tfcompress.usage import Usage

PICTURE = (12, 12, 3)
LABELS = ("cat", 'a "wild" $dog', "back\\slash")
RECIPE = Recipe(post_training=PostTraining(quality="fast"))


@pytest.fixture(scope="session", autouse=True)
def tflm() -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed: pip install 'tfcompress[micro]'")


@pytest.fixture(scope="session")
def model() -> FloatModel:
    keras.utils.set_random_seed(0)
    x = keras.Input(PICTURE, name="picture")
    y = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(x)
    y = keras.layers.DepthwiseConv2D(3, padding="same", name="second")(y)
    y = keras.layers.GlobalAveragePooling2D(name="mean")(y)
    unlabelled = float_model_from_keras(keras.Model(x, keras.layers.Dense(3, activation="softmax", name="kind")(y)))
    return FloatModel(**{**vars(unlabelled), "usage": Usage(class_names=LABELS)})


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(100, *PICTURE)).astype(np.float32)


@pytest.fixture(scope="session")
def artifact(model: FloatModel, pictures: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    return convert(model, samples, RECIPE, tmp_path_factory.mktemp("micro"))
