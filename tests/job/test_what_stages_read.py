"""Whatever a stage reads of the recipe and of the options is part of its fingerprint, so that no change is overlooked.

Two sides of it: every option of every section changes the fingerprints of the stages that it is meant for, and of no
other; and while a conversion runs, each stage is watched for what it reads.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import tfcompress
from tfcompress.compression import finetuning
from tfcompress.compression.structure.reductions import Reduction
from tfcompress.compression.structure.reductions import reductions as structure_reductions
from tfcompress.compression.training.training import train_stage
from tfcompress.converters import TARGETS
from tfcompress.converters.edgetpu.options import EdgeTpu
from tfcompress.data import Samples
from tfcompress.data.functions import FunctionSource
from tfcompress.job import options as job_options
from tfcompress.job import stages
from tfcompress.job.data_sets import DataSets
from tfcompress.job.options import ConvertOptions
from tfcompress.job.stage import Stage
from tfcompress.job.stages.calibrating import CALIBRATION
from tfcompress.job.stages.converting import CONVERT
from tfcompress.job.stages.training import TRAINING
from tfcompress.job.state import Lazy, ModelFacts, OriginalModel, State
from tfcompress.recipe import (
    Clustering,
    Distillation,
    Layers,
    LowRank,
    PostTraining,
    Pruning,
    Quantization,
    Recipe,
    Structure,
    Student,
    Training,
)
from tfcompress.recipe.section import Section
from tfcompress.runtime import keras
from tfcompress.target_sections import target_sections

ANOTHER_TEXT, ANOTHER_SHARE, ANOTHER_NUMBER, ANOTHER_LOSS = "another", 60.5, 5, "hinge"
EVERYTHING = Recipe(
    student=Student(width=0.5),
    layers=Layers(remove=1),
    structure=Structure(macs=0.5),
    low_rank=LowRank(energy=0.8),
    pruning=Pruning(),
    clustering=Clustering(),
    quantization=Quantization(),
    distillation=Distillation(),
    edgetpu=EdgeTpu(rewrite="none"),  # with `all` it also says how the model is changed before it is trained
)
REDUCING = ("student", "layers", "structure", "low_rank")
WEIGHTS = ("pruning", "clustering", "quantization")
TRAINED = (*REDUCING, *WEIGHTS, "distillation", "training")
OF_LITERT = ("phone", "edgetpu", "snapdragon", "ethos_u", "micro")  # made from a LiteRT file
LEAVES = ("keep_float", "keep_int16")  # options of the recipe itself
COPYING = ("dataclasses", "tfcompress.recipe.section")  # modules that copy and check options without using them
WITHOUT_EFFECT = {
    ("--", "max_load_seconds"): "decides whether a model is loaded, not what it is",
    ("--", "max_load_memory"): "the same",
    ("training", "strategy"): "is started before the model is loaded, as TensorFlow demands; of training it is part",
}


def another(section: Section, name: str) -> object:
    """Another value of an option; of another type where it has no choices, which a fingerprint sees as well."""
    hint, value = typing.get_type_hints(type(section))[name], getattr(section, name)
    kinds = [hint, *typing.get_args(hint)]
    choices = [choice for kind in kinds if typing.get_origin(kind) is Literal for choice in typing.get_args(kind)]
    if choices:
        return next(choice for choice in choices if choice != value)
    if bool in kinds:
        return not value
    if int in kinds:
        return ANOTHER_NUMBER
    if name == "loss":
        return ANOTHER_LOSS
    return ANOTHER_SHARE if float in kinds else ANOTHER_TEXT


def altered(recipe: Recipe, key: str, name: str) -> Recipe:
    """The recipe with another value of one option, without the checks of its section."""
    changed = copy.copy(recipe)
    if not key:
        object.__setattr__(changed, name, another(recipe, name))
        return changed
    section = copy.copy(getattr(recipe, key) or getattr(EVERYTHING, key))  # a student is always distilled
    object.__setattr__(section, name, another(section, name))
    if key in target_sections():
        others = tuple(item for item in recipe.sections if item.key != key)
        object.__setattr__(changed, "sections", (*others, section))
    else:
        object.__setattr__(changed, key, section)
    return changed


def options_in(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(key of the section, name) of every option; the key is empty for the recipe's own."""
    yield from (("", name) for name in LEAVES)
    for key in (*TRAINED, PostTraining.key, *target_sections()):
        yield from ((key, item.name) for item in dataclasses.fields(getattr(recipe, key)))


def test_this_file_knows_every_section_of_a_recipe() -> None:
    own = {item.name for item in dataclasses.fields(Recipe)}
    assert own == {*TRAINED, *LEAVES, PostTraining.key, "sections", "version"}


@pytest.fixture
def start(tmp_path: Path) -> State:
    """A conversion for all targets, before it trains."""
    samples = Samples(FunctionSource("data", list, (), ()), (), (), content="data")
    facts = ModelFacts("model", "keras", None, "keras3", (), (), True, {})
    options = ConvertOptions(model="model", output=tmp_path / "out", targets=tuple(TARGETS))
    return dataclasses.replace(
        State.start(options, tmp_path),
        ids={"load": "the model"},
        original=OriginalModel(facts, Lazy(lambda: pytest.fail("no fingerprint needs the model"))),
        data=DataSets(samples, samples, samples),
        representative=samples,
    )


def fingerprints(start: State, recipe: Recipe) -> dict[str, str | None]:
    state = dataclasses.replace(start, recipe=recipe)
    training = TRAINING.fingerprint(state, "")
    state = dataclasses.replace(state, ids={**state.ids, "training": training})
    artifacts = {f"convert/{name}": CONVERT.fingerprint(state, name) for name in TARGETS}
    return {"training": training, "calibration": CALIBRATION.fingerprint(state, ""), **artifacts}


def stages_meant(key: str, name: str) -> set[str]:
    """The stages that an option is for, and those that build on their results."""
    artifacts = {f"convert/{target}" for target in TARGETS}
    if key in TRAINED:
        return {"training", *artifacts}
    if key in target_sections():
        return {f"convert/{target.name}" for target in TARGETS.values() if target.options is target_sections()[key]}
    targets: tuple[str, ...] = OF_LITERT if name == "keep_int16" else (*OF_LITERT, "onnx")
    if name == "calibration_ranges":  # the Edge TPU's rewrites have ranges of their own
        targets = tuple(target for target in targets if target != "edgetpu")
    return {f"convert/{target}" for target in targets} | ({"calibration"} if name == "selection" else set())


def test_each_option_changes_the_fingerprints_of_the_stages_that_it_is_for_and_no_other(start: State) -> None:
    before = fingerprints(start, EVERYTHING)
    wrong = {}
    for key, name in options_in(EVERYTHING):
        after = fingerprints(start, altered(EVERYTHING, key, name))
        changed = {stage for stage in before if after[stage] != before[stage]}
        if changed != stages_meant(key, name):
            wrong[f"{key}.{name}"] = changed ^ stages_meant(key, name)
    assert not wrong


def step_keys(recipe: Recipe) -> dict[str, str | None]:
    """{step of fine-tuning: the fingerprint of what it trains}."""
    key: str | None = "the model"
    keys = dict[str, str | None]()
    for name in (*REDUCING, *WEIGHTS):
        section = getattr(recipe, name)
        if section is not None and name in REDUCING:
            step = Reduction(name, section, lambda model: pytest.fail("no fingerprint needs the model"))
            keys[name] = key = finetuning._key_of_reduction(key, step, recipe, 0)
        elif section is not None:
            keys[name] = key = finetuning._key(key, name, recipe, finetuning._training_of(name, recipe), 0)
    return keys


def test_each_option_of_training_changes_the_fingerprints_of_its_step_and_of_those_after_it() -> None:
    """Steps are kept one by one, so that another quantization does not prune again."""
    steps, before = (*REDUCING, *WEIGHTS), step_keys(EVERYTHING)
    first = {name: number for number, name in enumerate(steps)} | {"distillation": 0, "training": 0}
    first["quantization"] = first["clustering"]  # layers are folded before clustering as the quantization wants them
    for key, name in options_in(EVERYTHING):
        if key in first:
            after = step_keys(altered(EVERYTHING, key, name))
            assert {step for step in steps if after[step] != before[step]} == set(steps[first[key] :]), (key, name)


@dataclasses.dataclass(frozen=True)
class Watched:
    """What was read in one part of a stage that is kept between runs, and what of it has no part in the fingerprint."""

    name: str
    read: frozenset[tuple[str, str]]
    overlooked: frozenset[tuple[str, str]]


class Watch:
    """Records which options are read while a stage runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts = list[Watched]()
        self.steps: dict[str, set[tuple[str, str]]] = {}
        self._read: set[tuple[str, str]] | None = None
        self._step: str | None = None
        for base in (Section, job_options._Options):
            monkeypatch.setattr(base, "__getattribute__", self._recording(), raising=False)
        table = tuple(dataclasses.replace(stage, run=self._watching(stage)) for stage in stages.STAGES)
        monkeypatch.setattr(stages, "STAGES", table)
        self._watch_steps(monkeypatch)

    def _watch_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of fine-tuning, which are kept one by one."""

        def in_step(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
            self._step = name
            try:
                return function(*arguments)
            finally:
                self._step = None

        def reductions(*arguments: Any, **options: Any) -> list[Reduction]:
            steps = structure_reductions(*arguments, **options)
            return [
                dataclasses.replace(step, apply=functools.partial(in_step, step.name, step.apply)) for step in steps
            ]

        place = finetuning.__name__
        monkeypatch.setattr(f"{place}.reductions", reductions)
        monkeypatch.setattr(f"{place}.train_stage", lambda name, *rest: in_step(name, train_stage, name, *rest))

    def _recording(self) -> Callable[[Any, str], object]:
        def read(options: Any, name: str) -> object:
            kind = type(options)
            if self._read is not None and name in getattr(kind, "__dataclass_fields__", ()) and not _is_copying():
                option = (kind.key if issubclass(kind, Section) else "--", name)
                self._read.add(option)
                if self._step is not None:
                    self.steps.setdefault(self._step, set()).add(option)
            return object.__getattribute__(options, name)

        return read

    def _watching(self, stage: Stage) -> Callable[[State, Sequence[str]], State]:
        def run(state: State, parts: Sequence[str]) -> State:
            self._read = set()
            try:
                done = stage.run(state, parts)
            finally:
                read, self._read = self._read, None
            for part in parts:
                if stage.fingerprint(state, part) is not None:
                    leaves = frozenset(each for each in read if _is_leaf(*each))
                    unseen = frozenset(each for each in leaves if not _counts(stage, state, part, *each))
                    self.parts.append(Watched(f"{stage.name}/{part}".rstrip("/"), leaves, unseen))
            return done

        return run


def _is_copying() -> bool:
    return sys._getframe(2).f_globals.get("__name__") in COPYING


def _is_leaf(key: str, name: str) -> bool:
    """Whether it is an option, and neither a section nor the whole recipe."""
    return (key, name) != ("--", "recipe") and (key != "" or name in LEAVES)


def _counts(stage: Stage, state: State, part: str, key: str, name: str) -> bool:
    if stage.name == "load" and (key, name) in WITHOUT_EFFECT:
        return True
    if key == "--":
        options = copy.copy(state.options)
        object.__setattr__(options, name, ANOTHER_TEXT)
        other = dataclasses.replace(state, options=options)
    else:
        other = dataclasses.replace(state, recipe=altered(state.recipe, key, name))
    return stage.fingerprint(other, part) != stage.fingerprint(state, part)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a small model of convolutions, a residual block and dense layers, and samples for it."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3), name="x")
    hidden = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(x)
    inner = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="inner")(hidden)
    hidden = keras.layers.Add()([hidden, inner])
    hidden = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="middle")(hidden)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    keras.Model(x, keras.layers.Dense(3, activation="softmax", name="last")(hidden)).save(tmp_path / "small.keras")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.random((16, 8, 8, 3), np.float32), y=rng.integers(0, 3, 16))
    return tmp_path


def watch_conversion(files: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Watch:
    """A conversion, and what was read in it."""
    with monkeypatch.context() as patch:
        watch = Watch(patch)
        given = {"targets": "phone", "cache_dir": files / "cache", "calibration": files / "data.npz", **options}
        tfcompress.convert(files / "small.keras", output=files / "out", **given)
    return watch


def watched(files: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Watched]:
    """{part: what was read in it} of a conversion."""
    return {part.name: part for part in watch_conversion(files, monkeypatch, **options).parts}


def overlooked(parts: dict[str, Watched]) -> dict[str, frozenset[tuple[str, str]]]:
    return {name: part.overlooked for name, part in parts.items() if part.overlooked}


def test_a_conversion_reads_nothing_that_its_fingerprints_leave_out(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = watched(files, monkeypatch, targets="phone,edgetpu")
    assert not overlooked(parts)
    assert {("post_training", "scheme"), ("post_training", "estimator")} <= parts["convert/phone"].read
    assert {("--", "task"), ("--", "seed")} <= parts["diff/phone"].read


def test_what_a_stage_reads_unseen_is_noticed(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = dataclasses.replace(TARGETS["phone"], depends_on=lambda recipe: {})
    monkeypatch.setitem(TARGETS.places, "phone", f"{__name__}:FORGETFUL")
    monkeypatch.setattr(f"{__name__}.FORGETFUL", forgetful, raising=False)
    parts = watched(files, monkeypatch)
    assert ("post_training", "scheme") in overlooked(parts)["convert/phone"]


QUICK = Training(epochs=1, batch_size=8)
TRAININGS = {
    "weights": Recipe(
        pruning=Pruning(skip=()),
        clustering=Clustering(clusters=8, skip=()),
        quantization=Quantization(),
        distillation=Distillation(features=1.0, weight=0.5),
        training=QUICK,
    ),
    "channels": Recipe(
        structure=Structure(macs=0.6, round_to=1), low_rank=LowRank(energy=0.7, round_to=1), training=QUICK
    ),
    "blocks": Recipe(layers=Layers(remove=1), training=QUICK),
    "student": Recipe(student=Student(width=0.5, round_to=1), training=QUICK),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_training_reads_nothing_that_its_fingerprint_leaves_out(
    files: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recipe = TRAININGS[name]
    watch = watch_conversion(files, monkeypatch, recipe=recipe)
    parts = {part.name: part for part in watch.parts}
    assert not overlooked(parts)
    sections = {key for key in TRAINED if getattr(recipe, key) is not None}
    assert sections <= {key for key, _ in parts["training"].read}
    before = step_keys(recipe)
    assert watch.steps.keys() == before.keys()
    for step, options in watch.steps.items():
        for key, option in options:
            if _is_leaf(key, option):
                assert step_keys(altered(recipe, key, option))[step] != before[step], (step, key, option)
