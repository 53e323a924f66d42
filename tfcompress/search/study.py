"""Trials kept in Optuna's storage, from which any number of workers take their work."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import optuna
from optuna.storages import journal

from tfcompress.errors import InputError, one_line
from tfcompress.search.figures import Figures
from tfcompress.search.trial import CONFIRM, Outcome, Trial

__all__ = ["Claim", "LogsOnly", "Study"]

_NAME = "tfcompress"
_BEAT_SECONDS = 30.0
_SILENT_SECONDS = 600.0  # after which a worker on another machine is taken for dead
_MOST_BYTES = 256 << 20  # of a file of trials; each takes about 2 KiB
_OPENING_SECONDS = 1.0
_MOST_STARTS = 3  # of one trial whose process ends without a word


@dataclass(frozen=True)
class Claim:
    """A trial that a worker has taken.

    Attributes:
        number: Optuna's own for it.
        trial: what is to be tried.
    """

    number: int
    trial: Trial


class Study:
    """All trials of one search.

    Args:
        storage: path of a file, or the address of an Optuna storage.
        identity: of the model, the data and the budget: a study of something else is refused.

    Raises:
        InputError: the storage cannot be opened, or holds a search of something else.
    """

    def __init__(self, storage: str, identity: str) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._storage, self._study = _opened(storage)
        self._study_id = self._storage.get_study_id_from_name(_NAME)
        previous = self._study.user_attrs.get("identity")
        if previous is None:
            self._study.set_user_attr("identity", identity)
        elif previous != identity:
            raise InputError(
                f"--storage={storage}: holds a search of another model, data, budget or goal; choose another --storage "
                "and --output"
            )

    def add(self, trials: Sequence[Trial]) -> None:
        """Queue trials that are not queued yet."""
        # One that was given back because its worker is gone has failed for Optuna, without a reason of ours.
        alive = [frozen for frozen in self._all() if frozen.state.name != "FAIL" or _trial(frozen).ended]
        present = {(trial.round, trial.key) for trial in map(_trial, alive)}
        for trial in trials:
            if (trial.round, trial.key) not in present:
                waiting = optuna.trial.TrialState.WAITING
                self._study.add_trial(
                    optuna.trial.create_trial(state=waiting, user_attrs={"task": json.dumps(trial.task())})
                )

    def trials(self) -> tuple[Trial, ...]:
        """Every trial once, sorted by round and key: the same for every worker, whoever ran them in which order."""
        best: dict[tuple[str, str], Trial] = {}
        for frozen in self._all():
            trial = _trial(frozen)
            name = (trial.round, trial.key)
            if name not in best or (trial.ended and not best[name].ended):
                best[name] = trial
        return tuple(best[name] for name in sorted(best))

    def claim(self) -> Claim | None:
        """The next trial that waits, now this process's; None where none waits.  Finalists come before all others."""
        state = optuna.trial.TrialState
        seen: set[tuple[str, str]] = set()
        pairs = [(frozen, _trial(frozen)) for frozen in self._all()]
        for frozen, trial in sorted(pairs, key=lambda pair: (pair[1].round != CONFIRM, pair[0].number)):
            name = (trial.round, trial.key)
            first = name not in seen
            if frozen.state != state.FAIL or trial.ended:
                seen.add(name)
            if frozen.state != state.WAITING:
                continue
            if not first:  # two workers queued it at the same moment
                self._end(self._id(frozen.number), state.FAIL)
                continue
            with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                if self._storage.set_trial_state_values(self._id(frozen.number), state.RUNNING):
                    self._set(self._id(frozen.number), "worker", _me())
                    self._set(self._id(frozen.number), "beat", time.time())
                    return Claim(frozen.number, trial)
        return None

    @contextlib.contextmanager
    def beating(self, claim: Claim) -> Iterator[None]:
        """Tell other machines meanwhile that the trial is being worked on."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(_BEAT_SECONDS):
                with contextlib.suppress(Exception):  # the trial may have been ended by another process
                    self._set(self._id(claim.number), "beat", time.time())

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def finish(self, claim: Claim, outcome: Outcome, values: Sequence[float], seconds: float) -> None:
        """Keep what came of a trial.

        Args:
            claim: the trial.
            outcome: its figures.
            values: the two goals, for Optuna's own tools.
            seconds: that it took.
        """
        plain = {**asdict(outcome), "figures": outcome.figures.to_plain()}
        number = self._id(claim.number)
        self._set(number, "outcome", json.dumps({**plain, "seconds": seconds}))
        self._end(number, optuna.trial.TrialState.COMPLETE, values)

    def fail(self, claim: Claim, reason: str) -> None:
        """Keep why a trial has no figures."""
        self._set(self._id(claim.number), "failure", one_line(reason, 500))
        self._end(self._id(claim.number), optuna.trial.TrialState.FAIL)

    def running(self) -> tuple[tuple[Claim, str], ...]:
        """The trials that are being worked on, and by whom."""
        state = optuna.trial.TrialState.RUNNING
        return tuple(
            (Claim(frozen.number, _trial(frozen)), str(frozen.user_attrs.get("worker", "")))
            for frozen in self._all()
            if frozen.state == state
        )

    def release(self) -> None:
        """Queue again what a worker left behind that is no more: killed here, or silent for long elsewhere."""
        for claim, worker in self.running():
            frozen = self._all()[claim.number]
            silent = time.time() - float(frozen.user_attrs.get("beat", 0.0)) > _SILENT_SECONDS
            if _is_gone(worker) if _is_here(worker) else silent:
                self._end(self._id(frozen.number), optuna.trial.TrialState.FAIL)
                self.add([claim.trial])

    def crashed(self, process: int, how: str) -> None:
        """A worker of this machine ended without a word: its trial is tried again, and given up the third time."""
        for claim, worker in self.running():
            if worker.split("/")[:2] != _me(process).split("/")[:2]:
                continue
            starts = sum(_trial(frozen).key == claim.trial.key for frozen in self._all())
            if starts >= _MOST_STARTS:
                self.fail(claim, how)
                continue
            self._end(self._id(claim.number), optuna.trial.TrialState.FAIL)
            self.add([claim.trial])

    def _all(self) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _id(self, number: int) -> int:
        return int(self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number))

    def _set(self, trial_id: int, name: str, value: object) -> None:
        self._storage.set_trial_user_attr(trial_id, name, value)

    def _end(self, trial_id: int, state: optuna.trial.TrialState, values: Sequence[float] | None = None) -> None:
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            self._storage.set_trial_state_values(trial_id, state, values)


def _trial(frozen: optuna.trial.FrozenTrial) -> Trial:
    """What a trial in the storage says; the storage may be shared, so anything may stand there.

    Raises:
        InputError: it is no trial of ours.
    """
    try:
        task: Mapping[str, object] = json.loads(frozen.user_attrs["task"])
        outcome = json.loads(frozen.user_attrs.get("outcome", "{}"))
        figures = outcome.get("figures") if frozen.state.name == "COMPLETE" else None
        trial = Trial(
            **task,  # type: ignore[arg-type]
            figures=None if figures is None else Figures.from_plain(figures),
            ranked=tuple(outcome.get("ranked", ())),
            noise=tuple(outcome.get("noise", ())),
            stopped=outcome.get("stopped"),
            failure=frozen.user_attrs.get("failure"),
            seconds=outcome.get("seconds"),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        trial = None
    if trial is None or not trial.is_sound:
        raise InputError(
            f"--storage: its trial {frozen.number} is none that a search of ours wrote; choose another --storage"
        )
    return trial


def _opened(storage: str, *, attempts: int = 3) -> tuple[optuna.storages.BaseStorage, optuna.Study]:
    """The storage and the study in it, which is made where there is none.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            backend = _backend(storage)
            study = optuna.create_study(
                storage=backend, study_name=_NAME, directions=["minimize", "minimize"], load_if_exists=True
            )
    except Exception as error:  # each storage has errors of its own
        # Of two machines that make a database's tables at the same moment one is refused, and finds them later.
        if "://" in storage and attempts > 1:
            time.sleep(_OPENING_SECONDS)
            return _opened(storage, attempts=attempts - 1)
        raise InputError(f"--storage={storage}: cannot be opened: {one_line(error, 200)}") from None
    return backend, study


def _backend(storage: str) -> optuna.storages.BaseStorage:
    scheme, _, rest = storage.partition("://")
    if not rest:
        return optuna.storages.JournalStorage(journal.JournalFileBackend(str(_journal(Path(storage)))))
    if scheme == "redis":
        return optuna.storages.JournalStorage(LogsOnly(journal.JournalRedisBackend(storage)))
    if scheme == "grpc":
        host, _, port = rest.partition(":")
        return optuna.storages.GrpcStorageProxy(host=host, port=int(port or 13000))
    return optuna.storages.RDBStorage(storage)


class LogsOnly(journal.BaseJournalBackend):
    """A journal whose snapshots are never read: they are pickles, with which who can write there could run code."""

    def __init__(self, backend: journal.BaseJournalBackend) -> None:
        """`backend` keeps the logs, which are JSON."""
        self._backend = backend

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, object]]:
        """The logs from this number on."""
        return self._backend.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, object]]) -> None:
        """Add logs."""
        self._backend.append_logs(logs)


def _journal(path: Path) -> Path:
    """The path of a file of trials, or of one to be made.

    Optuna would wait for a pipe for ever, read all of a device, and write behind whatever else a file holds.
    """
    if path.exists() and not path.is_file():
        raise InputError("not a regular file")
    if path.exists() and path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path.stat().st_size:,} bytes, more than any search writes")
    if path.exists() and path.stat().st_size and not _is_of_trials(path):
        raise InputError("holds something else than trials")
    return path


def _is_of_trials(path: Path) -> bool:
    """Whether the first line is one of Optuna's logs."""
    with path.open("rb") as file:
        line = file.readline(1 << 20)
    try:
        return "op_code" in dict(json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return False


def _me(process: int | None = None) -> str:
    """``host/process/start``: the start tells a process from a later one of the same number."""
    number = os.getpid() if process is None else process
    return f"{socket.gethostname()}/{number}/{_started(number)}"


def _is_here(worker: str) -> bool:
    return worker.split("/")[0] in ("", socket.gethostname())


def _is_gone(worker: str) -> bool:
    parts = worker.split("/")
    return len(parts) != 3 or _started(int(parts[1])) != parts[2]


def _started(process: int) -> str:
    """When a process of this machine began, in the kernel's ticks; empty where there is none."""
    try:
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return ""
