"""The recipe: everything that is done to a model, as frozen dataclasses with a JSON round trip.

A recipe is checked when it is made, so a bad one never reaches training.  An unknown key is an error: a typo must
not be silent.  Layer patterns are shell patterns (`fnmatch`) over Keras layer names.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tfcompress.errors import RecipeError
from tfcompress.recipe.options import documented, option
from tfcompress.recipe.plain import MAX_BYTES, dataclass_from_plain, parse_object
from tfcompress.recipe.section import Section
from tfcompress.recipe.target_sections import CloudTpu, EdgeTpu, EthosU, PostTraining, Snapdragon
from tfcompress.recipe.training_sections import Clustering, Distillation, Pruning, Quantization, Training

__all__ = ["Recipe"]

RECIPE_VERSION = 1


@documented()
@dataclass(frozen=True, kw_only=True)
class Recipe(Section):
    """All that is done to a model.  A training section that is None is not applied."""

    pruning: Pruning | None = option(None, help="section that sets weights to zero while training")
    clustering: Clustering | None = option(None, help="section that makes weights share few values")
    quantization: Quantization | None = option(None, help="section of quantization-aware training")
    distillation: Distillation | None = option(None, help="section that trains towards the float model's outputs")
    training: Training = option(Training(), help="how the sections above are trained")
    post_training: PostTraining = option(PostTraining(), help="quantization after training")
    edgetpu: EdgeTpu = option(EdgeTpu(), help="options of the edgetpu target")
    cloud_tpu: CloudTpu = option(CloudTpu(), help="options of the cloud_tpu target")
    snapdragon: Snapdragon = option(Snapdragon(), help="options of the snapdragon target")
    ethos_u: EthosU = option(EthosU(), help="options of the ethos_u target")
    keep_float: tuple[str, ...] = option(
        (), flag="keep_float", metavar="P,P", help="layer name patterns left in float in an integer artifact"
    )
    keep_int16: tuple[str, ...] = option(
        (), flag="keep_int16", metavar="P,P", help="layer name patterns with 16-bit activations in an int8 artifact"
    )
    version: int = option(RECIPE_VERSION, help="version of the recipe format")

    def _check(self) -> None:
        if self.version != RECIPE_VERSION:
            raise RecipeError(f"recipe: version is {self.version!r}, expected {RECIPE_VERSION}")

    @property
    def trains(self) -> bool:
        """Whether any section needs training."""
        return any(part is not None for part in (self.pruning, self.clustering, self.quantization, self.distillation))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The recipe in a JSON text.

        Raises:
            RecipeError: not JSON, an unknown key, a value of the wrong type or out of range.
        """
        return dataclass_from_plain(cls, parse_object(text, "recipe"), "recipe")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The recipe in a JSON file.

        Raises:
            RecipeError: the file cannot be read, or see `from_json`.
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(4 * MAX_BYTES + 1)  # four bytes are the most that a character takes in UTF-8
            text = content.decode("utf-8-sig")
        except (OSError, ValueError) as error:
            raise RecipeError(f"--recipe={path}: cannot read the recipe: {error}") from None
        return cls.from_json(text)

    def to_json(self) -> str:
        """JSON text that `from_json` reads back to an equal recipe."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")
