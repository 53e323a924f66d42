"""Post-processing at the end of a model: it stays on the CPU and spoils nothing of what is before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.converters.edgetpu.graphs import GraphBuilder
from tfcompress.converters.edgetpu import Status, convert, forecast
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.data import samples_from_arrays
from tfcompress.graphs.tflite import read_tflite
from tfcompress.load import float_model_from_keras
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf, tf_keras

layers = tf_keras.layers


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty_path")))


def stem() -> tuple[Any, Any]:
    inputs = layers.Input((16, 16, 3))
    return inputs, layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(inputs)


def heads(features: Any) -> tuple[Any, Any]:
    boxes = layers.Reshape((-1, 4), name="boxes")(layers.Conv2D(8, 3, padding="same", name="box_head")(features))
    scores = layers.Reshape((-1, 2), name="flat")(layers.Conv2D(4, 3, padding="same", name="score_head")(features))
    return boxes, layers.Activation("sigmoid", name="scores")(scores)


def converted(model: Any, folder: Path, **options: Any) -> Any:
    float_model = float_model_from_keras(model)
    images = np.random.default_rng(0).normal(size=[8, 16, 16, 3]).astype(np.float32)
    samples = samples_from_arrays(images, model_inputs=float_model.inputs, model_outputs=float_model.outputs)
    recipe = Recipe(edgetpu=EdgeTpu(**options), post_training=PostTraining(quality="fast"))
    return convert(float_model, samples, recipe, folder)


def on_cpu(mapping: Any) -> list[str]:
    return [row["op"] for row in mapping["ops"] if not row["mapped"]]


def test_a_detector_with_a_split_and_two_outputs_maps_between_its_float_edges(tmp_path: Path) -> None:
    inputs, features = stem()
    first, second = tf.split(features, 2, axis=-1)
    model = tf_keras.Model(inputs, heads(layers.Concatenate(name="joined")([second, first])))
    artifact = converted(model, tmp_path, float_io=True)
    mapping = artifact.facts["mapping"]
    assert artifact.facts["output_dtypes"] == ["float32", "float32"]
    assert on_cpu(mapping) == ["QUANTIZE", "DEQUANTIZE", "DEQUANTIZE"]
    assert mapping["ops"][0]["op"] == "QUANTIZE"
    parts = [row for row in mapping["ops"] if row["op"] in ("SPLIT", "SLICE", "STRIDED_SLICE")]
    assert len(parts) == 2
    assert all(row["mapped"] for row in parts)
    assert mapping["subgraphs"] == 1
    assert mapping["tail"]["names"] == ["DEQUANTIZE"]
    assert len(mapping["tail"]["tensors"]) == 2


def test_the_index_arithmetic_after_an_argmax_leaves_the_additions_before_it_on_the_edge_tpu(tmp_path: Path) -> None:
    inputs, features = stem()
    features = layers.Add(name="residual")([features, layers.Conv2D(8, 1)(features)])
    classes = tf.argmax(layers.Conv2D(5, 1, name="logits")(features), axis=-1, output_type=tf.int64) + 1
    artifact = converted(tf_keras.Model(inputs, classes), tmp_path)
    mapping = artifact.facts["mapping"]
    assert on_cpu(mapping) == ["ARG_MAX", "ADD"]
    additions = [op.version for op in read_tflite(artifact.runnable).main.operators if op.name == "ADD"]
    assert additions[0] <= 2 < additions[1]
    assert mapping["tail"]["names"] == ["ARG_MAX", "ADD"]
    assert any("logits" in tensor for tensor in mapping["tail"]["tensors"])
    assert any("after the Edge TPU part" in note for note in artifact.notes)


def test_non_maximum_suppression_is_the_tail_of_a_detector(tmp_path: Path) -> None:
    def suppress(pair: Any) -> Any:
        chosen, _ = tf.image.non_max_suppression_padded(pair[0][0], pair[1][0, :, 0], 10, pad_to_max_output_size=True)
        return chosen[None]

    inputs, features = stem()
    boxes, scores = heads(features)
    model = tf_keras.Model(inputs, [boxes, scores, layers.Lambda(suppress, name="nms")([boxes, scores])])
    mapping = converted(model, tmp_path).facts["mapping"]
    assert mapping["failure"] is None
    assert {"CONV_2D", "LOGISTIC"}.isdisjoint(on_cpu(mapping))
    assert "NON_MAX_SUPPRESSION_V4" in mapping["tail"]["names"]
    assert mapping["tail"]["operators"] == [row["index"] for row in mapping["ops"] if not row["mapped"]]


def large_softmax() -> bytes:
    graph = GraphBuilder()
    source, logits, result = graph.input([1, 8]), graph.tensor([1, 70_000]), graph.tensor([1, 70_000])
    weights = graph.weights([70_000, 8])
    graph.operator("FULLY_CONNECTED", [source, weights, -1], [logits], "FullyConnectedOptions", version=4)
    graph.operator("SOFTMAX", [logits], [result], "SoftmaxOptions", version=2)
    return graph.content(result)


def test_a_large_softmax_is_a_tail_of_its_own() -> None:
    mapping = forecast(read_tflite(large_softmax()))
    assert [row.mapped for row in mapping.operators] == [True, False]
    assert mapping.tail is not None
    assert (mapping.tail.operators, mapping.tail.names, mapping.tail.tensors) == ((1,), ("SOFTMAX",), ("t1",))


def test_what_is_before_or_beside_the_edge_tpu_part_is_no_tail() -> None:
    graph = GraphBuilder()
    source, number = graph.input([1, 8], "float32"), graph.input([1, 8], "int32")
    inside, middle, other = graph.tensor([1, 8]), graph.tensor([1, 8]), graph.tensor([1, 8], "int32")
    graph.operator("QUANTIZE", [source], [inside], "QuantizeOptions")
    graph.operator("RELU", [inside], [middle], version=2)
    graph.operator("ADD", [number, number], [other], "AddOptions")
    mapping = forecast(read_tflite(graph.content(middle, other)))
    assert [row.mapped for row in mapping.operators] == [False, True, False]
    assert mapping.operators[2].status == Status.DATA_TYPE
    assert mapping.tail is None
