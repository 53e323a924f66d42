"""Recipes: checked when made, read back equal, typos refused."""

import copy
import dataclasses
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.errors import RecipeError
from tfcompress.recipe import Clustering, Pruning, Quantization, Recipe, Training


def test_a_recipe_reads_back_equal() -> None:
    recipe = Recipe(
        pruning=Pruning(layers=(("conv*", 0.3),), skip=("last",)),
        clustering=Clustering(clusters=8),
        quantization=Quantization(strict=True),
        training=Training(epochs=3),
        keep_float=("head*",),
    )
    assert Recipe.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"prunning": {}}', "did you mean 'pruning'"),
        ('{"pruning": {"schedule": "cubic"}}', "expected one of constant, polynomial"),
        ('{"pruning": {"sparsity": "half"}}', "expected float"),
        ('{"pruning": {"sparsity": 1.0}}', "a share in [0, 1)"),
        ('{"training": {"epochs": 0}}', "1 to 100000"),
        ('{"cloud_tpu": {"batch_sizes": [8, 1]}}', "ascending"),
        ('{"version": 2}', "expected 1"),
        ("[]", "an object with keys"),
        ("{", "not valid JSON"),
        ('{"pruning": {"sparsity": NaN}}', "finite numbers"),
        ('{"training": {"learning_rate": 1e999}}', "finite number"),
        ('{"pruning": {"sparsity": 1%s}}' % ("0" * 400), "an integer of 1329 bits"),
        ('{"pruning": {}, "pruning": null}', "appears twice"),
        ('{{"pruning": {}1{}}}'.format("[" * 100_000, "]" * 100_000), "nested too deeply"),
        ('{"keep_float": ["%s"]}' % ("x" * 2**20), "expected at most 1048576"),
        ('{"cloud_tpu": {"topologies": ["v99:2x2"]}}', "v99"),
        ('{"structure": {"macs": 0.5, "epochs": 1000000000}}', "structure.epochs is 1000000000"),
        ('{"student": {"width": 0.5, "learning_rate": 1e300}}', "student.learning_rate is 1e+300"),
        ('{"structure": {"macs": 0.5, "rounds": 1000000000}}', "structure.rounds is 1000000000"),
        ('{"low_rank": {"energy": 0.5, "round_to": 1000000000}}', "low_rank.round_to is 1000000000"),
        ('{"pruning": {"power": -1}}', "pruning.power is -1"),
        ('{"training": {"batch_size": 1000000000}}', "training.batch_size is 1000000000"),
        ('{"training": {"loss": ""}}', "training.loss is ''"),
        ('{"training": {"loss": "deserialize"}}', "training.loss is 'deserialize', expected the name of a Keras loss"),
        ('{"training": {"loss": "MeanSquareError"}}', "such as MeanSquaredError"),
    ],
)
def test_a_bad_recipe_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_json(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_integer_is_accepted_where_a_share_is_expected() -> None:
    assert Recipe.from_json('{"pruning": {"sparsity": 0}}').pruning == Pruning(sparsity=0.0)


@given(
    sparsity=st.floats(0, 0.999),
    clusters=st.integers(2, 256),
    patterns=st.lists(st.text(min_size=1), max_size=3).map(tuple),
    sizes=st.sets(st.integers(1, 10_000), min_size=1).map(lambda drawn: tuple(sorted(drawn))),
)
def test_any_allowed_values_survive_the_round_trip(
    sparsity: float, clusters: int, patterns: tuple[str, ...], sizes: tuple[int, ...]
) -> None:
    recipe = Recipe(
        pruning=Pruning(sparsity=sparsity, layers=tuple((pattern, sparsity) for pattern in patterns)),
        clustering=Clustering(clusters=clusters, skip=patterns),
        cloud_tpu=CloudTpu(batch_sizes=sizes),
        keep_int16=patterns,
    )
    assert Recipe.from_json(recipe.to_json()) == recipe


@given(st.text() | st.integers().map(str) | st.lists(st.integers()).map(str))
def test_any_other_text_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_json(f"[{text}]")
    assert "\n" not in str(caught.value)


def test_options_of_targets_are_sections_under_their_keys() -> None:
    recipe = Recipe(cloud_tpu=CloudTpu(freeze=True))
    assert recipe.section(CloudTpu) == recipe.cloud_tpu == CloudTpu(freeze=True)
    assert recipe.section(EdgeTpu) == EdgeTpu()
    assert Recipe(edgetpu=EdgeTpu()) == Recipe()
    assert hash(Recipe(edgetpu=EdgeTpu())) == hash(Recipe())
    replaced: Any = dataclasses.replace  # its stub knows the declared fields only
    changed = replaced(recipe, edgetpu=EdgeTpu(float_io=True), keep_float=("head",))
    assert changed == Recipe(cloud_tpu=CloudTpu(freeze=True), edgetpu=EdgeTpu(float_io=True), keep_float=("head",))
    assert replaced(changed, edgetpu=EdgeTpu(), cloud_tpu=CloudTpu(), keep_float=()) == Recipe()
    assert set(json.loads(Recipe().to_json())) >= {"edgetpu", "cloud_tpu", "post_training", "version"}
    assert pickle.loads(pickle.dumps(changed)) == copy.copy(changed) == changed


def test_a_recipe_says_what_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="no 'android'"):
        _ = Recipe().android
    with pytest.raises(RecipeError, match="did you mean 'edgetpu'"):
        Recipe(edgetpus=EdgeTpu())
    with pytest.raises(RecipeError, match="did you mean 'pruning'"):
        Recipe(prunning=Pruning())


def test_a_recipe_of_a_stranger_neither_trains_for_ever_nor_overflows() -> None:
    for text in ('{"training": {"epochs": 1000000000}}', '{"training": {"learning_rate": 1e308}}'):
        with pytest.raises(RecipeError, match="expected"):
            Recipe.from_json(text)
