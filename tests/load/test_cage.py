"""The cage denies what it says it denies: each test does the forbidden thing inside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.load.attacks.base import dense_keras
from tests.load.attacks.containers import aligned_archive
from tfcompress.errors import ModelError
from tfcompress.load import LoadLimits, load_model
from tfcompress.load.safety import cage_client
from tfcompress.load.safety.cage import SAID
from tfcompress.load.safety.landlock import landlock_version

PRELUDE = """
import ctypes, json, mmap, os, signal, socket, subprocess, sys, threading
from pathlib import Path
from tfcompress.load.safety.cage import Bounds, enter_cage
readable, scratch, secret, outside = map(Path, sys.argv[1:5])
missing = enter_cage([readable], scratch, Bounds(20, 256 << 20, 1 << 20))
def denied(act):
    try:
        act()
    except (OSError, MemoryError, RuntimeError) as error:
        return type(error).__name__
    return "done"
"""
FORBIDDEN = {
    "reads another file": "secret.read_bytes()",
    "reads the user's files": "list(Path('/root').iterdir()) if os.access('/root', os.R_OK) else secret.read_bytes()",
    "reads another process": "Path(f'/proc/{os.getppid()}/environ').read_bytes()",
    "writes what it may read": "readable.write_bytes(b'x')",
    "writes a file elsewhere": "outside.write_bytes(b'x')",
    "makes a folder elsewhere": "outside.mkdir()",
    "removes a file": "secret.unlink()",
    "renames a file": "secret.rename(outside)",
    "makes a link": "os.symlink(secret, scratch / 'link')",
    "links to a file": "os.link(secret, scratch / 'link')",
    "changes a mode": "os.chmod(secret, 0o777)",
    "changes a time": "os.utime(secret)",
    "starts a program": "subprocess.run(['/bin/true'])",
    "starts a process": "os.fork()",
    "opens a socket": "socket.socket()",
    "opens a local socket": "socket.socketpair()",
    "sends a signal": "os.kill(os.getppid(), signal.SIGCONT)",
    "takes memory": "bytearray(1 << 30)",
    "writes a large file": "(scratch / 'large').write_bytes(bytes(2 << 20))",
}
ALLOWED = {
    "reads its file": "readable.read_bytes()",
    "writes scratch": "(scratch / 'x').write_bytes(b'x')",
    "imports": "__import__('xml.dom.minidom')",
    "runs a thread": "(t := threading.Thread(target=int), t.start(), t.join())",
    "takes a little memory": "bytearray(16 << 20)",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each act in one caged process."""
    folder = tmp_path_factory.mktemp("cage")
    for name in ("readable", "secret"):
        (folder / name).write_bytes(b"content")
    (folder / "scratch").mkdir()
    acts = ", ".join(f"{name!r}: denied(lambda: {act})" for name, act in {**FORBIDDEN, **ALLOWED}.items())
    ignore = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    script = f"{PRELUDE}\n{ignore}\nprint(json.dumps({{**{{{acts}}}, 'missing': missing}}))"
    places = [folder / "readable", folder / "scratch", folder / "secret", folder / "outside"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, places)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    outcomes: dict[str, str] = json.loads(done.stdout)
    assert (folder / "secret").read_bytes() == (folder / "readable").read_bytes() == b"content"
    assert not (folder / "outside").exists()
    return outcomes


def require_whole_cage(results: dict[str, Any]) -> None:
    if results["missing"]:
        pytest.skip(f"this system has {', '.join(results['missing'])}")


@pytest.mark.parametrize("act", FORBIDDEN)
def test_caged_process_cannot(act: str, results: dict[str, str]) -> None:
    require_whole_cage(results)
    assert results[act] != "done"


@pytest.mark.parametrize("act", ALLOWED)
def test_caged_process_can(act: str, results: dict[str, str]) -> None:
    assert results[act] == "done"


def test_environment_of_the_user_does_not_reach_the_cage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    assert "SECRET_TOKEN" not in cage_client._environment()
    assert cage_client._environment()["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("offset", [512, 1024, 2048])
def test_archive_whose_weights_begin_where_an_hdf5_file_may_begin_is_an_archive(offset: int, tmp_path: Path) -> None:
    path = aligned_archive(dense_keras(tmp_path), offset)
    assert load_model(path).parameters == 10


def test_what_the_cage_lacks_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("tfcompress.console.warn", said.append)
    monkeypatch.setattr(cage_client, "_warned_of", set())
    for _ in range(3):
        cage_client._warn_once("no limit on the files it reaches")
    assert len(said) == 1
    assert "no limit on the files it reaches" in said[0]


def test_damaged_answer_of_a_caged_process_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("[" * 100_000)
    assert cage_client._read(tmp_path / "result.json") is None
    os.symlink("/etc/passwd", tmp_path / "link.json")
    assert cage_client._read(tmp_path / "link.json") is None


def test_error_names_the_flag_that_allows_more_memory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"needs more than 1 MiB of memory; .* --max_load_memory allows more"):
        load_model(dense_keras(tmp_path), max_load_memory=1)


def test_limits_grow_with_the_file(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"")
    large.write_bytes(bytes(10 << 20))
    assert (LoadLimits().seconds_for(small), LoadLimits().seconds_for(large)) == (60, 70)
    assert LoadLimits().memory_for(large) - LoadLimits().memory_for(small) == 60 << 20
    assert LoadLimits(seconds=5, memory=100).memory_for(large) == 100 << 20


def test_kernel_with_landlock_is_used() -> None:
    if sys.platform != "linux" or landlock_version() == 0:
        pytest.skip("this kernel has no Landlock")
    assert landlock_version() >= 1


def answering(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, str | None]) -> list[int]:
    """The caged process ends with these codes, and leaves these results, in turn."""
    left, asked = list(answers), []

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        code, result = left.pop(0)
        asked.append(code)
        scratch = Path(request["scratch"])
        (scratch / SAID).write_text(
            "noise\nterminate called after throwing an instance of 'std::bad_alloc'\x1b[31m\n\n"
        )
        if result is not None:
            (scratch / "result.json").write_text(result)
        return {"code": code, "why": None, "data": 0, "peak": 0}

    monkeypatch.setattr(cage_client._server, "ask", ask)
    return asked


def test_process_that_the_machine_ended_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, (-9, None), (0, '{"head": "x"}'))
    assert cage_client.run_caged("head", dense_keras(tmp_path), LoadLimits()) == {"head": "x"}
    assert asked == [-9, 0]


def test_file_is_not_called_corrupt_where_its_process_gave_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, (-6, None), (-6, None))
    with pytest.raises(ModelError, match=r"cannot be tried: .* \(signal 6: terminate called .*bad_alloc") as said:
        cage_client.run_caged("head", dense_keras(tmp_path), LoadLimits())
    assert "corrupt" not in str(said.value)
    assert str(said.value).isprintable()


def test_file_that_makes_the_processor_fault_is_corrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, (-11, None))
    with pytest.raises(ModelError, match=r"corrupt: it crashes the process .* \(signal 11"):
        cage_client.run_caged("head", dense_keras(tmp_path), LoadLimits())
    assert asked == [-11]
