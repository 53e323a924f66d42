"""The recipe's section `layers`: whole blocks that change the outputs least are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compression.models import functional
from tests.compression.test_low_rank import samples_of
from tests.compression.test_structure import macs
from tfcompress.compression import finetune
from tfcompress.compression.structure.layer_removal import remove_layers
from tfcompress.data import Samples
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.replay import flatten
from tfcompress.recipe import Distillation, Layers, Recipe, Structure, Training
from tfcompress.runtime import tf_keras

L = tf_keras.layers

# Nothing is computed otherwise, but the batch normalizations' statistics are estimated anew.
EXACT = 1e-5


def block(x: Any, name: str) -> Any:
    y = L.Conv2D(8, 3, padding="same", activation="relu", name=f"{name}_in")(x)
    y = L.Conv2D(8, 3, padding="same", name=f"{name}_out")(y)
    return L.Add(name=f"{name}_sum")([x, y])


def residual(x: Any) -> Any:
    x = L.Conv2D(8, 3, padding="same", name="stem")(x)
    x = block(block(block(x, "a"), "b"), "c")
    return L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x))


def model_with_an_idle_block() -> tuple[Any, Samples]:
    """Three residual blocks, of which the second adds nothing."""
    model = flatten(functional((8, 8, 3), residual))
    model.get_layer("b_out").set_weights([np.zeros((3, 3, 8, 8)), np.zeros(8)])
    return model, samples_of(np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype(np.float32), model)


def test_a_block_that_adds_nothing_goes_first_and_nothing_changes() -> None:
    model, samples = model_with_an_idle_block()
    smaller = remove_layers(model, Layers(remove=1), samples)
    x = np.random.default_rng(1).normal(size=(4, 8, 8, 3)).astype(np.float32)
    assert smaller.lineage.removed == ("b_in", "b_out", "b_sum")
    assert macs(smaller.model) < macs(model)
    np.testing.assert_allclose(smaller.model(x), model(x), atol=EXACT)


def test_another_block_would_be_seen() -> None:
    model, samples = model_with_an_idle_block()
    smaller = remove_layers(model, Layers(remove=1, skip=("b_*",)), samples)
    x = np.random.default_rng(1).normal(size=(4, 8, 8, 3)).astype(np.float32)
    assert not set(smaller.lineage.removed) & {"b_in", "b_out"}
    assert np.abs(smaller.model(x) - model(x)).max() > 100 * EXACT


def test_only_what_stays_within_the_error_goes() -> None:
    model, samples = model_with_an_idle_block()
    smaller = remove_layers(model, Layers(error=1e-4), samples)
    assert smaller.lineage.removed == ("b_in", "b_out", "b_sum")


def test_a_run_that_keeps_the_shape_goes_from_a_plain_network() -> None:
    def plain(x: Any) -> Any:
        for number in range(3):
            x = L.Dense(16, activation="relu", name=f"dense_{number}")(x)
        return L.Dense(3, name="head")(x)

    model = flatten(functional((16,), plain))
    samples = samples_of(np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32), model)
    smaller = remove_layers(model, Layers(remove=2), samples)
    assert len(smaller.lineage.removed) == 2
    assert len(smaller.model.layers) == len(model.layers) - 2


def test_more_blocks_than_there_are_are_refused_with_their_number() -> None:
    model, samples = model_with_an_idle_block()
    with pytest.raises(RecipeError, match=r"layers\.remove is 40, but the model has") as caught:
        remove_layers(model, Layers(remove=40), samples)
    assert "\n" not in str(caught.value)


def test_blocks_and_channels_go_together() -> None:
    model, samples = model_with_an_idle_block()
    recipe = Recipe(
        layers=Layers(remove=1, epochs=0),
        structure=Structure(macs=0.4, round_to=2),
        distillation=Distillation(),
        training=Training(epochs=1),
    )
    done = finetune(model, recipe, samples)
    assert macs(done.stripped) <= 0.4 * macs(model)
    assert done.lineage is not None
    assert "b_sum" in done.lineage.removed
    assert done.lineage.origins["stem"].before == 8


@pytest.mark.parametrize("text", ['{"layers": {}}', '{"layers": {"remove": 0}}', '{"layers": {"error": -1.0}}'])
def test_a_bad_section_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="recipe: layers"):
        Recipe.from_json(text)
