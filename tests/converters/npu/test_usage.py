"""USE.md of the compiled targets and of ONNX: samples run, or compile, as they are printed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.converters.test_usage import INTEGER, LABELS, blocks
from tfcompress.accuracy_diff.runners import FloatModelRunner
from tfcompress.converters.ethos_u.usage import usage as ethos_u_page
from tfcompress.converters.npu.mapping import CompiledMapping, OperatorRow
from tfcompress.converters.snapdragon.usage import usage as snapdragon_page
from tfcompress.data import samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import Recipe
from tfcompress.runtime import keras
from tfcompress.usage import Usage

ROWS = (
    OperatorRow(0, "CONV_2D", True, "", "a", "first", ""),
    OperatorRow(1, "SOFTMAX", False, "not supported", "b", "kind", "leave it"),
)
FILES = [
    CompiledMapping("ethos-u55-128", True, ROWS, cycles=1200, sram_bytes=5000, file="model_ethos-u55-128.tflite"),
    CompiledMapping("ethos-u65-256", False, (), reason="too large"),
]
STUB = Path(__file__).parents[1] / "micro/tflm_stub.h"
INT8_ERROR = 0.1  # of a probability, by 8-bit weights and activations of an untrained network


def test_the_page_of_snapdragon_scales_integers_and_names_each_file() -> None:
    page = snapdragon_page(INTEGER, [CompiledMapping("SM8750", True, ROWS, file="model_SM8750.tflite")])
    assert "| `model_SM8750.tflite` | SM8750 (Snapdragon 8 Elite) | 1 of 2 |" in page
    (kotlin,) = blocks(page, "kotlin")
    assert "(round(picture_input[it] / 0.0078125f).toInt() + 128).coerceIn(0, 255)" in kotlin
    assert "model_${Build.SOC_MODEL}.tflite" in kotlin
    assert "Licence" in page


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_the_sample_for_ethos_u_compiles_and_registers_what_is_left_to_the_cpu(tmp_path: Path) -> None:
    page = ethos_u_page(INTEGER, FILES)
    assert "model_ethos-u65-256" not in page  # it was not made
    (code,) = blocks(page, "cpp")
    assert re.findall(r"resolver\.(\w+)\(\)", code) == ["AddEthosU", "AddSoftmax"]
    assert "MicroMutableOpResolver<2>" in code
    for name in ("micro/micro_interpreter.h", "micro/micro_mutable_op_resolver.h", "schema/schema_generated.h"):
        path = tmp_path / "tensorflow/lite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#define TFLM_OPEN\n#define TFLM_CLOSE\n#include "{STUB}"\n')
    (tmp_path / "main.cc").write_text(code)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I.", "-c", "main.cc", "-o", "main.o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_sample_for_onnx_prints_what_the_model_computes(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    from tfcompress.converters.onnx import convert

    keras.utils.set_random_seed(0)
    x = keras.Input((6, 6, 3), name="picture")
    y = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(x))
    y = keras.layers.Dense(3, activation="softmax", name="kind", bias_initializer="random_normal")(y)
    unlabelled = float_model_from_keras(keras.Model(x, y))
    model = FloatModel(**{**vars(unlabelled), "usage": Usage(class_names=LABELS)})
    pictures = np.random.default_rng(0).normal(size=(32, 6, 6, 3)).astype(np.float32)
    samples = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    convert(model, samples, Recipe(), tmp_path)
    page = (tmp_path / "USE.md").read_text()
    assert "| input 0 | `picture` | [1, 6, 6, 3] | float32 | the number itself |" in page
    (code,) = blocks(page, "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    numbers, best = done.stdout.splitlines()
    (wanted,) = FloatModelRunner(model).run({"picture": np.zeros((1, 6, 6, 3), np.float32)}).values()
    given = np.array(re.findall(r"\d+\.?\d*(?:e-?\d+)?", numbers.removeprefix("kind")), float)
    assert np.abs(given - wanted[0]).max() <= INT8_ERROR
    assert best == LABELS[int(given.argmax())]
