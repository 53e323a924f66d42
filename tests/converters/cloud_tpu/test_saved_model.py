"""The SavedModel: signatures, any number of samples, XLA after a load, the same bytes each time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.converters.cloud_tpu.saved_model import write_saved_model
from tfcompress.errors import ConversionError
from tfcompress.graphs.tensorflow.inference_graph import trace
from tfcompress.graphs.tensorflow.private_names import SavedModel
from tfcompress.runtime import tf

FLOAT32_TOLERANCE = 1e-5
SIZES = (1, 4)


@pytest.fixture(scope="module")
def conv_net_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conv_net") / "1"
    model = models.conv_net()
    write_saved_model([trace(model, size) for size in SIZES], folder)
    return folder


def assert_equal_to_float(expected: dict[str, np.ndarray], got: dict[str, np.ndarray]) -> None:
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        assert value.shape == got[name].shape
        assert value.dtype == got[name].dtype
        assert np.abs(value - got[name]).max() <= FLOAT32_TOLERANCE * np.abs(value).max()


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_serving_default_takes_any_number_of_samples(conv_net_folder: Path, count: int) -> None:
    model = models.conv_net()
    inputs = models.random_inputs(model, count)
    assert_equal_to_float(model.predict(inputs), models.run_signature(conv_net_folder, "serving_default", inputs))


def test_no_samples_give_an_empty_result(conv_net_folder: Path) -> None:
    empty = models.random_inputs(models.conv_net(), 0)
    (result,) = models.run_signature(conv_net_folder, "serving_default", empty).values()
    assert result.shape == (0, 10)


def test_the_tolerance_would_catch_samples_in_the_wrong_order(conv_net_folder: Path) -> None:
    model = models.conv_net()
    inputs = models.random_inputs(model, 4)
    got = models.run_signature(conv_net_folder, "batch_4", {name: value[::-1] for name, value in inputs.items()})
    with pytest.raises(AssertionError):
        assert_equal_to_float(model.predict(inputs), got)


def test_a_sample_has_the_same_result_at_each_batch_size(conv_net_folder: Path) -> None:
    inputs = models.random_inputs(models.conv_net(), 4)
    (four,) = models.run_signature(conv_net_folder, "batch_4", inputs).values()
    for row in range(4):
        sample = {name: value[row : row + 1] for name, value in inputs.items()}
        (single,) = models.run_signature(conv_net_folder, "batch_1", sample).values()
        assert np.abs(single[0] - four[row]).max() <= FLOAT32_TOLERANCE * np.abs(four).max()


def test_functions_are_compiled_by_xla_after_a_load(conv_net_folder: Path) -> None:
    saved = SavedModel.FromString((conv_net_folder / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    compiled = [f for f in functions if f.signature.name.startswith("__inference_infer")]
    assert len(compiled) == len(SIZES)
    assert all(f.attr["_XlaMustCompile"].b for f in compiled)


def test_names_and_dtypes_of_several_inputs_and_outputs_are_kept(tmp_path: Path) -> None:
    model = models.two_inputs_two_outputs()
    write_saved_model([trace(model, size) for size in SIZES], tmp_path / "1")
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    specs = signature.structured_input_signature[1]
    assert {name: (spec.shape.as_list(), spec.dtype.name) for name, spec in specs.items()} == {
        "tokens": ([None, 4], "int32"),
        "vector": ([None, 3], "float32"),
    }
    inputs = models.random_inputs(model, 3)
    assert_equal_to_float(model.predict(inputs), models.run_signature(tmp_path / "1", "serving_default", inputs))


def test_the_keys_of_dictionaries_are_the_names(tmp_path: Path) -> None:
    model = models.named_inputs_and_outputs()
    write_saved_model([trace(model, size) for size in SIZES], tmp_path / "1")
    inputs = models.random_inputs(model, 3)  # padded to 4 and cut to 3
    assert inputs.keys() == {"words", "speed"}
    got = models.run_signature(tmp_path / "1", "serving_default", inputs)
    assert {name: value.shape for name, value in got.items()} == {"sum": (3, 2), "kind": (3, 3)}
    assert_equal_to_float(model.predict(inputs), got)


@pytest.mark.parametrize("flavor", ["keras3", "tf_keras"])
def test_a_loop_runs_after_a_load(tmp_path: Path, flavor: str) -> None:
    model = models.recurrent(flavor)
    write_saved_model([trace(model, size) for size in SIZES], tmp_path / "1")
    inputs = models.random_inputs(model, 3)
    assert_equal_to_float(model.predict(inputs), models.run_signature(tmp_path / "1", "serving_default", inputs))


@pytest.mark.parametrize("flavor", ["keras3", "tf_keras"])
def test_a_function_with_a_gradient_of_its_own_is_saved(tmp_path: Path, flavor: str) -> None:
    layers = models.FLAVORS[flavor].layers
    inputs = layers.Input((6,), name="x")
    result = layers.Dense(3, activation="swish")(layers.Dense(4, activation="swish")(inputs))
    model = models.float_model_from_keras(models.FLAVORS[flavor].Model(inputs, result))
    graph = trace(model, 2)
    assert "IdentityN" not in {node.op for node in graph.graph_def.node}
    write_saved_model([graph], tmp_path / "1")
    samples = models.random_inputs(model, 2)
    assert_equal_to_float(model.predict(samples), models.run_signature(tmp_path / "1", "batch_2", samples))


def test_frozen_weights_are_constants(tmp_path: Path) -> None:
    model = models.conv_net()
    write_saved_model([trace(model, 2)], tmp_path / "1", freeze=True)
    assert not tf.saved_model.load(str(tmp_path / "1")).weights_
    inputs = models.random_inputs(model, 2)
    assert_equal_to_float(model.predict(inputs), models.run_signature(tmp_path / "1", "batch_2", inputs))


def test_an_output_without_the_batch_in_front_is_refused(tmp_path: Path) -> None:
    model = models.float_model_from_keras(
        models.keras.Sequential([models.keras.Input((3,)), models.keras.layers.Lambda(lambda x: tf.transpose(x))])
    )
    with pytest.raises(ConversionError, match="expected the batch as its first dimension"):
        write_saved_model([trace(model, 2)], tmp_path / "1")


WRITE = """
import sys
from pathlib import Path
from tests.converters.cloud_tpu import models
from tfcompress.graphs.tensorflow.inference_graph import trace
from tfcompress.converters.cloud_tpu.saved_model import write_saved_model
from tfcompress.converters.cloud_tpu.stablehlo import lower_graph
model = models.recurrent("tf_keras") if sys.argv[2] == "lstm" else models.conv_net()
if sys.argv[3] == "later":
    trace(models.conv_net(), 3)
graphs = [trace(model, size) for size in (1, 4)]
write_saved_model(graphs, Path(sys.argv[1], "1"))
Path(sys.argv[1], "model.stablehlo").write_bytes(lower_graph(graphs[0]))
"""


def bytes_written(folder: Path, *arguments: str, seed: str) -> dict[str, str]:
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-c", WRITE, str(folder), *arguments],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("kind", ["conv", pytest.param("lstm", marks=pytest.mark.slow)])
def test_two_processes_write_the_same_bytes(tmp_path: Path, kind: str) -> None:
    first = bytes_written(tmp_path / "a", kind, "first", seed="1")
    second = bytes_written(tmp_path / "another_folder", kind, "later", seed="2")
    assert first == second


def test_no_path_of_this_machine_is_written(conv_net_folder: Path) -> None:
    marks = [str(Path(__file__).parents[3]).encode(), str(conv_net_folder.parent).encode(), b".py"]
    for path in conv_net_folder.rglob("*"):
        if path.is_file():
            assert not [mark for mark in marks if mark in path.read_bytes()], path.name
