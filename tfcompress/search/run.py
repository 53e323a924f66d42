"""One search from its options to its folder; imported once Optuna is known to be there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tfcompress.cache import fingerprint
from tfcompress.errors import InputError
from tfcompress.interruption import stoppable
from tfcompress.job.conversion import convert
from tfcompress.load.files.source import sha256_of
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
from tfcompress.search.workers import conversion_options

__all__ = ["run_search"]


def run_search(options: SearchOptions) -> SearchResult:
    """Search, and leave pareto.json, search.html and best/ in the output folder.

    Raises:
        InputError: anything about the input is wrong, or the output holds something else.
    """
    folder = SearchFolder(Path(options.output), _identity(options))
    _check_peers(options.compare)
    with stoppable():
        folder.open()
        place = options.storage or folder.storage
        study = Study(place, folder.identity)

        def told(findings: Found) -> None:
            _write(findings, options, folder)

        findings = search_trials(options, study, place, folder.identity, told)
        if findings.best is not None:
            chosen = findings.best.candidate.recipe(options.recipe or Recipe())
            whole = replace(conversion_options(options, folder.best), recipe=chosen)
            convert(**{item.name: getattr(whole, item.name) for item in options_of(type(whole))})
        return _write(findings, options, folder)


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
    """Of all that the trials depend on, as far as it can be named: what comes from memory counts by its name alone."""
    counted = ("targets", "budget", "minimize", "calibration_samples", "task", "max_trials", "seed", "recipe", "resize")
    named = {name: getattr(options, name) for name in counted}
    sources = {name: getattr(options, name) for name in ("model", "calibration", "evaluation", "train", "preprocess")}
    return fingerprint(named, {name: _source(value) for name, value in sources.items()})


def _source(value: object) -> str:
    if not isinstance(value, str | Path):
        return _name(value)
    path = Path(value)
    return f"{value} {sha256_of(path)}" if path.is_file() else str(value)
