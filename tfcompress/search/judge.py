"""Judges one candidate: the stages of a conversion that it needs, and a comparison that stops once it is decided."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import NormalDist

from tfcompress.accuracy_diff import CandidateResult, compare, runner_for
from tfcompress.accuracy_diff.layers.diff import LayerDiff
from tfcompress.accuracy_diff.statistics import PairedTable, drop_interval
from tfcompress.converters import TARGETS, Artifact
from tfcompress.converters.forecast import Cost
from tfcompress.converters.litert.latency import medians
from tfcompress.data import Samples
from tfcompress.errors import InputError, TfCompressError
from tfcompress.graphs.tflite import read_tflite
from tfcompress.graphs.tflite.operators import file_macs
from tfcompress.job.options import ConvertOptions
from tfcompress.job.results import artifact_bytes, packed_size
from tfcompress.job.stage import run_stages
from tfcompress.job.stages import STAGES
from tfcompress.job.stages.converting import CONVERT
from tfcompress.job.state import State
from tfcompress.recipe import Recipe
from tfcompress.remarks import remarks
from tfcompress.search.budget import Budget
from tfcompress.search.figures import Figures
from tfcompress.search.rounds import FINALISTS
from tfcompress.search.trial import CONFIRM, Outcome, Trial

__all__ = ["Judge"]

_TRIAL = STAGES[: STAGES.index(CONVERT) + 1]  # all that an artifact needs
_FIRST_LOOK = 256  # samples; each further look takes four times as many (successive halving, Jamieson & Talwalkar 2016)
_LAYER_SAMPLES = 64
_LATENCY_SECONDS = 1.0  # for each of the two files


@dataclass(frozen=True)
class Judge:
    """Measures candidates for one target.

    The evaluation data are parted: the samples at even places choose, those at odd places confirm.  A drop that was the
    smallest of many on the same data is too small, so the figures of the finalists come from data that no choice was
    made on (Dwork et al. 2015, "The reusable holdout"), with intervals corrected for `FINALISTS` looks (Dunn 1961).

    A latency is measured by turns with the file of the recipe as given, and is that file's latency times the ratio of
    the two: what else the machine does from one trial to the next then counts for neither.

    Attributes:
        options: of the conversion; one target.
        budget: the limits.
        minimize: the goal.
    """

    options: ConvertOptions
    budget: Budget
    minimize: str

    @cached_property
    def target(self) -> str:
        """Name of the target."""
        (name,) = State.start(self.options, Path()).targets
        return name

    def outcome(self, trial: Trial) -> Outcome:
        """What comes of a trial.

        Raises:
            TfCompressError: the candidate cannot be converted or compared.
        """
        recipe = trial.candidate.recipe(State.start(self.options, Path()).recipe)
        with self._converted(recipe) as state:
            artifact = state.made[self.target]
            figures = self._timed(_figures(artifact), artifact, trial)
            figures, stopped = self._compared(state, artifact, figures, confirm=trial.round == CONFIRM)
            ranked = self._ranked(state, artifact) if trial.round == "start" else {}
        return Outcome(figures=figures, ranked=tuple(ranked), noise=tuple(ranked.values()), stopped=stopped)

    @contextmanager
    def _converted(self, recipe: Recipe) -> Iterator[State]:
        """What the stages of a trial come to; its files are there within the block."""
        options = replace(self.options, recipe=recipe)
        with tempfile.TemporaryDirectory(prefix="tfcompress-trial-") as folder, remarks() as missing:
            yield run_stages(_TRIAL, State.start(options, Path(folder), missing=missing))

    def _timed(self, figures: Figures, artifact: Artifact, trial: Trial) -> Figures:
        """The figures with the latency measured beside that of the recipe as given, where somebody asks for it."""
        asked = self.minimize == "latency_ms" or self.budget.limit("latency_ms") is not None
        if not asked or figures.latency_ms is None or not trial.changes or self._as_given is None:
            return figures
        content, before = self._as_given
        own, other = medians((artifact.runnable.read_bytes(), content), seconds=_LATENCY_SECONDS)
        return figures if own is None or other is None else replace(figures, latency_ms=round(before * own / other, 4))

    @cached_property
    def _as_given(self) -> tuple[bytes, float] | None:
        """The file of the recipe as given and its latency, made once in each process; None where it has none."""
        try:
            with self._converted(State.start(self.options, Path()).recipe) as state:
                artifact = state.made[self.target]
                latency = _figures(artifact).latency_ms
                return None if latency is None else (artifact.runnable.read_bytes(), latency)
        except TfCompressError:  # its own trial says so
            return None

    def _compared(
        self, state: State, artifact: Artifact, figures: Figures, *, confirm: bool
    ) -> tuple[Figures, str | None]:
        samples = _part(state, confirm=confirm)
        limit = self.budget.limit("accuracy_drop")
        for part, is_all in [(samples, True)] if confirm else _looks(samples):
            result = self._result(state, artifact, part)
            drop, interval = _drop(result, part, looks=FINALISTS if confirm else 1)
            figures = replace(figures, accuracy_drop=drop, accuracy_drop_ci95=interval, samples=_count(part))
            if not is_all and limit is not None and interval is not None and interval[0] > limit:
                return figures, f"stopped after {figures.samples} samples: the drop is at least {interval[0]:.4f}"
        return figures, None

    def _result(self, state: State, artifact: Artifact, samples: Samples, *, layers: bool = False) -> CandidateResult:
        target = TARGETS[self.target]
        most = target.most_samples(artifact.facts)
        compared = compare(
            runner_for(state.model.model.value),
            {self.target: runner_for(target.runnable(artifact), ours=True)},
            samples if most is None else samples.spread(most),
            task=self.options.task,
            decode=self.options.decode,
            seed=self.options.seed,
            layers=layers,
        )
        return compared.candidates[self.target]

    def _ranked(self, state: State, artifact: Artifact) -> dict[str, float]:
        """{layer: its own noise}, as far as one pass can tell, the most first."""
        samples = _part(state, confirm=False).spread(_LAYER_SAMPLES)
        rows = self._result(state, artifact, samples, layers=True).layers
        noise = {row.layer: value for row in rows if (value := _noise(row)) is not None}
        return dict(sorted(noise.items(), key=lambda item: -item[1]))


def _noise(row: LayerDiff) -> float | None:
    """The mean square of a layer's own error over that of its output; None where it is not known."""
    ratio = row.own_sqnr_db if row.own_sqnr_db is not None else row.sqnr_db
    return None if ratio is None else float(10 ** (-ratio / 10))


def _part(state: State, *, confirm: bool) -> Samples:
    samples = state.data_sets.evaluation
    if samples is None:
        raise InputError("--evaluation: a search needs data to compare on; none given")
    count = _count(samples)
    if count < 4:
        raise InputError(f"--evaluation: {samples.name}: {count} samples; a search parts them, expected at least 4")
    chosen = range(confirm, count, 2)
    return samples.select([samples.indices[i] for i in chosen] if samples.indices else list(chosen))


def _count(samples: Samples) -> int:
    return samples.count if samples.count is not None else sum(len(batch) for batch in samples.batches(256))


def _looks(samples: Samples) -> Iterator[tuple[Samples, bool]]:
    """(a part of the samples, whether it is all of them), from few to all."""
    total, number = _count(samples), _FIRST_LOOK
    while number < total:
        yield samples.spread(number), False
        number *= 4
    yield samples, True


def _drop(result: CandidateResult, samples: Samples, *, looks: int) -> tuple[float, tuple[float, float] | None]:
    """The drop and its interval: 95 % in all over several looks, by the union bound.

    Raises:
        InputError: the task has no answers that could be compared without labels.
    """
    confidence = 1 - 0.05 / looks
    values: Mapping[str, float | None] = result.diff
    drop, agreement = values.get("accuracy_drop"), values.get("top1_agreement")
    lost, gained = values.get("lost"), values.get("gained")
    total = _count(samples)
    if drop is not None and lost is not None and gained is not None:
        table = PairedTable(total - int(lost) - int(gained), int(lost), int(gained), 0)
        return drop, drop_interval(table, confidence)
    if drop is not None:
        given: Sequence[float] | None = result.diff.get("accuracy_drop_ci95")
        return drop, None if given is None else _widened(drop, (given[0], given[1]), confidence)
    if agreement is None:
        raise InputError("--evaluation: without labels there is nothing to limit on this model; give labels or --task")
    differ = round((1 - agreement) * total)
    return 1 - agreement, drop_interval(PairedTable(total - differ, differ, 0, 0), confidence)


def _widened(drop: float, interval: tuple[float, float], confidence: float) -> tuple[float, float]:
    """A 95 % interval at another confidence, as if the drop were normally distributed."""
    normal = NormalDist()
    factor = normal.inv_cdf(0.5 + confidence / 2) / normal.inv_cdf(0.975)
    return drop - (drop - interval[0]) * factor, drop + (interval[1] - drop) * factor


def _figures(artifact: Artifact) -> Figures:
    """All quantities but the drop."""
    is_tflite = artifact.runnable.suffix == ".tflite"
    costs = TARGETS[artifact.target].costs(artifact.facts)
    latency = artifact.facts.get("latency_ms")
    return Figures(
        bytes=artifact_bytes(artifact.runnable),
        packed_bytes=packed_size(artifact.runnable) if is_tflite else None,
        macs=file_macs(read_tflite(artifact.runnable)) if is_tflite else None,
        latency_ms=latency.get("median") if isinstance(latency, Mapping) else None,
        cycles=max(_values(costs, "cycles"), default=None),
        sram_bytes=max(_values(costs, "sram_bytes"), default=None),
        ddr_bytes=max(_values(costs, "ddr_bytes"), default=None),
        npu=min(_values(costs, "npu"), default=None),
    )


def _values(costs: Sequence[Cost], quantity: str) -> list[float]:
    return [cost.value for cost in costs if cost.quantity == quantity and cost.value is not None]
