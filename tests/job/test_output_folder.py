"""Output folders appear whole or not at all, and the manifest finds every change."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tfcompress.errors import InputError
from tfcompress.job.manifest import verify, write_manifest
from tfcompress.job.output_folder import published


def make(folder: Path, text: str = "weights") -> None:
    with published(folder) as work:
        (work / "phone").mkdir()
        (work / "phone" / "model.tflite").write_text(text)
        write_manifest(work, {"seed": 0})


def test_an_intact_folder_verifies(tmp_path: Path) -> None:
    make(tmp_path / "out")
    assert verify(tmp_path / "out") == []


def test_nothing_else_is_left_beside_the_folder(tmp_path: Path) -> None:
    make(tmp_path / "out")
    make(tmp_path / "out", "newer")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/phone/model.tflite").read_text() == "newer"


def test_a_failed_run_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(FileNotFoundError), published(tmp_path / "out") as work:
        (work / "half").write_text((work / "none").read_text())
    assert verify(tmp_path / "out") == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def link_for_a_file(out: Path) -> None:
    (out / "phone/model.tflite").rename(out.with_name("moved"))
    (out / "phone/model.tflite").symlink_to(out.with_name("moved"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda out: (out / "phone/model.tflite").write_text("weightz"), "changed: phone/model.tflite"),
        # A hole, which would take hours to read.
        (lambda out: os.truncate(out / "phone/model.tflite", 1 << 40), "changed: phone/model.tflite"),
        (lambda out: (out / "phone/model.tflite").unlink(), "missing: phone/model.tflite"),
        (lambda out: (out / "extra").write_text(""), "added: extra"),
        (lambda out: (out / "link").symlink_to("phone"), "added: link (a link)"),
        (lambda out: (out / "empty").mkdir(), "added: empty/"),
        (lambda out: os.mkfifo(out / "pipe"), "added: pipe (a pipe)"),
        (lambda out: (out / "phone/model.tflite").chmod(0o755), "mode changed: phone/model.tflite"),
        (lambda out: (out / "phone").chmod(0o700), "mode changed: phone/"),
        (lambda out: (out / "manifest.json").chmod(0o600), "mode changed: manifest.json"),
        (link_for_a_file, "changed: phone/model.tflite (a link)"),
        (
            lambda out: (out / "manifest.json").write_text((out / "manifest.json").read_text().replace("0", "1", 1)),
            "changed: manifest.json",
        ),
        (
            lambda out: (out / "manifest.json").write_text((out / "manifest.json").read_text() + " "),
            "changed: manifest.json",
        ),
    ],
)
def test_every_kind_of_change_is_found(change, said, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "out")
    change(tmp_path / "out")
    assert said in verify(tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it is no JSON text"),
        ("[" * 100_000, "it is no JSON text"),
        ("[]", "its format is not 'tfcompress output folder'"),
        ('{"format": "other"}', "its format is not 'tfcompress output folder'"),
        ('{"schema_version": 1}', "it lacks what tfcompress writes into one"),
        (
            '{"format": "tfcompress output folder", "files": 3, "manifest_sha256": ""}',
            "it lacks what tfcompress writes",
        ),
        (None, "No such file or directory"),
    ],
)
def test_a_manifest_that_is_none_of_ours_is_refused_in_one_line(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match=f"no readable manifest.json of ours: {said}.*; expected a folder") as caught:
        verify(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds files that tfcompress did not write"):
        make(tmp_path / "out")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("output", ["missing/out", "file"])
def test_an_output_that_cannot_be_written_is_refused(output: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="--output="):
        make(tmp_path / output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="no permission"):
        make(tmp_path / "locked/out")


SLOW_WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from tfcompress.job.output_folder import published
with published(Path({out!r})) as work:
    (work / "half").write_text("x")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_killed_run_leaves_the_old_folder_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    make(tmp_path / "out")
    script = SLOW_WRITER.format(tests=str(Path(__file__).parent), out=str(tmp_path / "out"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        make(tmp_path / "out", "of a second run while the first is at work")
        assert len(list(tmp_path.iterdir())) == 2  # the first run's folder is still there
        process.send_signal(signal.SIGKILL)
    assert verify(tmp_path / "out") == []
    make(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
