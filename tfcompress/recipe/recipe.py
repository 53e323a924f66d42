"""The recipe: everything that is done to a model, as frozen dataclasses with a JSON round trip.

A recipe is checked when it is made, so a bad one never reaches training.  An unknown key is an error: a typo must
not be silent.  Layer patterns are shell patterns (`fnmatch`) over Keras layer names.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from tfcompress.errors import RecipeError
from tfcompress.plain_files import read_plain
from tfcompress.recipe.options import documented, option
from tfcompress.recipe.plain import MAX_BYTES, checked_keys, from_plain, parse_object
from tfcompress.recipe.post_training import PostTraining
from tfcompress.recipe.section import Section
from tfcompress.recipe.structure_sections import Layers, LowRank, Structure, Student
from tfcompress.recipe.training_sections import Clustering, Distillation, Pruning, Quantization, Training
from tfcompress.target_sections import target_sections
from tfcompress.typed_json import to_plain

__all__ = ["Recipe"]

RECIPE_VERSION = 1
_Section = TypeVar("_Section", bound=Section)


@documented()
@dataclass(frozen=True, kw_only=True, init=False)
class Recipe(Section):
    """All that is done to a model.  A training section that is None is not applied.

    The options of a target are a section as well, given under the key of its class: ``edgetpu=EdgeTpu(rewrite="all")``.
    """

    student: Student | None = option(None, help="section that trains a smaller model towards this one")
    layers: Layers | None = option(None, help="section that leaves out whole blocks of layers")
    structure: Structure | None = option(None, help="section that removes channels, neurons, units and heads")
    low_rank: LowRank | None = option(None, help="section that splits kernels into products of smaller ones")
    pruning: Pruning | None = option(None, help="section that sets weights to zero while training")
    clustering: Clustering | None = option(None, help="section that makes weights share few values")
    quantization: Quantization | None = option(None, help="section of quantization-aware training")
    distillation: Distillation | None = option(None, help="section that trains towards the float model's outputs")
    training: Training = option(Training(), help="how the sections above are trained")
    post_training: PostTraining = option(PostTraining(), help="quantization after training")
    keep_float: tuple[str, ...] = option(
        (), flag="keep_float", metavar="P,P", help="layers that stay float in an integer artifact, as name patterns"
    )
    keep_int16: tuple[str, ...] = option(
        (),
        flag="keep_int16",
        metavar="P,P",
        help="layers that get 16-bit activations in an int8 artifact, as name patterns",
    )
    version: int = option(RECIPE_VERSION, help="version of the recipe format")
    # Of targets, in the order of their keys; one that has only defaults is left out, so that equal recipes are equal.
    sections: tuple[Section, ...] = ()

    def __init__(
        self,
        *,
        student: Student | None = None,
        layers: Layers | None = None,
        structure: Structure | None = None,
        low_rank: LowRank | None = None,
        pruning: Pruning | None = None,
        clustering: Clustering | None = None,
        quantization: Quantization | None = None,
        distillation: Distillation | None = None,
        training: Training = Training(),
        post_training: PostTraining = PostTraining(),
        keep_float: tuple[str, ...] = (),
        keep_int16: tuple[str, ...] = (),
        version: int = RECIPE_VERSION,
        sections: tuple[Section, ...] = (),
        **of_targets: Section,
    ) -> None:
        given = locals()
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, given[item.name])
        object.__setattr__(self, "sections", _merged(sections, of_targets))
        self.__post_init__()

    def __getattr__(self, key: str) -> Section:
        """A target's section by its key, as in ``recipe.edgetpu``; `section` gives it with its type."""
        sections = {} if key.startswith("_") else target_sections()
        if key not in sections:
            raise AttributeError(f"a recipe has no {key!r}")
        return self.section(sections[key])

    def section(self, kind: type[_Section]) -> _Section:
        """The options of a target: what was given, or the defaults."""
        return next((item for item in self.sections if isinstance(item, kind)), kind())

    def _check(self) -> None:
        if self.version != RECIPE_VERSION:
            raise RecipeError(f"recipe: version is {self.version!r}, expected {RECIPE_VERSION}")
        new = self.student is not None and (self.student.family is not None or self.student.model is not None)
        if new and (self.layers is not None or self.structure is not None):
            raise RecipeError(
                "recipe: student trains another network, and layers or structure cut this one; leave one of them out"
            )

    @property
    def trains(self) -> bool:
        """Whether any section needs training."""
        trained = (self.pruning, self.clustering, self.quantization, self.distillation)
        return self.reduces or any(part is not None for part in trained)

    @property
    def reduces(self) -> bool:
        """Whether any section changes the layers themselves."""
        return any(part is not None for part in (self.student, self.layers, self.structure, self.low_rank))

    @property
    def imitates(self) -> bool:
        """Whether training is for int8 alone: towards the float model's outputs, without labels or another change."""
        others = self.reduces or self.pruning is not None or self.clustering is not None
        only_taught = self.distillation is not None and self.distillation.weight == 1
        starts_from_it = self.training.pretraining_epochs == 0
        return self.quantization is not None and only_taught and starts_from_it and not others

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The recipe in a JSON text.

        Raises:
            RecipeError: not JSON, an unknown key, a value of the wrong type or out of range.
        """
        hints = typing.get_type_hints(cls)
        allowed = {item.name: hints[item.name] for item in dataclasses.fields(cls) if item.name != "sections"}
        allowed |= target_sections()
        given = checked_keys(parse_object(text, "recipe"), allowed, "recipe")
        values: dict[str, object] = {
            key: from_plain(allowed[key], value, f"recipe.{key}") for key, value in given.items()
        }
        return cls(**typing.cast(Mapping[str, typing.Any], values))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The recipe in a JSON file.

        Raises:
            RecipeError: the file cannot be read, or see `from_json`.
        """
        try:
            # Four bytes are the most that a character takes in UTF-8.
            text = read_plain(path, most_bytes=4 * MAX_BYTES).decode("utf-8-sig")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RecipeError(f"--recipe={path}: cannot be read: {reason}") from None
        return cls.from_json(text)

    def to_plain(self) -> dict[str, object]:
        """The recipe as JSON values, with every option of every target."""
        names = [item.name for item in dataclasses.fields(self) if item.name != "sections"]
        values = {name: getattr(self, name) for name in names}
        values |= {key: self.section(kind) for key, kind in target_sections().items()}
        return {key: to_plain(value, f"recipe.{key}") for key, value in values.items()}

    def to_json(self) -> str:
        """JSON text that `from_json` reads back to an equal recipe."""
        return json.dumps(self.to_plain(), indent=2, sort_keys=True) + "\n"

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")


def _merged(sections: tuple[Section, ...], of_targets: Mapping[str, Section]) -> tuple[Section, ...]:
    """The sections with those given by key in their places, without those that say nothing.

    Raises:
        RecipeError: no target has a section of that key and class.
    """
    by_key = {item.key: item for item in sections}
    if of_targets:
        kinds = target_sections()
        names = [item.name for item in dataclasses.fields(Recipe)]
        for key, value in checked_keys(dict(of_targets), {**dict.fromkeys(names), **kinds}, "recipe").items():
            if not isinstance(value, kinds[key]):
                raise RecipeError(f"recipe: {key} is {value!r}, expected {kinds[key].__name__}(...)")
            by_key[key] = value
    return tuple(by_key[key] for key in sorted(by_key) if by_key[key] != type(by_key[key])())
