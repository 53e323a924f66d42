"""The recipe's section `structure`: fewer channels, so many fewer multiply-accumulates, and what is left fine-tuned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.compression.models import functional, small_cnn
from tfcompress.compression import finetune, wrap
from tfcompress.compression.structure.choose import choose
from tfcompress.compression.structure.costs import Costs
from tfcompress.compression.structure.shrink import shrink
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.errors import ModelError, RecipeError
from tfcompress.graphs.keras.channels.graph import trace_channels
from tfcompress.graphs.keras.replay import flatten
from tfcompress.load import float_model_from_keras
from tfcompress.load.inspection import model_macs
from tfcompress.model import TensorInfo
from tfcompress.recipe import Clustering, Distillation, Pruning, Quantization, Recipe, Structure, Training
from tfcompress.runtime import tf_keras

L = tf_keras.layers

# A channel that is constant adds a constant to what reads it: equal but for float32 sums in another order.
EXACT = 1e-5
IMPORTANCES = ("taylor", "activation", "l1", "l2", "batch_norm")


def images(count: int = 64, *, labels: bool = True) -> Samples:
    random = np.random.default_rng(0)
    x = random.normal(size=(count, 8, 8, 1)).astype(np.float32)
    y = random.integers(0, 2, count)
    x[:, :4] += y[:, None, None, None]
    return of_images(x, y if labels else None)


def of_images(x: np.ndarray, y: np.ndarray | None = None, *, name: str = "image") -> Samples:
    return samples_from_arrays(
        {name: x},
        None if y is None else {"scores": y},
        model_inputs=(TensorInfo(name, (None, 8, 8, 1), "float32"),),
        model_outputs=(TensorInfo("scores", (None, 3), "float32"),),
    )


def macs(model: Any) -> int:
    count = model_macs(float_model_from_keras(model))
    assert count is not None
    return count


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_every_importance_reaches_the_macs_asked_for(importance: Any) -> None:
    model = flatten(small_cnn())
    shrunk = shrink(model, Structure(macs=0.5, round_to=2, importance=importance), images())
    assert macs(shrunk.model) <= 0.5 * macs(model)
    assert macs(shrunk.model) > 0.2 * macs(model)
    layers: Any = shrunk.model.layers
    assert all(layer.filters % 2 == 0 for layer in layers if isinstance(layer, L.Conv2D))


def test_the_share_may_be_of_the_weights_or_of_the_channels() -> None:
    model = flatten(small_cnn())
    smaller = shrink(model, Structure(parameters=0.6, round_to=1), images()).model
    assert smaller.count_params() <= 0.62 * model.count_params()
    notes = shrink(model, Structure(channels=0.75, round_to=1, least_width=0), images()).notes
    assert "27 channels -> 20" in notes[0]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_nothing_goes_that_could_have_stayed_within_the_share(share: float) -> None:
    graph = trace_channels(flatten(small_cnn()))
    importance = np.random.default_rng(0).uniform(0.5, 1.5, len(graph.roots))
    choice = choose(graph, importance, unit="macs", share=share, multiple=2, least={})
    costs, gone = Costs.of(graph), set(choice.removed)
    lost = np.array([sum(int(root) in gone for root in family.groups) for family in graph.families])
    kept = np.array([len(family.groups) for family in graph.families]) - lost
    assert choice.after == costs.total(kept, "macs") <= share * choice.before
    for family in np.flatnonzero(lost):
        wider = kept.astype(np.float64)
        wider[family] += 2
        assert costs.total(wider, "macs") > share * choice.before


def test_narrow_layers_are_rounded_to_half_of_what_wide_ones_are() -> None:
    def two_widths(x: Any) -> Any:
        x = L.Conv2D(16, 3, activation="relu", name="narrow")(x)
        x = L.Conv2D(64, 3, activation="relu", name="wide")(x)
        return L.Dense(3, activation="softmax", name="scores")(L.GlobalAveragePooling2D()(x))

    widths = set()
    for share in (0.7, 0.5, 0.3, 0.2):
        graph = trace_channels(flatten(functional((8, 8, 1), two_widths)))
        importance = np.random.default_rng(0).uniform(0.5, 1.5, len(graph.roots))
        gone = set(choose(graph, importance, unit="macs", share=share, multiple=16, least={}).removed)
        for family in graph.families:
            widths.add((*family.made_by, sum(int(root) not in gone for root in family.groups)))
    assert ("narrow", 8) in widths
    assert {width for name, width in widths if name == "wide"} <= {16, 32, 48, 64}


def test_all_of_the_macs_change_nothing() -> None:
    model = flatten(small_cnn())
    same = shrink(model, Structure(macs=1.0), images()).model
    for old, new in zip(model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def with_dead_channels() -> tuple[Any, list[int]]:
    """A model of whose first layer's channels four are constant on any input: their kernels are zero."""

    def build(x: Any) -> Any:
        return L.Dense(3, name="scores")(L.Flatten()(L.Conv2D(8, 3, activation="sigmoid", name="conv")(x)))

    model = flatten(functional((8, 8, 1), build))
    kernel, bias = model.get_layer("conv").get_weights()
    dead = [1, 4, 5, 6]
    kernel[..., dead] = 0
    bias[:] = np.linspace(-1, 1, 8)
    model.get_layer("conv").set_weights([kernel, bias])
    return model, dead


def test_constant_channels_go_first_and_their_mean_goes_into_the_next_bias() -> None:
    model, dead = with_dead_channels()
    structure = Structure(channels=7 / 11, round_to=1, importance="activation")
    samples = _renamed(images(), model)
    shrunk = shrink(model, structure, samples)
    assert shrunk.lineage.origins["conv"].kept == tuple(i for i in range(8) if i not in dead)
    x = np.random.default_rng(2).normal(size=(5, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(shrunk.model(x), model(x), atol=EXACT)
    without = shrink(model, Structure(channels=7 / 11, round_to=1, importance="activation", keep_means=False), samples)
    assert np.abs(without.model(x) - model(x)).max() > 100 * EXACT


def _renamed(samples: Samples, model: Any) -> Samples:
    return of_images(next(samples.batches(64)).inputs["image"], name=model.input_names[0])


def test_a_layer_that_is_named_is_not_cut() -> None:
    shrunk = shrink(flatten(small_cnn()), Structure(macs=0.7, round_to=1, skip=("hidden",)), images())
    assert shrunk.model.get_layer("hidden").get_config()["units"] == 16
    assert any("named as one that must stay" in note for note in shrunk.notes)


def test_batch_norm_statistics_are_those_of_the_smaller_model() -> None:
    samples = images(256)
    shrunk = shrink(flatten(small_cnn()), Structure(macs=0.5, round_to=1), samples)
    smaller: Any = shrunk.model
    before = tf_keras.Model(smaller.inputs, smaller.get_layer("bn_1").input)
    seen = np.asarray(before(next(samples.batches(256)).inputs["image"]))
    np.testing.assert_allclose(shrunk.model.get_layer("bn_1").get_weights()[2], seen.mean((0, 1, 2)), atol=1e-3)


SECTIONS: dict[str, dict[str, Any]] = {
    "without labels": {"distillation": Distillation()},
    "with zeros": {"pruning": Pruning(sparsity=0.5, skip=())},
    "with clusters and int8": {"clustering": Clustering(clusters=8, skip=()), "quantization": Quantization()},
}


@pytest.mark.parametrize("name", SECTIONS)
def test_structure_works_with_every_other_section(name: str) -> None:
    recipe = Recipe(
        structure=Structure(macs=0.6, round_to=2, rounds=2 if name == "alone" else 1),
        training=Training(epochs=1),
        **SECTIONS[name],
    )
    done = finetune(small_cnn(), recipe, images(labels=name != "without labels"))
    assert macs(done.stripped) <= 0.6 * macs(small_cnn())
    assert done.lineage is not None
    assert {origin.layer for origin in done.lineage.origins.values()} <= {layer.name for layer in small_cnn().layers}
    if "zeros" in name:
        assert np.mean(done.stripped.get_layer("conv_2").get_weights()[0] == 0) == pytest.approx(0.5, abs=0.02)


def test_fine_tuning_learns_more_than_the_cut_alone() -> None:
    samples, steps = images(256), Training(epochs=6)
    cut = finetune(small_cnn(), Recipe(structure=Structure(macs=0.5, round_to=2, epochs=0)), samples).stripped
    tuned = finetune(small_cnn(), Recipe(structure=Structure(macs=0.5, round_to=2), training=steps), samples).stripped
    batch = next(samples.batches(256))
    rows = np.arange(256), batch.labels["scores"]
    losses = [float(-np.log(np.asarray(m(batch.inputs["image"]))[rows]).mean()) for m in (cut, tuned)]
    assert losses[1] < 0.9 * losses[0]


def test_wrap_cuts_at_once_and_needs_data_for_it() -> None:
    recipe = Recipe(structure=Structure(macs=0.6, round_to=2))
    assert wrap(small_cnn(), recipe, calibration=images()).count_params() < small_cnn().count_params()
    with pytest.raises(RecipeError, match="structure needs data"):
        wrap(small_cnn(), recipe)


def test_a_model_of_which_nothing_can_be_cut_is_refused_in_one_line() -> None:
    model = flatten(functional((8, 8, 1), lambda x: L.Dense(3, name="only")(L.Flatten()(x))))
    with pytest.raises(RecipeError, match="none of the model's channels can be cut") as caught:
        shrink(model, Structure(macs=0.5), _renamed(images(), model))
    assert "\n" not in str(caught.value)


def test_macs_below_what_the_frozen_layers_need_are_refused_with_what_they_need() -> None:
    with pytest.raises(RecipeError, match=r"structure\.macs is 0\.01, but .* need 0\.\d+ of the model's macs"):
        shrink(flatten(small_cnn()), Structure(macs=0.01, round_to=1), images())


def test_a_pattern_that_fits_no_layer_is_refused() -> None:
    with pytest.raises(RecipeError, match="'block_9' fits no layer"):
        shrink(flatten(small_cnn()), Structure(macs=0.5, skip=("block_9",)), images())


def test_a_subclassed_model_is_refused_with_the_way_out() -> None:
    class Mine(tf_keras.Model):
        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(ModelError, match="sequential or functional"):
        finetune(Mine(), Recipe(structure=Structure(macs=0.5)), images())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"structure": {}}', "structure.macs is None, expected one of macs, parameters and channels"),
        ('{"structure": {"macs": 0.5, "channels": 0.5}}', "structure.channels is 0.5, expected one of"),
        ('{"structure": {"macs": 1.5}}', "structure.macs is 1.5, expected a share in (0, 1]"),
        ('{"structure": {"macs": 0.5, "importance": "random"}}', "expected one of taylor"),
        ('{"structure": {"mac": 0.5}}', "did you mean 'macs'?"),
    ],
)
def test_a_bad_section_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_json(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_section_reads_back_from_its_json() -> None:
    recipe = Recipe(structure=Structure(macs=0.5, skip=("conv_1",), importance="l2"))
    assert Recipe.from_json(recipe.to_json()) == recipe
