"""The README's and BUILD.md's commands and code run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BUILD = (ROOT / "BUILD.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_every_command_and_program_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    blocks = code_blocks(README, "bash")
    assert len(blocks) >= 4
    for block in blocks:
        done = subprocess.run(["bash", "-euc", block], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    for program in code_blocks(README, "python"):
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_every_make_target_that_the_documents_name_exists() -> None:
    named = set(re.findall(r"`?make (?:[A-Z]+=\S+ )*([a-z_]+)", README + BUILD))
    assert named >= {"demo", "test", "test_slow", "lint", "bench", "tables", "wheel"}
    targets = set(re.findall(r"^([a-z_]+):", MAKEFILE, flags=re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("target", ["demo", "test", "test_slow", "lint", "format", "bench", "tables", "wheel"])
def test_every_make_target_is_well_formed(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_every_file_that_a_document_links_to_is_there() -> None:
    for name in ("README.md", "BUILD.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8")):
            assert link.startswith("https://") or (ROOT / link).exists(), f"{name} links to {link}"


def test_every_folder_at_the_top_is_in_build_md() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    folders = {line.split("/")[0] for line in tracked.stdout.splitlines() if "/" in line}
    assert all(f"`{folder}/`" in BUILD for folder in folders if not folder.startswith("."))
