"""The accuracy diff: time against plain loops, and memory against the number of samples.

Both cores must be free: ``python -m benchmarks bench diff``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.entry import entry, peak_mib
from tfcompress.accuracy_diff import compare, runner_for
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.data import Sample, Samples, open_data, samples_from_arrays
from tfcompress.data.arrays import ArraySource
from tfcompress.load import float_model_from_keras
from tfcompress.model import FloatModel, TensorInfo
from tfcompress.native_output import silenced
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf, tf_keras

SHARED = Path(__file__).parents[2] / "shared"
RESNET8 = SHARED / "models/mlperf_ic_resnet8"
CIFAR = SHARED / "data/cifar10_jpeg/test_dev5000.zip"
REPEATS = 5  # of each, by turns; the best counts


def measure() -> list[dict[str, Any]]:
    return [_resnet8(), _resnet8_two_files(), _mobilenetv2(), _memory()]


def _resnet8() -> dict[str, Any]:
    """Float Keras model against its int8 file on 5,000 decoded images, both models run by both sides."""
    reference = runner_for(RESNET8 / "pretrainedResnet.h5")
    data = _images(reference)
    candidate = runner_for(_resnet8_int8())
    keras_model = tf_keras.models.load_model(RESNET8 / "pretrainedResnet.h5", compile=False)
    function = tf.function(keras_model, autograph=False)

    def float_answer(image: np.ndarray) -> int:
        return int(np.argmax(function(image, training=False).numpy()))

    ours, other = _by_turns(lambda: compare(reference, {"int8": candidate}, data), lambda: _loop(float_answer, data))
    name = "a loop over samples: tf.function of the Keras model, then Interpreter.invoke"
    return entry("diff_resnet8_5000", ours, other, name, "s")


def _resnet8_two_files() -> dict[str, Any]:
    """The same with the float model as a .tflite on both sides."""
    file = RESNET8 / "pretrainedResnet.tflite"
    reference, candidate = LiteRtRunner(file), LiteRtRunner(_resnet8_int8())
    data = _images(reference)
    ours, other = _by_turns(
        lambda: compare(reference, {"int8": candidate}, data), lambda: _loop(_tflite_answer(file), data)
    )
    name = "a loop over samples: Interpreter.invoke of the float .tflite and of the int8 one"
    return entry("diff_resnet8_5000_two_tflite", ours, other, name, "s")


def _by_turns(ours: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Best seconds of each, by turns, so that other load on the machine meets both."""
    seconds = [(_seconds(ours), _seconds(other)) for _ in range(REPEATS)]
    return min(pair[0] for pair in seconds), min(pair[1] for pair in seconds)


def _resnet8_int8() -> Path:
    return RESNET8 / "pretrainedResnet_quant.tflite"


def _images(runner: Any) -> Samples:
    """Decoded beforehand: a loop would have to decode as well."""
    batches = list(open_data(CIFAR, runner.inputs, runner.outputs, flag="evaluation").batches(128))
    images = np.concatenate([next(iter(batch.inputs.values())) for batch in batches])
    labels = np.concatenate([next(iter(batch.labels.values())) for batch in batches])
    return samples_from_arrays(images, labels, model_inputs=runner.inputs, model_outputs=runner.outputs)


def _loop(float_answer: Callable[[np.ndarray], int], data: Samples) -> int:
    """What one writes by hand: number of samples on which both models agree."""
    int8_answer = _tflite_answer(_resnet8_int8())
    (images,) = cast(ArraySource, data.source).inputs.values()
    each = (images[index : index + 1] for index in range(len(images)))
    return sum(float_answer(image) == int8_answer(image) for image in each)


def _tflite_answer(path: Path) -> Callable[[np.ndarray], int]:
    """The answer to a picture, in the way that LiteRT's documentation shows."""
    with silenced():
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]

    def answer(image: np.ndarray) -> int:
        if scale:
            image = np.clip(np.round(image / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], image)
        interpreter.invoke()
        return int(np.argmax(interpreter.get_tensor(result["index"])))

    return answer


def _mobilenetv2() -> dict[str, Any]:
    """Float .tflite against int8 .tflite on 500 images of 224x224: all cores against one thread."""
    with silenced():
        tf_keras.utils.set_random_seed(0)
        model = float_model_from_keras(tf_keras.applications.MobileNetV2(weights=None))
    pictures = np.stack([sample.inputs[0] for sample in _Noise((224, 224, 3), 500).samples()])  # type: ignore[index]
    data = samples_from_arrays(pictures, model_inputs=model.inputs, model_outputs=model.outputs)
    recipe = Recipe(post_training=PostTraining(quality="fast"))
    int8 = quantize_int8(model, data.take(4), recipe).content
    content = to_float_tflite(model)

    def diff(workers: int | None) -> None:
        first, second = (LiteRtRunner(each, workers=workers) for each in (content, int8))
        compare(first, {"int8": second}, data, workers=workers)

    all_cores, one_thread = _by_turns(lambda: diff(None), lambda: diff(1))
    return entry("diff_mobilenetv2_500", all_cores, one_thread, "the same diff on one thread", "s")


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
    return Samples(_Noise(inputs[0].sizes(), count), inputs, model.outputs)


def _memory() -> dict[str, Any]:
    """Peak memory of a process that compares 50,000 samples, against one that compares 1,000."""
    small, large = (_peak_of_process(count) for count in (1_000, 50_000))
    return entry("diff_memory_50000_vs_1000", large, small, "the same diff on 1,000 samples", "MiB")


def _peak_of_process(count: int) -> float:
    code = f"from benchmarks.bench_diff import peak; peak({count})"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def peak(count: int) -> None:
    """Compare `count` noise pictures on a small classifier and print this process's peak memory in MiB."""
    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    body = [layers.Conv2D(8, 3, strides=2, activation="relu"), layers.GlobalAveragePooling2D()]
    model = tf_keras.Sequential([layers.Input((16, 16, 3)), *body, layers.Dense(10, activation="softmax")])
    reference = runner_for(float_model_from_keras(model))
    data = _noise(reference, count)
    recipe = Recipe(post_training=PostTraining(quality="fast"))
    int8 = quantize_int8(float_model_from_keras(model), data.take(100), recipe).content
    compare(reference, {"int8": LiteRtRunner(int8)}, data)
    print(json.dumps(peak_mib()))
