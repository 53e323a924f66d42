"""Inputs and outputs are paired by name, and where names differ by what they do: never by position."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfcompress.accuracy_diff import compare, runner_for
from tfcompress.accuracy_diff.layers import compare_layers
from tfcompress.accuracy_diff.matching import input_names, outputs_as
from tfcompress.accuracy_diff.runners import CallableRunner
from tfcompress.converters import TARGETS
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.data import Samples, samples_from_arrays
from tfcompress.errors import ModelError
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras

BFLOAT16_DB = 30.0
SAME_DB = 100.0  # the same model, run eagerly and as a graph
SWAPPED_DB = 10.0  # what inputs in the wrong order leave


def zebra_and_apple() -> FloatModel:
    """Two inputs of one shape, not in alphabetical order, and two outputs of one shape."""
    keras.utils.set_random_seed(1)
    zebra, apple = keras.Input((5,), name="zebra"), keras.Input((5,), name="apple")
    left = keras.layers.Dense(6, activation="relu", name="of_zebra")(zebra)
    right = keras.layers.Dense(6, activation="tanh", name="of_apple")(apple)
    both = keras.layers.Concatenate(name="both")([left, right])
    wide = keras.layers.Dense(3, name="yellow")(both)
    return float_model_from_keras(keras.Model([zebra, apple], [wide, keras.layers.Dense(3, name="blue")(left)]))


def data_for(model: FloatModel) -> Samples:
    random = np.random.default_rng(0)
    arrays = {name: random.normal(size=(24, 5)).astype(np.float32) for name in ("zebra", "apple")}
    return samples_from_arrays(arrays, model_inputs=model.inputs, model_outputs=model.outputs)


def test_layers_of_a_saved_model_see_their_own_inputs(tmp_path: Path) -> None:
    model = zebra_and_apple()
    recipe = Recipe(cloud_tpu=CloudTpu(batch_sizes=(1, 4), topologies=()))
    artifact = TARGETS["cloud_tpu"].convert(model, None, recipe, tmp_path)
    rows = compare_layers(runner_for(model), runner_for(artifact.runnable), data_for(model))  # type: ignore[arg-type]
    assert {row.layer for row in rows} >= {"of_zebra", "of_apple", "yellow", "blue"}
    assert all((row.sqnr_db or 0) > BFLOAT16_DB for row in rows)


def renamed(model: FloatModel, names: Mapping[str, str], outputs: Mapping[str, str]) -> CallableRunner:
    """The same model with other names, its inputs and outputs in the order of `names` and `outputs`."""
    infos = {info.name: info for info in (*model.inputs, *model.outputs)}

    def run(*arrays: np.ndarray) -> Any:
        predicted = model.predict(dict(zip(names.values(), arrays, strict=True)))
        return {name: predicted[own] for name, own in outputs.items()}

    def info(name: str, own: str) -> TensorInfo:
        return TensorInfo(name, infos[own].shape, infos[own].dtype)

    inputs = tuple(info(name, own) for name, own in names.items())
    return CallableRunner(run, inputs=inputs, outputs=tuple(info(name, own) for name, own in outputs.items()))


@pytest.mark.parametrize("names", [{"args_0": "apple", "args_1": "zebra"}, {"args_0": "zebra", "args_1": "apple"}])
def test_inputs_and_outputs_with_other_names_are_found_by_their_values(names: dict[str, str]) -> None:
    model = zebra_and_apple()
    blue, yellow = [info.name for info in model.outputs][::-1]
    other = renamed(model, names, {"output_0": blue, "output_1": yellow})
    result = compare(runner_for(model), {"other": other}, data_for(model), task="regression").candidates["other"]
    assert (result.diff["sqnr_db"] or 0) > SAME_DB


def test_names_that_a_converter_changed_are_the_same_names() -> None:
    model = zebra_and_apple()
    batch = {"zebra": np.ones((2, 5)), "apple": np.ones((2, 5))}
    other = renamed(model, {"serving_default_Apple:0": "apple", "serving_default_Zebra:0": "zebra"}, {})
    matched = input_names(other, batch, reference=None, where="data")
    assert matched == {"serving_default_Apple:0": "apple", "serving_default_Zebra:0": "zebra"}


def test_the_wrong_order_would_be_seen() -> None:
    model = zebra_and_apple()
    first = next(data_for(model).batches(8)).inputs
    right = model.predict(first)
    wrong = model.predict({"zebra": first["apple"], "apple": first["zebra"]})
    name = model.outputs[0].name
    error = np.mean((right[name] - wrong[name]) ** 2) / np.mean(right[name] ** 2)
    assert -10 * np.log10(error) < SWAPPED_DB


def test_outputs_of_equal_shape_are_paired_by_value_and_others_by_name() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    assert outputs_as({"a": a, "b": b}, {"x": b, "y": a}, who="it") == {"a": "y", "b": "x"}
    assert outputs_as({"a": a, "b": b}, {"b": a, "a": b}, who="it") == {"a": "a", "b": "b"}
    with pytest.raises(ModelError, match="are these two forms of the same model"):
        outputs_as({"a": a}, {"x": np.ones((2, 4))}, who="it")


def test_another_number_of_rows_is_called_that_and_not_another_shape() -> None:
    with pytest.raises(ModelError, match="it: gives 6 rows where the reference gives 2; expected one row a sample"):
        outputs_as({"a": np.ones((2, 3))}, {"a": np.ones((6, 3))}, who="it")
