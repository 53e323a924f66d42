"""A search through a database server, and one that is killed again and again: no trial is lost or repeated."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.search.test_search import files as files
from tfcompress.search.study import Study

TRIALS = 6
KILLS = 10


def program(name: str) -> str | None:
    """A program of PostgreSQL's server, which Debian keeps out of the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")]))


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[str]:
    """The address of a server of its own on the loopback interface."""
    pytest.importorskip("psycopg2", reason="the driver of PostgreSQL (psycopg2-binary) is not installed")
    if program("initdb") is None:
        pytest.skip("PostgreSQL's server is not installed")
    folder = Path("/tmp") / f"tfcompress-postgresql-{os.getpid()}"  # the server's own user has to reach it
    folder.mkdir(mode=0o700)
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(name: str, *arguments: str) -> None:
        log = tmp_path / f"{name}.log"
        with log.open("w") as out:
            done = subprocess.run(
                [str(program(name)), *arguments], user=user, cwd=folder, stdout=out, stderr=out, check=False
            )
        assert done.returncode == 0, log.read_text()

    run("initdb", "-D", str(folder / "data"), "-U", "tfcompress", "--auth=trust")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run("pg_ctl", "-D", str(folder / "data"), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg2://tfcompress@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder)


def rows_of(printed: str) -> dict[str, tuple[int, float]]:
    """{candidate: what does not differ from run to run}."""
    result = json.loads(printed)
    return {row["name"]: (row["bytes"], row["accuracy_drop"]) for row in result["pareto"] + result["rejected"]}


@pytest.mark.slow
def test_two_commands_share_a_search_through_postgresql(files: list[str], tmp_path: Path, postgresql: str) -> None:
    def command(name: str, *arguments: str) -> list[str]:
        flags = [f"--output={tmp_path / name}", f"--max_trials={TRIALS}", "--json", *arguments]
        return [sys.executable, "-m", "tfcompress", *files, *flags]

    alone = subprocess.run(command("alone"), capture_output=True, text=True, timeout=900, check=False)
    assert alone.returncode == 0, alone.stderr
    joined = [
        subprocess.Popen(command(name, f"--storage={postgresql}"), stdout=subprocess.PIPE, text=True)
        for name in ("first", "second")
    ]
    printed = [process.communicate(timeout=1200)[0] for process in joined]
    assert [process.returncode for process in joined] == [0, 0]
    assert [rows_of(text) for text in printed] == [rows_of(alone.stdout)] * 2


@pytest.mark.slow
def test_a_search_that_is_killed_ten_times_loses_and_repeats_no_trial(files: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = [sys.executable, "-m", "tfcompress", *files, f"--output={output}", f"--max_trials={TRIALS}", "--json"]
    moments = random.Random(0)
    for _ in range(KILLS):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(moments.uniform(2, 25))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (output / "pareto.json").exists():
            json.loads((output / "pareto.json").read_text())  # whole at any moment
    run = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, run.stderr
    identity = json.loads((output / "search.json").read_text())["identity"]
    trials = Study(str(output / "trials.journal"), identity).trials()
    ended = Counter((trial.round, trial.key) for trial in trials if trial.figures is not None)
    assert set(ended.values()) == {1}
    assert len(rows_of(run.stdout)) == TRIALS
    alone = subprocess.run(
        [*command[:-3], f"--output={tmp_path / 'alone'}", *command[-2:]], capture_output=True, text=True, check=False
    )
    assert rows_of(run.stdout) == rows_of(alone.stdout)
