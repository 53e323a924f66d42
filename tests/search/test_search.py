"""A search as a user runs it: in Python on arrays, and from the command line in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfcompress
from tests.conftest import CommandLine
from tfcompress.errors import InputError, ModelError
from tfcompress.progress import ProgressEvent, listening
from tfcompress.runtime import keras


def network() -> tuple[Any, np.ndarray, np.ndarray]:
    """A classifier that is right on its data, and the data."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=20, verbose=0)
    return model, x, y


def test_the_best_artifact_within_a_budget_is_found_and_confirmed(tmp_path: Path) -> None:
    model, x, y = network()
    result = tfcompress.search(
        model,
        budget="accuracy_drop<=0.1,bytes<=100000",
        minimize="bytes",
        calibration=x,
        evaluation=(x, y),
        max_trials=4,
        output=tmp_path / "out",
    )
    assert result.exit_code == 0
    assert result.best is not None
    assert result.best.confirmed
    assert result.evaluated == result.trials == 4
    written = json.loads((tmp_path / "out/pareto.json").read_text())
    assert written == json.loads(json.dumps(result.to_plain()))
    assert {"budget", "minimize", "trials", "evaluated", "best", "pareto"} <= written.keys()
    sizes = [row.figures.bytes for row in (*result.pareto, *result.rejected) if row.figures and not row.why_not]
    assert result.best.figures is not None
    assert result.best.figures.bytes == min(size for size in sizes if size is not None)
    best_of = {row.name for row in result.pareto}
    assert all((row.beaten_by in best_of) is (row.why_not is None) for row in result.rejected)
    assert all(row.beaten_by is None for row in result.pareto)
    assert tfcompress.verify(tmp_path / "out/best") == []
    report = json.loads((tmp_path / "out/best/report.json").read_text())
    assert report["targets"]["phone"]["bytes"] == result.best.figures.bytes
    assert result.verdict in (tmp_path / "out/search.html").read_text()


def test_where_nothing_meets_the_budget_the_nearest_miss_is_named(tmp_path: Path) -> None:
    model, x, y = network()
    result = tfcompress.search(
        model, budget="bytes<=500", calibration=x, evaluation=(x, y), max_trials=2, output=tmp_path / "out"
    )
    assert (result.exit_code, result.best) == (3, None)
    assert "nothing meets the budget; the nearest miss is" in result.verdict
    assert "bytes<=500: is" in result.verdict
    assert not (tmp_path / "out/best").exists()


def test_the_best_so_far_is_whole_while_the_search_goes_on(tmp_path: Path) -> None:
    model, x, y = network()
    lines, whole = [], []

    def watch(event: ProgressEvent) -> None:
        if "trials ended" in event.message:
            lines.append(event.message)
            whole.append((tmp_path / "out/best").is_dir() and tfcompress.verify(tmp_path / "out/best") == [])

    with listening(watch):
        tfcompress.search(
            model,
            budget="accuracy_drop<=0.1",
            calibration=x,
            evaluation=(x, y),
            max_trials=3,
            output=tmp_path / "out",
        )
    first = next(line for line in lines if line.startswith("1 of at most 3 trials ended"))
    assert "best so far: the recipe as given, bytes " in first
    assert "min left" in first
    assert not whole[0]
    assert whole[-1]


def test_an_artifact_that_the_data_held_apart_refuse_does_not_stay(tmp_path: Path) -> None:
    model, x, y = network()
    # The samples at even places choose, those at odd places confirm; float is right on all of them.
    x[1::2] *= 1e4
    out = tmp_path / "out"
    seen = []

    def watch(event: ProgressEvent) -> None:
        seen.append((out / "best").is_dir())

    with listening(watch):
        result = tfcompress.search(
            model, budget="accuracy_drop<=0.1", calibration=x[::2], evaluation=(x, y), max_trials=1, output=out
        )
    assert any(seen)
    assert (result.exit_code, result.best) == (3, None)
    assert not (out / "best").exists()


@pytest.mark.parametrize("wrong", ["model", "calibration"])
def test_input_that_no_trial_could_use_is_refused_before_the_first(wrong: str, tmp_path: Path) -> None:
    model, x, _ = network()
    (tmp_path / "broken").write_bytes(b"hello")
    given = {"model": model, "calibration": x, wrong: tmp_path / "broken"}
    with pytest.raises(InputError, match="broken"):
        tfcompress.search(**given, targets="phone", budget="bytes<=1000", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_candidate_has_a_latency_where_that_is_minimised(tmp_path: Path) -> None:
    model, x, y = network()
    result = tfcompress.search(
        model,
        budget="accuracy_drop<=0.1",
        minimize="latency_ms",
        calibration=x,
        evaluation=(x, y),
        max_trials=3,
        output=tmp_path / "out",
    )
    rows = [*result.pareto, *result.rejected, *result.finalists]
    assert len(rows) >= 4
    assert all(row.figures and row.figures.latency_ms and row.figures.latency_ms > 0 for row in rows)


def test_without_labels_agreement_takes_the_place_of_accuracy(tmp_path: Path) -> None:
    model, x, _ = network()
    result = tfcompress.search(
        model, budget="accuracy_drop<=0.1", calibration=x, evaluation=x, max_trials=1, output=tmp_path / "out"
    )
    assert result.pareto[0].figures is not None
    assert result.pareto[0].figures.accuracy_drop is not None
    assert 0 <= result.pareto[0].figures.accuracy_drop < 0.1


def test_a_folder_with_files_of_the_user_s_is_left_as_it_is(tmp_path: Path) -> None:
    model, x, _ = network()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="files that are not ours"):
        tfcompress.search(model, budget="bytes<=500", calibration=x, output=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    model, x, y = network()
    model.save(tmp_path / "m.keras")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    data = [f"--{flag}={tmp_path / 'data.npz'}" for flag in ("calibration", "evaluation")]
    return ["search", str(tmp_path / "m.keras"), "--budget=accuracy_drop<=0.1", *data]


@pytest.mark.slow
def test_two_workers_find_what_one_finds(tfcompress_command: CommandLine, files: list[str], tmp_path: Path) -> None:
    figures = []
    for workers in (1, 2):
        output = f"--output={tmp_path / f'out{workers}'}"
        run = tfcompress_command(*files, output, f"--workers={workers}", "--max_trials=6", "--json", "--no_cache")
        assert run.returncode == 0, run.stderr
        rows = json.loads(run.stdout)
        # What is measured in milliseconds differs from run to run.
        figures.append({row["name"]: (row["bytes"], row["accuracy_drop"]) for row in rows["pareto"] + rows["rejected"]})
    assert figures[0] == figures[1]
    assert len(figures[0]) == 6


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(files: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tfcompress", *files, f"--output={tmp_path / 'out'}", "--max_trials=5", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    while not done_in(tmp_path / "out") and time.monotonic() < deadline:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = done_in(tmp_path / "out")
    assert 1 <= before < 5
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr
    rows = json.loads(run.stdout)
    assert rows["evaluated"] == rows["trials"] == 5


def done_in(folder: Path) -> int:
    """Number of trials that ended, by pareto.json, which is whole at any moment."""
    path = folder / "pareto.json"
    return json.loads(path.read_text())["evaluated"] if path.exists() else 0


@pytest.mark.slow
def test_a_time_limit_holds(tfcompress_command: CommandLine, files: list[str], tmp_path: Path) -> None:
    started = time.monotonic()
    run = tfcompress_command(*files, f"--output={tmp_path / 'out'}", "--max_trials=24", "--max_minutes=0.5")
    assert run.returncode in (0, 3), run.stderr
    # A tenth above the limit, and what it takes to import TensorFlow and to write the best artifact.
    assert time.monotonic() - started < 33 + 60


def test_a_model_that_cannot_compute_is_refused_before_the_first_trial(tmp_path: Path) -> None:
    _, x, _ = network()
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, keras.layers.Flatten()(inputs))
    model.layers[-1].name = "no scope\n"
    with pytest.raises(ModelError, match="cannot compute on inputs"):
        tfcompress.search(model, calibration=x, targets="phone", budget="bytes<=1000", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
