"""What other programs put before every line of a log: a time, a container's name, a line number, a notebook's quotes.

Nobody can list them all, so they are learnt from the log itself: what stands before the compiler's own words in two
lines or more (a word in most lines), with any digits for its digits, is taken off every line that begins so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["without_prefixes"]

_LONGEST = 120  # characters; a longer one is a text that speaks of the compiler
_LEAST_LINES = 2
_MOST_KINDS = 8
_START, _SPACE = r"\s*", r"(?:\s+|$)"  # of a pattern
_ROW_END = re.compile(r"(?:\\n)?\"?,? *$")


def without_prefixes(lines: Sequence[str], words: Sequence[str]) -> list[str]:
    """The lines without what stands before the compiler's words.

    Args:
        lines: of a log.
        words: with which lines of the compiler begin.
    """
    kinds = Counter(kind for line in lines if (kind := _kind(line, words)) is not None)
    written = [line for line in lines if line.strip()]
    common = [
        kind
        for kind, count in kinds.most_common(_MOST_KINDS)
        if count >= _LEAST_LINES and (not _is_a_word(kind) or _stands_before_most(kind, written))
    ]
    if not common:
        return list(lines)
    pattern = re.compile("|".join(sorted(common, key=len, reverse=True)))
    return [_without(line, pattern) for line in lines]


def _is_a_word(kind: str) -> bool:
    return kind.removeprefix(_START).removesuffix(_SPACE).isalpha()


def _stands_before_most(kind: str, lines: Sequence[str]) -> bool:
    pattern = re.compile(kind)
    return 2 * sum(pattern.match(line) is not None for line in lines) > len(lines)


def _kind(line: str, words: Sequence[str]) -> str | None:
    """The pattern of what stands before the first of the words; None where that is nothing, too much, or a sentence."""
    places = [place for word in words if (place := line.find(word)) >= 0]
    before = line[: min(places, default=0)]
    words_before = before.split()
    sentence = len(words_before) > 1 and "".join(words_before).isalpha()
    if not words_before or len(before) > _LONGEST or sentence:
        return None
    pieces = re.findall(r"\d+|\s+|[^\d\s]+", before.strip())
    spaced = "".join(
        r"\d+" if piece[0].isdigit() else r"\s+" if piece.isspace() else re.escape(piece) for piece in pieces
    )
    return f"{_START}{spaced}{_SPACE if before[-1].isspace() else ''}"


def _without(line: str, pattern: re.Pattern[str]) -> str:
    match = pattern.match(line)
    if match is None:
        return line
    rest = line[match.end() :]
    return _ROW_END.sub("", rest) if match[0].endswith('"') else rest
