"""Models that take a text: how its words become numbers, in the form that MediaPipe's text tasks follow.

MediaPipe splits a text at a regular expression, looks each word up in a file with ``word number`` a line, and fills
up with the number of ``<PAD>``; a word in no line is ``<UNKNOWN>``.  It neither turns capitals into small letters nor
drops punctuation, which the application has to do before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, cast

from tfcompress.graphs.keras.call_graph import calls
from tfcompress.graphs.keras.protocols import Layer
from tfcompress.load.preprocessing import BeforeArtifact, Front, file_name_of
from tfcompress.usage import NUMBERED, Words

__all__ = ["words_of"]

# The separators of each of TextVectorization's ways to standardize.  The marks that it drops stand between words here,
# so that only one inside of a word, as in "don't", needs the application to drop it.
_SEPARATORS = {
    None: r"\s+",
    "lower": r"\s+",
    "lower_and_strip_punctuation": r"""[\s!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']+""",
}
_PADDING, _UNKNOWN = "<PAD>", "<UNKNOWN>"


class _Vectorizing(Layer, Protocol):
    def get_vocabulary(self) -> Sequence[str]: ...


def words_of(front: BeforeArtifact | None) -> tuple[Words, str] | None:
    """How the artifact's only input is made of a text, and the text of the file that it names.

    Args:
        front: what runs before the artifact.

    Returns:
        None where that is more than one `TextVectorization` that splits at white space and gives numbers of a fixed
        count, or where a word of its vocabulary cannot stand in the file.
    """
    if not isinstance(front, Front) or len(front.raw) != 1 or len(front.inputs) != 1:
        return None
    steps = [call.layer for call in calls(front.model) if not call.is_input]
    if len(steps) != 1 or type(steps[0]).__name__ != "TextVectorization":
        return None
    layer = cast(_Vectorizing, steps[0])
    standardize = _standardize(layer)
    lines = _numbered(layer)
    if standardize not in _SEPARATORS or lines is None:
        return None
    return Words(standardize, _SEPARATORS[standardize], file_name_of(layer) + NUMBERED), lines


def _standardize(layer: Layer) -> str | None:
    """The setting's name; empty where the layer is set in another way than MediaPipe can follow."""
    settings = layer.get_config()
    plain = settings["split"] == "whitespace" and settings["output_mode"] == "int" and settings.get("ngrams") is None
    chosen = settings["standardize"]
    if not plain or settings["output_sequence_length"] is None or not (chosen is None or isinstance(chosen, str)):
        return ""
    return chosen


def _numbered(layer: _Vectorizing) -> str | None:
    """``word number`` a line; None where a word has white space in it or means something else to MediaPipe."""
    words = [str(word) for word in layer.get_vocabulary()]
    if words[:2] != ["", "[UNK]"] or any(re.search(r"\s|^$", word) or word[:1] == "<" for word in words[2:]):
        return None
    return "".join(f"{word} {number}\n" for number, word in enumerate([_PADDING, _UNKNOWN, *words[2:]]))
