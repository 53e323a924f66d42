"""Fine-tuned compression of three models on real data, through `convert`: what it costs in accuracy, and what it saves.

LeNet-300-100 and LeNet-5 (LeCun et al. 1998, the second with the sizes of Han et al. 2016, "Deep Compression") are
trained here on 20,000 MNIST images, then pruned, clustered and quantized with the same images, and judged on MNIST's
10,000 test images.  ResNet8 (MLPerf Tiny) is quantized with 4,000 unlabelled images and judged by how often it agrees
with its float model on 5,000 others.  Zeros and distinct values are counted in the int8 file.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tfcompress
from benchmarks.models import SHARED
from benchmarks.trained_networks import MNIST, digits
from tfcompress.recipe import Clustering, Distillation, Pruning, Quantization, Recipe, Training
from tfcompress.runtime import keras, tf

SECONDS = 900
CIFAR = SHARED / "data"
FLOAT_EPOCHS, FLOAT_BATCH, FLOAT_RATE = 10, 64, 1e-3

# Chosen on the last 3,000 of the 20,000 training images, with models trained on the others.
PRUNED_CLUSTERED_QUANTIZED = Recipe(
    pruning=Pruning(sparsity=0.9, skip=(), epochs=6, learning_rate=5e-2),
    clustering=Clustering(clusters=16, skip=(), epochs=3, learning_rate=3e-2),
    quantization=Quantization(epochs=2),
    distillation=Distillation(temperature=2.0, weight=0.5),
    training=Training(batch_size=128),
)
# Chosen on CIFAR-10 training images that are not among the 4,000.
QUANTIZED_WITHOUT_LABELS = Recipe(
    quantization=Quantization(),
    distillation=Distillation(temperature=4.0),
    training=Training(epochs=20, batch_size=32, learning_rate=3e-4),
)


def names() -> list[str]:
    """The three models; none where the data is absent."""
    return list(ROWS) if (SHARED / "INDEX.csv").exists() else []


def row(name: str) -> dict[str, Any]:
    """Accuracy before and after, and the size of the int8 file."""
    return ROWS[name]()


def resnet8() -> dict[str, Any]:
    """ResNet8, quantization-aware training towards its own outputs."""
    report = converted(
        SHARED / "models/mlperf_ic_resnet8/pretrainedResnet.h5",
        QUANTIZED_WITHOUT_LABELS,
        train=unlabelled_images(),
        evaluation=CIFAR / "cifar10_jpeg/test_dev5000.zip",
    )
    return {**_figures(report), "top1_agreement": report["targets"]["phone"]["diff"]["top1_agreement"]}


def unlabelled_images() -> np.ndarray:
    """float32 [4000, 32, 32, 3] in 0..255: the first images of CIFAR-10's training set."""
    sheets = sorted((CIFAR / "cifar10_lossless_train4000").glob("cifar10_batch_*.png"))
    pixels = [tf.io.decode_png(sheet.read_bytes(), channels=3).numpy() for sheet in sheets]
    return np.concatenate(pixels).reshape(-1, 32, 32, 3).astype(np.float32)


def lenet(build: Callable[[], Any]) -> dict[str, Any]:
    """A LeNet, trained, then 90 % pruned, clustered to 16 values and quantized."""
    train, test = mnist()
    model = trained(build, *train)
    return _figures(converted(model, PRUNED_CLUSTERED_QUANTIZED, train=train, evaluation=test))


def mnist() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(pixels, classes) of the 20,000 training images at hand and of the 10,000 test images."""
    images, classes = digits()
    pixels = _pixels(_idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28))
    return (_pixels(images), classes), (pixels, _idx("t10k-labels-idx1-ubyte.gz", 8).astype(int))


def lenet_300_100() -> Any:
    """28x28 pixels, 300 and 100 hidden units, 10 digits: 266,200 weights."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Flatten(name="flat"),
            layers.Dense(300, activation="relu", name="hidden_1"),
            layers.Dense(100, activation="relu", name="hidden_2"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="lenet_300_100",
    )


def lenet_5() -> Any:
    """Convolutions of 20 and 50 filters of 5x5, 500 hidden units, 10 digits: 430,500 weights."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), name="image"),
            layers.Conv2D(20, 5, activation="relu", name="conv_1"),
            layers.MaxPooling2D(name="pool_1"),
            layers.Conv2D(50, 5, activation="relu", name="conv_2"),
            layers.MaxPooling2D(name="pool_2"),
            layers.Flatten(name="flat"),
            layers.Dense(500, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="lenet_5",
    )


ROWS: dict[str, Callable[[], dict[str, Any]]] = {
    "lenet_300_100": lambda: lenet(lenet_300_100),
    "lenet_5": lambda: lenet(lenet_5),
    "resnet8": resnet8,
}


def trained(build: Callable[[], Any], x: np.ndarray, y: np.ndarray) -> Any:
    """A network of `build`, trained on pixels and classes."""
    keras.utils.set_random_seed(0)
    model = build()
    steps = len(x) // FLOAT_BATCH * FLOAT_EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(FLOAT_RATE, steps)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=FLOAT_BATCH, epochs=FLOAT_EPOCHS, verbose=0)
    return model


def converted(model: Any, recipe: Recipe, *, train: Any, evaluation: Any, calibration: Any = None) -> dict[str, Any]:
    """report.json of a conversion for phones; without calibration data the training data calibrates."""
    with tempfile.TemporaryDirectory() as folder:
        done = tfcompress.convert(
            model, targets="phone", recipe=recipe, train=train, evaluation=evaluation,
            calibration=train if calibration is None else calibration, output=Path(folder) / "out",
        )  # fmt: skip
        return dict(done.report)


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    phone = report["targets"]["phone"]
    before, after = report["reference"]["metrics"]["accuracy"], phone["metrics"]["accuracy"]
    weights = phone["weights"]
    return {
        "status": phone["status"],
        "reason": phone["reason"],
        "float_accuracy": before,
        "accuracy": after,
        "points_lost": round(100 * (before - after), 2),
        "fully_integer": phone["fully_integer"],
        "sparsity": weights["sparsity"],
        "distinct_values": weights["clusters"],
        "float_bytes": report["model"]["float_bytes"],
        "bytes": phone["bytes"],
        "gzip_bytes": weights["gzip_bytes"],
    }


def _pixels(images: np.ndarray) -> np.ndarray:
    """float32 [n, 28, 28, 1] in 0..1."""
    return images[..., None].astype(np.float32) / 255


def _idx(name: str, header: int) -> np.ndarray:
    """The bytes of a file in MNIST's IDX format after its header."""
    with gzip.open(MNIST / name) as stream:
        return np.frombuffer(stream.read(), np.uint8, offset=header)
