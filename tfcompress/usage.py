"""What an app has to know to use a model, beyond its shapes: the scaling of inputs and the names of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["NUMBERED", "Normalization", "Usage", "Words"]

NUMBERED = ".numbered.txt"  # how the names of files end that have a word and its number a line


@dataclass(frozen=True)
class Normalization:
    """From the pixels of an image, 0 to 255, to the model's input: (pixel - mean) / std.

    Attributes:
        mean: one value, or one per channel.
        std: as many as `mean`.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Words:
    """From a text to the numbers of its words.

    Attributes:
        standardize: what is done to the text first: ``lower`` turns capitals into small letters,
            ``lower_and_strip_punctuation`` drops `punctuation` as well, None does nothing.
        separators: a regular expression (RE2) of what stands between words.
        file: name of the file in `Usage.files` with a word and its number a line, of which ``<PAD>`` and ``<UNKNOWN>``
            are two.
    """

    standardize: str | None
    separators: str
    file: str


@dataclass(frozen=True)
class Usage:
    """How a model is fed and read.

    Attributes:
        class_names: in the model's order; empty where nobody gave them.
        normalization: {input name: how its pixels are scaled}, only of inputs that are known to be images and whose
            scaling is such a formula.
        sample_rate: in Hz, of the sounds in -1..1 that the model takes; None where it takes none, takes them scaled in
            another way, or the rate is not known.
        files: {name: text} of what an app needs to make the inputs: vocabularies, ``LAYER.txt`` with a word a line,
            and the rules as JSON; empty where the inputs are made of numbers alone.
        words: how the only input is made of a text; None where it is not, or not in so simple a way.
        author: of the model, for the file's metadata; empty where nobody was named.
        score_threshold: the least score of a class that clients show; None for no limit.
    """

    class_names: tuple[str, ...] = ()
    normalization: Mapping[str, Normalization] = field(default_factory=dict)
    sample_rate: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    words: Words | None = None
    author: str = ""
    score_threshold: float | None = None

    def names_values_of(self, shape: Sequence[int]) -> bool:
        """Whether an output of this shape has a value for each class."""
        return bool(self.class_names) and bool(shape) and shape[-1] == len(self.class_names)
