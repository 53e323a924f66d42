"""The commands and code of the README and of the site run as they stand, and what documents name is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from tests.packaging.documents import DOCS, ROOT, run_blocks
from tfcompress.accuracy_diff.causes.cause import CauseKind
from tfcompress.converters.target import TARGETS

README = (ROOT / "README.md").read_text(encoding="utf-8")
BUILD = (ROOT / "BUILD.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `try` of the documents: a trained model and its data."""
    folder = tmp_path_factory.mktemp("documents")
    command = [sys.executable, "-m", "tfcompress.example_models", "cnn", "try"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "try"


def test_every_command_and_program_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    assert run_blocks(README, tmp_path) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")))
def test_every_command_and_program_of_a_page_runs_as_it_stands(page: str, example: Path, tmp_path: Path) -> None:
    shutil.copytree(example, tmp_path / "try")
    run_blocks((DOCS / page).read_text(encoding="utf-8"), tmp_path)


def test_a_command_that_fails_is_seen(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="hello"):
        run_blocks("```bash\necho hello >&2; false; true\n```\n", tmp_path)


def test_every_page_is_in_the_contents_and_has_a_heading() -> None:
    contents = (ROOT / "docs/mkdocs.yml").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        assert f" {page.relative_to(DOCS)}\n" in contents, f"{page.name} is not in docs/mkdocs.yml"
        text = page.read_text(encoding="utf-8")
        assert text.startswith(("# ", "<!-- notebook: ")), page


def test_the_page_about_accuracy_names_every_cause() -> None:
    kinds = get_args(CauseKind)
    page = (DOCS / "accuracy.md").read_text(encoding="utf-8")
    assert len(kinds) > 10
    assert [kind for kind in kinds if f"`{kind}`" not in page] == []


def test_every_target_has_a_page() -> None:
    assert {path.stem for path in (DOCS / "targets").glob("*.md")} == set(TARGETS)


def test_every_make_target_that_the_documents_name_exists() -> None:
    named = set(re.findall(r"`?make (?:[A-Z]+=\S+ )*([a-z_]+)", README + BUILD))
    assert named >= {"demo", "test", "test_slow", "lint", "bench", "tables", "wheel"}
    targets = set(re.findall(r"^([a-z_]+):", MAKEFILE, flags=re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("target", ["demo", "test", "test_slow", "lint", "format", "bench", "tables", "wheel", "docs"])
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


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_fetches_nothing_from_elsewhere() -> None:
    """`make docs` is strict: an unknown link, anchor or page, or a page that the contents lack, ends it."""
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list((ROOT / "site").rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    for page in pages:
        fetched = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', page.read_text(encoding="utf-8")
        )
        assert fetched == [], page
