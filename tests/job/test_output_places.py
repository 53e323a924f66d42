"""Wherever the output is: nothing of anybody's is lost, and a run that fails or is killed leaves the old one whole."""

import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tfcompress.errors import InputError, OutputError
from tfcompress.job import publishing
from tfcompress.job.manifest import verify, write_manifest
from tfcompress.job.output_folder import check_output, published


def make(folder: Path, text: str = "weights") -> None:
    with published(folder) as work:
        (work / "phone").mkdir()
        (work / "phone" / "model.tflite").write_text(text)
        (work / "report.json").write_text(text)
        write_manifest(work, {"seed": 0})


def content(folder: Path) -> str:
    assert verify(folder) == []
    return (folder / "phone/model.tflite").read_text() + (folder / "report.json").read_text()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system without renameat2 RENAME_EXCHANGE."""
    monkeypatch.setattr(publishing, "_exchange", lambda first, second: False)


@pytest.mark.parametrize("name", ["n" * 240, "\udcff\udcfe", "a b;c\n$d", "-rf"])
def test_any_name_that_the_file_system_takes(name: str, tmp_path: Path) -> None:
    make(tmp_path / name)
    make(tmp_path / name, "newer")
    assert content(tmp_path / name) == "newernewer"
    assert names(tmp_path) == [name]


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name too long"):
        check_output(tmp_path / ("n" * 300))


def test_a_mount_point_keeps_its_place_and_takes_the_new_content(volume: Callable[[str], Path]) -> None:
    folder = volume("1m")
    (folder / "lost+found").mkdir()
    before = folder.stat().st_ino
    make(folder)
    make(folder, "newer")
    assert content(folder) == "newernewer"
    assert folder.stat().st_ino == before
    assert names(folder) == ["lost+found", "manifest.json", "phone", "report.json"]


@pytest.mark.parametrize("inside", [False, True])
def test_a_full_disk_leaves_the_old_output(inside: bool, volume: Callable[[str], Path]) -> None:
    place = volume("200k")
    folder = place if inside else place / "out"
    make(folder)
    with pytest.raises(OutputError, match="no space left"), published(folder) as work:
        (work / "large").write_bytes(bytes(1 << 20))
    assert content(folder) == "weightsweights"
    assert names(place) == (["manifest.json", "phone", "report.json"] if inside else ["out"])


def test_a_file_size_limit_leaves_the_old_output(tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(OutputError, match="limit"), published(tmp_path / "out") as work:
            (work / "large").write_bytes(bytes(1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert content(tmp_path / "out") == "weightsweights"
    assert names(tmp_path) == ["out"]


def test_an_error_that_a_limit_led_to_tells_of_the_limit(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(OutputError, match="limit"), published(tmp_path / "out"):
            [][0]  # what native code left unwritten was not there
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(IndexError), published(tmp_path / "out"):
        [][0]


def test_a_read_only_place_is_one_line(volume: Callable[[str], Path]) -> None:
    folder = volume("1m")
    make(folder / "out")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    for output in (folder, folder / "out", folder / "new"):
        with pytest.raises(InputError, match="--output="):
            make(output)
    assert content(folder / "out") == "weightsweights"


def test_a_file_system_without_exchange(without_exchange: None, tmp_path: Path) -> None:
    make(tmp_path / "out")
    make(tmp_path / "out", "newer")
    assert content(tmp_path / "out") == "newernewer"
    assert names(tmp_path) == ["out"]


def test_the_current_folder_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = Path.cwd().stat().st_ino
    for text in ("weights", "newer"):
        make(Path("."), text)
    assert Path.cwd().stat().st_ino == before
    assert content(Path(".")) == "newernewer"


def test_the_mode_of_an_existing_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o750)
    make(tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


def test_the_root_folder_is_refused(tmp_path: Path) -> None:
    before = names(Path("/"))
    with pytest.raises(InputError, match="--output=/"):
        make(Path("/"))
    assert names(Path("/")) == before


def test_a_link_is_refused_and_stays(tmp_path: Path) -> None:
    make(tmp_path / "out")
    (tmp_path / "link").symlink_to("out")
    with pytest.raises(InputError, match="is a link"):
        make(tmp_path / "link", "newer")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "out") == "weightsweights"


def strange_manifest(folder: Path) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text('{"name": "my web app", "start_url": "/"}')
    (folder / "index.html").write_text("mine")


def notes_in_ours(folder: Path) -> None:
    make(folder)
    (folder / "notes.txt").write_text("mine")


def changed_in_ours(folder: Path) -> None:
    make(folder)
    (folder / "report.json").write_text("mine")


def manifest_of_another(folder: Path) -> None:
    make(folder.with_name("other"))
    folder.mkdir()
    (folder / "manifest.json").write_bytes((folder.with_name("other") / "manifest.json").read_bytes())
    (folder / "thesis.tex").write_text("mine")


def link_in_ours(folder: Path) -> None:
    make(folder)
    (folder / "data").symlink_to("/etc")


def manifest_is_a_link(folder: Path) -> None:
    make(folder.with_name("other"))
    folder.mkdir()
    (folder / "manifest.json").symlink_to("../other/manifest.json")


STRANGERS: dict[Callable[[Path], None], str] = {
    strange_manifest: "index.html",
    notes_in_ours: "notes.txt",
    changed_in_ours: "report.json",
    manifest_of_another: "thesis.tex",
    link_in_ours: "data",
    manifest_is_a_link: "manifest.json",
}


@pytest.mark.parametrize("strangers", STRANGERS)
def test_what_we_did_not_write_stops_the_run_by_name(strangers: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    strangers(folder)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(InputError, match=STRANGERS[strangers]):
        make(folder)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_a_file_put_there_during_the_run_is_not_lost_and_neither_is_the_new_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "out")
    write = write_manifest

    def late(folder: Path, facts: dict[str, int]) -> None:
        write(folder, facts)
        (tmp_path / "out/notes.txt").write_text("mine")

    monkeypatch.setitem(globals(), "write_manifest", late)
    with pytest.raises(OutputError, match=r"notes\.txt.*whole in") as caught:
        make(tmp_path / "out", "newer")
    assert (tmp_path / "out/notes.txt").read_text() == "mine"
    assert content(Path(str(caught.value).rsplit(" ", 1)[1])) == "newernewer"


def test_what_the_run_reads_is_not_replaced(tmp_path: Path) -> None:
    make(tmp_path / "out")
    with pytest.raises(InputError, match="which this run reads"):
        check_output(tmp_path / "out", reads=[None, "module:function", tmp_path / "out/phone/model.tflite"])
    check_output(tmp_path / "out", reads=[tmp_path])


def test_siblings_that_look_like_ours_stay(tmp_path: Path) -> None:
    make(tmp_path / "out")
    looks = [".out.tfcompress-abc", ".tfcompress-762069bc07a6-abcdefgh", "out-old", ".tfcompress-"]
    for name in looks:
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text("mine")
    make(tmp_path / "out", "newer")
    assert names(tmp_path) == sorted([*looks, "out"])
    assert all((tmp_path / name / "thesis.tex").read_text() == "mine" for name in looks)


WRITER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let what runs in the background ignore it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and nohup lets it ignore this one
from pathlib import Path
from tfcompress.job import publishing
from tfcompress.job.manifest import write_manifest
from tfcompress.job.output_folder import published
out, mode = Path(sys.argv[1]), sys.argv[2]
if mode == "no_exchange":
    publishing._exchange = lambda first, second: False
if mode in ("no_exchange", "inside"):
    rename = Path.rename
    def slowly(self, to):
        time.sleep(0.002)
        return rename(self, to)
    Path.rename = slowly
print("ready", flush=True)
number = 0
while True:
    number += 1
    with published(out) as work:
        (work / "phone").mkdir()
        (work / "phone" / "model.tflite").write_text(f"{number},")
        (work / "report.json").write_text(f"{number},")
        write_manifest(work, {"seed": number})
        if mode == "hold":
            print("holding", flush=True)
            time.sleep(60)
"""


def writer(out: Path, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(out), mode]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


MOST_KILLS = 50  # for each that has to hit: a busy machine may not have begun to write, or be between two outputs


def kill_until_interrupted(out: Path, mode: str, times: int, seed: int) -> None:
    """Kills runs at random moments until so many of them left something to recover or tidy up."""
    moments, interrupted = random.Random(seed), 0
    for _ in range(times * MOST_KILLS):
        process = writer(out, mode)
        time.sleep(moments.uniform(0.02, 0.15))
        process.kill()
        process.communicate()
        inside = [name for name in names(out) if name.startswith(".tfcompress")] if out.exists() else []
        interrupted += len(inside) + len(names(out.parent)) > 1
        whole = content(out).split(",")
        assert whole[0] == whole[1]
        assert names(out) == ["manifest.json", "phone", "report.json"]
        assert names(out.parent) == [out.name]
        if interrupted == times:
            return
    pytest.fail(f"only {interrupted} of {times * MOST_KILLS} kills interrupted a run")


@pytest.mark.parametrize("mode", ["exchange", "no_exchange"])
def test_a_run_that_is_killed_leaves_the_old_output_or_the_new(mode: str, tmp_path: Path) -> None:
    make(tmp_path / "out", "0,")
    kill_until_interrupted(tmp_path / "out", mode, times=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exchange", "no_exchange"])
def test_a_hundred_kills(mode: str, tmp_path: Path) -> None:
    make(tmp_path / "out", "0,")
    kill_until_interrupted(tmp_path / "out", mode, times=100, seed=2)


def test_kills_on_a_mount_point(volume: Callable[[str], Path]) -> None:
    output = volume("1m")
    make(output, "0,")
    kill_until_interrupted(output, "inside", times=3, seed=3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_old_output_and_no_litter(number: signal.Signals, tmp_path: Path) -> None:
    make(tmp_path / "out")
    process = writer(tmp_path / "out", "hold")
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == -number  # as without us
    assert content(tmp_path / "out") == "weightsweights"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("inside", [False, True])
def test_two_runs_at_once_both_end_well(inside: bool, volume: Callable[[str], Path], tmp_path: Path) -> None:
    out = volume("1m") if inside else tmp_path / "out"
    first, second = writer(out, "exchange"), writer(out, "exchange")
    time.sleep(1)
    assert (first.poll(), second.poll()) == (None, None)
    for process in (first, second):
        process.terminate()
        process.communicate(timeout=30)
    assert content(out)
    assert names(out) == ["manifest.json", "phone", "report.json"]
