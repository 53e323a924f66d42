"""Choosing representative samples out of many, from the command line's recipe on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

import tfcompress
from tfcompress.calibration import Calibration
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras


def test_representative_samples_hold_the_extremes_that_an_even_spread_misses(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3, activation="softmax")])
    values = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    values[123] = 9.0
    values[321] = -7.0
    largest: dict[str, float] = {}
    selections: tuple[Literal["spread", "representative"], ...] = ("spread", "representative")
    for selection in selections:
        recipe = Recipe(post_training=PostTraining(selection=selection, quality="fast"))
        folder = tmp_path / selection
        tfcompress.convert(
            model, targets="phone", calibration=values, calibration_samples=50, recipe=recipe, output=folder
        )
        ranges = Calibration.load(folder / "phone/calibration.json")
        assert ranges.samples == 50
        largest[selection] = max(item.high for item in ranges.ranges.values())
    assert largest["representative"] >= 9.0 > largest["spread"]
