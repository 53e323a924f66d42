"""What other programs put before every line of a log: a time, a container's name, a line number, a notebook's quotes.

Nobody can list them all, so they are learnt from the log itself: what stands before the compiler's own words in two
lines or more, with any digits for its digits, is taken off every line that begins so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["without_prefixes"]

_LONGEST = 120  # characters; a longer one is a text that speaks of the compiler
_LEAST_LINES = 2
_MOST_KINDS = 8
_ROW_END = re.compile(r"(?:\\n)?\"?,? *$")


def without_prefixes(lines: Sequence[str], words: Sequence[str]) -> list[str]:
    """The lines without what stands before the compiler's words.

    Args:
        lines: of a log.
        words: with which lines of the compiler begin.
    """
    kinds = Counter(kind for line in lines if (kind := _kind(line, words)) is not None)
    common = [kind for kind, count in kinds.most_common(_MOST_KINDS) if count >= _LEAST_LINES]
    if not common:
        return list(lines)
    pattern = re.compile("|".join(sorted(common, key=len, reverse=True)))
    return [_without(line, pattern) for line in lines]


def _kind(line: str, words: Sequence[str]) -> str | None:
    """The pattern of what stands before the first of the words; None where that is nothing, too much, or a sentence."""
    places = [place for word in words if (place := line.find(word)) >= 0]
    before = line[: min(places, default=0)]
    if not before.strip() or len(before) > _LONGEST or "".join(before.split()).isalpha():
        return None
    pieces = re.findall(r"\d+|\s+|[^\d\s]+", before.strip())
    spaced = "".join(
        r"\d+" if piece[0].isdigit() else r"\s+" if piece.isspace() else re.escape(piece) for piece in pieces
    )
    return rf"\s*{spaced}(?:\s+|$)" if before[-1].isspace() else rf"\s*{spaced}"


def _without(line: str, pattern: re.Pattern[str]) -> str:
    match = pattern.match(line)
    if match is None:
        return line
    rest = line[match.end() :]
    return _ROW_END.sub("", rest) if match[0].endswith('"') else rest
