"""Recipes: checked when made, read back equal, typos refused."""

import pytest

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
        ('{"training": {"epochs": 0}}', "at least 1"),
        ('{"cloud_tpu": {"batch_sizes": [8, 1]}}', "ascending"),
        ('{"version": 2}', "expected 1"),
        ("[]", "an object with keys"),
        ("{", "not valid JSON"),
    ],
)
def test_a_bad_recipe_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_json(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_integer_is_accepted_where_a_share_is_expected() -> None:
    assert Recipe.from_json('{"pruning": {"sparsity": 0}}').pruning == Pruning(sparsity=0.0)
