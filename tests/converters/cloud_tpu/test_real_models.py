"""Pretrained models of ../shared: what bfloat16 costs on labelled images."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.converters.cloud_tpu import models
from tfcompress.converters.cloud_tpu import convert
from tfcompress.converters.cloud_tpu.options import CloudTpu
from tfcompress.data import open_data
from tfcompress.load import load_model
from tfcompress.recipe import Recipe
from tfcompress.runtime import tf

LARGEST_DROP = 0.002
LEAST_SQNR_DB = 30.0
LARGEST_INT8_DROP, LEAST_INT8_AGREEMENT = 0.003, 0.98
PROBABILITY_TOLERANCE = 1e-5  # two versions of XLA compute the softmax; another integer before it moves more
CALIBRATION_IMAGES, BATCH = 500, 100
LOADER = "{loader}\nimport numpy as np\nnp.save({path!r}, np.asarray(arrays[0]))\n"


@pytest.mark.slow
def test_resnet8_keeps_its_accuracy_in_bfloat16_at_every_batch_size(shared: Path, tmp_path: Path) -> None:
    model = load_model(str(shared / "models/mlperf_ic_resnet8/pretrainedResnet.h5"))
    images = open_data(shared / "data/cifar10_jpeg/test_dev5000.zip", model.inputs, model.outputs)
    artifact = convert(model, images, Recipe(cloud_tpu=CloudTpu(topologies=())), tmp_path)
    signatures = tf.saved_model.load(str(artifact.runnable)).signatures
    (name,) = (info.name for info in model.inputs)

    def run(signature: str, values: np.ndarray) -> np.ndarray:
        (result,) = signatures[signature](**{name: tf.constant(values)}).values()
        return np.asarray(result)

    floats, ours, labels = [], [], []
    for batch in images.batches(500):
        floats.append(next(iter(model.predict(batch.inputs).values())))
        ours.append(run("serving_default", batch.inputs[name]))
        labels.append(next(iter(batch.labels.values())))
    expected, got, truth = np.concatenate(floats), np.concatenate(ours), np.concatenate(labels)
    drop = float((expected.argmax(1) == truth).mean() - (got.argmax(1) == truth).mean())
    assert drop <= LARGEST_DROP
    assert models.sqnr_db(expected, got) >= LEAST_SQNR_DB

    first = next(images.batches(128)).inputs[name]
    whole = run("batch_128", first)
    for size in (1, 8, 32):
        parts = [run(f"batch_{size}", first[start : start + size]) for start in range(0, 128, size)]
        assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.slow
def test_resnet8_keeps_its_accuracy_in_int8_and_has_equal_results_under_jax(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    model = load_model(str(shared / "models/mlperf_ic_resnet8/pretrainedResnet.h5"))
    data = shared / "data/cifar10_jpeg"
    calibration = open_data(data / "train10000.zip", model.inputs, model.outputs).spread(CALIBRATION_IMAGES)
    recipe = Recipe(cloud_tpu=CloudTpu(precision="int8", batch_sizes=(BATCH,), topologies=("v5e:1x1",)))
    artifact = convert(model, calibration, recipe, tmp_path)
    run = tf.saved_model.load(str(artifact.runnable)).signatures[f"batch_{BATCH}"]
    (name,) = (info.name for info in model.inputs)
    floats, ours, labels = [], [], []
    images = open_data(data / "test_dev5000.zip", model.inputs, model.outputs)
    for batch in images.batches(BATCH):
        floats.append(next(iter(model.predict(batch.inputs).values())))
        ours.append(np.asarray(next(iter(run(**{name: tf.constant(batch.inputs[name])}).values()))))
        labels.append(next(iter(batch.labels.values())))
    expected, got, truth = np.concatenate(floats), np.concatenate(ours), np.concatenate(labels)
    accuracy = [float((answers.argmax(1) == truth).mean()) for answers in (expected, got)]
    agreement = float((expected.argmax(1) == got.argmax(1)).mean())
    print(f"float {accuracy[0]:.4f}, int8 {accuracy[1]:.4f}, agreement {agreement:.4f}")
    assert accuracy[0] - accuracy[1] <= LARGEST_INT8_DROP
    assert agreement >= LEAST_INT8_AGREEMENT
    by_jax = _under_jax(artifact.folder, next(images.batches(BATCH)).inputs[name])
    assert np.abs(by_jax - ours[0]).max() <= PROBABILITY_TOLERANCE
    assert np.abs(by_jax - ours[1]).max() > PROBABILITY_TOLERANCE


def _under_jax(folder: Path, values: np.ndarray) -> np.ndarray:
    """What model.stablehlo gives in a process with JAX alone, by the lines of USE.md."""
    page = (folder / "USE.md").read_text(encoding="utf-8")
    loader = page.partition("## JAX, without TensorFlow")[2].partition("```python\n")[2].partition("```")[0]
    given, result = str(folder / "given.npy"), str(folder / "result.npy")
    np.save(given, values)
    loader = re.sub(r"arguments = \[np\.zeros\(.*?\)\]", lambda _: f"arguments = [np.load({given!r})]", loader)
    command = [sys.executable, "-c", LOADER.format(loader=loader, path=result)]
    subprocess.run(command, check=True, cwd=folder, env={**os.environ, "JAX_PLATFORMS": "cpu"}, capture_output=True)
    return np.asarray(np.load(result))
