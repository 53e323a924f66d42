"""USE.md: the samples of each target run as they are printed, and give what the file gives."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters import edgetpu, phone
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.converters.usage import Port, Ports, sample
from tfcompress.converters.usage.tflite import edgetpu_page, phone_page
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import keras
from tfcompress.usage import Normalization, Usage

LABELS = ("cat", 'a "wild" $dog', "back\\slash")
PRINTED_DIGITS = 1e-4  # of numpy's printed arrays
INTEGER = Ports(
    (Port("picture", (1, 4, 4, 3), "uint8", 0.0078125, 128, Normalization((127.5,), (127.5,))),),
    (Port("kind", (1, 3), "int8", 0.00390625, -128),),
    LABELS,
    0,
)
FLOATS = Ports(
    (Port("a b", (1, 4), "float32"), Port("model", (1, 2), "int32")), (Port("kind", (1, 3), "float32"),), LABELS, 0
)


@pytest.fixture(scope="module")
def model() -> FloatModel:
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 6, 3), name="picture")
    y = keras.layers.Conv2D(4, 3, activation="relu", name="first")(x)
    y = keras.layers.GlobalAveragePooling2D(name="mean")(y)
    y = keras.layers.Dense(3, activation="softmax", name="kind", bias_initializer="random_normal")(y)
    unlabelled = float_model_from_keras(keras.Model(x, y))
    return FloatModel(**{**vars(unlabelled), "usage": Usage(class_names=LABELS)})


@pytest.fixture(scope="module", params=["phone", "edgetpu"])
def folder(request: pytest.FixtureRequest, model: FloatModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = np.random.default_rng(0).normal(size=(32, 6, 6, 3)).astype(np.float32)
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    recipe = Recipe(post_training=PostTraining(quality="fast", io="uint8"), edgetpu=EdgeTpu())
    target = {"phone": phone, "edgetpu": edgetpu}[request.param]
    path: Path = target.convert(model, samples, recipe, tmp_path_factory.mktemp(request.param)).folder
    return path


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_python_sample_prints_what_the_file_computes(folder: Path) -> None:
    (code,) = [block for block in blocks((folder / "USE.md").read_text(), "python") if "ai_edge_litert" in block]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    numbers, best = done.stdout.splitlines()
    (wanted,) = LiteRtRunner(folder / "model.tflite").run({"picture": np.zeros((1, 6, 6, 3), np.float32)}).values()
    probabilities = np.array(re.findall(r"\d+\.?\d*(?:e-?\d+)?", numbers.removeprefix("kind")), float)
    assert np.abs(probabilities - wanted[0]).max() <= PRINTED_DIGITS
    assert np.abs(np.roll(probabilities, 1) - wanted[0]).max() > 10 * PRINTED_DIGITS  # else any order would do
    assert best == LABELS[int(wanted[0].argmax())]


def test_the_page_has_the_names_shapes_types_and_labels(folder: Path) -> None:
    page = (folder / "USE.md").read_text()
    assert re.search(r"\| input 0 \| `picture` \| \[1, 6, 6, 3\] \| uint8 \| [\d.]+ × \(number − \d+\) \|", page)
    assert "`back\\slash`" in page
    assert "@" not in re.sub(r"@litertjs", "", page)


def test_the_coral_sample_has_the_compiler_s_command() -> None:
    page = edgetpu_page(INTEGER)
    assert blocks(page, "shell") == ["edgetpu_compiler -s model.tflite\n"]
    assert "from pycoral.utils.edgetpu import make_interpreter" in page
    for code in blocks(page, "python"):
        compile(code, "USE.md", "exec")


def test_a_client_that_cannot_read_the_file_is_told_with_the_flag() -> None:
    page = phone_page(INTEGER)
    assert "not int8: convert with `--io=float32` or `--io=uint8`" in page
    assert "MediaPipe takes uint8 or float32 at the edges: convert with `--io=uint8`" in page
    plain = phone_page(FLOATS)
    assert "new Tensor(new Int32Array(2), [1, 2]),  // model" in plain
    assert "MediaPipe" not in plain


def test_integers_are_scaled_in_every_language() -> None:
    page = phone_page(INTEGER)
    (kotlin,), (swift,) = blocks(page, "kotlin"), blocks(page, "swift")
    assert "(round(picture_input[it] / 0.0078125f).toInt() + 128).coerceIn(0, 255).toByte()" in kotlin
    assert "0.00390625f * (it.toInt() - (-128))" in kotlin
    assert "[UInt8]" not in swift
    assert "UInt8(min(max(($0 / 0.0078125).rounded() + Float(128), 0), 255))" in swift
    assert "Array($0.bindMemory(to: Int8.self))" in swift
    assert '"a \\"wild\\" \\$dog"' in kotlin


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_the_c_plus_plus_sample_compiles_against_the_interface(tmp_path: Path) -> None:
    for header in ("interpreter.h", "interpreter_builder.h", "kernels/register.h", "model_builder.h"):
        path = tmp_path / "tensorflow/lite" / header
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#include "{Path(__file__).with_name("tflite_stub.h")}"\n')
    for ports in (INTEGER, FLOATS):
        (code,) = blocks(phone_page(ports), "cpp")
        (tmp_path / "main.cc").write_text(code)
        command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "-c", "main.cc", "-o", "main.o"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stderr == ""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_javascript_sample_is_javascript(tmp_path: Path) -> None:
    (code,) = blocks(phone_page(FLOATS), "js")
    (tmp_path / "sample.mjs").write_text(code)
    subprocess.run(["node", "--check", tmp_path / "sample.mjs"], check=True, env=dict(os.environ))


def test_a_place_without_a_value_is_a_programming_error() -> None:
    with pytest.raises(KeyError, match="feed"):
        sample("python", file="model.tflite")
    with pytest.raises(ValueError, match="no place for labels"):
        sample("python", file="model.tflite", feed="", read="", labels="")
