"""A candidate: changes to the recipe that the search starts from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tfcompress.recipe import Recipe

__all__ = ["Candidate", "Changes", "joined"]

Changes = Mapping[str, object]  # a part of a recipe's JSON; an inner mapping changes a part of a section


@dataclass(frozen=True)
class Candidate:
    """One recipe to try.

    Attributes:
        name: what is special about it, in words.
        changes: to the recipe that the search starts from.
    """

    name: str
    changes: Changes = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same changes, whatever they are called."""
        return hashlib.sha256(json.dumps(self.changes, sort_keys=True).encode()).hexdigest()[:16]

    def recipe(self, start: Recipe) -> Recipe:
        """The recipe to try.

        Raises:
            RecipeError: the changes make no recipe.
        """
        whole = json.loads(start.to_json())
        return Recipe.from_json(json.dumps(joined(whole, self.changes)))


def joined(first: Changes, second: Changes) -> dict[str, object]:
    """Changes of which the second win, section by section and option by option."""
    result = dict(first)
    for key, value in second.items():
        inner = result.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        result[key] = joined(inner, value) if both else value  # type: ignore[arg-type]
    return result
