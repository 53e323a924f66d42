"""`training.pretraining_epochs`: the whole model is trained before a section takes anything from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compression.models import small_cnn
from tests.compression.test_structure import images
from tfcompress.cache import open_store, using
from tfcompress.compression import finetune
from tfcompress.errors import DataError
from tfcompress.progress import ProgressEvent, listening
from tfcompress.recipe import Distillation, Recipe, Structure, Training

STEPS = Training(pretraining_epochs=4, batch_size=32)
UNCUT = Structure(macs=1.0, epochs=0)


def weights(recipe: Recipe, **options: Any) -> list[np.ndarray]:
    values: list[np.ndarray] = finetune(small_cnn(), recipe, images(256), **options).stripped.get_weights()
    return values


def test_pretraining_does_what_fine_tuning_the_uncut_model_does() -> None:
    pretrained = weights(Recipe(structure=UNCUT, training=STEPS))
    tuned = weights(Recipe(structure=Structure(macs=1.0, epochs=4), training=Training(batch_size=32)))
    assert not all(np.array_equal(a, b) for a, b in zip(pretrained, small_cnn().get_weights(), strict=True))
    for value, other in zip(pretrained, tuned, strict=True):
        np.testing.assert_array_equal(value, other)


def test_distillation_trains_towards_the_pretrained_model() -> None:
    """A model with all of its channels stays near what it was pretrained to, and does not go back to what was given."""
    training = Training(pretraining_epochs=6, batch_size=32, learning_rate=2e-2)
    pretrained = Recipe(structure=UNCUT, training=training)
    distilled = Recipe(structure=Structure(macs=1.0, epochs=6), distillation=Distillation(), training=training)
    x = next(images(256).batches(256)).inputs["image"]
    given = np.asarray(small_cnn()(x))
    before, after = (
        np.asarray(finetune(small_cnn(), recipe, images(256)).stripped(x)) for recipe in (pretrained, distilled)
    )
    assert np.abs(before - given).mean() > 0.05
    assert np.abs(after - before).mean() < 0.5 * np.abs(after - given).mean()


def test_recipes_that_cut_otherwise_share_the_pretraining(tmp_path: Path) -> None:
    with using(open_store(tmp_path)):
        for share, shared in ((0.7, False), (0.5, True)):
            events: list[ProgressEvent] = []
            recipe = Recipe(structure=Structure(macs=share, round_to=2, epochs=0), training=STEPS)
            with listening(events.append):
                weights(recipe, fingerprint="of this test")
            resumed = [event for event in events if event.message == "pretraining: resumed after epoch 4 of 4"]
            assert bool(resumed) is shared


def test_pretraining_asks_for_labels() -> None:
    recipe = Recipe(structure=UNCUT, distillation=Distillation(), training=STEPS)
    with pytest.raises(DataError, match="without pretraining"):
        finetune(small_cnn(), recipe, images(64, labels=False))
