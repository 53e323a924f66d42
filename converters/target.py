"""What a target is, and the table of all of them.

A new target is a package beside this file with a module `target` that holds one `Target`, and a row in `TARGETS`; its
options, where it has any, are a `Section` in the same package.  The parser, recipes, the job, the checks of data and
the report loop over the table; none of them knows a target by name.

A target's module is imported by ``tfcompress --help``, so it imports nothing heavy: what needs TensorFlow is imported
inside the functions that use it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tfcompress.converters.artifact import Artifact
from tfcompress.converters.forecast import Cost, Forecast
from tfcompress.errors import InputError, RecipeError
from tfcompress.recipe import PostTraining
from tfcompress.recipe.section import Section

if TYPE_CHECKING:  # these bring TensorFlow
    from tfcompress.data import Samples
    from tfcompress.model import FloatModel
    from tfcompress.recipe import Recipe

__all__ = [
    "DEFAULT_TARGETS",
    "TARGETS",
    "Facts",
    "ReportRow",
    "Step",
    "Target",
    "TargetTable",
    "convert_in",
    "litert_options",
    "option_sections",
    "parse_targets",
    "require_tflite",
    "title_of",
]

Facts = Mapping[str, Any]  # a target's own keys of report.json, or a recipe's JSON: {str: JSON value}


ModelChange = Callable[[Any], tuple[Any, tuple[str, ...]]]  # a Keras model to (Keras model, notes)


class Convert(Protocol):
    """From a model to an artifact."""

    def __call__(self, model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path, /) -> Artifact:
        """Fill `output`, an existing empty folder.

        Raises:
            ConversionError: the model cannot be converted; the folder is left for the caller to remove.
        """
        ...


@dataclass(frozen=True)
class ReportRow:
    """One figure of a target's own in the report.

    Attributes:
        label: what it is.
        value: the figure, or words; None where it is not known.
        unit: how a number is to be written.
    """

    label: str
    value: float | str | None
    unit: Literal["", "count", "bytes", "milliseconds", "share"] = ""


@dataclass(frozen=True)
class Step:
    """What to do with an artifact next: a sentence, and a command line or code where there is one."""

    text: str
    command: str | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where artifacts run, and all that a conversion has to know about it.

    Attributes:
        name: the value of ``--targets``, the folder in the output, the key in report.json.
        title: for people.
        convert: makes the artifact.
        depends_on: {key: JSON value} of all in the recipe that shapes the artifact.
        options: the recipe's section that is this target's alone, as a dataclass; None where it has none.
        needs_calibration: whether, with this recipe, it cannot do without representative data.
        takes_quantizers: it converts the model as trained, with its quantizers; else the trained weights without them.
            A function where that depends on the recipe.
        before_training: what changes a Keras model before it is fine-tuned with this recipe: from the model to another
            one and a note for each change, or to itself where there is nothing to change.  None changes nothing.  It
            may read no more of the recipe than the target's own options.
        inspect: what a file would cost there; raises InputError for a file of the wrong kind.  None where there is no
            forecast.
        inspect_reads: names of the target's own options that `inspect` reads, which are the flags that the command has.
        inspect_together: what several files would cost that share the device: JSON values; None where they are looked
            at one by one.
        costs: the costs in an artifact's facts.
        runnable: what the accuracy diff runs: anything that `accuracy_diff.runner_for` takes.
        most_samples: how many samples the accuracy diff may take, from an artifact's facts, where running one takes
            long; None takes all.
        refusal: why the target's own compiler refuses an artifact with these facts; None when it does not.
        done: one line on what conversion did, from the recipe's JSON; None where there is nothing to say.
        report_rows: the target's own figures, from its section of report.json.
        next_steps: what to do with the artifact, from its section of report.json with the `files`; commands are run in
            the output folder.
        quantities: what `search` can limit and minimise here, beside the drop in accuracy and the bytes.
        takes_every_scheme: every scheme of the `post_training` section makes an artifact of its own.
        gains_from_zeros: zeros and shared values make its artifacts smaller or faster.
        tools: {name: version} of what makes the artifact or runs it in the accuracy diff, and is no Python package that
            every target uses; None for one that is not installed.  Code of the target's own needs no mention: the cache
            reads the files of every package that its functions lie in.
    """

    name: str
    title: str
    convert: Convert
    depends_on: Callable[[Recipe], Facts]
    options: type[Section] | None = None
    needs_calibration: Callable[[Recipe], bool] = field(default=lambda recipe: False)
    takes_quantizers: bool | Callable[[Recipe], bool] = True
    before_training: Callable[[Recipe], ModelChange | None] = field(default=lambda recipe: None)
    inspect: Callable[[Path, Recipe], Forecast] | None = None
    inspect_reads: tuple[str, ...] = ()
    inspect_together: Callable[[Sequence[Path], Recipe], Facts] | None = None
    costs: Callable[[Facts], tuple[Cost, ...]] = field(default=lambda facts: ())
    runnable: Callable[[Artifact], object] = field(default=lambda artifact: artifact.runnable)
    most_samples: Callable[[Facts], int | None] = field(default=lambda facts: None)
    refusal: Callable[[Facts], str | None] = field(default=lambda facts: None)
    done: Callable[[Facts], str | None] = field(default=lambda recipe: None)
    report_rows: Callable[[Facts], tuple[ReportRow, ...]] = field(default=lambda facts: ())
    next_steps: Callable[[Facts], tuple[Step, ...]] = field(default=lambda facts: ())
    quantities: tuple[str, ...] = ()
    takes_every_scheme: bool = False
    gains_from_zeros: bool = False
    tools: Callable[[], Mapping[str, str | None]] = field(default=dict)

    def own_options(self, recipe: Recipe) -> Section | None:
        """The recipe's section that is this target's alone; None where it has none."""
        own: Section | None = None if self.options is None else getattr(recipe, self.options.key)
        return own

    def code_of_others(self) -> str | None:
        """A hash of the code outside of our package that the target's functions are made of.

        Returns:
            The hash, empty for a target whose code is all ours, which counts in every fingerprint; None where nobody
            can say what it is, so that nothing of the target is kept between runs.
        """
        from tfcompress.cache.fingerprints import code_of_others

        functions = [value for item in fields(self) if callable(value := getattr(self, item.name))]
        return code_of_others(frozenset(_module_of(function) for function in functions))

    def takes_quantizers_of(self, recipe: Recipe) -> bool:
        """Whether it converts the model as trained with this recipe, with its quantizers."""
        return self.takes_quantizers if isinstance(self.takes_quantizers, bool) else self.takes_quantizers(recipe)


def _module_of(function: Callable[..., object]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(function.__module__)


class TargetTable(Mapping[str, Target]):
    """{name: target}, in the order in which reports list them; a target's module is imported when it is asked for.

    Attributes:
        places: {name: ``package.module:attribute``}.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = dict(places)

    def __getitem__(self, name: str) -> Target:
        module, _, attribute = self.places[name].partition(":")
        target = getattr(importlib.import_module(module), attribute)
        assert isinstance(target, Target), f"{self.places[name]} is no Target"
        assert target.name == name, f"{self.places[name]} calls itself {target.name!r}, the table {name!r}"
        return target

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


TARGETS = TargetTable(
    {
        "phone": "tfcompress.converters.phone.target:PHONE",
        "edgetpu": "tfcompress.converters.edgetpu.target:EDGETPU",
        "cloud_tpu": "tfcompress.converters.cloud_tpu.target:CLOUD_TPU",
        "snapdragon": "tfcompress.converters.snapdragon.target:SNAPDRAGON",
        "ethos_u": "tfcompress.converters.ethos_u.target:ETHOS_U",
        "micro": "tfcompress.converters.micro.target:MICRO",
        "onnx": "tfcompress.converters.onnx.target:ONNX",
    }
)
DEFAULT_TARGETS = ("phone", "edgetpu", "cloud_tpu")


def option_sections() -> dict[str, type[Section]]:
    """{key in a recipe: class} of the options that are a target's alone.

    `PostTraining` is not among them: every target that runs LiteRT files reads it, so it is a field of every recipe.
    """
    sections = [target.options for target in TARGETS.values()]
    return {section.key: section for section in sections if section is not None and section is not PostTraining}


def convert_in(module: str) -> Convert:
    """The function `convert` of a module that is imported when it first runs, as it brings TensorFlow.

    Args:
        module: its full name.
    """

    def convert(model: FloatModel, calibration: Samples | None, recipe: Recipe, output: Path, /) -> Artifact:
        function: Convert = importlib.import_module(module).convert
        return function(model, calibration, recipe, output)

    convert.__module__ = module  # where its code is
    return convert


def litert_options(recipe: Recipe, *own: type[Section]) -> dict[str, Any]:
    """What in a recipe shapes an artifact that is made from a LiteRT file.

    Args:
        recipe: what is asked for.
        own: classes of the sections that are the target's own.
    """
    sections = {kind.key: recipe.section(kind) for kind in own}
    shared = {name: getattr(recipe, name) for name in ("post_training", "keep_float", "keep_int16")}
    return {**shared, **sections}


def parse_targets(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names of targets from ``"phone,edgetpu"`` or a sequence, without repeats, in the order given.

    Raises:
        RecipeError: a name is not a target, or none is given.
    """
    parts = names.split(",") if isinstance(names, str) else list(names)
    if not all(isinstance(part, str) for part in parts):
        raise RecipeError(f"--targets: got {names!r}, expected names such as phone,edgetpu")
    wanted = [part.strip() for part in parts if part.strip()]
    for name in wanted:
        if name not in TARGETS:
            raise RecipeError(f"--targets: unknown target {name!r}, expected one or more of {','.join(TARGETS)}")
    if not wanted:
        raise RecipeError(f"--targets: no target given, expected one or more of {','.join(TARGETS)}")
    return tuple(dict.fromkeys(wanted))


def require_tflite(path: Path, target: str) -> None:
    """Refuse to inspect anything but a .tflite for a target.

    Raises:
        InputError: the path has another ending.
    """
    if path.suffix != ".tflite":
        raise InputError(f"--target={target}: needs a .tflite, got {path}; convert the model first")


def title_of(name: str) -> str:
    """A target's title; the name itself where it is no target of ours, as in the report of another version."""
    return TARGETS[name].title if name in TARGETS else name
