"""One network of the zoo: where it comes from, how it is built, and what its inputs look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Entry"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the table.

    Attributes:
        collection: name of the package on the index, or ``keras.io``.
        name: of the network in it.
        build: makes the Keras model; imports the collection when it is called.
        modules: to import before the file is read, so that the collection's layers are registered.
        legacy: the collection is written for Keras 2; it is imported with ``TF_USE_LEGACY_KERAS=1``.
        vocabulary: whole-number inputs are below it.
        tokens: inputs that the network declares as floats are whole numbers too, which it looks up.
        size: what an open size is given as; None takes 16 for tokens and 64 for pictures.
        pixels: the largest value of a picture.
        objects: names of ``module:name`` that the file refers to without having registered them.
    """

    collection: str
    name: str
    build: Callable[[], Any]
    modules: tuple[str, ...] = ()
    legacy: bool = False
    vocabulary: int = 64
    tokens: bool = False
    size: int | None = None
    pixels: float = 1.0
    objects: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The row's name."""
        return f"{self.collection}/{self.name}"
