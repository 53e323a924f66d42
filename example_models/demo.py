"""The demo: train the CNN, prune and quantization-aware-train it, convert it to the three targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfcompress import console
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.example_models.models import train
from tfcompress.job.conversion import Conversion, convert
from tfcompress.job.output_folder import check_output
from tfcompress.native_output import silenced
from tfcompress.recipe import Pruning, Quantization, Recipe, Training

__all__ = ["RECIPE", "run_demo"]

RECIPE = Recipe(
    pruning=Pruning(sparsity=0.5),
    quantization=Quantization(),
    training=Training(epochs=3, batch_size=32),
    cloud_tpu=CloudTpu(batch_sizes=(1, 8), topologies=("v5e:2x2", "v6e:1x1")),
)


def run_demo(output: Path, *, seed: int = 0) -> Conversion:
    """Run the whole main job without any input.

    Args:
        output: folder to make.
        seed: random seed.

    Raises:
        MissingExtraError: scikit-learn, which holds the data, is not installed.
    """
    check_output(output)
    with silenced():
        console.note("training a small CNN on scikit-learn's digits")
        model, data = train("cnn", seed=seed)
        accuracy = float(np.mean(model.predict(data.x_test, verbose=0).argmax(1) == data.y_test))
    console.note(f"float accuracy {accuracy:.4f} on {len(data.x_test)} held-out digits")
    return convert(
        model,
        output=output,
        calibration=(data.x_train, data.y_train),
        evaluation=(data.x_test, data.y_test),
        train=(data.x_train, data.y_train),
        recipe=RECIPE,
        seed=seed,
    )
