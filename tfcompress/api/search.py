"""`search`: the best artifact within a budget."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcompress.data import Data
from tfcompress.data.preprocess import Preprocess
from tfcompress.errors import MissingExtraError
from tfcompress.process_state import leaves_process_alone
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import documented
from tfcompress.search.options import SearchOptions

if TYPE_CHECKING:
    from tfcompress.search.result import SearchResult

__all__ = ["search"]


@leaves_process_alone
@documented(SearchOptions)
def search(
    model: Any,
    *,
    budget: str,
    output: str | Path,
    targets: str = "phone",
    minimize: str = "bytes",
    calibration: Data | None = None,
    evaluation: Data | None = None,
    train: Data | None = None,
    recipe: Recipe | None = None,
    preprocess: str | Preprocess | None = None,
    label_column: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    resize: str | None = None,
    sample_rate: int | None = None,
    calibration_samples: int = 500,
    task: str | None = None,
    decode: str | None = None,
    storage: str | None = None,
    workers: int = 1,
    max_trials: int = 24,
    max_minutes: float | None = None,
    max_trial_minutes: float = 60.0,
    compare: Sequence[str] = (),
    seed: int = 0,
    custom_objects: str | Mapping[str, Any] | None = None,
    allow_unsafe_deserialization: bool = False,
    max_load_seconds: float | None = None,
    max_load_memory: float | None = None,
    cache_dir: str | Path | None = None,
    no_cache: bool = False,
) -> SearchResult:
    """Find the artifact that takes least of one quantity within a budget.

    A model and data that are named by paths or by ``package.module:function`` are tried in processes of their own, so
    that a candidate that crashes or hangs costs itself alone; what comes from memory is tried in this one.  A search
    that was ended goes on where it was when it is started again with the same options.

    Returns:
        The best, the Pareto set, and why each of the others was not taken; the same as ``pareto.json``.

    Raises:
        InputError: anything about the input is wrong, or the output holds something else.
        MissingExtraError: Optuna is not installed.
    """
    options = SearchOptions(**locals())  # the arguments have the options' names, which a test keeps
    started = time.monotonic()
    if importlib.util.find_spec("optuna") is None:
        raise MissingExtraError("optuna", "search", "search")
    from tfcompress.search.run import run_search  # brings Optuna

    return run_search(options, started=started)
