"""Fixtures that every part of the tests shares: one trained model, and the folder of real models and data."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.failed_processes import pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]  # a hook

os.environ["TFCOMPRESS_CACHE_DIR"] = ""  # no test finds what another one kept, unless it asks for a cache of its own

ROOT = Path(__file__).parents[1]
LEAST_MS_IN_TESTS = 0.1
SECONDS_IN_TESTS = 0.01
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def _small_models_stay_in_integers() -> Iterator[None]:
    """Files of microseconds, of which a busy machine's measurements differ too much, are not mixed with float.

    Nor is any measured for long, as no test may rest on which of two files is quicker.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfcompress.converters.litert.time_ratios.LEAST_MS", LEAST_MS_IN_TESTS)
        patch.setattr("tfcompress.converters.litert.time_ratios._SECONDS", SECONDS_IN_TESTS)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real pretrained models and labelled data; tests that need them are skipped where they are absent."""
    if not (SHARED / "INDEX.csv").exists():
        pytest.skip("../shared with real models and data is absent")
    return SHARED


@pytest.fixture(scope="session")
def cnn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained CNN (model.keras) and its data (train.npz, test.npz)."""
    folder = tmp_path_factory.mktemp("cnn")
    subprocess.run(
        [sys.executable, "-m", "tfcompress.example_models", "cnn", str(folder)], check=True, capture_output=True
    )
    return folder


CommandLine = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tfcompress_command(tmp_path: Path) -> CommandLine:
    """Runs ``tfcompress ARGUMENTS...`` in a fresh process and an empty folder."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tfcompress", *map(str, arguments)]
        environment = {**os.environ, "COLUMNS": "120"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)

    return run


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of a given size at tmp_path/volume."""
    folder = tmp_path / "volume"
    folder.mkdir()

    def mount(size: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("only root may mount, and not in every container")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)
