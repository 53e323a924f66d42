"""A diff that was killed continues from its progress file and comes to the very same figures."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.accuracy_diff import faults
from tests.accuracy_diff.faults import Bench
from tests.accuracy_diff.models import plain_cnn, probabilities, rows, seeded, table_runner
from tfcompress.accuracy_diff import Comparison, compare, progress, runner_for
from tfcompress.accuracy_diff.litert_runner import LiteRtRunner
from tfcompress.accuracy_diff.runners import CallableRunner, Runner
from tfcompress.errors import InputError

COUNT, BATCH = 400, 16
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, COUNT)
VALUES = RNG.normal(size=(COUNT, 3))
VECTORS = RNG.normal(size=(COUNT, 70)).astype(np.float32)


def noisy(values: np.ndarray) -> np.ndarray:
    return (values + np.random.default_rng(1).normal(0, 0.3, values.shape)).astype(np.float32)


@pytest.fixture(autouse=True)
def _write_after_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.0)


class Watched:
    """A model given as a table that counts its rows and stops once it has seen `stop_after` of them."""

    def __init__(self, table: np.ndarray, stop_after: int | None = None) -> None:
        self.seen = 0
        self._table = table
        self._stop_after = stop_after

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        if self._stop_after is not None and self.seen >= self._stop_after:
            raise KeyboardInterrupt
        self.seen += len(numbers)
        return self._table[numbers[:, 0].astype(int)]


def diff(reference: np.ndarray, candidate: Callable[..., Any], labels: Any, **options: Any) -> Comparison:
    runner = CallableRunner(candidate, name="int8")
    first = table_runner("float", reference)
    return compare(first, {"it": runner}, rows(COUNT, labels), batch_size=BATCH, workers=1, **options)


@pytest.mark.parametrize(
    ("reference", "labels", "options"),
    [
        (probabilities(LABELS, 4), LABELS, {"metrics": ("SparseCategoricalCrossentropy", "AUC")}),
        (probabilities(LABELS, 4), np.array(["ant", "bee", "cow", "dog"])[LABELS], {}),
        (probabilities(LABELS, 4), None, {}),
        (RNG.random((COUNT, 1)), LABELS % 2, {}),
        (RNG.random((COUNT, 3)), RNG.integers(0, 2, (COUNT, 3)), {}),
        (VALUES, VALUES + 0.1, {"metrics": ("mse",)}),
        (VECTORS, None, {"task": "embedding"}),
    ],
    ids=["classification", "strings", "unlabelled", "binary", "multi-label", "regression", "embedding"],
)
def test_a_diff_that_stopped_goes_on_to_the_same_figures(
    tmp_path: Path, reference: np.ndarray, labels: Any, options: dict[str, Any]
) -> None:
    table, file = noisy(reference), tmp_path / "state"
    whole = diff(reference, Watched(table), labels, **options).to_json()
    with pytest.raises(KeyboardInterrupt):
        diff(reference, Watched(table, stop_after=COUNT // 2), labels, resume=file, **options)
    assert file.exists()
    rest = Watched(table)
    assert diff(reference, rest, labels, resume=file, **options).to_json() == whole
    assert COUNT // 4 < rest.seen < COUNT
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_flipped_samples_and_several_candidates_survive(tmp_path: Path) -> None:
    bench = Bench(seeded(plain_cnn))
    sound = LiteRtRunner(bench.sound)
    dim = LiteRtRunner(bench.with_ranges(faults.scaled("conv_b", 0.05)))
    batches = 0

    def interrupted(image: np.ndarray) -> np.ndarray:
        nonlocal batches
        batches += 1
        if batches == 8:
            raise KeyboardInterrupt
        return dim.run({"image": image})["answer"]

    def run(candidate: Any, **options: Any) -> dict[str, Any]:
        candidates: dict[str, Runner] = {"sound": sound, "dim": CallableRunner(candidate, name="dim")}
        reference = runner_for(bench.model)
        return compare(reference, candidates, bench.evaluation, batch_size=BATCH, workers=1, **options).to_json()

    with pytest.raises(KeyboardInterrupt):
        run(interrupted, resume=tmp_path / "state")
    whole = run(lambda image: dim.run({"image": image})["answer"])
    batches = 9
    assert run(interrupted, resume=tmp_path / "state") == whole
    assert any(row["picture"] for row in whole["candidates"]["dim"]["flipped"]["samples"])


@pytest.mark.parametrize("change", ["labels", "task", "model"])
def test_the_progress_of_another_diff_is_not_taken_over(tmp_path: Path, change: str) -> None:
    reference, file = probabilities(LABELS, 4), tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        diff(reference, Watched(reference, stop_after=COUNT // 2), LABELS, resume=file)
    other = Watched(reference)
    labels = (LABELS + 1) % 4 if change == "labels" else LABELS
    task = "classification" if change == "task" else None
    if change == "model":
        runner = CallableRunner(other, name="another")
        data = rows(COUNT, labels)
        compare(table_runner("float", reference), {"it": runner}, data, batch_size=BATCH, workers=1, resume=file)
    else:
        diff(reference, other, labels, task=task, resume=file)
    assert other.seen == COUNT


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    reference = probabilities(LABELS, 4)
    (tmp_path / "notes.txt").write_text("mine")
    np.savez(tmp_path / "data.npz", x=np.zeros(3))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for name in ("notes.txt", "data.npz", "objects.npy"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(InputError, match="is not a progress file of tfcompress diff"):
            diff(reference, Watched(reference), LABELS, resume=tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(InputError, match="cannot be written"):
        diff(reference, Watched(reference), LABELS, resume=tmp_path / "absent" / "state")


CHILD = """
import sys, time
from pathlib import Path
from tests.accuracy_diff import test_resume as here
here.progress.SECONDS = 0.0
def slow(numbers):
    time.sleep(0.05)
    return here.noisy(here.probabilities(here.LABELS, 4))[numbers[:, 0].astype(int)]
slow.__name__ = "int8"
here.diff(here.probabilities(here.LABELS, 4), slow, here.LABELS, resume=Path(sys.argv[1]))
"""


def test_a_killed_process_loses_nothing_that_was_written(tmp_path: Path) -> None:
    reference, file = probabilities(LABELS, 4), tmp_path / "state"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(file)], cwd=Path(__file__).parents[2])
    while not file.exists():
        assert child.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    rest = Watched(noisy(reference))
    report = diff(reference, rest, LABELS, resume=file).to_json()
    assert rest.seen < COUNT
    assert report == diff(reference, Watched(noisy(reference)), LABELS).to_json()
