"""TFLM's own interpreter says what runs, in how much memory, and what it computes."""

from __future__ import annotations

import importlib.util
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.converters.micro.conftest import RECIPE
from tests.converters.npu import models
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.artifact import Artifact
from tfcompress.converters.micro import convert, prove
from tfcompress.converters.micro.operators import RESOLVER_METHODS
from tfcompress.converters.micro.proof import NOT_PROVEN
from tfcompress.converters.micro.runner import MicroRunner, runner_of
from tfcompress.data import samples_from_arrays
from tfcompress.errors import ConversionError, MissingExtraError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.finished import finished
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.runtime import keras, tf

MOST_STEPS = 1  # of the output: TFLM's softmax against LiteRT's reference one


def test_the_table_has_every_builtin_operator_of_the_package() -> None:
    spec = importlib.util.find_spec("tflite_micro")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    (library,) = Path(next(iter(spec.submodule_search_locations))).rglob("_runtime*.so")
    kernels = {name.decode() for name in re.findall(rb"\d+Register_([A-Z0-9_]+?)Ev", library.read_bytes())}
    # Custom operators of TFLM's signal library, Ethos-U's and DECODE, which no converter of ours writes.
    custom = {
        "CIRCULAR_BUFFER",
        "DELAY",
        "ENERGY",
        "ETHOSU",
        "FRAMER",
        "IRFFT",
        "OVERLAP_ADD",
        "PCAN",
        "RFFT",
        "STACKER",
    }
    custom |= {"WINDOW", "DECODE", "BASIC_CLASSIFIER", "L2NORM_REF", "DETECTION_POSTPROCESS", "FFT_AUTO_SCALE"}
    builtin = {name for name in kernels if not name.startswith(("FILTER_BANK", "IRFFT_", "RFFT_", "OVERLAP_ADD_"))}
    assert builtin - custom == set(RESOLVER_METHODS) - {"TFLite_Detection_PostProcess"}


def test_the_arena_is_the_smallest_that_suffices(artifact: Artifact) -> None:
    content = artifact.runnable.read_bytes()
    mapping = prove(content, use_cache=False).mapping
    assert mapping.compiled
    assert mapping.cpu_ops == 0
    assert mapping.sram_bytes is not None
    assert mapping.sram_bytes >= int(str(mapping.figures["arena_used_bytes"]))
    assert runs_in(artifact.runnable, mapping.sram_bytes)
    assert not runs_in(artifact.runnable, mapping.sram_bytes - 16)


def runs_in(path: Path, arena: int) -> bool:
    """Whether TFLM runs a file in so many bytes; in a process of its own, as it may crash."""
    lines = (
        "import sys, numpy; from tflite_micro import runtime",
        "interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))",
        "detail = interpreter.get_input_details(0)",
        "interpreter.set_input(numpy.zeros(detail['shape'], detail['dtype']), 0); interpreter.invoke()",
    )
    command = [sys.executable, "-c", "\n".join(lines), str(path), str(arena)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_the_runner_gives_what_litert_s_reference_kernels_give(artifact: Artifact, pictures: np.ndarray) -> None:
    content = artifact.runnable.read_bytes()
    micro, reference = runner_of(content, name="model"), LiteRtRunner(content, reference=True)
    assert isinstance(micro, MicroRunner)
    outputs, wanted = (runner.run({"picture": pictures[:20]})["kind"] for runner in (micro, reference))
    step = 1 / 256
    assert outputs.shape == (20, 3)
    assert np.abs(outputs - wanted).max() <= MOST_STEPS * step
    assert np.abs(np.roll(outputs, 1, axis=0) - wanted).max() > 10 * MOST_STEPS * step  # else any answer would do


def test_a_refused_type_is_told_in_tflm_s_words_with_the_fix() -> None:
    content = finished(models.int8_file(lambda x: tf.math.log(tf.abs(x) + 0.5)))
    mapping = prove(content, use_cache=False).mapping
    assert mapping.compiled is False
    (row,) = [row for row in mapping.operators if not row.mapped]
    assert (row.operator, row.keras_layer) == ("LOG", "middle_1")
    assert "INT8 != FLOAT32" in row.reason
    assert "--keep_float" in row.fix


def test_an_operator_that_tflm_lacks_ends_the_conversion_with_its_layer_and_the_fix(
    pictures: np.ndarray, tmp_path: Path
) -> None:
    x = keras.Input(pictures.shape[1:], name="picture")
    y = keras.layers.Conv2D(4, 3, name="first")(x)
    y = keras.layers.Lambda(lambda value: tf.math.atan2(value, tf.abs(value) + 1.0), name="angle")(y)
    model = float_model_from_keras(keras.Model(x, y))
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    with pytest.raises(ConversionError, match=r"TensorFlow Lite Micro cannot run .*ATAN2 \(layer '\w+'\): .*; \w+"):
        convert(model, samples, RECIPE, tmp_path)


def test_without_the_package_the_error_names_the_command(
    model: FloatModel, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    with pytest.raises(ConversionError, match=r"needs tflite-micro.*pip install 'tfcompress\[micro\]'"):
        convert(model, samples, RECIPE, tmp_path)
    with pytest.raises(MissingExtraError):
        runner_of(b"", name="x")


def test_where_there_is_no_wheel_the_file_is_made_and_the_page_says_what_is_not_proven(
    model: FloatModel, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    converted = convert(model, samples, RECIPE, tmp_path)
    assert any(NOT_PROVEN in note for note in converted.notes)
    assert f"Not proven: {NOT_PROVEN}" in (tmp_path / "USE.md").read_text()
    assert "not measured" in (tmp_path / "model.h").read_text()
    assert not isinstance(runner_of(converted.runnable.read_bytes(), name="x"), MicroRunner)


@pytest.mark.parametrize("kind", ["LSTM", pytest.param("GRU", marks=pytest.mark.slow)])
def test_a_recurrent_layer_is_no_row_of_steps_and_answers_each_call_afresh(kind: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    layer = getattr(keras.layers, kind)(8)
    model = float_model_from_keras(keras.Sequential([keras.Input((20, 4), name="x"), layer, keras.layers.Dense(2)]))
    series = np.random.default_rng(0).normal(size=(100, 20, 4)).astype(np.float32)
    samples = samples_from_arrays(series, model_inputs=model.inputs, model_outputs=model.outputs)
    converted = convert(model, samples, RECIPE, tmp_path)
    assert any("which this target takes" in note for note in converted.notes)
    content = converted.runnable.read_bytes()
    assert sum(len(graph.operators) for graph in read_tflite(content).subgraphs) < 40
    micro, reference = runner_of(content, name="model"), LiteRtRunner(content, reference=True)
    for rows in ([0, 1], [1, 0]):  # a state that stays would show the second time
        (outputs,), (wanted,) = (runner.run({"x": series[rows]}).values() for runner in (micro, reference))
        step = read_tflite(content).main.tensors[read_tflite(content).main.outputs[0]].quantization
        assert step is not None
        assert np.abs(outputs - wanted).max() <= MOST_STEPS * step.scales[0] * 1.01
