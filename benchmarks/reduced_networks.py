"""Networks made smaller and fine-tuned on real data, through `convert`: what that costs in accuracy.

ResNet8's recipes were chosen on 2,500 of CIFAR-10's training images, with models trained on the other 47,500, or on
10,000 of them; the test images are only reported on.  It stands beside its uncut self, fine-tuned in the same way but
for the pretraining.  `latency_ratio` is that of the int8 file to the int8 file of the uncut model as it is given, run
by turns with XNNPACK on one thread.
"""

from __future__ import annotations

import functools
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import tfcompress
from benchmarks.int8_files import int8_file
from benchmarks.models import SHARED
from benchmarks.table_compression import lenet_5, lenet_300_100, mnist, trained
from tfcompress.converters.litert.latency import medians
from tfcompress.example_models.datasets import keywords
from tfcompress.example_models.models import train as example
from tfcompress.recipe import Distillation, LowRank, Recipe, Structure, Training
from tfcompress.runtime import tf

__all__ = ["REDUCED", "cifar_10"]

CIFAR = SHARED / "data/cifar10_jpeg"
RESNET8 = "mlperf_ic_resnet8/pretrainedResnet.h5"
LATENCY_SECONDS = 2.0

NARROW = Recipe(
    structure=Structure(macs=0.1, epochs=8, round_to=1, least_width=0.05, rounds=2),
    distillation=Distillation(temperature=4.0, weight=0.5),
    training=Training(batch_size=64),
)

# Right on the last 3,000 training images, with models trained on the others: 97.17 %, without
# pretraining 96.67 %, the model before 96.87 %.
LOW_RANK = Recipe(
    low_rank=LowRank(macs=0.1, round_to=1, epochs=12),
    distillation=Distillation(temperature=4.0, weight=0.5),
    training=Training(batch_size=128, learning_rate=1e-2, shift=1, pretraining_epochs=8),
)

DS_CNN = Recipe(structure=Structure(macs=0.5, epochs=10), training=Training(learning_rate=1e-2))
NEW_WORDS = 2000

# Compared over four epochs at half of the MACs, widths rounded to 8, right on the 2,500 held-out images: 78.2 %; with a
# rate of 5e-3 75.8 %; with half of the loss from distillation at temperature 4 74.6 %: the teacher has not seen JPEGs.
RESNET8_TRAINING = Training(batch_size=128, learning_rate=2e-2, flip=True, shift=4)
EPOCHS = 12
HELD_OUT = 2500

# Compared on the 2,500 held-out images, after eight epochs of the whole model (right on 87.4 % of them), a cut, and two
# epochs on 10,000 images with half of the loss from distillation: low_rank 75.8 %; structure at 0.75 of the MACs, then
# low_rank 75.4 %; structure in eights by activation 71.0 % and by taylor 69.1 %, in sixteens 62.8 %.
PRETRAINED = Recipe(
    low_rank=LowRank(macs=0.5, epochs=4),
    distillation=Distillation(temperature=4.0, weight=0.5),
    training=replace(RESNET8_TRAINING, pretraining_epochs=8),
)
UNLABELLED = Recipe(
    low_rank=LowRank(macs=0.5, epochs=4), distillation=Distillation(temperature=4.0), training=RESNET8_TRAINING
)


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


def _cut(share: float) -> Recipe:
    """ResNet8 with a share of its multiply-accumulates; 1 fine-tunes it uncut."""
    return Recipe(structure=Structure(macs=share, epochs=EPOCHS, round_to=16), training=RESNET8_TRAINING)


def _resnet8(recipe: Recipe, *, labelled: bool = True, held_out: int = 0) -> dict[str, Any]:
    """ResNet8 made smaller.

    Args:
        recipe: how.
        labelled: whether labels are given to training.
        held_out: how many training images it does without, as the recipe was chosen on them.
    """
    images, classes = cifar_10("train10000.zip", "train40000.zip")
    pixels = images[held_out:].astype(np.float32)
    train = (pixels, classes[held_out:]) if labelled else pixels
    figures, content = _reduced(SHARED / "models" / RESNET8, recipe, train, CIFAR / "test_dev5000.zip", pixels[:500])
    times = medians([content, int8_file(RESNET8)], seconds=LATENCY_SECONDS)
    ratio = times[0] / times[1] if times[0] is not None and times[1] is not None else None
    return {**figures, "latency_ratio": ratio}


def _ds_cnn() -> dict[str, Any]:
    """The keyword-spotting network of the examples, judged by words that were synthesised anew."""
    model, data = example("ds_cnn")
    words = keywords(seed=1, samples=NEW_WORDS)
    test = np.concatenate([words.x_train, words.x_test]), np.concatenate([words.y_train, words.y_test])
    return _reduced(model, DS_CNN, (data.x_train, data.y_train), test, data.x_train)[0]


def _lenet(build: Callable[[], Any], recipe: Recipe) -> dict[str, Any]:
    train, test = mnist()
    return _reduced(trained(build, *train), recipe, train, test, train[0][:500])[0]


def _reduced(model: Any, recipe: Recipe, train: Any, test: Any, calibration: Any) -> tuple[dict[str, Any], bytes]:
    """The row of a model, and its int8 file."""
    with tempfile.TemporaryDirectory() as folder:
        done = tfcompress.convert(
            model, targets="phone", recipe=recipe, train=train, evaluation=test, calibration=calibration,
            output=Path(folder) / "out",
        )  # fmt: skip
        return _figures(dict(done.report)), (Path(folder) / "out/phone/model.tflite").read_bytes()


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
    "lenet_300_100 at 0.1 of its MACs": lambda: _lenet(lenet_300_100, NARROW),
    "lenet_300_100 pretrained, then at 0.1 of its MACs by low rank": lambda: _lenet(lenet_300_100, LOW_RANK),
    "lenet_5 at 0.1 of its MACs": lambda: _lenet(lenet_5, NARROW),
    "ds_cnn at 0.5 of its MACs": _ds_cnn,
    "resnet8 at 0.5 of its MACs": lambda: _resnet8(_cut(0.5)),
    "resnet8 at 0.25 of its MACs": lambda: _resnet8(_cut(0.25)),
    "resnet8 fine-tuned uncut": lambda: _resnet8(_cut(1.0)),
    "resnet8 pretrained, then at 0.5 of its MACs by low rank": lambda: _resnet8(PRETRAINED, held_out=HELD_OUT),
    "resnet8 without labels at 0.5 of its MACs by low rank": lambda: _resnet8(UNLABELLED, labelled=False),
}
