"""A file that is handed over is whole in itself: older readers and TFLite Micro find every constant, aligned."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.converters.litert.models import samples_for
from tfcompress.calibration import calibrate
from tfcompress.converters.litert import litert_engine, to_float_tflite
from tfcompress.converters.litert.limits import Limits
from tfcompress.converters.phone import convert
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.editor import ModelEditor
from tfcompress.graphs.tflite.finished import ALIGNMENT, finished
from tfcompress.graphs.tflite.interpreter import new_interpreter, random_inputs, run
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf_keras

FEATURES, UNITS = 640, 512  # 320 KiB of int8 weights: from 256 KiB on litert-quantizer keeps them outside
ARENA_BYTES = 1 << 20


def wide_model() -> FloatModel:
    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    return float_model_from_keras(
        tf_keras.Sequential(
            [tf_keras.Input((FEATURES,), name="x"), layers.Dense(UNITS, "relu"), layers.Dense(5, name="y")]
        )
    )


def values(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, FEATURES)).astype(np.float32)


def constants(content: bytes) -> list[tuple[int, int]]:
    """(position, length) of every constant, as a reader finds them that knows `Buffer.data` and nothing newer.

    Read by hand, after FlatBuffers' "Internals": a table's first word leads to its vtable, whose entries are the places
    of the fields; `buffers` is field 4 of `Model`, `data` field 0 of `Buffer` (schema.fbs).
    """

    def word(position: int) -> int:
        return int(struct.unpack_from("<I", content, position)[0])

    def field(table: int, number: int) -> int | None:
        vtable = table - struct.unpack_from("<i", content, table)[0]
        size, place = struct.unpack_from("<H", content, vtable)[0], 4 + 2 * number
        offset = struct.unpack_from("<H", content, vtable + place)[0] if place < size else 0
        return table + offset if offset else None

    buffers = field(word(0), 4)
    assert buffers is not None
    vector = buffers + word(buffers)
    spans = []
    for index in range(word(vector)):
        entry = vector + 4 + 4 * index
        data = field(entry + word(entry), 0)
        if data is not None:
            start = data + word(data)
            spans.append((start + 4, word(start)))
    return spans


def has_constants_outside(content: bytes) -> bool:
    """Whether some of the bytes that the tensors need are in no `Buffer.data`."""
    needed = sum({id(t.data): t.bytes for t in read_tflite(content).main.tensors if t.data is not None}.values())
    return sum(length for _, length in constants(content)) < needed


@pytest.mark.parametrize("scheme", ["int8", "dynamic", "float16"])
def test_a_large_phone_file_has_every_constant_inside_and_aligned(scheme: str, tmp_path: Path) -> None:
    model = wide_model()
    recipe = Recipe(post_training=PostTraining(scheme=scheme))  # type: ignore[arg-type]
    content = convert(model, samples_for(model, values(60)), recipe, tmp_path).runnable.read_bytes()
    assert len(content) > 2**18
    assert not has_constants_outside(content)
    assert all(position % ALIGNMENT == 0 for position, _ in constants(content))


def test_the_quantizer_alone_leaves_constants_outside() -> None:
    model = wide_model()
    content = to_float_tflite(model)
    ranges = calibrate(content, samples_for(model, values(60)), hash_data=False)
    raw = litert_engine.quantize(content, ranges, Limits())
    assert has_constants_outside(raw)
    first, second = new_interpreter(raw), new_interpreter(finished(raw))
    inputs = random_inputs(first, np.random.default_rng(0))
    assert np.array_equal(run(first, inputs)[0], run(second, inputs)[0])


def test_tflite_micro_answers_as_litert_s_own_kernels_do(tmp_path: Path) -> None:
    runtime = pytest.importorskip(
        "tflite_micro.python.tflite_micro.runtime", reason="the extra [micro] (tflite-micro) is absent"
    )
    model = wide_model()
    content = convert(model, samples_for(model, values(60)), Recipe(), tmp_path).runnable.read_bytes()
    micro, plain = (
        runtime.Interpreter.from_bytes(content, arena_size=ARENA_BYTES),
        new_interpreter(content, xnnpack=False),
    )
    answers = []
    for seed in range(3):
        (given,) = random_inputs(plain, np.random.default_rng(seed))
        micro.set_input(given, 0)
        micro.invoke()
        answers.append(micro.get_output(0))
        assert np.array_equal(answers[-1], run(plain, [given])[0])
    assert not np.array_equal(answers[0], answers[1]), "the answer depends on the input"


def test_finishing_twice_changes_nothing(shared: Path) -> None:
    for path in sorted((shared / "models").rglob("*.tflite")):
        once = finished(path.read_bytes())
        assert finished(once) == once, path
        assert all(position % ALIGNMENT == 0 for position, _ in constants(once)), path


def test_what_nothing_uses_is_left_out(shared: Path) -> None:
    content = (shared / "models/mlperf_ic_resnet8/pretrainedResnet.tflite").read_bytes()
    model = ModelEditor.read(content)
    model.main.new_constant(np.ones(1000, np.float32), model.main.tensors[0], "unused")
    assert len(finished(model.to_bytes())) == len(finished(content))
