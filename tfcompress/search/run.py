"""One search from its options to its folder; imported once Optuna is known to be there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfcompress.cache import fingerprint, open_store, using
from tfcompress.cache.fingerprints import ENGINES, our_code, versions_of
from tfcompress.errors import InputError
from tfcompress.file_hashes import sha256_of
from tfcompress.interruption import stoppable
from tfcompress.job.conversion import convert
from tfcompress.job.output_folder import withdraw
from tfcompress.job.stage import run_stages
from tfcompress.job.stages.loading import DATA, LOAD
from tfcompress.job.state import State
from tfcompress.native_output import silenced
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import options_of
from tfcompress.remarks import optional, remarks
from tfcompress.search.conductor import Found, search_trials
from tfcompress.search.folder import SearchFolder
from tfcompress.search.options import SearchOptions
from tfcompress.search.page import render_search
from tfcompress.search.result import SearchResult, result_of
from tfcompress.search.study import Study
from tfcompress.search.trial import Trial
from tfcompress.search.workers import conversion_options

__all__ = ["run_search"]

# Options that change where and how long the search works, and not what its trials come to.
_APART = frozenset(
    {"output", "storage", "workers", "max_minutes", "max_trial_minutes", "compare", "cache_dir", "no_cache",
     "max_load_seconds", "max_load_memory"}
)  # fmt: skip
_SOURCES = ("model", "calibration", "evaluation", "train", "preprocess", "labels", "custom_objects")


def run_search(options: SearchOptions, *, started: float) -> SearchResult:
    """Search, and leave pareto.json, search.html and best/ in the output folder.

    Args:
        options: of the search.
        started: when it was asked for, by `time.monotonic`.

    Raises:
        InputError: anything about the input is wrong, or the output holds something else.
    """
    folder = SearchFolder(Path(options.output), _identity(options))
    _check_peers(options.compare)
    with stoppable():
        _require_sound_input(options)
        folder.open()
        place = options.storage or folder.storage
        study = Study(place, folder.identity)

        def write(findings: Found) -> None:
            _write(findings, options, folder)

        best = _Best(options, folder)
        findings = search_trials(options, study, place, folder.identity, write, best.keep, started=started)
        best.end(findings)
        return _write(findings, options, folder)


@dataclass
class _Best:
    """The folder best/: from the first round on that brings one, it holds the best candidate so far, whole.

    Attributes:
        options: of the search.
        folder: of the search.
        holds: key of the trial that is in it; None where this run has written none.
    """

    options: SearchOptions
    folder: SearchFolder
    holds: str | None = None

    def keep(self, findings: Found) -> None:
        """Replace its content if a better candidate is there now.  One that cannot be converted whole is left out."""
        if findings.so_far is not None:
            with optional("best/"):
                self._put(findings.so_far)

    def end(self, findings: Found) -> None:
        """Put the confirmed artifact in; without one, nothing stays that was refused on the data held apart."""
        if findings.best is not None:
            self._put(findings.best)
        elif any(trial.ended for trial in findings.confirmed) and self.folder.best.is_dir():
            withdraw(self.folder.best)

    def _put(self, trial: Trial) -> None:
        if trial.key == self.holds:
            return
        chosen = trial.candidate.recipe(self.options.recipe or Recipe())
        whole = replace(conversion_options(self.options, self.folder.best), recipe=chosen)
        convert(**{item.name: getattr(whole, item.name) for item in options_of(type(whole))})
        self.holds = trial.key


def _require_sound_input(options: SearchOptions) -> None:
    """A model or data that no trial could use are refused before the first one, and nothing is written.

    Raises:
        ModelError: there is no such model, or it cannot compute.
        InputError: the data cannot be read, or do not fit.
    """
    store = open_store(options.cache_dir, no_cache=options.no_cache)
    with (
        tempfile.TemporaryDirectory(prefix="tfcompress-trial-") as unused,
        silenced(),
        remarks() as missing,
        using(store),
    ):
        start = State.start(conversion_options(options, Path(unused)), Path(unused), missing=missing)
        state = run_stages((LOAD, DATA), start)
        state.model.model.value.concrete_function(batch_size=1)


def _write(findings: Found, options: SearchOptions, folder: SearchFolder) -> SearchResult:
    """pareto.json and search.html, as far as the search has come."""
    result = result_of(findings, options)
    folder.write("pareto.json", json.dumps(result.to_plain(), indent=1, allow_nan=False) + "\n")
    with silenced(), remarks(), optional("search.html"):
        folder.write("search.html", render_search(result, _name(options.model), [Path(p) for p in options.compare]))
    return result


def _name(model: object) -> str:
    return Path(model).stem if isinstance(model, str | Path) else str(getattr(model, "name", "model"))


def _check_peers(paths: Sequence[str]) -> None:
    missing = next((path for path in paths if not Path(path).is_file()), None)
    if missing is not None:
        raise InputError(f"--compare={missing}: no such file")


def _identity(options: SearchOptions) -> str:
    """Of all that the trials depend on, as far as it can be named: other code, libraries and files make another search.

    The machine does not count: several may share a search.
    """
    given = {item.name: getattr(options, item.name) for item in options_of(SearchOptions) if item.name not in _APART}
    sources = {name: _source(given.pop(name)) for name in _SOURCES}
    return fingerprint(given, sources, our_code(), versions_of(ENGINES))


def _source(value: object) -> str:
    if isinstance(value, str | Path):
        return f"{value} {sha256_of(Path(value))}" if os.path.exists(value) else str(value)
    try:
        return fingerprint(value)
    except TypeError:  # a model or a function in memory counts by its name alone
        return str(getattr(value, "__qualname__", None) or _name(value))
