"""Programs for all chips of a topology: the same results as on one, and what each chip needs for them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.cache import Store, using
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.cloud_tpu import convert, proof, prove
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.converters.cloud_tpu.saved_model import WeightStore
from tfcompress.converters.cloud_tpu.sharding.conversion import shard
from tfcompress.converters.cloud_tpu.sharding.module import Main, Step
from tfcompress.converters.cloud_tpu.sharding.program import Layout, split_program, unsplit
from tfcompress.converters.cloud_tpu.sharding.tensor_plan import tensor_plan
from tfcompress.converters.cloud_tpu.target import CLOUD_TPU
from tfcompress.errors import RecipeError
from tfcompress.graphs.tensorflow.inference_graph import trace
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras, tf

needs_compiler = pytest.mark.skipif(proof.compiler_version() is None, reason="libtpu is not installed")
DEVICES = 8
# Partial sums of float32 are added up in another order.
SUM_TOLERANCE = 1e-5


def wide_net() -> FloatModel:
    """Convolutions, a residual sum, attention and dense layers whose sizes fall into eight parts."""
    keras.utils.set_random_seed(7)
    layers = keras.layers
    inputs = layers.Input((8, 8, 3), name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="first")(inputs)
    y = layers.Conv2D(32, 1, activation="relu", name="second")(x)
    x = layers.Add(name="sum")([x, layers.Conv2D(16, 3, padding="same", name="third")(y)])
    x = layers.Reshape((64, 16), name="tokens")(x)
    x = layers.LayerNormalization(name="norm")(x + layers.MultiHeadAttention(8, 4, name="attention")(x, x))
    x = layers.Dense(64, activation="gelu", name="up")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(layers.Dense(16, name="down")(x))
    return models.float_model_from_keras(keras.Model(inputs, layers.Dense(5, name="scores")(x), name="wide"))


@pytest.mark.parametrize("layout", [pytest.param("data", marks=pytest.mark.slow), "tensor"])
@needs_compiler
def test_eight_devices_give_what_one_gives(layout: Layout, tmp_path: Path) -> None:
    model = wide_net()
    recipe = Recipe(cloud_tpu=CloudTpu(batch_sizes=(8,), topologies=("v6e:2x4",), precision="float32", sharding=layout))
    with using(Store(tmp_path / "cache")):
        artifact = convert(model, None, recipe, _made(tmp_path / "out"))
    inputs = models.random_inputs(model, 8)
    (code,) = re.findall(
        r"```python\n(.*?)```", (artifact.folder / "USE.md").read_text().partition("several chips")[2], re.S
    )
    got = _run_on_devices(code, inputs, artifact.folder, tmp_path)
    (expected,) = models.run_signature(artifact.runnable, "batch_8", inputs).values()
    assert np.abs(got["scores"] - expected).max() < SUM_TOLERANCE
    assert np.abs(got["scores"] - np.roll(expected, 1, axis=0)).max() > SUM_TOLERANCE
    _check_row(artifact, layout)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _run_on_devices(code: str, inputs: dict[str, np.ndarray], folder: Path, scratch: Path) -> dict[str, np.ndarray]:
    """Run USE.md's program on simulated CPU devices, on these inputs in place of its zeros."""
    np.savez(scratch / "inputs.npz", allow_pickle=False, **inputs)
    taken = re.sub(r"(?m)^inputs = .*$", f"inputs = np.load({str(scratch / 'inputs.npz')!r})", code)
    code = f"{taken}\nassert len(devices) == {DEVICES}\nnp.savez({str(scratch / 'outputs.npz')!r}, **outputs)\n"
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={DEVICES}",
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(scratch / "outputs.npz"))


def _check_row(artifact: Artifact, layout: Layout) -> None:
    rows = json.loads((artifact.folder / "compile.json").read_text())
    whole, split = (next(row for row in rows if bool(row["sharding"]) is kind) for kind in (False, True))
    assert (split["sharding"], split["devices"], split["ok"]) == (layout, DEVICES, True)
    exchanged = split["figures"]["collectives"]
    if layout == "data":
        assert exchanged == {}
    else:
        assert exchanged["all-reduce"]["count"] >= 3
        assert split["argument_bytes"] < whole["argument_bytes"]
    assert any(f"v6e:2x4, {layout}: fits up to batch 8" in note for note in artifact.notes)


@needs_compiler
def test_where_the_batch_cannot_be_split_the_weights_are(tmp_path: Path) -> None:
    graphs = [trace(wide_net(), 2)]
    (tmp_path / "USE.md").touch()
    with using(Store(tmp_path / "cache")):
        result = shard(graphs, "data", ("v5e:2x2", "v6e:1x1"), tmp_path)
    assert [(row.sharding, row.ok) for row in result.rows] == [("data", False), ("tensor", True)]
    assert "batch 2 does not fall into equal parts for 4 devices" in str(result.rows[0].error)
    assert {path.name for path in (tmp_path / "sharded").iterdir()} == {
        "tensor_4_devices_batch_2.json",
        "tensor_4_devices_batch_2.stablehlo",
    }


@needs_compiler
def test_products_take_turns_in_how_their_weights_are_split() -> None:
    keras.utils.set_random_seed(7)
    layers = keras.layers
    inputs = layers.Input((16, 32), name="tokens")
    x = inputs + layers.MultiHeadAttention(8, 6, name="attention")(inputs, inputs)
    y = layers.Dense(128, activation="gelu", name="up")(layers.LayerNormalization(name="norm")(x))
    model = keras.Model(inputs, x + layers.Dense(32, name="down")(y), name="block")
    splits = _splits(models.float_model_from_keras(model))
    assert splits[(32, 8, 6)] == 1  # heads of queries, keys and values
    assert splits[(8, 6, 32)] == 0  # the same heads, over which the chips add up
    assert splits[(32, 128)] == 1
    assert splits[(128,)] == 0
    assert splits[(128, 32)] == 0
    assert splits[(32,)] is None


def _splits(model: FloatModel) -> dict[tuple[int, ...], int | None]:
    """{sizes of a weight: the dimension that is split}."""
    whole = unsplit(trace(model, 8), WeightStore(freeze=False, abstract=True))
    arguments = split_program(whole, "tensor", 8).arguments
    return {whole.main.shapes[index]: arguments[index] for index in range(1, whole.main.arguments)}


def test_a_weight_that_no_rule_places_is_split_where_it_is_large() -> None:
    step = Step("sort", (0, 1, 2), (3,))
    main = Main({0: (4, 8), 1: (512, 1024), 2: (3, 5), 3: (4, 8)}, 3, (step,), (3,))
    assert tensor_plan(main, 1, 4) == (None, 1, None)


def test_a_size_that_does_not_fall_into_equal_parts_stays_whole() -> None:
    dot = {
        "lhs_batching_dimensions": (),
        "rhs_batching_dimensions": (),
        "lhs_contracting_dimensions": (1,),
        "rhs_contracting_dimensions": (0,),
    }
    main = Main({0: (4, 8), 1: (8, 6), 2: (4, 6)}, 2, (Step("dot_general", (0, 1), (2,), dot),), (2,))
    assert tensor_plan(main, 1, 4) == (None, None)
    assert tensor_plan(main, 1, 3) == (None, 1)


@needs_compiler
def test_a_foreign_saved_model_is_split_by_its_variables(tmp_path: Path) -> None:
    module = tf.Module()
    module.w = tf.Variable(tf.ones([256, 512]))
    spec = tf.TensorSpec([None, 256], name="x")
    module.f = tf.function(lambda x: tf.nn.relu(x @ module.w), input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "foreign"), signatures=module.f)
    with using(Store(tmp_path / "cache")):
        whole, split = prove(tmp_path / "foreign", ["v5e:2x2"], batch_sizes=(4,), sharding="tensor")
    assert (whole.sharding, split.sharding, split.devices) == (None, "tensor", 4)
    assert split.weight_bytes == (whole.weight_bytes or 0) / 4


def test_what_several_chips_hold_together_is_no_failure() -> None:
    row = {"topology": "v5e:2x2", "batch_size": 8, "ok": False, "error": "too large", "sharding": None, "devices": 1}
    split = row | {"ok": True, "error": None, "sharding": "tensor", "devices": 4}
    assert CLOUD_TPU.refusal({"compile": [row, split]}) is None
    assert "too large" in str(CLOUD_TPU.refusal({"compile": [row]}))
    assert "too large" in str(CLOUD_TPU.refusal({"compile": [row, split | {"batch_size": 32}]}))


def test_frozen_weights_cannot_be_split() -> None:
    with pytest.raises(RecipeError, match="none beside freeze"):
        CloudTpu(sharding="tensor", freeze=True)
