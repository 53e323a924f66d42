"""How long a second conversion of MobileNetV2-224 takes: with another scheme, and with nothing changed.

Each conversion runs in a process of its own, as a user's second run does; the time to import TensorFlow is not counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.entry import entry
from tfcompress.native_output import silenced
from tfcompress.runtime import tf_keras

SAMPLES = 200
CODE = """
import sys, time
import tfcompress.job.conversion
from tfcompress import CloudTpu, PostTraining, Recipe, convert
folder, scheme = sys.argv[1:]
recipe = Recipe(
    post_training=PostTraining(scheme=scheme), cloud_tpu=CloudTpu(batch_sizes=(1,), topologies=("v5e:2x2",))
)
started = time.perf_counter()
convert(
    f"{folder}/mobilenetv2.h5",
    calibration=f"{folder}/data.npz",
    output=f"{folder}/out",
    recipe=recipe,
    cache_dir=f"{folder}/cache",
    calibration_samples=100,
)
print(time.perf_counter() - started)
"""


def measure() -> list[dict[str, Any]]:
    """Seconds of the second conversion, for all three targets, beside the first's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tf_keras.utils.set_random_seed(0)
        with silenced():
            tf_keras.applications.MobileNetV2(weights=None).save(folder / "mobilenetv2.h5")
        random = np.random.default_rng(0)
        images = random.uniform(-1, 1, (SAMPLES, 224, 224, 3)).astype(np.float32)
        np.savez(folder / "data.npz", x=images, y=random.integers(0, 1000, SAMPLES))
        first = _seconds(folder, "int8")
        contents = _contents(folder / "out")
        unchanged = _seconds(folder, "int8")
        assert _contents(folder / "out") == contents, "the second run gave other bytes"
        other = _seconds(folder, "int16x8")
    return [
        entry("cache_second_recipe", other, first, "the first conversion", "s"),
        entry("cache_unchanged", unchanged, first, "the first conversion", "s"),
    ]


def _seconds(folder: Path, scheme: str) -> float:
    command = [sys.executable, "-c", CODE, str(folder), scheme]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return float(json.loads(done.stdout.splitlines()[-1]))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
