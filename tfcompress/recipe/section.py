"""A section of a recipe: a frozen dataclass that checks its own values when it is made."""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass
from typing import ClassVar, Literal

from tfcompress.errors import RecipeError

__all__ = ["Section"]


@dataclass(frozen=True, kw_only=True)
class Section:
    """Base of every section; a subclass adds its options and its range checks.

    Attributes:
        key: name of the section in a recipe's JSON; empty for the recipe itself.
        title: heading of its flags in ``--help``; empty for a section of one target, whose title it has.
    """

    key: ClassVar[str] = ""
    title: ClassVar[str] = ""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            hint, value = hints[item.name], getattr(self, item.name)
            if typing.get_origin(hint) is Literal:
                allowed = typing.get_args(hint)
                self.require(value in allowed, item.name, "one of " + ", ".join(map(str, allowed)))
            if isinstance(value, float):
                self.require(math.isfinite(value), item.name, "a finite number")
        self._check()

    def _check(self) -> None:
        """Range checks of the section; overridden where there are any.

        Raises:
            RecipeError: a value is out of range.
        """

    def require(self, condition: bool, name: str, expected: str) -> None:
        """Refuse the value of field `name` unless `condition` holds.

        Args:
            condition: whether the value is allowed.
            name: of the field; text after ``[`` is shown but not looked up, as in ``layers['conv*']``.
            expected: what would be allowed, for the message.

        Raises:
            RecipeError: the condition does not hold.
        """
        if not condition:
            value = getattr(self, name.partition("[")[0])
            where = f"{self.key}.{name}" if self.key else name
            raise RecipeError(f"recipe: {where} is {value!r}, expected {expected}")
