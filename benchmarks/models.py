"""Every model at hand, by name: the files of ../shared's index and one network of each keras.applications family.

A name is the file's path below ``../shared/models``, or ``keras.applications.NAME``.  Tables take their models from
here, so that a name means the same model in all of them.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.custom_layers import custom_objects_for
from tfcompress.load import float_model_from_keras, load_model
from tfcompress.model import FloatModel
from tfcompress.runtime import keras

__all__ = ["APPLICATIONS", "SHARED", "applications", "index", "is_trained", "keras_files", "load", "load_entry"]

SHARED = Path(__file__).parents[2] / "shared"
STATISTICS_SAMPLES = 4
PREFIX = "keras.applications."
# The smallest network of each family.
APPLICATIONS = (
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0", "EfficientNetV2B0", "NASNetMobile", "DenseNet121",
    "ResNet50", "ResNet50V2", "InceptionV3", "Xception", "InceptionResNetV2", "ConvNeXtTiny", "VGG16",
)  # fmt: skip
# Files whose biases and batch statistics are all as they were initialised: nobody has trained these networks.
UNTRAINED = (
    "dl4j_12net", "dl4j_custom_loss", "dl4j_lstm_functional", "dl4j_wgan_discriminator", "dl4j_gaperror",
    "dl4j_cnn_1d_doublecount", "dl4j_cnn1d_flatten",
)  # fmt: skip
NATIVE_SIZES = {"MobileNetV3Small": 224}  # where Keras leaves the picture's side open unless told


def index() -> list[dict[str, str]]:
    """The rows of ``../shared/INDEX.csv``; none where it is absent."""
    path = SHARED / "INDEX.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def keras_files() -> dict[str, dict[str, str]]:
    """{name: index row} of the files that Keras can load, with custom objects or the user's trust where they say so."""
    return {_name(row): row for row in index() if row["format"] != "tflite" and not row["loads_in"].startswith("NONE")}


def applications() -> list[str]:
    """The names of the keras.applications networks."""
    return [PREFIX + family for family in APPLICATIONS]


def is_trained(name: str) -> bool:
    """Whether a network's weights were learnt; those of keras.applications are random here."""
    return not name.startswith((PREFIX, *UNTRAINED))


def load(name: str, *, size: int | None = None) -> FloatModel:
    """The model of a name; `size` is the side of a keras.applications network's picture, None for its own.

    Those networks have random weights of a fixed seed, and batch normalization as after training
    (`_with_trained_batch_norms`).
    """
    if not name.startswith(PREFIX):
        return load_entry(keras_files()[name])
    keras.utils.set_random_seed(0)
    family = name.removeprefix(PREFIX)
    size = size or NATIVE_SIZES.get(family)
    shape: dict[str, Any] = {} if size is None else {"input_shape": (size, size, 3)}
    return float_model_from_keras(
        _with_trained_batch_norms(getattr(keras.applications, family)(weights=None, **shape)), name=family
    )


def load_entry(row: dict[str, str]) -> FloatModel:
    """The model of a row of the index; code runs only where the row says that the model needs it."""
    return load_model(
        SHARED / row["file"],
        custom_objects=custom_objects_for(row["loads_in"]),
        allow_unsafe_deserialization="safe_mode" in row["loads_in"],
    )


def _with_trained_batch_norms(model: Any) -> Any:
    """`model` with batch normalization that does something, and whose statistics are those of noise pictures.

    A fresh one is the identity: it would hide mistakes, and let the activations of a deep network die out.  So would
    ConvNeXt's layer scales, which start at 1e-6: 8 bits would see nothing of any block.
    """
    random = np.random.default_rng(0)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in model.layers:
        if type(layer).__name__ == "LayerScale":
            layer.gamma.assign(random.uniform(0.1, 0.5, layer.gamma.shape))
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        for weight, low, high in ((layer.gamma, 0.5, 1.5), (layer.beta, -0.5, 0.5)):
            if weight is not None:
                weight.assign(random.uniform(low, high, weight.shape))
        layer.momentum = 0.0  # takes the statistics of the next batch as they are
    model(random.uniform(0, 255, (STATISTICS_SAMPLES, *model.input_shape[1:])).astype(np.float32), training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return model


def _name(row: dict[str, str]) -> str:
    return row["file"].removeprefix("models/")
