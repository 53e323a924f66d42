"""Damaged model files: every one is refused in one line or loads; no traceback, no crash, no hang."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.load.attacks.artifacts import sound_onnx, sound_tflite
from tests.load.mutations import SECONDS
from tfcompress.runtime import keras, tf_keras

LONGEST_SECONDS = 5 * SECONDS + 60  # by the clock, on a busy machine
WORKERS = 2
REAL_FILES = [
    "har_esp32_lstm/lstm_model.keras", "ecg_cnn/cnn_model.keras", "malaria2_dense/Dense_model.keras",
    "derived_mtcnn/rnet_k3.keras", "mlperf_ic_resnet8/pretrainedResnet.h5", "dl4j_reshape_model/reshape_model.h5",
    "dl4j_12net/12net.h5", "xception_tiny_kdef/tiny_XCEPTION_KDEF.hdf5", "mltk_tflm_speech/tflite_micro_speech.h5",
    "scisharp_lstm_from_sequential/lstm_from_sequential",
    "scisharp_simple_model_from_auto_compile/simple_model_from_auto_compile",
]  # fmt: skip


def load_mutations(originals: list[Path], seeds: range, folder: Path) -> list[dict[str, Any]]:
    """What happened to each damaged file, in a pool of processes that stand for the user's own."""

    def run(worker: int) -> list[dict[str, Any]]:
        home = folder / str(worker)
        home.mkdir()
        mine = list(seeds)[worker::WORKERS]
        request = {"originals": [str(path) for path in originals], "seeds": mine}
        (home / "request.json").write_text(json.dumps(request))
        command = [sys.executable, "-m", "tests.load.mutations", str(home / "request.json")]
        child = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        rows = [json.loads(line) for line in child.stdout.decode().splitlines() if line.startswith("{")]
        assert child.returncode == 0, f"the process crashed on seed {rows[-1]['seed']}"
        return [row for row in rows if row["status"] != "started"]

    with ThreadPoolExecutor(WORKERS) as pool:
        return [row for rows in pool.map(run, range(WORKERS)) for row in rows]


def check(rows: list[dict[str, Any]], count: int) -> None:
    assert len(rows) == count
    for row in rows:
        assert row["status"] in {"loads", "refused"}, row
        assert row["seconds"] < LONGEST_SECONDS, row
        assert row.get("message", "x").isprintable(), row
    assert sum(row["status"] == "refused" for row in rows) > count // 4


def small_files(folder: Path) -> list[Path]:
    """A model of each format, built here."""
    paths = []
    for library, names in ((keras, ["k3.keras", "k3.h5"]), (tf_keras, ["k2.keras", "k2.h5"])):
        x = library.Input((6, 6, 2))
        y = library.layers.Flatten()(library.layers.BatchNormalization()(library.layers.Conv2D(3, 3)(x)))
        model = library.Model(x, library.layers.Dense(2)(y))
        for name in names:
            model.save(folder / name)
            paths.append(folder / name)
    model.save(folder / "saved", save_format="tf")
    paths += [folder / "saved", sound_tflite(folder)]
    return [*paths, sound_onnx(folder)] if importlib.util.find_spec("onnx") else paths


def test_damaged_small_files_never_crash_or_hang(tmp_path: Path) -> None:
    check(load_mutations(small_files(tmp_path), range(40), tmp_path), 40)


@pytest.mark.slow
def test_2500_damaged_small_files_never_crash_or_hang(tmp_path: Path) -> None:
    check(load_mutations(small_files(tmp_path), range(10_000, 12_500), tmp_path), 2500)


@pytest.mark.slow
def test_500_damaged_real_files_never_crash_or_hang(shared: Path, tmp_path: Path) -> None:
    originals = [shared / "models" / name for name in REAL_FILES]
    check(load_mutations(originals, range(1000, 1500), tmp_path), 500)
