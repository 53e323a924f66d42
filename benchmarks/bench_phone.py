"""Calibration and int8 conversion of MobileNetV2-224, beside TFLiteConverter's and litert-quantizer's, in one run."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from litert_quantizer import quantizer, recipe

from benchmarks.entry import entry, peak_mib
from tfcompress.calibration import calibrate
from tfcompress.converters.litert import quantize_int8, to_float_tflite
from tfcompress.data import samples_from_arrays
from tfcompress.load import load_model
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf, tf_keras

SAMPLES = 200
FAST, BALANCED = (Recipe(post_training=PostTraining(quality=quality)) for quality in ("fast", "balanced"))


def measure() -> list[dict[str, Any]]:
    """Seconds of calibration and conversion, and peak memory of two calibrations."""
    images = np.random.default_rng(0).uniform(-1, 1, (SAMPLES, 224, 224, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mobilenetv2.h5"
        tf_keras.utils.set_random_seed(0)
        with silenced():
            tf_keras.applications.MobileNetV2(weights=None).save(path)
        return [
            *_calibrations(load_model(path), images),
            *_conversions(path, images),
            _memory("fast"),
            _memory("balanced"),
        ]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    with silenced():
        work()
    return time.perf_counter() - started


def _calibrations(model: FloatModel, images: np.ndarray) -> list[dict[str, Any]]:
    content = to_float_tflite(model)
    samples = samples_from_arrays(images, model_inputs=model.inputs, model_outputs=model.outputs)
    name = model.inputs[0].name
    litert = quantizer.Quantizer(bytearray(content), recipe.static_wi8_ai8())
    calibrator = importlib.import_module("tensorflow.lite.python.optimize.calibrator")
    converter = calibrator.Calibrator(calibrator.add_intermediate_tensors(content))
    # Without the data's hash, which the others do not compute either and a conversion does not need.
    ours = _seconds(lambda: calibrate(content, samples, hash_data=False))
    by_litert = _seconds(
        lambda: litert.calibrate({"serving_default": [{name: each} for each in list(_single(images))]})
    )
    by_converter = _seconds(lambda: converter.calibrate(lambda: ([each] for each in _single(images))))
    return [
        entry("calibration_mobilenetv2_vs_tfliteconverter", ours, by_converter, "TFLiteConverter's calibrator", "s"),
        entry("calibration_mobilenetv2_vs_litert_quantizer", ours, by_litert, "litert-quantizer", "s"),
    ]


def _single(images: np.ndarray) -> Iterator[np.ndarray]:
    return (images[i : i + 1] for i in range(len(images)))


def _conversions(path: Path, images: np.ndarray) -> list[dict[str, Any]]:
    def ours(recipe: Recipe) -> None:
        model = load_model(path)
        samples = samples_from_arrays(images, model_inputs=model.inputs, model_outputs=model.outputs)
        path.with_suffix(".ours").write_bytes(quantize_int8(model, samples, recipe).content)

    def theirs() -> None:
        converter = tf.lite.TFLiteConverter.from_keras_model(tf_keras.models.load_model(path, compile=False))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in _single(images))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        path.with_suffix(".theirs").write_bytes(converter.convert())

    fast, balanced, other = _seconds(lambda: ours(FAST)), _seconds(lambda: ours(BALANCED)), _seconds(theirs)
    return [
        entry("int8_conversion_mobilenetv2", fast, other, "TFLiteConverter", "s"),
        entry("int8_conversion_mobilenetv2_balanced", balanced, other, "TFLiteConverter", "s"),
    ]


def _memory(quality: str) -> dict[str, Any]:
    """Of calibration alone for `fast`, of the whole conversion for another quality."""
    peaks = []
    for count in (10_000, 100):
        code = f"from benchmarks.bench_phone import peak_of; print(peak_of({count}, {quality!r}))"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        peaks.append(float(done.stdout.split()[-1]))
    name = "calibration_memory_10000_vs_100" if quality == "fast" else f"int8_memory_{quality}_10000_vs_100"
    return entry(name, peaks[0], peaks[1], "the same with 100 samples", "MiB")


def peak_of(count: int, quality: str) -> float:
    """Peak MiB of this process after calibrating (`fast`), or converting, a small network with `count` samples."""
    from tfcompress.data import Sample, Samples
    from tfcompress.load import float_model_from_keras

    layers = tf_keras.layers
    network = tf_keras.Sequential(
        [tf_keras.Input((64, 64, 3)), layers.Conv2D(16, 3), layers.Flatten(), layers.Dense(4)]
    )
    model = float_model_from_keras(network)

    class Generated:
        name, count, sha256 = "generated", None, "0" * 64

        def samples(self, indices: Sequence[int] | None = None) -> Iterator[Sample]:
            assert indices is None, "this benchmark takes all of them"
            random = np.random.default_rng(0)
            return (Sample([random.random((64, 64, 3), np.float32)]) for _ in range(count))

    samples = Samples(Generated(), model.inputs, model.outputs)
    if quality == "fast":
        calibrate(to_float_tflite(model), samples, estimator="mse")
    else:
        quantize_int8(model, samples, BALANCED)
    return peak_mib()
