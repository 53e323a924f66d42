"""A test whose child process fails shows what that process wrote."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAILING = """
import subprocess, sys
import pytest

CODE = "import sys; print('a result'); sys.exit('the reason')"

@pytest.fixture
def made_by_a_process():
    subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True)

def test_with_a_fixture(made_by_a_process): ...

def test_by_itself():
    subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
"""


def test_a_failing_process_of_a_test_or_a_fixture_shows_its_standard_error(tmp_path: Path) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.failed_processes", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    assert done.stdout.count("the reason\n") == 2
    assert done.stdout.count("a result\n") == 2
