"""The options of `search`; imports nothing heavy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tfcompress.converters.target import TARGETS, parse_targets
from tfcompress.errors import RecipeError
from tfcompress.job.options import DATA_HELP, Caching, Calibrating, DataReading, Loading
from tfcompress.recipe import Recipe
from tfcompress.recipe.options import option
from tfcompress.search.budget import QUANTITIES, Budget
from tfcompress.task_names import DECODINGS, TASKS, check_decoding

__all__ = ["SearchOptions"]


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Calibrating, DataReading, Loading, Caching):
    """Options of `search`."""

    model: object = option(
        positional=True, metavar="MODEL", help=".keras, .h5 or SavedModel folder or, in Python, a Keras model"
    )
    targets: str = option("phone", metavar="NAME", choices=lambda: TARGETS, help="name of the one target to search for")
    budget: str = option(
        metavar="LIMITS",
        help=f"comma-separated limits, quantity<=value (npu>=value), on {', '.join(QUANTITIES)}; accuracy_drop is met "
        "when the upper end of its 95 % interval is below the limit",
    )
    minimize: str = option("bytes", metavar="QUANTITY", choices=lambda: QUANTITIES, help="quantity to minimise")
    calibration: object = option(None, metavar="DATA", help=f"representative data: {DATA_HELP}")
    evaluation: object = option(
        None,
        metavar="DATA",
        help="data that candidates are compared on: one half to choose, the other half to confirm the choice; the "
        "calibration data if None",
    )
    train: object = option(None, metavar="DATA", help="data to fine-tune on; nothing is trained if None")
    output: str | Path = option(metavar="DIR", help="folder to write, or that of an earlier search to continue")
    recipe: Recipe | None = option(None, metavar="FILE", help="recipe that every candidate starts from")
    task: str | None = option(
        None, choices=lambda: TASKS, help="what the outputs mean; inferred from the outputs and labels if None"
    )
    decode: str | None = option(
        None,
        metavar="HOW",
        help=f"with --task=detection, how boxes are made of the outputs (found if None): {', '.join(DECODINGS)} or "
        "package.module:function",
    )
    storage: str | None = option(
        None,
        metavar="STORAGE",
        help="where trials are kept: a file, or an Optuna storage that workers on other machines share "
        "(postgresql://, mysql://, redis://, grpc://); a file in the output folder if None",
    )
    workers: int = option(
        1, metavar="N", help="number of processes to use here; run the same command elsewhere to join in"
    )
    max_trials: int = option(24, metavar="N", help="largest number of candidates to try")
    max_minutes: float | None = option(
        None, metavar="MINUTES", help="time after which the best so far is taken; every trial is run if None"
    )
    max_trial_minutes: float = option(
        60.0,
        metavar="MINUTES",
        help="time after which a trial that runs in a process of its own is given up",
    )
    compare: tuple[str, ...] = option(
        (), metavar="F,F", help=".tflite files of other tools, shown beside the candidates"
    )

    def _check(self) -> None:
        super()._check()
        names = parse_targets(self.targets)
        if len(names) > 1:
            raise RecipeError(f"--targets={self.targets}: a search is for one target; search once for each")
        self._require(self.minimize in QUANTITIES, "minimize", f"one of {', '.join(QUANTITIES)}")
        self._require(self.task is None or self.task in TASKS, "task", f"one of {', '.join(TASKS)}")
        check_decoding(self.task, self.decode)
        self._require(1 <= self.workers <= 4 * (os.cpu_count() or 1), "workers", "between 1 and four for each core")
        self._require(self.max_trials >= 1, "max_trials", "a number >= 1")
        self._require(self.max_minutes is None or self.max_minutes > 0, "max_minutes", "a number above 0")
        self._require(self.max_trial_minutes > 0, "max_trial_minutes", "a number above 0")
        target = TARGETS[next(iter(names))]
        self.limits.require_known({"accuracy_drop", "bytes", *target.quantities}, self.minimize, target.name)

    @property
    def limits(self) -> Budget:
        """The budget, read.

        Raises:
            InputError: it is none.
        """
        return Budget.parse(self.budget)
