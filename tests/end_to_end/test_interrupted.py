"""Whole conversions over an earlier output, killed, out of space, or into places of every kind."""

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfcompress.job.manifest import verify

pytestmark = pytest.mark.slow
KILLS = 20


def command(cnn: Path, output: Path) -> list[str]:
    data = [f"--calibration={cnn / 'train.npz'}", f"--evaluation={cnn / 'test.npz'}"]
    convert = [sys.executable, "-m", "tfcompress", "convert", str(cnn / "model.keras"), "--targets=phone"]
    return [*convert, *data, f"--output={output}"]


def run(cnn: Path, output: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(cnn, output), capture_output=True, text=True, timeout=900, **options)


def test_kills_at_random_moments_leave_the_old_output_or_a_new_one(cnn_folder: Path, tmp_path: Path) -> None:
    output, moments, killed = tmp_path / "out", random.Random(4), 0
    begun = time.monotonic()
    assert run(cnn_folder, output).returncode == 0
    length = time.monotonic() - begun
    for _ in range(KILLS):
        with subprocess.Popen(
            command(cnn_folder, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                process.wait(moments.uniform(0.1, 1.0) * length)
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
        assert verify(output) == []
        assert os.listdir(tmp_path) == ["out"]
    assert killed > KILLS / 2


def test_a_mount_point_is_an_output_like_any_other(cnn_folder: Path, volume: Callable[[str], Path]) -> None:
    output = volume("64m")
    for _ in range(2):
        done = run(cnn_folder, output)
        assert done.returncode == 0, done.stderr
        assert verify(output) == []


def test_a_disk_that_fills_up_is_one_line_and_leaves_the_old_output(
    cnn_folder: Path, volume: Callable[[str], Path], tmp_path: Path
) -> None:
    assert run(cnn_folder, volume("64m") / "out").returncode == 0
    used = sum(path.stat().st_size for path in (tmp_path / "volume").rglob("*"))
    subprocess.run(["mount", "-o", f"remount,size={used + 65536}", str(tmp_path / "volume")], check=True)
    done = run(cnn_folder, tmp_path / "volume/out")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert verify(tmp_path / "volume/out") == []
    assert os.listdir(tmp_path / "volume") == ["out"]


def test_a_file_size_limit_is_one_line_and_leaves_nothing(cnn_folder: Path, tmp_path: Path) -> None:
    limit = (20_000, 20_000)
    done = run(
        cnn_folder, tmp_path / "out", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit), cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("output", ["{cnn}", "/", "{cnn}/model.keras", "missing/out"])
def test_places_that_are_not_ours_are_refused_in_one_line(output: str, cnn_folder: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in cnn_folder.iterdir()}
    done = run(cnn_folder, Path(output.format(cnn=cnn_folder)))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert {path.name: path.stat().st_mtime_ns for path in cnn_folder.iterdir()} == before
