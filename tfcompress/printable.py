"""Names from files as they may reach a terminal: what would move the cursor, recolour or reorder text is spelt out."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]

# Control characters, surrogates that stand for bytes that are no UTF-8, line and paragraph separators, and what
# changes the direction of text (Unicode TR36, "Bidirectional Text Spoofing").
_UNSAFE = {"Cc", "Cs", "Zl", "Zp"}
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    r"""`text` with every unsafe character but the line feed and the tab as its escape, such as ``\x1b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(each) for each in text)


def _escaped(character: str) -> str:
    if character in "\n\t":
        return character
    unsafe = unicodedata.category(character) in _UNSAFE or character in _BIDI
    return character.encode("unicode_escape").decode() if unsafe else character
