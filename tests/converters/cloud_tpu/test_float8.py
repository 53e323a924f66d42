"""float8 products: exactly the 8-bit floats' arithmetic, and bfloat16 wherever they gain nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tests.converters.cloud_tpu.test_int8 import only, samples_of
from tfcompress.converters.cloud_tpu import convert, proof
from tfcompress.converters.cloud_tpu.float8 import conversion
from tfcompress.converters.cloud_tpu.float8.conversion import mixed_layers
from tfcompress.converters.cloud_tpu.float8.measured import largest_magnitudes, product_errors_db
from tfcompress.converters.cloud_tpu.float8.rewrite import LARGEST, Product, products_of, scale_for, with_float8
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.cloud_tpu.plain import float_graph
from tfcompress.converters.cloud_tpu.stablehlo import lower_graph
from tfcompress.errors import DataError, RecipeError
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras, tf

needs_compiler = pytest.mark.skipif(proof.compiler_version() is None, reason="libtpu is not installed")
BATCH = 4
FP8 = CloudTpu(precision="fp8", batch_sizes=(1, BATCH), topologies=("tpu7x:2x2x1",))
LEAST_SQNR_DB = 20.0
BFLOAT16_TOLERANCE = 2.0**-5  # two roundings of numbers below 8


def dense(bias: float = 0.0) -> FloatModel:
    """One dense layer of 32 inputs and 16 outputs."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((32,), name="x")
    start = keras.initializers.Constant(bias)
    return models.float_model_from_keras(
        keras.Model(inputs, keras.layers.Dense(16, name="scores", bias_initializer=start)(inputs))
    )


def hidden() -> FloatModel:
    """Layers of which the second has an operand that is no input of the model."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((32,), name="x")
    x = keras.layers.Dense(32, activation="relu", name="first")(inputs)
    return models.float_model_from_keras(keras.Model(inputs, keras.layers.Dense(16, name="second")(x)))


def two_dense(steps: int, width: int, wider: int) -> FloatModel:
    """The two dense layers of a transformer's block."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((steps, width), name="x")
    x = keras.layers.Dense(wider, activation="relu", name="up")(inputs)
    return models.float_model_from_keras(keras.Model(inputs, keras.layers.Dense(width, name="down")(x)))


def plain(model: FloatModel, size: int = BATCH) -> tuple[InferenceGraph, dict[str, Product]]:
    graph = float_graph(model, size, FP8, ())
    return graph, {product.name: product for product in products_of(graph)}


def as_float8(values: np.ndarray) -> np.ndarray:
    return values.astype(ml_dtypes.bfloat16).astype(ml_dtypes.float8_e4m3fn).astype(np.float64)


def test_a_product_is_exactly_that_of_the_rounded_numbers() -> None:
    graph, products = plain(dense())
    (product,) = products.values()
    x = {"x": np.random.default_rng(0).normal(size=(BATCH, 32)).astype(np.float32)}
    largest = float(np.abs(x["x"]).max())
    got = only(models.run_graph(with_float8(graph, products, {product.operand: largest}), x))
    steps = scale_for(largest)
    scales = scale_for(np.abs(product.weights).max(axis=0))
    exact = as_float8(x["x"] / steps) @ as_float8(product.weights / scales) * steps * scales
    # The sums are exact in float32, and the result is stored in bfloat16.
    assert np.array_equal(got, exact.astype(ml_dtypes.bfloat16).astype(np.float32))
    assert not np.array_equal(got, (x["x"] @ product.weights).astype(ml_dtypes.bfloat16).astype(np.float32))


def test_scales_are_powers_of_two_below_which_every_value_fits() -> None:
    largest = np.array([0.0, 1e-3, 447.0, 448.0, 449.0, 1e6])
    scales = scale_for(largest)
    assert scales[0] == 1.0
    assert np.array_equal(np.exp2(np.round(np.log2(scales))), scales)
    assert np.all(largest / scales <= LARGEST)
    assert np.all(largest[1:] / scales[1:] > LARGEST / 2)


def test_values_beyond_the_range_that_was_seen_are_the_largest_and_no_nan() -> None:
    graph, products = plain(dense())
    (product,) = products.values()
    small = with_float8(graph, products, {product.operand: 1.0})
    rows = np.full((BATCH, 32), 500.0, np.float32)
    far, edge = (only(models.run_graph(small, {"x": value})) for value in (rows, np.ones_like(rows) * 1.75))
    assert np.all(np.isfinite(far))
    assert np.array_equal(far, edge)


def test_ranges_are_the_largest_magnitudes_of_all_samples(tmp_path: Path) -> None:
    model = hidden()
    graph, products = plain(model)
    samples = samples_of(model, tmp_path, 10)  # the last batch is short
    largest = largest_magnitudes(graph, {product.operand for product in products.values()}, samples)
    values = models.random_inputs(model, 10)["x"].astype(ml_dtypes.bfloat16).astype(np.float32)
    assert float(np.abs(values).max()) in largest.values()
    errors = product_errors_db(graph, products, largest, samples)
    assert errors.keys() == products.keys()
    assert all(LEAST_SQNR_DB < error < 60 for error in errors.values())


def test_an_operand_stored_in_float8_alone_is_read_so_by_a_residual_sum_too() -> None:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((32,), name="x")
    x = keras.layers.Dense(32, name="first")(inputs)
    model = models.float_model_from_keras(keras.Model(inputs, x + keras.layers.Dense(32, name="second")(x)))
    graph, products = plain(model)
    largest = {product.operand: 4.0 for product in products.values()}
    values = models.random_inputs(model, BATCH)
    beside, alone = (
        only(models.run_graph(with_float8(graph, products, largest, stored=stored), values)) for stored in (False, True)
    )
    (first,) = (name for name in products if "first" in name)
    (second,) = (name for name in products if "second" in name)
    ends = replace(graph, outputs={"hidden": f"{products[second].operand}:0"})
    hidden_values = only(models.run_graph(with_float8(ends, {first: products[first]}, largest), values))
    step = scale_for(4.0)
    difference = as_float8(hidden_values.astype(np.float32) / step) * step - hidden_values.astype(np.float64)
    assert np.abs(difference).max() > BFLOAT16_TOLERANCE
    assert np.abs((alone.astype("f8") - beside) - difference).max() <= BFLOAT16_TOLERANCE


def test_rounding_moves_before_a_maximum_and_changes_nothing() -> None:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(32, 3, padding="same", activation="relu", name="first")(inputs)
    x = layers.MaxPooling2D(3, 2, name="pool")(layers.ZeroPadding2D(1, name="pad")(x))
    model = models.float_model_from_keras(keras.Model(inputs, layers.Conv2D(16, 1, name="second")(x)))
    graph, products = plain(model)
    (product,) = products.values()
    values = models.random_inputs(model, BATCH)
    largest = {product.operand: 4.0}
    narrow = with_float8(graph, products, largest)
    order = [op.type for op in narrow.operations()]
    assert order.index("MaxPool") > next(
        index
        for index, op in enumerate(narrow.operations())
        if op.outputs and op.outputs[0].dtype.name == "float8_e4m3fn"
    )
    pooled = only(models.run_graph(replace(graph, outputs={"pooled": f"{product.operand}:0"}), values))
    steps = scale_for(4.0)
    scales = scale_for(np.abs(product.weights).max(axis=(0, 1, 2)))
    exact = as_float8(pooled.astype(np.float32) / steps) @ as_float8(product.weights[0, 0] / scales) * steps * scales
    got = only(models.run_graph(narrow, values))
    assert np.array_equal(got, exact.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_a_conversion_stores_float8_and_stays_close(tmp_path: Path) -> None:
    model = models.conv_net()
    samples = samples_of(model, tmp_path)
    graph, products = plain(model)
    largest = largest_magnitudes(graph, {product.operand for product in products.values()}, samples)
    narrow = with_float8(graph, products, largest)
    assert any("second" in name for name in products)
    inputs = models.random_inputs(model, BATCH, seed=1)
    assert models.sqnr_db(only(model.predict(inputs)), only(models.run_graph(narrow, inputs))) > LEAST_SQNR_DB
    wide, small = (len(lower_graph(item)) for item in (graph, narrow))
    weights = sum(product.weights.size for product in products.values())
    assert small < wide + 4096
    stored = [op for op in narrow.operations() if op.type == "Const" and op.outputs[0].dtype.name == "float8_e4m3fn"]
    assert sum(op.outputs[0].shape.num_elements() for op in stored) == weights


@needs_compiler
def test_the_saved_model_is_compiled_for_the_chip_and_gives_the_same(tmp_path: Path) -> None:
    model = two_dense(256, 512, 4096)
    out = tmp_path / "out"
    out.mkdir()
    artifact = convert(model, samples_of(model, tmp_path), Recipe(cloud_tpu=FP8), out)
    started = "float8 in 2 of 2 products: cycles on tpu7x:2x2x1: bfloat16 "
    assert any(note.startswith(started) for note in artifact.notes), artifact.notes
    loaded = tf.saved_model.load(str(artifact.runnable))
    assert sum(weight.dtype.name == "float8_e4m3fn" for weight in loaded.weights_) == 2
    values = models.random_inputs(model, BATCH, seed=1)
    got = only(models.run_signature(artifact.runnable, "batch_4", values))
    assert models.sqnr_db(only(model.predict(values)), got) > LEAST_SQNR_DB
    facts = artifact.facts["float8_products"]
    assert facts["cycles"]["float8"] < facts["cycles"]["bfloat16"]  # type: ignore[index]
    assert facts["sqnr_db"] > LEAST_SQNR_DB  # type: ignore[index]


@needs_compiler
def test_a_model_that_float8_makes_no_cheaper_stays_in_bfloat16(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    model = two_dense(64, 256, 1024)  # on so few rows rounding costs more than the products
    artifact = convert(model, samples_of(model, tmp_path), Recipe(cloud_tpu=FP8), out)
    assert any(note.startswith("stays in bfloat16: float8 needs no fewer cycles: ") for note in artifact.notes)


def test_auto_leaves_layers_in_bfloat16_until_enough_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hidden()
    seen: list[int] = []

    def measured(model: FloatModel, graph: InferenceGraph, samples: object) -> float:
        seen.append(
            sum(op.type == "Cast" and op.name.endswith("float8_weights/as_bfloat16") for op in graph.operations())
        )
        return 30.0 if seen[-1] <= 1 else 10.0

    monkeypatch.setattr(conversion, "sqnr_db", measured)
    recipe = Recipe(cloud_tpu=CloudTpu(precision="auto", batch_sizes=(1,), topologies=()))
    result = conversion.make_float8(model, samples_of(model, tmp_path), recipe, ())
    assert seen == [2, 1]
    facts = result.facts["float8_products"]
    kept = max(facts["layers_db"], key=facts["layers_db"].get)  # type: ignore[index]
    assert facts["in_float8"] == [kept]  # type: ignore[index]


def test_the_mix_leaves_layers_in_bfloat16_that_cost_less_so() -> None:
    names = ["net/a/MatMul", "net/b/MatMul", "net/c/MatMul"]
    wide, narrow = {"a": 9, "b": 9}, {"a": 8, "b": 10, "c": 5}
    assert mixed_layers(names, ["a", "b", "c"], wide, narrow) == {"net/a/MatMul", "net/c/MatMul"}


def test_another_chip_is_refused_in_one_line() -> None:
    with pytest.raises(RecipeError, match="no other chip multiplies float8 faster than bfloat16") as error:
        CloudTpu(precision="fp8")
    assert "\n" not in str(error.value)


def test_float8_without_calibration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--tpu_precision=fp8 needs --calibration"):
        convert(dense(), None, Recipe(cloud_tpu=FP8), tmp_path)
