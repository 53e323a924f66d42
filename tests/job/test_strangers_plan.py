"""A stranger's folder with the leavings of a killed run in it: nothing outside of it is touched."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tfcompress.job.manifest import verify, write_manifest
from tfcompress.job.output_folder import published
from tfcompress.job.publishing import PLAN
from tfcompress.job.staging import OWNER, staging


def stranger(folder: Path) -> tuple[Path, Path]:
    """An output in a user's folder beside something of the user's, and a staging folder that looks abandoned in it."""
    (folder / "thesis").mkdir()
    (folder / "thesis/text").write_text("ten years")
    out = folder / "out"
    out.mkdir()
    (out / "model.tflite").write_text("weights")
    write_manifest(out, {"seed": 0})
    with staging(out) as live:
        shutil.copytree(live.path, out / live.path.name)
    stage = out / live.path.name
    (stage / "old").mkdir()
    return out, stage


def plan(stage: Path, going: object = (), coming: object = ()) -> None:
    (stage / PLAN).write_text(json.dumps({"going": going, "coming": coming}))


def takes_a_neighbour_away(stage: Path) -> None:
    plan(stage, going=["../thesis"])


def overwrites_a_neighbour(stage: Path) -> None:
    (stage / "thesis").mkdir()
    (stage / "thesis/text").write_text("forged")
    plan(stage, coming=["../thesis/text"])


def takes_by_a_link(stage: Path) -> None:
    (stage / "new").rmdir()
    (stage / "new").symlink_to(stage.parent.parent)
    plan(stage, coming=["thesis"])


def writes_by_a_link(stage: Path) -> None:
    (stage / "old").rmdir()
    (stage / "old").symlink_to(stage.parent.parent / "thesis")
    (stage.parent / "forged").write_text("forged")
    plan(stage, going=["forged"])


def names_what_is_no_name(stage: Path) -> None:
    plan(stage, going=[1, None, "", ".", "..", "a\0b", "/etc/passwd", ["x"]])


def is_no_list(stage: Path) -> None:
    plan(stage, going=3, coming={"a": 1})


def is_deep(stage: Path) -> None:
    (stage / PLAN).write_text("[" * 100_000)


def has_a_pipe_for_a_plan(stage: Path) -> None:
    os.mkfifo(stage / PLAN)


def has_a_device_for_an_owner(stage: Path) -> None:
    (stage / OWNER).unlink()
    (stage / OWNER).symlink_to("/dev/zero")


def has_a_pipe_for_an_owner(stage: Path) -> None:
    (stage / OWNER).unlink()
    os.mkfifo(stage / OWNER)


FORGED: list[Callable[[Path], None]] = [
    takes_a_neighbour_away, overwrites_a_neighbour, takes_by_a_link, writes_by_a_link, names_what_is_no_name,
    is_no_list, is_deep, has_a_pipe_for_a_plan, has_a_device_for_an_owner, has_a_pipe_for_an_owner,
]  # fmt: skip


@pytest.mark.parametrize("forge", FORGED)
def test_what_leads_out_of_the_folder_is_not_followed(forge: Callable[[Path], None], tmp_path: Path) -> None:
    _, stage = stranger(tmp_path)
    forge(stage)
    verify(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "thesis"]
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["text"]
    assert (tmp_path / "thesis/text").read_text() == "ten years"


def test_a_plan_of_ours_is_still_finished(tmp_path: Path) -> None:
    out, stage = stranger(tmp_path)
    with published(tmp_path / "newer") as work:
        (work / "model.tflite").write_text("newer weights")
        write_manifest(work, {"seed": 1})
    for name in ("model.tflite", "manifest.json"):
        (tmp_path / "newer" / name).rename(stage / "new" / name)
    plan(stage, going=["manifest.json", "model.tflite"], coming=["manifest.json", "model.tflite"])
    assert verify(out) == []
    assert (out / "model.tflite").read_text() == "newer weights"
