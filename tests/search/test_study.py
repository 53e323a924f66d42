"""Trials survive their workers: none is lost, none is done twice, and every worker sees the same ones."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import journal
from optuna.storages.journal._base import BaseJournalSnapshot

from tfcompress.converters.target import TARGETS
from tfcompress.errors import InputError
from tfcompress.search.budget import Budget
from tfcompress.search.figures import Figures
from tfcompress.search.rounds import finalists, next_points
from tfcompress.search.space import Space, space_for
from tfcompress.search.study import LogsOnly, Study
from tfcompress.search.trial import CONFIRM, Outcome, Trial

BUDGET = Budget.parse("accuracy_drop<=0.01")


def trial(name: str, round: str = "alone") -> Trial:
    return Trial(round=round, point={"scheme": name}, name=name, changes={"post_training": {"scheme": name}})


def outcome(size: int, drop: float = 0.0) -> Outcome:
    return Outcome(figures=Figures(bytes=size, accuracy_drop=drop, accuracy_drop_ci95=(drop - 0.002, drop + 0.002)))


def space(*, trains: bool = False) -> Space:
    return space_for(TARGETS["phone"], ["bytes", "packed_bytes"], trains=trains)


def drained(study: Study) -> list[str]:
    names = []
    while (claim := study.claim()) is not None:
        names.append(claim.trial.name)
        study.finish(claim, outcome(len(names)), [0.0, 1.0], 0.1)
    return names


def test_every_trial_is_claimed_once_and_kept(tmp_path: Path) -> None:
    study = Study(str(tmp_path / "trials"), "one")
    study.add([trial("int8"), trial("dynamic")])
    study.add([trial("int8"), trial("float16")])
    assert sorted(drained(study)) == ["dynamic", "float16", "int8"]
    again = Study(str(tmp_path / "trials"), "one").trials()
    assert again == study.trials()
    assert all(item.figures is not None for item in again)


def test_finalists_come_before_what_still_waits(tmp_path: Path) -> None:
    study = Study(str(tmp_path / "trials"), "one")
    study.add([trial("int8"), trial("dynamic", CONFIRM)])
    assert drained(study) == ["dynamic", "int8"]


def test_a_trial_that_two_workers_queued_at_once_is_done_once(tmp_path: Path) -> None:
    first, second = (Study(str(tmp_path / "trials"), "one") for _ in range(2))
    waiting = [optuna.trial.create_trial(state=optuna.trial.TrialState.WAITING, user_attrs=first_task()) for _ in "12"]
    for item in waiting:
        first._study.add_trial(item)
    assert drained(second) == ["int8"]
    assert len(first.trials()) == 1


def first_task() -> dict[str, str]:
    return {"task": json.dumps(trial("int8").task())}


def test_what_a_killed_worker_was_at_is_queued_again(tmp_path: Path) -> None:
    path = tmp_path / "trials"
    study = Study(str(path), "one")
    study.add([trial("int8")])
    code = f"from tfcompress.search.study import Study; import os; Study({str(path)!r}, 'one').claim(); os._exit(9)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 9, run.stderr
    assert study.claim() is None
    study.release()
    assert drained(study) == ["int8"]


def test_a_trial_that_is_being_worked_on_is_left_alone(tmp_path: Path) -> None:
    study = Study(str(tmp_path / "trials"), "one")
    study.add([trial("int8")])
    assert study.claim() is not None
    study.release()
    assert study.claim() is None


def test_a_trial_whose_process_crashes_three_times_is_given_up(tmp_path: Path) -> None:
    study = Study(str(tmp_path / "trials"), "one")
    study.add([trial("int8")])
    for _ in range(3):
        assert study.claim() is not None
        study.crashed(os.getpid(), "its process ended with SIGSEGV")
    study.add([trial("dynamic")])
    assert drained(study) == ["dynamic"]
    assert {item.name: item.failure for item in study.trials()}["int8"] == "its process ended with SIGSEGV"


def test_a_storage_of_another_search_is_refused(tmp_path: Path) -> None:
    Study(str(tmp_path / "trials"), "one")
    with pytest.raises(InputError, match="holds a search of another model"):
        Study(str(tmp_path / "trials"), "two")
    with pytest.raises(InputError, match="cannot be opened"):
        Study(str(tmp_path / "nowhere" / "trials"), "one")


def test_proposals_are_the_same_for_every_worker_and_new() -> None:
    figures = Figures(bytes=9, accuracy_drop=0.0)
    first = Trial(round="start", point=space(trains=True).start, name="as given", figures=figures)
    _, alone = next_points("alone", space(trains=True), [first], BUDGET, "bytes", most=40, seed=0)
    tried = [first] + [
        Trial(
            round="alone",
            point=point,
            name=str(number),
            changes=space(trains=True).candidate(point).changes,
            figures=Figures(bytes=9 + number, accuracy_drop=0.01),
        )
        for number, point in enumerate(alone)
    ]
    proposals = [
        next_points("combined", space(trains=True), tried, BUDGET, "bytes", most=5, seed=0)[1] for _ in range(2)
    ]
    assert proposals[0] == proposals[1]
    keys = {space(trains=True).candidate(point).key for point in proposals[0]}
    assert len(keys) == 5
    assert not keys & {item.key for item in tried}


def test_what_gains_nothing_is_not_tried_and_said() -> None:
    plain = space_for(TARGETS["phone"], ["latency_ms"], trains=True)
    assert plain.named("zeros") is None
    assert any(line.startswith("zeros and shared values: change neither") for line in plain.left_out)
    assert space_for(TARGETS["ethos_u"], ["cycles"], trains=True).named("zeros") is not None
    assert any("give --train" in line for line in space().left_out)


def test_the_finalists_are_those_within_the_budget_then_those_near_it() -> None:
    each = [
        Trial(round="alone", point={}, name=name, changes={"n": name}, figures=outcome(size, drop).figures)
        for name, size, drop in [("large", 9, 0.0), ("small", 5, 0.0), ("near", 3, 0.0095), ("bad", 1, 0.5)]
    ]
    assert [item.name for item in finalists(each, BUDGET, "bytes")] == ["small", "large", "near"]


OF_STRANGERS = {
    "no task": {},
    "a task that is no text": {"task": 5},
    "a task that is no object": {"task": "[]"},
    "deep text": {"task": "[" * 100_000},
    "an unknown key": {"task": json.dumps({**trial("int8").task(), "code": "x"})},
    "changes that are a list": {"task": json.dumps({**trial("int8").task(), "changes": ["x"]})},
    "a number for a name": {"task": json.dumps({**trial("int8").task(), "name": 7})},
    "figures that are text": {**first_task(), "outcome": json.dumps({"figures": {"bytes": "many"}})},
    "figures that are no numbers": {**first_task(), "outcome": '{"figures": {"accuracy_drop": NaN}}'},
}


@pytest.mark.parametrize("attributes", OF_STRANGERS.values(), ids=OF_STRANGERS.keys())
def test_trials_that_no_search_of_ours_wrote_are_refused(attributes: dict[str, object], tmp_path: Path) -> None:
    study = Study(str(tmp_path / "trials"), "one")
    ended = optuna.trial.TrialState.COMPLETE
    study._study.add_trial(optuna.trial.create_trial(state=ended, values=[0.0, 0.0], user_attrs=attributes))
    with pytest.raises(InputError, match="its trial 0 is none that a search of ours wrote"):
        study.trials()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def hollow(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def notes(path: Path) -> None:
    path.write_text("My notes on trials\n")


def other_operations(path: Path) -> None:
    path.write_text('{"op_code": 99, "worker_id": "x"}\n')


def state(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_mode, status.st_size, status.st_mtime_ns


@pytest.mark.parametrize("make", [fifo, hollow, device, notes, other_operations, Path.mkdir])
def test_a_storage_that_is_no_file_of_trials_is_one_line_and_stays(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "trials")
    before = state(tmp_path / "trials")
    with pytest.raises(InputError, match=r"--storage=.*cannot be opened") as caught:
        Study(str(tmp_path / "trials"), "one")
    assert str(caught.value).isprintable()
    assert state(tmp_path / "trials") == before


class Shared(journal.BaseJournalBackend, BaseJournalSnapshot):
    """A journal as Redis keeps it, in which somebody else put a snapshot."""

    def __init__(self, snapshot: bytes) -> None:
        self.snapshot = snapshot
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.logs += logs

    def save_snapshot(self, snapshot: bytes) -> None:
        self.snapshot = snapshot

    def load_snapshot(self) -> bytes:
        return self.snapshot


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_a_shared_storage_is_never_read(tmp_path: Path) -> None:
    snapshot = pickle.dumps(Canary(tmp_path / "canary"))
    optuna.storages.JournalStorage(LogsOnly(Shared(snapshot)))
    assert not (tmp_path / "canary").exists()
    optuna.storages.JournalStorage(Shared(snapshot))  # Optuna's own way
    assert (tmp_path / "canary").exists()
