"""The wheel, outside the checkout, holds all that is needed and converts a model."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONVERT = """
import numpy, sys, tfcompress
from tfcompress.runtime import keras
assert "checkout" not in sys.argv and tfcompress.__file__.startswith(sys.argv[1]), tfcompress.__file__
model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3, activation="softmax")])
result = tfcompress.convert(
    model, targets="phone", calibration=numpy.random.default_rng(0).normal(size=(64, 4)).astype("float32"), output="out"
)
assert result.report["targets"]["phone"]["fully_integer"] is True
assert tfcompress.verify("out") == []
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: setuptools leaves a build folder in the source tree
    ignored = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "demo_output")
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_module_once_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for folder, prefix in [("tfcompress", "tfcompress"), ("converters", "tfcompress/converters")] + [
        (name, f"tfcompress/{name}") for name in ("calibration", "example_models")
    ]:
        for path in (ROOT / folder).rglob("*.py"):
            inside = path.relative_to(ROOT / folder)
            if folder != "tfcompress" or inside.parts[0] not in ("converters", "calibration", "example_models"):
                expected.add(f"{prefix}/{inside.as_posix()}")
    assert {name for name in names if name.endswith(".py")} == expected
    assert {"tfcompress/VERSION", "tfcompress/py.typed"} <= names
    assert {name.split("/")[0] for name in names} == {"tfcompress"}


def test_the_installed_wheel_converts_a_model_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    run = [sys.executable, "-c", CONVERT, str(site)]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.slow
def test_the_wheel_installs_in_an_empty_environment_and_converts(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    done = subprocess.run([python, "-c", CONVERT, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
