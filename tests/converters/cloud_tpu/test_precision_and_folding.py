"""The graph rewrites: what goes to bfloat16, what stays, and that folding leaves the function as it was."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.converters.cloud_tpu.precision import apply_precision
from tfcompress.graphs.tensorflow.folding import fold_batch_norms, fold_constants
from tfcompress.graphs.tensorflow.inference_graph import InferenceGraph, trace
from tfcompress.layer_names import all_layers
from tfcompress.model import FloatModel
from tfcompress.runtime import tf

FLOAT32_TOLERANCE = 1e-5
LEAST_SQNR_DB = 30.0


def relative_error(expected: np.ndarray, got: np.ndarray) -> float:
    return float(np.abs(expected - got).max() / np.abs(expected).max())


def layer_names(model: FloatModel) -> list[str]:
    return [layer.name for layer in all_layers(model.keras_model)]


def folded(model: FloatModel, batch_size: int = 4) -> InferenceGraph:
    return fold_batch_norms(fold_constants(trace(model, batch_size)))


def dtypes_by_operator(graph: InferenceGraph, kind: str) -> set[str]:
    return {op.outputs[0].dtype.name for op in graph.operations() if op.type == kind}


@pytest.mark.parametrize("flavor", ["keras3", "tf_keras"])
def test_batch_norms_disappear_and_the_function_stays(flavor: str) -> None:
    model = models.conv_net(flavor)
    graph = folded(model)
    kinds = [op.type for op in graph.operations()]
    assert "Mul" not in kinds
    assert kinds.count("AddV2") == 1  # of the depthwise layer, which has no bias that it could join
    assert "FusedBatchNormV3" not in kinds
    assert "Rsqrt" not in kinds
    inputs = models.random_inputs(model, 4)
    expected = next(iter(model.predict(inputs).values()))
    (got,) = models.run_graph(graph, inputs).values()
    assert relative_error(expected, got) <= FLOAT32_TOLERANCE


def test_the_float32_tolerance_would_catch_a_lost_scale() -> None:
    model = models.conv_net()
    inputs = models.random_inputs(model, 4)
    expected = next(iter(model.predict(inputs).values()))
    model.keras_model.get_layer("first_norm").set_weights(
        [weight * 1.001 for weight in model.keras_model.get_layer("first_norm").get_weights()]
    )
    (got,) = models.run_graph(folded(model), inputs).values()
    assert relative_error(expected, got) > FLOAT32_TOLERANCE


def test_a_norm_whose_layer_has_two_users_is_left_as_it_is() -> None:
    layers = models.keras.layers
    inputs = models.keras.Input((8, 8, 3), name="image")
    shared = layers.Conv2D(8, 1, name="shared")(inputs)
    normed = layers.BatchNormalization(name="norm")(shared)
    keras_model = models.keras.Model(inputs, layers.Add()([shared, normed]))
    norm = keras_model.get_layer("norm")
    norm.set_weights([np.full(8, value, "f") for value in (2.0, 0.5, 0.1, 3.0)])
    model = models.float_model_from_keras(keras_model)
    samples = models.random_inputs(model, 2)
    (got,) = models.run_graph(folded(model, 2), samples).values()
    (expected,) = model.predict(samples).values()
    assert relative_error(expected, got) <= FLOAT32_TOLERANCE


@pytest.mark.parametrize("flavor", ["keras3", "tf_keras"])
def test_bfloat16_computes_low_and_keeps_the_edges_and_softmax_float32(flavor: str) -> None:
    model = models.conv_net(flavor)
    graph = apply_precision(folded(model), "bfloat16", layer_names=layer_names(model))
    assert dtypes_by_operator(graph, "MatMul") == {"bfloat16"}
    assert dtypes_by_operator(graph, "DepthwiseConv2dNative") == {"bfloat16"}
    assert dtypes_by_operator(graph, "Softmax") == {"float32"}
    assert dtypes_by_operator(graph, "Placeholder") == {"float32"}
    inputs = models.random_inputs(model, 4)
    expected = next(iter(model.predict(inputs).values()))
    (got,) = models.run_graph(graph, inputs).values()
    assert got.dtype == np.float32
    assert LEAST_SQNR_DB < models.sqnr_db(expected, got) < 100  # above 100 dB nothing would have been rounded


def test_what_softmax_gives_is_not_rounded_on_its_way_out() -> None:
    model = models.conv_net()
    graph = apply_precision(folded(model), "bfloat16", layer_names=layer_names(model))
    operations = models.operators(graph)
    node = operations[next(iter(graph.outputs.values())).partition(":")[0]]
    while node.type != "Softmax":
        assert node.outputs[0].dtype == tf.float32
        node = node.inputs[0].op


def test_weights_are_stored_in_half_the_bytes_and_mixed_keeps_them_float32() -> None:
    graph = folded(models.conv_net())

    def weight_bytes(inference: InferenceGraph) -> int:
        tensors = [op.outputs[0] for op in inference.operations() if op.type == "Const"]
        return sum(t.shape.num_elements() * t.dtype.size for t in tensors if t.shape.num_elements() >= 8)

    assert weight_bytes(apply_precision(graph, "bfloat16")) * 2 == weight_bytes(graph)
    mixed = apply_precision(graph, "mixed")
    assert weight_bytes(mixed) == weight_bytes(graph)
    assert dtypes_by_operator(mixed, "MatMul") == {"bfloat16"}


def test_layers_named_by_a_pattern_stay_float32() -> None:
    model = models.conv_net()
    graph = apply_precision(folded(model), "bfloat16", layer_names=layer_names(model), keep_float32=["sco*"])
    assert dtypes_by_operator(graph, "MatMul") == {"float32"}
    assert dtypes_by_operator(graph, "DepthwiseConv2dNative") == {"bfloat16"}


def test_patterns_work_on_name_scopes_where_no_keras_layer_is_known() -> None:
    graph = apply_precision(folded(models.conv_net()), "bfloat16", keep_float32=["scores*"])
    assert dtypes_by_operator(graph, "MatMul") == {"float32"}


def test_statistics_of_a_layer_norm_stay_float32_and_its_matrix_products_do_not() -> None:
    model = models.transformer()
    graph = apply_precision(folded(model), "bfloat16", layer_names=layer_names(model))
    in_norm = [op for op in graph.operations() if "/norm" in op.name and op.type in ("Mean", "Rsqrt", "Mul", "Sub")]
    assert {op.outputs[0].dtype.name for op in in_norm} == {"float32"}
    products = {
        op.outputs[0].dtype.name for op in graph.operations() if op.type in ("MatMul", "Einsum", "BatchMatMulV2")
    }
    assert products == {"bfloat16"}
    inputs = models.random_inputs(model, 4)
    (expected,), (got,) = model.predict(inputs).values(), models.run_graph(graph, inputs).values()
    assert models.sqnr_db(expected, got) > LEAST_SQNR_DB


@pytest.mark.parametrize("flavor", ["keras3", "tf_keras"])
def test_a_recurrent_loop_is_carried_over(flavor: str) -> None:
    model = models.recurrent(flavor)
    graph = apply_precision(folded(model), "bfloat16", layer_names=layer_names(model))
    inputs = models.random_inputs(model, 4)
    (expected,), (got,) = model.predict(inputs).values(), models.run_graph(graph, inputs).values()
    assert models.sqnr_db(expected, got) > LEAST_SQNR_DB


def test_a_model_of_which_only_the_function_is_known_is_rewritten_too() -> None:
    model = models.conv_net()
    only_function = dataclasses.replace(model, keras_model=None, flavor="saved_model")
    graph = apply_precision(folded(only_function), "bfloat16")
    assert dtypes_by_operator(graph, "MatMul") == {"bfloat16"}
    assert dtypes_by_operator(graph, "Softmax") == {"float32"}
