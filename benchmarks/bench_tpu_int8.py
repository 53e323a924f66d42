"""Our artifacts of eight bits against our bfloat16 one, by the TPU compiler's own figures, in one run.

What the compiler says is kept by content, as in any conversion: no figure here is a time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

Precision = Literal["bfloat16", "int8", "fp8"]

# (name, application, precision, batch size, topology, figure, unit)
MEASUREMENTS: tuple[tuple[str, str, Precision, int, str, str, str], ...] = (
    ("tpu_int8_cycles_resnet50_b64_v5e", "ResNet50", "int8", 64, "v5e:2x2", "estimated_cycles", "cycles"),
    ("tpu_int8_bytes_resnet50_b64_v5e", "ResNet50", "int8", 64, "v5e:2x2", "bytes_accessed", "bytes"),
    ("tpu_int8_cycles_mobilenetv2_b64_v5e", "MobileNetV2", "int8", 64, "v5e:2x2", "estimated_cycles", "cycles"),
    ("tpu_fp8_cycles_resnet50_b64_tpu7x", "ResNet50", "fp8", 64, "tpu7x:2x2x1", "estimated_cycles", "cycles"),
)
CALIBRATION_SAMPLES = 4  # the weights are random too: ranges change no cycle


def measure() -> list[dict[str, Any]]:
    """One entry a measurement."""
    rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    entries = []
    for name, application, precision, batch_size, topology, figure, unit in MEASUREMENTS:
        case = application, precision
        if case not in rows:
            rows[case] = compile_both(application, precision, batch_size, topology)
        ours, other = (rows[case][kind][figure] for kind in (precision, "bfloat16"))
        entries.append(
            {"name": name, "ours": ours, "other": other, "other_name": "our bfloat16", "unit": unit}
            | {"ratio": ours / other if ours and other else None}
        )
    return entries


def compile_both(application: str, narrow: Precision, batch_size: int, topology: str) -> dict[str, dict[str, Any]]:
    """{precision: the row of its compile proof}."""
    import numpy as np

    from tfcompress.cache import open_store, using
    from tfcompress.converters.cloud_tpu import convert
    from tfcompress.converters.cloud_tpu.options import CloudTpu
    from tfcompress.data import open_data
    from tfcompress.load import float_model_from_keras
    from tfcompress.recipe import PostTraining, Recipe
    from tfcompress.runtime import keras

    keras.utils.set_random_seed(0)
    model = float_model_from_keras(getattr(keras.applications, application)(weights=None))
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, using(open_store(None)):
        path = Path(folder, "samples.npz")
        shape = (CALIBRATION_SAMPLES, *model.inputs[0].sizes())
        np.savez(path, x=np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))
        samples = open_data(path, model.inputs, model.outputs)
        kinds: tuple[Precision, Precision] = ("bfloat16", narrow)
        for precision in kinds:
            recipe = Recipe(
                post_training=PostTraining(quality="fast"),
                cloud_tpu=CloudTpu(precision=precision, topologies=(topology,), batch_sizes=(batch_size,)),
            )
            output = Path(folder, precision)
            output.mkdir()
            compiled: Any = convert(model, samples, recipe, output).facts["compile"]
            rows[precision] = compiled[0]
    return rows
