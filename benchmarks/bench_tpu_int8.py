"""Our int8 artifact against our bfloat16 one, by the TPU compiler's own figures, in one run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

# (name, application, batch size, topology, figure, unit)
MEASUREMENTS = (
    ("tpu_int8_cycles_resnet50_b64_v5e", "ResNet50", 64, "v5e:2x2", "estimated_cycles", "cycles"),
    ("tpu_int8_bytes_resnet50_b64_v5e", "ResNet50", 64, "v5e:2x2", "bytes_accessed", "bytes"),
    ("tpu_int8_cycles_mobilenetv2_b64_v5e", "MobileNetV2", 64, "v5e:2x2", "estimated_cycles", "cycles"),
)
CALIBRATION_SAMPLES = 4  # the weights are random too: ranges change no cycle


def measure() -> list[dict[str, Any]]:
    """One entry a measurement."""
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    entries = []
    for name, application, batch_size, topology, figure, unit in MEASUREMENTS:
        if application not in rows:
            rows[application] = compile_both(application, batch_size, topology)
        ours, other = (rows[application][precision][figure] for precision in ("int8", "bfloat16"))
        entries.append(
            {"name": name, "ours": ours, "other": other, "other_name": "our bfloat16", "unit": unit}
            | {"ratio": ours / other if ours and other else None}
        )
    return entries


def compile_both(application: str, batch_size: int, topology: str) -> dict[str, dict[str, Any]]:
    """{precision: the row of its compile proof}."""
    import numpy as np

    from tfcompress.converters.cloud_tpu import convert
    from tfcompress.converters.cloud_tpu.options import CloudTpu
    from tfcompress.data import open_data
    from tfcompress.load import float_model_from_keras
    from tfcompress.recipe import PostTraining, Recipe
    from tfcompress.runtime import keras

    keras.utils.set_random_seed(0)
    model = float_model_from_keras(getattr(keras.applications, application)(weights=None))
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "samples.npz")
        shape = (CALIBRATION_SAMPLES, *model.inputs[0].sizes())
        np.savez(path, x=np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))
        samples = open_data(path, model.inputs, model.outputs)
        for precision in ("bfloat16", "int8"):
            recipe = Recipe(
                post_training=PostTraining(quality="fast"),
                cloud_tpu=CloudTpu(precision=precision, topologies=(topology,), batch_sizes=(batch_size,)),
            )
            output = Path(folder, precision)
            output.mkdir()
            compiled: Any = convert(model, samples, recipe, output).facts["compile"]
            rows[precision] = compiled[0]
    return rows
