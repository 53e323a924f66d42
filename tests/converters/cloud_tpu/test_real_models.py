"""Pretrained models of ../shared: what bfloat16 costs on labelled images."""

from __future__ import annotations

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
