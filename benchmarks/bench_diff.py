"""The accuracy diff: time against plain loops, and memory against the number of samples."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.entry import entry
from tfcompress.accuracy_diff import compare, runner_for
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.chatter import silenced
from tfcompress.converters.phone import quantize_int8, to_float_tflite
from tfcompress.data import Sample, Samples, open_data, samples_from_arrays
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf, tf_keras

SHARED = Path(__file__).parents[2] / "shared"
RESNET8 = SHARED / "models/mlperf_ic_resnet8"
CIFAR = SHARED / "data/cifar10_jpeg/test_dev5000.zip"
REPEATS = 3


def measure() -> list[dict[str, Any]]:
    return [_resnet8(), _mobilenetv2(), _memory()]


def _best_seconds(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _resnet8() -> dict[str, Any]:
    """Float Keras model against its int8 file on 5,000 decoded images, both models run by both sides."""
    reference, candidate = runner_for(RESNET8 / "pretrainedResnet.h5"), runner_for(_resnet8_int8())
    images, labels = _decoded(open_data(CIFAR, reference.inputs, reference.outputs, flag="evaluation"))
    data = samples_from_arrays(images, labels, model_inputs=reference.inputs, model_outputs=reference.outputs)
    ours = _best_seconds(lambda: compare(reference, {"int8": candidate}, data))
    keras_model = tf_keras.models.load_model(RESNET8 / "pretrainedResnet.h5", compile=False)
    other = _best_seconds(lambda: _plain_loop(keras_model, images))
    name = "a loop over samples: tf.function of the Keras model, then Interpreter.invoke"
    return entry("diff_resnet8_5000", ours, other, name, "s")


def _resnet8_int8() -> Path:
    return RESNET8 / "pretrainedResnet_quant.tflite"


def _decoded(data: Samples) -> tuple[np.ndarray, np.ndarray]:
    batches = list(data.batches(128))
    images = np.concatenate([next(iter(batch.inputs.values())) for batch in batches])
    return images, np.concatenate([next(iter(batch.labels.values())) for batch in batches])


def _plain_loop(keras_model: Any, images: np.ndarray) -> int:
    """What one writes by hand: number of samples on which both models agree."""
    with silenced():
        interpreter = Interpreter(str(_resnet8_int8()))
        interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    function = tf.function(keras_model, autograph=False)
    agree = 0
    for index in range(len(images)):
        image = images[index : index + 1]
        wanted = np.argmax(function(image, training=False).numpy())
        stored = np.clip(np.round(image / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], stored)
        interpreter.invoke()
        agree += int(wanted == np.argmax(interpreter.get_tensor(result["index"])))
    return agree


def _mobilenetv2() -> dict[str, Any]:
    """Float .tflite against int8 .tflite on 500 images of 224x224: all cores against one thread."""
    with silenced():
        tf_keras.utils.set_random_seed(0)
        model = float_model_from_keras(tf_keras.applications.MobileNetV2(weights=None))
    data = _noise(model, 500)
    recipe = Recipe(post_training=PostTraining(quality="fast"))
    int8 = quantize_int8(model, data.take(4), recipe).content
    content = to_float_tflite(model)

    def diff(workers: int | None) -> None:
        first, second = (LiteRtRunner(each, workers=workers) for each in (content, int8))
        compare(first, {"int8": second}, data, workers=workers)

    one, all_cores = [], []
    for _ in range(2):  # by turns, so that other load on the machine meets both
        all_cores.append(_seconds(lambda: diff(None)))
        one.append(_seconds(lambda: diff(1)))
    return entry("diff_mobilenetv2_500", min(all_cores), min(one), "the same diff on one thread", "s")


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@dataclass(frozen=True)
class _Noise:
    """Seeded pictures made on the fly: nothing is held."""

    shape: tuple[int, ...]
    count: int
    name: str = "noise"
    sha256: str | None = None

    def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
        """Pictures in a fixed order."""
        for index in range(self.count) if indices is None else indices:
            rng = np.random.default_rng(index)
            yield Sample([rng.random(self.shape, np.float32) * 2 - 1], [np.asarray(index % 10)])


def _noise(model: FloatModel | Any, count: int) -> Samples:
    inputs: tuple[TensorInfo, ...] = model.inputs
    return Samples(_Noise(tuple(size or 1 for size in inputs[0].shape[1:]), count), inputs, model.outputs)


def _memory() -> dict[str, Any]:
    """Peak memory of a process that compares 50,000 samples, against one that compares 1,000."""
    small, large = (_peak_of_process(count) for count in (1_000, 50_000))
    return entry("diff_memory_50000_vs_1000", large, small, "the same diff on 1,000 samples", "MB")


def _peak_of_process(count: int) -> float:
    code = f"from benchmarks.bench_diff import peak; peak({count})"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def peak(count: int) -> None:
    """Compare `count` samples and print this process's peak memory in MB."""
    reference, candidate = LiteRtRunner(RESNET8 / "pretrainedResnet.tflite"), LiteRtRunner(_resnet8_int8())
    compare(reference, {"int8": candidate}, _noise(reference, count))
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
