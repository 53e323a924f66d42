"""Processes that work on trials: one that crashes or hangs costs its trial, never the search."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcompress import native_output
from tfcompress.cache import open_store, using
from tfcompress.errors import TfCompressError, one_line
from tfcompress.job.options import ConvertOptions
from tfcompress.keras_backend import ON_TENSORFLOW
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import options_of
from tfcompress.search.budget import WORST, cost_of
from tfcompress.search.options import SearchOptions
from tfcompress.search.study import Claim, Study

if TYPE_CHECKING:
    from tfcompress.search.judge import Judge

__all__ = ["WorkerPool", "conversion_options", "fits_another_process", "judge_for", "run_claim", "work_until_ended"]

_POLL_SECONDS = 0.5


def fits_another_process(options: SearchOptions) -> bool:
    """Whether another process can be given the options: nothing in them came from memory."""
    try:
        json.dumps(_plain(options))
    except TypeError:
        return False
    return True


def conversion_options(options: SearchOptions, output: Path) -> ConvertOptions:
    """The options of a conversion with the search's model and data.

    Args:
        options: of the search.
        output: folder of the conversion.
    """
    shared = {item.name for item in options_of(ConvertOptions)} & {item.name for item in options_of(SearchOptions)}
    values: dict[str, Any] = {name: getattr(options, name) for name in shared} | {"output": output}
    limit = options.limits.limit("accuracy_drop")
    if limit is not None:
        values["max_accuracy_drop"] = min(limit, 0.999)
    if values["evaluation"] is None:
        values["evaluation"] = options.calibration
    return ConvertOptions(**values)


def judge_for(options: SearchOptions) -> Judge:
    """What measures the candidates of a search in this process."""
    from tfcompress.search.judge import Judge  # brings TensorFlow

    return Judge(conversion_options(options, Path("unused")), options.limits, options.minimize)


def run_claim(study: Study, claim: Claim, options: SearchOptions, judge: Judge) -> None:
    """Work on one trial; what goes wrong in it is its failure."""
    started = time.monotonic()
    store = open_store(options.cache_dir, no_cache=options.no_cache)
    try:
        with study.beating(claim), native_output.silenced(), using(store):
            outcome = judge.outcome(claim.trial)
    except TfCompressError as error:
        study.fail(claim, str(error))
    except Exception as error:  # of a library, on this one candidate
        study.fail(claim, f"{type(error).__name__}: {one_line(error, 300)}")
    else:
        goals = [cost_of(outcome.figures, name, WORST) for name in ("accuracy_drop", options.minimize)]
        study.finish(claim, outcome, goals, time.monotonic() - started)


def work_until_ended(path: Path) -> None:
    """Take trials until the process that wrote the file ends this one.

    Args:
        path: JSON of the options, the storage and the search's identity.
    """
    given = json.loads(path.read_text(encoding="utf-8"))
    options = _options(given["options"])
    study = Study(given["storage"], given["identity"])
    parent = os.getppid()
    judge = judge_for(options)
    while os.getppid() == parent:
        claim = study.claim()
        if claim is None:
            time.sleep(_POLL_SECONDS)
        else:
            run_claim(study, claim, options, judge)


def _plain(options: SearchOptions) -> dict[str, object]:
    values = {item.name: getattr(options, item.name) for item in options_of(SearchOptions)}
    for name, value in values.items():
        if isinstance(value, Recipe):
            values[name] = {"recipe": value.to_json()}
        elif isinstance(value, Path):
            values[name] = str(value)
    return values


def _options(plain: Mapping[str, object]) -> SearchOptions:
    values = dict(plain)
    if isinstance(values["recipe"], Mapping):
        values["recipe"] = Recipe.from_json(values["recipe"]["recipe"])
    return SearchOptions(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})  # type: ignore[arg-type]


@dataclass
class WorkerPool:
    """Worker processes of this machine.

    Attributes:
        study: whose trials they take.
        command: what starts one.
        longest: seconds after which a trial is taken for hanging.
    """

    study: Study
    command: Sequence[str]
    longest: float
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _since: dict[int, float] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def started(cls, study: Study, options: SearchOptions, storage: str, identity: str) -> Iterator[WorkerPool]:
        """As many workers as the options say, until the block ends."""
        with tempfile.TemporaryDirectory(prefix="tfcompress-search-") as folder:
            path = Path(folder) / "search.json"
            settings = {"options": _plain(options), "storage": storage, "identity": identity}
            path.write_text(json.dumps(settings), encoding="utf-8")
            pool = cls(study, [sys.executable, "-m", "tfcompress.search", str(path)], options.max_trial_minutes * 60)
            try:
                for _ in range(options.workers):
                    pool._start()
                yield pool
            finally:
                pool.stop()

    def _start(self) -> None:
        environment = {**os.environ, **ON_TENSORFLOW}
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self._processes.append(process)

    def begin_anew(self) -> None:
        """End all workers and start others, which take what is queued by then."""
        count = len(self._processes)
        self.stop()
        for _ in range(count):
            self._start()

    def look_after(self) -> None:
        """Replace workers that ended, and end those whose trial takes too long."""
        self._end_hanging()
        for process in list(self._processes):
            code = process.poll()
            if code is not None:
                self._processes.remove(process)
                self.study.crashed(process.pid, f"its process ended with {_how(code)}")
                self._start()

    def _end_hanging(self) -> None:
        running = {claim.number: (claim, worker) for claim, worker in self.study.running()}
        now = time.monotonic()
        self._since = {number: self._since.get(number, now) for number in running}
        for number, since in self._since.items():
            claim, worker = running[number]
            process = next((p for p in self._processes if worker.split("/")[1:2] == [str(p.pid)]), None)
            if process is not None and now - since > self.longest:
                self.study.fail(claim, f"took longer than {self.longest / 60:g} minutes (--max_trial_minutes)")
                process.kill()

    def stop(self) -> None:
        """End all workers; what they were at is queued again."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        self._processes = []
        self.study.release()


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
