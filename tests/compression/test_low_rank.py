"""The recipe's section `low_rank`: kernels as products of smaller ones, by the PCA of real data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compression.models import functional, small_cnn
from tests.compression.test_structure import images, macs
from tfcompress.compression import finetune
from tfcompress.compression.structure.low_rank import lower_ranks
from tfcompress.compression.structure.shrink import Shrunk, shrink
from tfcompress.compression.training.objective import heads_of
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.errors import RecipeError
from tfcompress.graphs.keras.replay import flatten
from tfcompress.load import to_tf_keras
from tfcompress.model import TensorInfo
from tfcompress.recipe import LowRank, Recipe, Structure, Training
from tfcompress.runtime import keras, tf_keras

L = tf_keras.layers

SUBSPACE = 12
# Of a product of full rank, and of one whose rank is that of the data: rounding of float32 sums.
EQUAL = 1e-4


def samples_of(x: np.ndarray, model: Any) -> Samples:
    name = model.input_names[0]
    return samples_from_arrays(
        {name: x},
        model_inputs=(TensorInfo(name, (None, *x.shape[1:]), "float32"),),
        model_outputs=(TensorInfo("out", (None, int(model.outputs[0].shape[-1])), "float32"),),
    )


def in_a_subspace(count: int = 256) -> np.ndarray:
    """Vectors of 200 values that lie in 12 dimensions."""
    random = np.random.default_rng(0)
    basis = random.normal(size=(SUBSPACE, 200))
    return (random.normal(size=(count, SUBSPACE)) @ basis).astype(np.float32)


def test_the_rank_of_a_dense_layer_is_that_of_the_subspace_of_its_inputs() -> None:
    model, x = flatten(functional((200,), L.Dense(64, name="wide"))), in_a_subspace()
    split: Shrunk = lower_ranks(model, LowRank(energy=1.0, round_to=1), samples_of(x, model))
    assert split.model.get_layer("wide_rank_1").get_config()["units"] == SUBSPACE
    other = in_a_subspace(300)[256:]
    np.testing.assert_allclose(split.model(other), model(other), atol=EQUAL * np.abs(model(other)).max())
    assert split.lineage.origins["wide_rank_1"].layer == split.lineage.origins["wide"].layer == "wide"


def test_less_energy_than_the_subspace_has_would_be_seen() -> None:
    model, x = flatten(functional((200,), L.Dense(64, name="wide"))), in_a_subspace()
    split = lower_ranks(model, LowRank(energy=0.8, round_to=1), samples_of(x, model))
    error = np.abs(split.model(x) - model(x)).max() / np.abs(model(x)).max()
    assert error > 100 * EQUAL


BLOCKS: dict[str, Any] = {
    "pointwise": lambda x: L.Conv2D(32, 1, strides=2, name="conv")(x),
    "same": lambda x: L.Conv2D(32, 3, padding="same", activation="relu", name="conv")(x),
    "strided": lambda x: L.Conv2D(32, 3, padding="same", strides=2, name="conv")(x),
    "oblong": lambda x: L.Conv2D(32, (3, 5), padding="valid", use_bias=False, name="conv")(x),
    "series": lambda x: L.Conv1D(32, 3, padding="same", name="conv")(L.Reshape((64, 32))(x)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_kernel_of_low_rank_is_split_without_an_error(name: str) -> None:
    """A kernel whose outputs lie in four dimensions, on maps whose channels lie in six."""
    random = np.random.default_rng(0)
    model = flatten(functional((8, 8, 32), BLOCKS[name]))
    kernel, *rest = model.get_layer("conv").get_weights()
    projection = random.normal(size=(32, 4)) @ random.normal(size=(4, 32))
    model.get_layer("conv").set_weights([(kernel @ projection).astype(np.float32), *rest])
    x = (random.normal(size=(64, 8, 8, 6)) @ random.normal(size=(6, 32))).astype(np.float32)
    split = lower_ranks(model, LowRank(energy=1.0, round_to=1), samples_of(x, model))
    assert macs(split.model) < macs(model)
    np.testing.assert_allclose(split.model(x), model(x), atol=EQUAL * np.abs(model(x)).max())


def test_the_macs_asked_for_are_reached() -> None:
    model = flatten(functional((8, 8, 32), BLOCKS["same"]))
    x = np.random.default_rng(0).normal(size=(64, 8, 8, 32)).astype(np.float32)
    split = lower_ranks(model, LowRank(macs=0.5, round_to=1), samples_of(x, model))
    assert 0.4 * macs(model) < macs(split.model) <= 0.5 * macs(model)


def test_a_layer_that_a_split_would_not_make_cheaper_stays() -> None:
    model, x = flatten(functional((10,), L.Dense(4))), np.random.default_rng(0).normal(size=(64, 10))
    split = lower_ranks(model, LowRank(energy=0.999, round_to=1), samples_of(x.astype(np.float32), model))
    assert [layer.name for layer in split.model.layers] == [layer.name for layer in model.layers]


def test_low_rank_is_fine_tuned() -> None:
    recipe = Recipe(low_rank=LowRank(energy=0.7, round_to=1), training=Training(epochs=1))
    done = finetune(small_cnn(), recipe, images())
    assert done.lineage is not None
    assert macs(done.stripped) < macs(small_cnn())


def test_fewer_macs_than_the_least_ranks_need_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"low_rank\.macs is 0\.001, but with the least ranks"):
        lower_ranks(flatten(small_cnn()), LowRank(macs=0.001), images())


def test_a_model_without_kernels_to_split_is_refused() -> None:
    model = flatten(functional((8, 8, 1), lambda x: L.DepthwiseConv2D(3)(x)))
    with pytest.raises(RecipeError, match="no layer that can be split"):
        lower_ranks(model, LowRank(energy=0.9), samples_of(np.zeros((4, 8, 8, 1), np.float32), model))


@pytest.mark.parametrize(
    "text", ['{"low_rank": {}}', '{"low_rank": {"energy": 0.9, "macs": 0.5}}', '{"low_rank": {"energy": 0}}']
)
def test_a_bad_section_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="recipe: low_rank"):
        Recipe.from_json(text)


@pytest.mark.slow
def test_vgg16_at_half_its_macs_keeps_more_than_by_cutting_channels() -> None:
    """Neither is trained; the inputs are smooth pictures, as what PCA can use of them depends on them."""
    keras.utils.set_random_seed(0)
    source = keras.applications.VGG16(weights=None, input_shape=(64, 64, 3), classes=10)
    model = flatten(to_tf_keras(source))
    random = np.random.default_rng(0)
    coarse = random.uniform(0, 1, (48, 8, 8, 3))
    x = np.repeat(np.repeat(coarse, 8, 1), 8, 2).astype(np.float32)
    samples = samples_of(x[:32], model)
    split = lower_ranks(model, LowRank(macs=0.5), samples).model
    cut = shrink(model, Structure(macs=0.5, importance="activation"), samples).model
    assert max(macs(split), macs(cut)) <= 0.5 * macs(model)
    heads = [tf_keras.Model(m.inputs, heads_of(m)[0].tensor) for m in (model, split, cut)]
    wanted, by_rank, by_channel = (np.asarray(head(x[32:])) for head in heads)
    errors = [np.mean(np.square(got - wanted)) / np.var(wanted) for got in (by_rank, by_channel)]
    assert errors[0] < errors[1]
