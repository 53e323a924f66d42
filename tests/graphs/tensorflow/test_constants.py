"""Large constants stand beside a graph, so that its copies share them and TensorFlow reads graphs of any size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.converters.cloud_tpu.conversion import convert
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.cloud_tpu.plain import float_graph
from tfcompress.graphs.tensorflow.constants import LARGE_BYTES, constant_value, fill
from tfcompress.graphs.tensorflow.inference_graph import GraphEditor, InferenceGraph, trace
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras

SIZE = 800  # a kernel of SIZE x SIZE is large in bfloat16 too, a bias is not
TOLERANCE = 1e-5
BFLOAT16_TOLERANCE = 0.05
TWO_GIB = 2**31
NEEDED_BYTES = 16 * 2**30


def wide(width: int = SIZE, layers: int = 1) -> FloatModel:
    """Dense layers with a batch norm behind the last one."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((width,), name="x")
    for _ in range(layers):
        x = keras.layers.Dense(width, activation="relu")(x)
    x = keras.layers.BatchNormalization()(keras.layers.Dense(4)(x))
    return float_model_from_keras(keras.Model(inputs, x, name="wide"))


def contents(graph: InferenceGraph) -> dict[str, int]:
    """{constant: bytes of its value inside of the graph}."""
    return {n.name: len(n.attr["value"].tensor.tensor_content) for n in graph.graph_def.node if n.op == "Const"}


def test_large_constants_are_beside_the_graph_and_small_ones_in_it() -> None:
    graph = trace(wide(), 2)
    assert [value.nbytes for value in graph.large.values()] == [4 * SIZE * SIZE]
    assert max(contents(graph).values()) <= LARGE_BYTES
    assert 4 * SIZE in contents(graph).values()  # the bias


def test_a_graph_computes_what_its_model_does_at_every_precision() -> None:
    model = wide()
    inputs = models.random_inputs(model, 2)
    (expected,) = model.predict(inputs).values()
    for options, tolerance in (
        (CloudTpu(precision="float32"), TOLERANCE),
        (CloudTpu(precision="bfloat16"), BFLOAT16_TOLERANCE),
    ):
        graph = float_graph(model, 2, options, ())
        (got,) = models.run_graph(graph, inputs).values()
        assert np.abs(expected - got).max() <= tolerance * np.abs(expected).max()
    broken = replace(graph, large={name: -value for name, value in graph.large.items()})
    (got,) = models.run_graph(broken, inputs).values()
    assert np.abs(expected - got).max() > BFLOAT16_TOLERANCE * np.abs(expected).max()


def test_copies_of_a_graph_share_its_large_constants() -> None:
    graph = trace(wide(), 2)
    copy = GraphEditor(graph).result()
    assert copy.graph_def is not graph.graph_def
    assert all(copy.large[name] is value for name, value in graph.large.items())


def test_a_whole_graph_has_its_values_back() -> None:
    graph = trace(wide(), 2)
    ((name, value),) = graph.large.items()
    fill(graph.graph_def, graph.large)
    node = next(node for node in graph.graph_def.node if node.name == name)
    np.testing.assert_array_equal(constant_value(node, {}), value)


@pytest.mark.slow
def test_a_model_of_more_than_two_gib_is_converted_and_compiled(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    if psutil.virtual_memory().available < NEEDED_BYTES:
        pytest.skip("needs 16 GiB of free memory")
    model = wide(6144, layers=15)
    assert model.float_bytes is not None
    assert model.float_bytes > TWO_GIB
    options = CloudTpu(batch_sizes=(1,), topologies=("v5e:1x1",))
    artifact = convert(model, None, Recipe(cloud_tpu=options), tmp_path)
    assert sum(path.stat().st_size for path in (tmp_path / "saved_model").rglob("*")) > TWO_GIB // 2
    assert any(note.startswith("no model.stablehlo: 1.1 GiB of weights") for note in artifact.notes)
    assert "model.stablehlo" not in (tmp_path / "USE.md").read_text()
