"""Networks made smaller and fine-tuned on real data, through `convert`: what that costs in accuracy.

Recipes were chosen on training images that are held out (2,500 of CIFAR-10's, the last 3,000 of MNIST's); the test
images are only reported on.  ResNet8 beside its uncut self, fine-tuned in the same way, on flipped and shifted images.
"""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.models import SHARED
from benchmarks.table_compression import converted, lenet_5, lenet_300_100, mnist, trained
from tfcompress.recipe import Distillation, Recipe, Structure, Training
from tfcompress.runtime import tf

__all__ = ["REDUCED", "ShiftedImages"]

CIFAR = SHARED / "data/cifar10_jpeg"
RESNET8 = SHARED / "models/mlperf_ic_resnet8/pretrainedResnet.h5"
BATCH, SHIFT = 64, 4

LENETS = Recipe(
    structure=Structure(macs=0.1, epochs=8, round_to=1, least_width=0.05, rounds=2),
    distillation=Distillation(temperature=4.0, weight=0.5),
    training=Training(batch_size=64),
)


def resnet8_recipe(share: float, epochs: int) -> Recipe:
    """ResNet8 with a share of its multiply-accumulates; 1 fine-tunes it uncut."""
    return Recipe(
        structure=Structure(macs=share, epochs=epochs),
        distillation=Distillation(temperature=4.0, weight=0.5),
        training=Training(batch_size=128),
    )


class ShiftedImages:
    """CIFAR-10's training images in their order, each time flipped and shifted in another way; labels with them."""

    def __init__(self) -> None:
        self.passes = 0

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        images, classes = cifar_10("train10000.zip", "train40000.zip")
        self.passes += 1
        random = np.random.default_rng(self.passes)
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH].astype(np.float32)
            flipped = random.random(len(part)) < 0.5
            part[flipped] = part[flipped, :, ::-1]
            wide = np.pad(part, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="reflect")
            places = random.integers(0, 2 * SHIFT + 1, (len(part), 2))
            moved = [image[y : y + 32, x : x + 32] for image, (y, x) in zip(wide, places, strict=True)]
            yield np.stack(moved), classes[start : start + BATCH]


@functools.cache
def cifar_10(*names: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [n, 32, 32, 3] and classes, in an order that mixes the classes."""
    images, classes = [], []
    for name in names:
        with zipfile.ZipFile(CIFAR / name) as archive:
            files = sorted(file for file in archive.namelist() if file.lower().endswith((".jpg", ".jpeg", ".png")))
            class_names = sorted({file.split("/")[-2] for file in files})
            images += [tf.io.decode_image(archive.read(file), 3).numpy() for file in files]
            classes += [class_names.index(file.split("/")[-2]) for file in files]
    order = np.random.default_rng(0).permutation(len(images))
    return np.stack(images)[order], np.array(classes)[order]


def _resnet8(share: float, epochs: int) -> dict[str, Any]:
    images, _ = cifar_10("train10000.zip")
    recipe = resnet8_recipe(share, epochs)
    report = converted(
        RESNET8,
        recipe,
        train=ShiftedImages(),
        evaluation=CIFAR / "test_dev5000.zip",
        calibration=images[:500].astype(np.float32),
    )
    return _figures(report)


def _lenet(build: Callable[[], Any]) -> dict[str, Any]:
    train, test = mnist()
    return _figures(converted(trained(build, *train), LENETS, train=train, evaluation=test))


def _figures(report: dict[str, Any]) -> dict[str, Any]:
    phone, model = report["targets"]["phone"], report["model"]
    before, after = report["reference"]["metrics"]["accuracy"], phone["metrics"]["accuracy"]
    widths = [f"{row['layer']} {row['before']} to {row['after']}" for row in report["compression"]["widths"]]
    return {
        "status": "ok" if phone["fully_integer"] else "partly",
        "reason": phone["reason"],
        "macs": model["macs"],
        "macs_after": phone["macs"],
        "parameters": model["parameters"],
        "parameters_after": phone["parameters"],
        "int8": "fully integer" if phone["fully_integer"] else "partly float",
        "int8_bytes": phone["bytes"],
        "float_accuracy": before,
        "int8_accuracy": after,
        "widths": widths,
    }


REDUCED: dict[str, Callable[[], dict[str, Any]]] = {
    "lenet_300_100 at 0.1 of its MACs": lambda: _lenet(lenet_300_100),
    "lenet_5 at 0.1 of its MACs": lambda: _lenet(lenet_5),
    "resnet8 fine-tuned uncut": lambda: _resnet8(1.0, 8),
    "resnet8 at 0.5 of its MACs": lambda: _resnet8(0.5, 8),
    "resnet8 at 0.25 of its MACs": lambda: _resnet8(0.25, 8),
}
