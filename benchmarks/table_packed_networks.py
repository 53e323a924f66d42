"""LeNet-300-100, LeNet-5 and ResNet8 made for packing: pruned, clustered, quantized, packed.

The recipes of the LeNets were chosen on the last 3,000 of 20,000 training images of MNIST, with models trained on the
others; what is reported is MNIST's test set, which nothing was chosen on.  The published results that the table stands
beside train on all 60,000 images.  ResNet8 is the trained model of ../shared, fine-tuned on 40,000 of CIFAR-10's
training images; its recipe was written down before it was run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfcompress
from benchmarks.models import SHARED
from benchmarks.reduced_networks import CIFAR, RESNET8, RESNET8_TRAINING, cifar_10
from benchmarks.table_compression import FLOAT_BATCH, FLOAT_EPOCHS, FLOAT_RATE, lenet_5, lenet_300_100, mnist
from tfcompress.converters.phone.packing import packed_bytes
from tfcompress.recipe import Clustering, Distillation, Pruning, Quantization, Recipe, Training
from tfcompress.runtime import keras

SECONDS = 3000
SEEDS = 3


def _recipe(sparsity: dict[str, float], clusters: dict[str, int]) -> Recipe:
    return Recipe(
        pruning=Pruning(layers=tuple(sparsity.items()), skip=(), epochs=12, learning_rate=5e-2),
        clustering=Clustering(clusters=8, layers=tuple(clusters.items()), skip=(), epochs=3, learning_rate=3e-2),
        quantization=Quantization(epochs=2),
        distillation=Distillation(temperature=2.0, weight=0.5),
        training=Training(batch_size=128),
    )


RESNET8_RECIPE = Recipe(
    pruning=Pruning(sparsity=0.85, skip=(), epochs=6),
    clustering=Clustering(clusters=16, skip=(), epochs=2, learning_rate=5e-3),
    quantization=Quantization(epochs=1, learning_rate=1e-3),
    training=RESNET8_TRAINING,
)
MOST_BYTES = {"lenet_300_100": 17_000, "lenet_5": 15_000, "resnet8": 22_000}
MOST_POINTS = {"lenet_300_100": 0.1, "lenet_5": 0.1, "resnet8": 0.5}  # of accuracy lost on the test set
NETWORKS: dict[str, tuple[Callable[[], Any], Recipe]] = {
    "lenet_300_100": (
        lenet_300_100,
        _recipe({"hidden_1": 0.955, "hidden_2": 0.9, "digit": 0.6}, {}),
    ),
    "lenet_5": (
        lenet_5,
        _recipe({"conv_1": 0.3, "conv_2": 0.88, "hidden": 0.983, "digit": 0.8}, {"conv_1": 16, "digit": 12}),
    ),
}


def names() -> list[str]:
    """A row for each network and seed; none where the data is absent."""
    there = (SHARED / "INDEX.csv").exists()
    seeds = [f"{name}/seed_{seed}" for name in NETWORKS for seed in range(SEEDS)]
    return [*seeds, "resnet8/seed_0"] if there else []


def row(name: str) -> dict[str, Any]:
    """Train, compress, convert and pack one network; `ok` where it is as small and as accurate as was asked for."""
    network, seed = name.split("/seed_")
    figures = packed_network(network, int(seed))
    most, points = MOST_BYTES[network], MOST_POINTS[network]
    small, accurate = figures["packed_bytes"] <= most, figures["points_lost"] <= points
    reason = None if small and accurate else f"asked for: {most} bytes and {points} points"
    return {"status": "ok" if small and accurate else "partly", "reason": reason, **figures}


def packed_network(name: str, seed: int) -> dict[str, Any]:
    """Figures of one network.

    Args:
        name: of `NETWORKS`, or ``resnet8``.
        seed: of the float training and of the compression.
    """
    if name == "resnet8":
        train: Any = cifar_10("train40000.zip")
        train = train[0].astype("float32"), train[1]
        return _packed(SHARED / "models" / RESNET8, RESNET8_RECIPE, train, CIFAR / "test_dev5000.zip", seed)
    build, recipe = NETWORKS[name]
    train, test = mnist()
    keras.utils.set_random_seed(seed)
    model = build()
    rate = keras.optimizers.schedules.CosineDecay(FLOAT_RATE, len(train[0]) // FLOAT_BATCH * FLOAT_EPOCHS)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(*train, batch_size=FLOAT_BATCH, epochs=FLOAT_EPOCHS, verbose=0)
    return _packed(model, recipe, train, test, seed)


def _packed(model: Any, recipe: Recipe, train: Any, test: Any, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        report = tfcompress.convert(
            model, targets="phone", recipe=recipe, train=train, calibration=train, evaluation=test, output=output,
            seed=seed,
        ).report  # fmt: skip
        size = packed_bytes(output / "phone" / "model.tflite")["packed_bytes"]
    phone = report["targets"]["phone"]
    before, after = report["reference"]["metrics"]["accuracy"], phone["metrics"]["accuracy"]
    return {
        "float_accuracy": before,
        "accuracy": after,
        "points_lost": round(100 * (before - after), 2),
        "float_weight_bytes": 4 * phone["weights"]["count"],
        "sparsity": phone["weights"]["sparsity"],
        "bytes": phone["bytes"],
        "gzip_bytes": phone["weights"]["gzip_bytes"],
        "packed_bytes": size,
        "times_smaller": round(4 * phone["weights"]["count"] / size, 1),
    }
