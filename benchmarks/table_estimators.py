"""All range estimators on one model, beside both engines as their makers ship them.

ResNet8 (MLPerf Tiny), calibrated on 500 unlabelled training images, compared with its float model on the 5,000 images
of test_dev5000.  The estimators' rows have no other improvement (`quality=fast`); `balanced` and `best` have theirs,
and `best` may use what a phone can do: 16-bit and float operators.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from litert_quantizer import quantizer
from litert_quantizer import recipe as litert_recipe

from benchmarks.models import SHARED, load
from tfcompress.accuracy_diff import compare, runner_for
from tfcompress.converters.litert import quantize_int8
from tfcompress.converters.litert.float_tflite import new_converter
from tfcompress.converters.litert.limits import Abilities
from tfcompress.converters.phone.conversion import ABILITIES
from tfcompress.data import Samples, open_data
from tfcompress.model import FloatModel
from tfcompress.native_output import silenced
from tfcompress.recipe import PostTraining, Recipe
from tfcompress.runtime import tf

SECONDS = 600
MODEL = "mlperf_ic_resnet8/pretrainedResnet.h5"
CALIBRATION, EVALUATION = "data/cifar10_jpeg/train10000.zip", "data/cifar10_jpeg/test_dev5000.zip"
SAMPLES = 500

Maker = Callable[[FloatModel, Samples], bytes]


def names() -> list[str]:
    """Five estimators, two qualities, two makers' own pipelines; none where the data is absent."""
    return list(MAKERS) if (SHARED / EVALUATION).exists() else []


def row(name: str) -> dict[str, Any]:
    """Agreement with the float model and accuracy of one int8 file."""
    with silenced():
        model = load(MODEL)
        content = MAKERS[name](model, _samples(model, CALIBRATION).spread(SAMPLES))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            path.write_bytes(content)
            compared = compare(
                runner_for(model), {name: runner_for(path)}, _samples(model, EVALUATION), task=None,
                max_accuracy_drop=0.01, seed=0, layers=False,
            ).to_json()  # fmt: skip
    result, float_accuracy = compared["candidates"][name], compared["reference"]["metrics"]["accuracy"]
    return {
        "status": "ok",
        "agreement": result["diff"]["top1_agreement"],
        "accuracy": result["metrics"]["accuracy"],
        "float_accuracy": float_accuracy,
        "accuracy_drop_points": round(100 * (float_accuracy - result["metrics"]["accuracy"]), 4),
        "sqnr_db": result["diff"]["sqnr_db"],
        "bytes": len(content),
    }


def _samples(model: FloatModel, data: str) -> Samples:
    return open_data(str(SHARED / data), model.inputs, model.outputs)


def _ours(options: PostTraining, abilities: Abilities | None = None) -> Maker:
    recipe, able = Recipe(post_training=options), abilities or Abilities()
    return lambda model, samples: quantize_int8(model, samples, recipe, abilities=able).content


def _by_tflite_converter(model: FloatModel, samples: Samples) -> bytes:
    converter = new_converter(model, allow_select_ops=False)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in _one_by_one(samples))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def _by_litert_quantizer(model: FloatModel, samples: Samples) -> bytes:
    content = new_converter(model, allow_select_ops=False).convert()
    engine = quantizer.Quantizer(bytearray(content), litert_recipe.static_wi8_ai8())
    name = model.inputs[0].name
    ranges = engine.calibrate({"serving_default": [{name: sample} for sample in _one_by_one(samples)]})
    quantized = engine.quantize(ranges).quantized_model
    assert quantized is not None
    return bytes(quantized)


def _one_by_one(samples: Samples) -> Iterator[np.ndarray]:
    return (next(iter(batch.inputs.values())) for batch in samples.batches(1))


MAKERS: dict[str, Maker] = {
    "min_max": _ours(PostTraining(quality="fast", estimator="min_max")),
    "moving_average": _ours(PostTraining(quality="fast", estimator="moving_average")),
    "percentile 99.99": _ours(PostTraining(quality="fast", estimator="percentile")),
    "entropy": _ours(PostTraining(quality="fast", estimator="entropy")),
    "mse": _ours(PostTraining(quality="fast", estimator="mse")),
    "quality=balanced": _ours(PostTraining(quality="balanced")),
    "quality=best": _ours(PostTraining(quality="best"), ABILITIES),
    "TFLiteConverter's own": _by_tflite_converter,
    "litert-quantizer's own": _by_litert_quantizer,
}
