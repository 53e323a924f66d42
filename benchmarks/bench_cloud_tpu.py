"""Our SavedModel against a plain ``model.export(...)``, by the TPU compiler's own figures, in one run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

# (name, application, batch size, topology, figure, unit)
MEASUREMENTS = (
    ("tpu_bytes_mobilenetv2_b8", "MobileNetV2", 8, "v5e:2x2", "bytes_accessed", "bytes"),
    ("tpu_seconds_mobilenetv2_b8_v5p", "MobileNetV2", 8, "v5p:2x2x1", "estimated_seconds", "s"),
    ("tpu_hbm_parameters_mobilenetv2_b8", "MobileNetV2", 8, "v5e:2x2", "weight_bytes", "bytes"),
    ("tpu_bytes_resnet50_b32", "ResNet50", 32, "v5e:2x2", "bytes_accessed", "bytes"),
    ("tpu_seconds_resnet50_b32_v5p", "ResNet50", 32, "v5p:2x2x1", "estimated_seconds", "s"),
    ("tpu_hbm_parameters_resnet50_b32", "ResNet50", 32, "v5e:2x2", "weight_bytes", "bytes"),
)


def measure() -> list[dict[str, Any]]:
    """One entry a measurement."""
    figures = {}
    for application, batch_size in {(name, size) for _, name, size, *_ in MEASUREMENTS}:
        topologies = tuple(dict.fromkeys(row[3] for row in MEASUREMENTS if row[1:3] == (application, batch_size)))
        figures[application] = compile_both(application, batch_size, topologies)
    return [
        entry(name, unit, *(rows[topology][figure] for rows in figures[application]))
        for name, application, _, topology, figure, unit in MEASUREMENTS
    ]


def entry(name: str, unit: str, ours: float | None, other: float | None) -> dict[str, Any]:
    """A result; the ratio is None where the compiler gave no figure."""
    ratio = ours / other if ours is not None and other else None
    return {"name": name, "ours": ours, "other": other, "other_name": "model.export", "unit": unit, "ratio": ratio}


def compile_both(
    application: str, batch_size: int, topologies: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """({topology: our row}, {topology: the plain export's row}) of the compile proof."""
    from tfcompress.converters.cloud_tpu import convert, prove
    from tfcompress.converters.cloud_tpu.options import CloudTpu
    from tfcompress.load import float_model_from_keras
    from tfcompress.recipe import Recipe
    from tfcompress.runtime import keras

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, application)(weights=None)
    with tempfile.TemporaryDirectory() as folder:
        ours, plain = Path(folder, "ours"), Path(folder, "plain")
        ours.mkdir()
        recipe = Recipe(cloud_tpu=CloudTpu(topologies=topologies, batch_sizes=(batch_size,)))
        artifact = convert(float_model_from_keras(model), None, recipe, ours)
        model.export(str(plain), verbose=False)
        rows = [row.to_json() for row in prove(plain, topologies, batch_sizes=(batch_size,))]
    compiled: Any = artifact.facts["compile"]
    return {row["topology"]: row for row in compiled}, {str(row["topology"]): row for row in rows}
